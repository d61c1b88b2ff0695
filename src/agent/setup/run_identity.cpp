#include "agent/setup/run_identity.hpp"

#include <array>

#include "common/support/hash.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

namespace {

/// Options of a training that do not change its result, or only its place.
constexpr std::array free_in_training{"checkpoint-dir",  "checkpoint-every", "keep-checkpoints", "save",
                                      "experiment-name", "min-ranks",        "reduce-timeout",   "cache",
                                      "cuda-graph",      "shard-optimizer"};

/// The hash of the validation set: its content counts, not its name.
std::string held_out(const RunSetup& setup) {
  if (setup.training && setup.training->validation) return write::sha256_of(setup.training->validation->manifest);
  const auto path = setup.config.get<std::string>("validate");
  if (path.empty()) return {};
  manifest::ReadOptions read;
  read.media = setup.media;
  return write::sha256_of(manifest::Manifest::read(path, read));
}

} // namespace

write::Identity identity_of(const RunSetup& setup) {
  write::Identity identity;
  identity.job = setup.job_name;
  identity.version = std::string(version);
  identity.batch_size = setup.batch_size;
  identity.options = setup.result_options;
  identity.model = setup.model;
  if (!setup.model.empty()) identity.model_state = state_of(setup.model);
  identity.items = setup.manifest.size();
  identity.shard = setup.shard;
  if (!setup.job->trains()) return identity;
  for (const char* option : free_in_training) identity.options.erase(option);
  identity.options["validate"] = held_out(setup);
  return identity;
}

} // namespace mgpu::agent
