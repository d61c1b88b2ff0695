#include "agent/setup/run_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <future>

#include "agent/cli/stages.hpp"
#include "agent/setup/run_identity.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/hdf5/result_file.hpp"
#include "common/support/clock.hpp"
#include "common/support/faults.hpp"
#include "common/support/hash.hpp"
#include "common/support/say.hpp"
#include "common/support/side_thread.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent {

namespace fs = std::filesystem;

namespace {

/// What prepare_run() is reading, for the message about a stall.
std::atomic<const char*> looking_at{"the options"};

std::uint32_t parse_batch_size(const std::string& text) {
  if (text == "auto") return 0;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0 || value > 1'000'000)
    throw usage_error(fmt::format("--batch-size {}: auto, or a number from 1 to 1000000", text));
  return value;
}

std::uint64_t parse_max_failures(const std::string& text, std::uint64_t items) {
  if (text.empty()) return ~0ull;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error != std::errc() || value < 0 || (!rest.empty() && rest != "%"))
    throw usage_error(fmt::format("--max-failures {}: a number of items, or a share such as 5%", text));
  return static_cast<std::uint64_t>(rest.empty() ? value : value / 100 * static_cast<double>(items));
}

double parse_item_timeout(const std::string& text) {
  if (text == "auto") return by_times_seen;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value < 1e9))
    throw usage_error(fmt::format("--item-timeout {}: auto, or seconds; 0: for ever", text));
  return value;
}

ModelLoad parse_load(const std::string& text) {
  if (text == "staged") return ModelLoad::staged;
  if (text == "staggered") return ModelLoad::staggered;
  return text == "independent" ? ModelLoad::independent : ModelLoad::automatic;
}

/// A .partial beside the file belongs to a later, incomplete run with --overwrite.
bool is_complete(const RunSetup& setup) {
  return setup.resume && fs::exists(setup.output) && !fs::exists(setup.output + ".partial") &&
         write::ReadFile(setup.output).complete();
}

write::Existing existing(const RunSetup& setup) {
  if (setup.resume) return write::Existing::resume;
  return setup.config.get<bool>("overwrite") ? write::Existing::overwrite : write::Existing::refuse;
}

/// --shard. The cut must be the same in all shards: `auto` depends on the device, which is not known yet and may be another elsewhere.
std::optional<manifest::Shard> parse_shard(const Config& config, const Job& job, std::uint32_t batch_size) {
  const std::optional<manifest::Shard> shard = manifest::Shard::parse(config.get<std::string>("shard"));
  if (shard && job.trains())
    throw usage_error(
        fmt::format("--shard {}: the ranks of a training step together, so it cannot be cut; leave --shard out, "
                    "and give it more ranks: mpirun -np N",
                    shard->text()));
  if (shard && batch_size == 0)
    throw usage_error(
        fmt::format("--shard {}: shards are cut at whole batches, and --batch-size auto depends on the device; give "
                    "all shards the same, for example --batch-size 64 (auto is 64 on GPUs, 16 on CPUs, 8 recordings)",
                    shard->text()));
  return shard;
}

/// Leaves only the shard's items in the manifest.
void cut_out(RunSetup& setup, const manifest::Shard& shard) {
  const std::uint64_t items = setup.manifest.size();
  const manifest::ItemSpan span = manifest::items_of(shard, items, setup.batch_size);
  setup.shard = {shard, span.first, items, write::sha256_of(setup.manifest)};
  setup.manifest = setup.manifest.part(span.first, span.count);
}

/// --max-gpu-memory.
double parse_memory_share(const std::string& text) {
  if (text.empty()) return comm::BindingOptions().max_gpu_memory;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error != std::errc() || !(value >= 0 && value <= 100) || rest != "%")
    throw usage_error(fmt::format("--max-gpu-memory {}: a share of the GPU's memory from 0% to 100%, for example 10%", text));
  return value / 100;
}

