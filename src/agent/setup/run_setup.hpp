#pragma once
// Everything that rank 0 resolves before it configures the ranks.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/comm/binding.hpp"
#include "agent/dispatch/plan.hpp"
#include "agent/manifest/manifest.hpp"
#include "agent/setup/training_setup.hpp"
#include "agent/write/journal/identity.hpp"
#include "agent/write/journal/output_lock.hpp"
#include "mgpu/config.hpp"
#include "mgpu/error.hpp"
#include "mgpu/job.hpp"

namespace mgpu::agent {

enum class ModelLoad : std::uint8_t {
  automatic,   ///< staged where the model is not on a local disk, else independent
  staged,      ///< one rank per node copies it to the node's memory, all ranks open the copy
  staggered,   ///< one rank per node at a time
  independent, ///< all at once
};

/// --item-timeout auto.
inline constexpr double by_times_seen = -1;

struct RunSetup {
  std::string job_name;
  const Job* job = nullptr;
  Config config;
  std::string command;         ///< as typed
  manifest::Manifest manifest; ///< of a shard only its own items
  std::optional<write::ShardIdentity> shard;
  /// Item i of `manifest` is item first_item() + i of the whole one.
  std::uint64_t first_item() const { return shard ? shard->first : 0; }
  std::vector<std::string> item_columns; ///< manifest columns that are sent with each item

  Media media = Media::any;              ///< which files of a folder are items
  std::optional<TrainingSetup> training; ///< of a job that trains

  std::string model; ///< "" if the job has none
  ModelLoad model_load = ModelLoad::automatic;
  std::string output;
  std::shared_ptr<write::OutputLock> lock; ///< of the output and the files beside it; none for a dry run
  bool resume = false, verify = false, retry_failed = false;
  nlohmann::json result_options = nlohmann::json::object(); ///< options of config that change results
  std::uint32_t batch_size = 0;                             ///< 0: auto
  dispatch::Schedule schedule = dispatch::Schedule::dynamic;
  comm::BindingOptions binding;
  std::string dtype = "float32";
  bool ship_bytes = false;
  std::uint64_t max_file_bytes = 0; ///< of a shipped file
  bool dry_run = false;
  std::optional<ExitCode> complete; ///< exit code of the complete result that --resume has found
  int retries = 2;
  double item_timeout_s = by_times_seen, stall_timeout_s = 60;
  int max_restarts = 5;
  std::uint64_t max_failures = ~0ull; ///< items
  std::string progress = "auto";
  std::string log_dir, trace;
  double max_gpu_temperature_c = 0; ///< a rank whose GPU is hotter gets no new work; 0: no limit
  double max_hold_s = 1800;         ///< for so long a run waits for such ranks
  double health_interval_s = 5;     ///< between two samples of a GPU
  double start_timeout_s = 60, rank_timeout_s = 25, grace_s = 20;
  double term_grace_s = 20; ///< after TERM: no longer than the launcher waits before it kills
};

} // namespace mgpu::agent
