#include "worker/run/setup.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>

#include "common/support/hash.hpp"
#include "mgpu/error.hpp"
#include "worker/device/devices.hpp"
#include "worker/device/reason.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker {

namespace {

torch::ScalarType parse_dtype(const std::string& name) {
  if (name == "float32") return torch::kFloat;
  if (name == "bfloat16") return torch::kBFloat16;
  if (name == "float16") return torch::kHalf;
  throw usage_error(fmt::format("--dtype: '{}' is not one of float32, bfloat16, float16", name));
}

Config parse_config(const std::string& json) {
  try {
    return Config(json.empty() ? nlohmann::json::object() : nlohmann::json::parse(json));
  } catch (const nlohmann::json::exception&) {
    throw Error("the configuration sent by rank 0 is not JSON");
  }
}

} // namespace

RankContext make_context(const wire::Configure& configure) {
  if (configure.batch_size < 1) throw usage_error(fmt::format("--batch-size: {} is not above 0", configure.batch_size));
  RankContext context;
  context.rank = configure.rank;
  context.world_size = configure.world_size;
  context.local_rank = configure.local_rank;
  context.local_size = configure.local_size;
  context.host = configure.host;
  if (configure.device >= 0) context.device = torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(configure.device));
  context.dtype = parse_dtype(configure.dtype);
  context.threads = std::max(configure.threads, 1);
  context.loaders = std::max(configure.loaders, 1);
  context.batch_size = configure.batch_size;
  context.config = parse_config(configure.config_json);
  context.model_path = configure.model_path;
  return context;
}

RankContext make_context(const wire::Configure& configure, wire::Channel& channel) {
  RankContext context = make_context(configure);
  context.progress = [&channel](std::string_view stage, double fraction) {
    channel.send(wire::Type::progress, wire::Progress{std::string(stage), fraction, resident_bytes()});
  };
  // Rank 0 has checked its own file; this host's may differ.
  if (context.config.has("model-sha256")) require_sha256(context.model_path, context.config.get<std::string>("model-sha256"));
  return context;
}

int tell_failure(wire::Channel& channel, const std::exception& error) {
  const auto* known = dynamic_cast<const Error*>(&error);
  const int exit_code = static_cast<int>(known != nullptr ? known->code() : ExitCode::failed);
  try {
    channel.send(wire::Type::failure, wire::Failure{exit_code, reason_of(error), failure_cause(error), device_trouble(error)});
  } catch (const std::exception&) {
    // The agent has ended.
  }
  return exit_code;
}

void use_cores(const std::vector<std::int32_t>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  bool any = false;
  for (const std::int32_t core : cores) {
    if (core < 0 || core >= CPU_SETSIZE) continue;
    CPU_SET(static_cast<std::size_t>(core), &set);
    any = true;
  }
  // A container may forbid it: slower, but not wrong.
  if (any) sched_setaffinity(0, sizeof set, &set);
}

void set_math(const RankContext& context) {
  at::set_num_threads(context.threads);
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setBenchmarkCuDNN(false); // tuning chooses kernels by time
}

void tell_device(torch::Device device, wire::Opened& opened) {
  opened.device = "cpu";
  if (!device.is_cuda()) return;
  std::string note;
  for (const wire::Device& each : list_devices(note)) {
    if (each.index != device.index()) continue;
    opened.device = fmt::format("cuda:{} {}", each.index, each.name);
    opened.uuid = each.uuid;
  }
}

} // namespace mgpu::worker
