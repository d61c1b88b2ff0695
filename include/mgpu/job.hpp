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
  /// Status of every item, [N].
  virtual std::vector<Status> status() const = 0;
  /// True if `/results/NAME` exists.
  virtual bool has(std::string_view name) const = 0;
  /// `/results/NAME` of a fixed column as doubles, row-major [N × elements]; throws Error if there is none.
  virtual std::vector<double> numbers(std::string_view name) const = 0;
  /// A manifest column (`label`, …), [N]; "" where the row has none. Throws Error if the manifest has no such column.
  virtual std::vector<std::string> manifest_column(std::string_view name) const = 0;
};

/// Read access to the manifest, for Job::check_items. Row i is item i.
class Items {
 public:
  virtual ~Items() = default;
  virtual std::uint64_t size() const = 0;
  virtual std::string path(std::uint64_t item) const = 0;
  /// One of Job::item_columns; "" where the row has none.
  virtual std::string value(std::string_view column, std::uint64_t item) const = 0;
};

/// The agent's side of a job: what it adds to the command line and what happens at the end. Knows no GPU.
class Job {
 public:
  virtual ~Job() = default;
  /// One line for `mgpu_run --help`.
  virtual std::string summary() const = 0;
  /// One or more whole command lines for `mgpu_run NAME --help`.
  virtual std::string examples() const = 0;
  /// True for a job that trains a network over its items (its worker side is a Training), false for one that gives a row of results
  /// an item.
  virtual bool trains() const { return false; }
  /// Options beside those every job has.
  virtual std::vector<OptionSpec> options() const { return {}; }
  /// Checks what can be checked before any work, on rank 0; throws usage_error.
  virtual void check(const Config&) const {}
  /// Which files of an input folder are items; lists and tables are taken as they are.
  virtual Media media(const Config&) const { return Media::any; }
  /// Manifest columns each Item must carry to the worker ("label", "prompt").
  virtual std::vector<std::string> item_columns(const Config&) const { return {}; }
  /// Checks the items before any work, on rank 0; throws usage_error. Not called for a training.
  virtual void check_items(const Config&, const Items&) const {}
  /// On rank 0 when every item is done: print a summary. One call, after the result file is complete.
  virtual void finish(const Config&, const Results&, std::ostream&) const {}
};

} // namespace mgpu

/// Names a job's agent side; jobs/CMakeLists.txt (mgpu_add_job) refers to it by NAME.
#define MGPU_JOB(NAME, TYPE)                     \
  extern "C" mgpu::Job* mgpu_make_job_##NAME() { \
    return new TYPE;                             \
  }
