#pragma once
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/columns.hpp"
#include "mgpu/config.hpp"
#include "mgpu/media.hpp"

namespace mgpu {

/// Read access to the finished rows, for Job::finish. Row i is item i of the manifest.
class Results {
 public:
  virtual ~Results() = default;
  virtual std::uint64_t size() const = 0;
  /// Status of each item, [N].
  virtual std::vector<Status> status() const = 0;
  /// True if `/results/NAME` exists.
  virtual bool has(std::string_view name) const = 0;
  /// `/results/NAME` of a fixed column as doubles, row-major [N × elements]. Throws Error if there is none.
  virtual std::vector<double> numbers(std::string_view name) const = 0;
  /// A manifest column (`label`, …), [N]; "" for a row without a value. Throws Error if the manifest has no such column.
  virtual std::vector<std::string> manifest_column(std::string_view name) const = 0;
};

/// Read access to the manifest, for Job::check_items. Row i is item i.
class Items {
 public:
  virtual ~Items() = default;
  virtual std::uint64_t size() const = 0;
  virtual std::string path(std::uint64_t item) const = 0;
  /// Value of one of Job::item_columns; "" if the row has none.
  virtual std::string value(std::string_view column, std::uint64_t item) const = 0;
};

/// The agent's side of a job: its options, its checks and its final output. It does not use a GPU.
class Job {
 public:
  virtual ~Job() = default;
  /// One line for `mgpu_run --help`.
  virtual std::string summary() const = 0;
  /// One or more complete command lines for `mgpu_run NAME --help`.
  virtual std::string examples() const = 0;
  /// True for a job that trains a network over its items (its worker side is a Training); false for a job that returns one row of
  /// results per item (its worker side is a Work).
  virtual bool trains() const { return false; }
  /// Options in addition to the common ones.
  virtual std::vector<OptionSpec> options() const { return {}; }
  /// Checks the options on rank 0 before any work. Throws usage_error.
  virtual void check(const Config&) const {}
  /// The files of an input folder or glob that are items. Lists and tables are not filtered.
  virtual Media media(const Config&) const { return Media::any; }
  /// Manifest columns that each Item carries to the worker ("label", "prompt"). A missing column is refused.
  virtual std::vector<std::string> item_columns(const Config&) const { return {}; }
  /// Checks the items on rank 0 before any work. Throws usage_error. Not called for a training.
  virtual void check_items(const Config&, const Items&) const {}
  /// Prints a summary on rank 0. Called once, after the result file is complete. Not called for a training.
  virtual void finish(const Config&, const Results&, std::ostream&) const {}
};

} // namespace mgpu

/// Defines the agent's side of job NAME, the name in mgpu_add_job with underscores for dashes.
#define MGPU_JOB(NAME, TYPE)                     \
  extern "C" mgpu::Job* mgpu_make_job_##NAME() { \
    return new TYPE;                             \
  }