void prepare_health(const Config& config, RunSetup& setup) {
  // Below any idle GPU, or above what one survives: a number of another unit, or a slip.
  constexpr double lowest_c = 30, highest_c = 120, longest_s = 1e9;
  setup.max_gpu_temperature_c = config.get<double>("max-gpu-temp");
  if (setup.max_gpu_temperature_c != 0 && !(setup.max_gpu_temperature_c >= lowest_c && setup.max_gpu_temperature_c <= highest_c))
    throw usage_error(fmt::format("--max-gpu-temp {:g}: degrees Celsius from {:g} to {:g}, for example 85; 0: no limit",
                                  setup.max_gpu_temperature_c, lowest_c, highest_c));
  setup.max_hold_s = config.get<double>("max-hold");
  if (!(setup.max_hold_s >= 0 && setup.max_hold_s < longest_s))
    throw usage_error(fmt::format("--max-hold {:g}: seconds, for example 1800", setup.max_hold_s));
  setup.binding.max_gpu_memory = parse_memory_share(config.get<std::string>("max-gpu-memory"));
  if (const char* set = std::getenv("MGPU_HEALTH_INTERVAL"); set != nullptr) {
    constexpr double least_s = 0.05, most_s = 3600;
    if (!parse_number(std::string_view(set), setup.health_interval_s) ||
        !(setup.health_interval_s >= least_s && setup.health_interval_s <= most_s))
      throw usage_error(fmt::format("MGPU_HEALTH_INTERVAL={}: seconds from {:g} to {:g}", set, least_s, most_s));
  }
}

/// The manifest as a job sees it.
class ManifestItems final : public Items {
 public:
  explicit ManifestItems(const manifest::Manifest& manifest) : manifest_(manifest) {}
  std::uint64_t size() const override { return manifest_.size(); }
  std::string path(std::uint64_t item) const override { return std::string(manifest_.path(item)); }
  std::string value(std::string_view column, std::uint64_t item) const override {
    const auto found = manifest_.column(column);
    return found ? std::string(manifest_.value(*found, item)) : std::string();
  }

 private:
  const manifest::Manifest& manifest_;
};

void warn_of_beats(const write::OutputLock& lock) {
  if (lock.way() != write::OutputLock::Way::beat) return;
  print_warning(
      fmt::format("{}: this file system has no locks; what keeps other runs away is a number in that file, written every few "
                  "seconds. A run that cannot write it for 10 s ends",
                  show_path(lock.path())));
}

bool has_failed(const write::ReadFile& file) {
  const std::vector<Status> status = file.status();
  return std::find(status.begin(), status.end(), Status::failed) != status.end();
}

/// True when --retry-failed has rows to process in a complete file.
bool to_retry(const RunSetup& setup) {
  return setup.retry_failed && (setup.verify || has_failed(write::ReadFile(setup.output)));
}

/// The exit code of the complete run that --resume found. Throws usage_error, a line per difference, if it was another run.
ExitCode recognise(const RunSetup& setup) {
  const write::ReadFile file(setup.output);
  write::Identity now = identity_of(setup);
  now.manifest_sha256 = write::sha256_of(setup.manifest);
  if (!setup.model.empty()) now.model_sha256 = sha256_of(setup.model);
  write::ResultFile::require_same_run(setup.output, file.text("identity"), now);
  return has_failed(file) ? ExitCode::items_failed : ExitCode::ok;
}

} // namespace

