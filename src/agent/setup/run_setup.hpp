#pragma once
// Everything rank 0 has resolved before the ranks are asked for anything.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/comm/binding.hpp"
#include "agent/dispatch/plan.hpp"
#include "agent/manifest/manifest.hpp"
#include "agent/setup/training_setup.hpp"
#include "agent/write/journal/output_lock.hpp"
#include "mgpu/config.hpp"
#include "mgpu/error.hpp"
#include "mgpu/job.hpp"

namespace mgpu::agent {

enum class ModelLoad : std::uint8_t {
  automatic,   ///< staged where the model is not on a local disk, else independent
  staged,      ///< one rank a node copies it into the node's memory, all open that
  staggered,   ///< one rank a node after the other
  independent, ///< all at once
};

/// --item-timeout auto.
inline constexpr double by_times_seen = -1;

struct RunSetup {
  std::string job_name;
  const Job* job = nullptr;
  Config config;
  std::string command; ///< as typed
  manifest::Manifest manifest;
  std::vector<std::string> item_columns; ///< manifest columns that travel with each item

  Media media = Media::any;              ///< which files of a folder are items
  std::optional<TrainingSetup> training; ///< of a job that trains

  std::string model; ///< "" if the job has none
  ModelLoad model_load = ModelLoad::automatic;
  std::string output;
  std::shared_ptr<write::OutputLock> lock; ///< of the output and what stands beside it; a dry run has none
  bool resume = false, verify = false, retry_failed = false;
  nlohmann::json result_options = nlohmann::json::object(); ///< of config: those that change results
  std::uint32_t batch_size = 0;                             ///< 0: auto
  dispatch::Schedule schedule = dispatch::Schedule::dynamic;
  comm::BindingOptions binding;
  std::string dtype = "float32";
  bool ship_bytes = false;
  std::uint64_t max_file_bytes = 0; ///< of a shipped file
  bool dry_run = false;
  std::optional<ExitCode> complete; ///< --resume found this run's complete result, which ended so
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
};

} // namespace mgpu::agent