RunSetup prepare_run(const std::string& job_name, const Job& job, const cli::Resolved& resolved, const std::string& command) {
  RunSetup setup;
  setup.job_name = job_name;
  setup.job = &job;
  setup.config = job.trains() ? resolve_training(resolved.config) : resolved.config;
  const Config& config = setup.config;
  setup.command = command;
  setup.model = config.get<std::string>("model");
  if (const fs::path file = setup.model; file.filename() == "bundle.json") // a bundle is hashed, staged and opened as a whole
    setup.model = file.has_parent_path() ? file.parent_path().string() : ".";
  setup.output = config.get<std::string>("output");
  setup.retry_failed = config.get<bool>("retry-failed");
  if (setup.retry_failed && job.trains())
    throw usage_error("--retry-failed: a training has no rows to do again; give --resume, or --overwrite to train anew");
  setup.resume = config.get<bool>("resume") || setup.retry_failed;
  setup.verify = config.get<bool>("verify");
  for (const cli::Origin& origin : resolved.origins)
    if (origin.changes_results) setup.result_options[origin.name] = config.get<nlohmann::json>(origin.name);
  if (job.trains()) setup.result_options["stages"] = cli::read_stages(config); // the content of the file
  const auto input = config.get<std::string>("input");
  if (input.empty()) throw usage_error("--input is missing: a folder, a list or a table of files");
  if (setup.output.empty()) throw usage_error("--output is missing: the result file, for example out.h5");
  looking_at = "--model";
  if (!setup.model.empty() && !fs::exists(setup.model))
    throw usage_error(fmt::format("--model {}: no such file or folder", setup.model));
  require_sha256(setup.model, config.get<std::string>("model-sha256"));
  job.check(config);

  setup.batch_size = parse_batch_size(config.get<std::string>("batch-size"));
  const std::optional<manifest::Shard> shard = parse_shard(config, job, setup.batch_size);
  setup.schedule = dispatch::parse_schedule(config.get<std::string>("schedule"));
  setup.binding.devices = config.get<std::string>("devices");
  setup.binding.oversubscribe = config.get<bool>("oversubscribe");
  setup.binding.threads = config.get<int>("threads");
  setup.binding.loaders = config.get<int>("loaders");
  setup.dtype = config.get<std::string>("dtype");
  setup.model_load = parse_load(config.get<std::string>("model-load"));
  setup.ship_bytes = config.get<std::string>("ship") == "bytes";
  setup.max_file_bytes = static_cast<std::uint64_t>(config.get<double>("max-file-bytes"));
  setup.dry_run = config.get<bool>("dry-run");
  setup.retries = config.get<int>("retries");
  setup.item_timeout_s = parse_item_timeout(config.get<std::string>("item-timeout"));
  setup.stall_timeout_s = config.get<double>("stall-timeout");
  setup.max_restarts = config.get<int>("max-restarts");
  [[maybe_unused]] const Faults checked(config.get<std::string>("fault"), -1); // reports bad faults before any work
  setup.progress = config.get<std::string>("progress");
  setup.log_dir = config.get<std::string>("log-dir");
  setup.trace = config.get<std::string>("trace");
  setup.start_timeout_s = config.get<double>("start-timeout");
  setup.rank_timeout_s = config.get<double>("rank-timeout");
  setup.grace_s = setup.term_grace_s = config.get<double>("grace");
  prepare_health(config, setup);

  manifest::ReadOptions read;
  read.media = setup.media = job.media(config);
  read.cost_column = config.get<std::string>("cost-column");
  // Recordings differ in length by orders of magnitude, pictures hardly: reading file sizes pays only for recordings.
  read.stat_sizes = read.media == Media::audio && !job.trains();
  looking_at = "--input";
  setup.manifest = manifest::Manifest::read(input, read);
  setup.item_columns = job.item_columns(config);
  for (const std::string& column : setup.item_columns)
    if (!setup.manifest.column(column)) throw usage_error(fmt::format("--input {}: the table has no column '{}'", input, column));
  if (!job.trains()) job.check_items(config, ManifestItems(setup.manifest));
  if (shard) cut_out(setup, *shard);
  setup.max_failures = parse_max_failures(config.get<std::string>("max-failures"), setup.manifest.size());
  looking_at = "--output";
  if (!setup.dry_run) {
    setup.lock = write::ResultFile::check(setup.output, existing(setup));
    warn_of_beats(*setup.lock);
  }
  const bool complete = is_complete(setup);
  if (complete && !to_retry(setup)) {
    setup.complete = recognise(setup);
    if (!setup.dry_run) write::ResultFile::tidy(setup.output);
  } else if (job.trains()) {
    prepare_training(setup);
  }
  return setup;
}

RunSetup prepare_beside(const Waiting& waiting, bool& left_behind, const std::function<RunSetup()>& work) {
  auto task = std::make_shared<std::packaged_task<RunSetup()>>(work);
  std::future<RunSetup> setup = task->get_future();
  SideThread thread([task] { (*task)(); });
  double beat_s = now_s();
  const auto leave = [&](const std::string& why) {
    left_behind = true;
    throw Error(why, ExitCode::stopped);
  };
  while (!thread.done(std::chrono::milliseconds(50))) {
    if (const std::string why = waiting.why_end(); !why.empty()) leave(why);
    if (now_s() - beat_s >= 1) {
      beat_s = now_s();
      waiting.beat();
    }
    const double still_s = thread.still_s();
    if (waiting.stall_s > 0 && still_s > waiting.stall_s)
      leave(
          fmt::format("{}: nothing has moved for {:.0f} s; does its file system answer? The same command continues when it does "
                      "(--stall-timeout)",
                      looking_at.load(), still_s));
  }
  return setup.get();
}

} // namespace mgpu::agent
