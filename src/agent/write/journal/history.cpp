#include "agent/write/journal/history.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "common/support/crc32c.hpp"

namespace mgpu::agent::write {

namespace {
enum class Kind : std::uint32_t {
  step = 1,
  validation, ///< start of a validation; its values follow
  value,      ///< a value of a validation
};
constexpr std::size_t name_bytes = 32;
} // namespace

struct History::Record {
  std::uint32_t crc = 0; ///< of all members below
  Kind kind = Kind::step;
  std::uint64_t step = 0;
  std::uint32_t epoch = 0, samples = 0, skipped = 0, micro_batch = 0, accumulation = 0;
  std::uint32_t flag = 0; ///< the step changed the parameters; the validation was the best so far
  double loss = 0, lr = 0, grad_norm = 0, loss_scale = 0, seconds = 0; ///< loss: or the value of a validation
  char name[name_bytes] = {};

  std::uint32_t right_crc() const {
    return crc32c(wire::View(reinterpret_cast<const std::byte*>(this), sizeof *this).subspan(sizeof crc));
  }
};

History History::create(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw file_error(path, "unlink", errno, 0);
  return History(path, RawFile::Mode::create);
}

History History::resume(const std::string& path, std::uint64_t step, std::uint64_t validations) {
  std::vector<Record> kept;
  if (::access(path.c_str(), F_OK) == 0) {
    std::uint64_t seen = 0;
    for (const Record& record : read(RawFile(path, RawFile::Mode::read))) {
      if (record.kind == Kind::validation) ++seen;
      if (record.kind == Kind::step ? record.step <= step : seen <= validations) kept.push_back(record);
    }
  }
  // Written to a new file, then renamed: a kill leaves either the old or the new file.
  const std::string aside = path + ".new";
  History history = create(aside);
  for (const Record& record : kept) history.append(record);
  history.file_->sync_all();
  if (::rename(aside.c_str(), path.c_str()) != 0) throw file_error(path, "rename", errno, 0);
  sync_folder_of(path);
  return history;
}

std::vector<History::Record> History::read(const RawFile& file) {
  std::vector<Record> records(file.size() / sizeof(Record));
  static_assert(std::is_trivially_copyable_v<Record> && sizeof(Record) % 8 == 0);
  if (!records.empty()) file.read_at(0, reinterpret_cast<std::byte*>(records.data()), records.size() * sizeof(Record));
  // Records after a torn one are not reliable; all records up to a checkpoint were synced before it.
  const auto torn = std::find_if(records.begin(), records.end(), [](const Record& each) { return each.crc != each.right_crc(); });
  records.erase(torn, records.end());
  return records;
}

void History::append(Record record) {
  record.crc = record.right_crc();
  file_->write_at(end_, wire::View(reinterpret_cast<const std::byte*>(&record), sizeof record));
  end_ += sizeof record;
  count(record);
}

void History::count(const Record& record) {
  if (record.kind == Kind::validation) validated_.push_back(record.step);
  if (record.kind != Kind::step) return;
  ++steps_;
  last_step_ = record.step;
}

void History::add(const wire::Step& step) {
  Record record;
  record.step = step.step;
  record.epoch = step.epoch;
  record.samples = step.samples;
  record.skipped = step.skipped;
  record.micro_batch = step.micro_batch;
  record.accumulation = step.accumulation;
  record.flag = step.updated;
  record.loss = step.loss;
  record.lr = step.lr;
  record.grad_norm = step.grad_norm;
  record.loss_scale = step.loss_scale;
  record.seconds = step.seconds;
  append(record);
}

void History::add(const wire::Metrics& metrics) {
  Record record;
  record.kind = Kind::validation;
  record.step = metrics.step;
  record.epoch = metrics.epoch;
  record.flag = metrics.best;
  record.seconds = metrics.seconds;
  append(record);
  record.kind = Kind::value;
  for (const wire::Metric& metric : metrics.values) {
    if (metric.name.size() >= name_bytes) throw Error(fmt::format("metric {}: its name is too long", metric.name));
    std::memset(record.name, 0, sizeof record.name);
    std::memcpy(record.name, metric.name.data(), metric.name.size());
    record.loss = metric.value;
    append(record);
  }
}

std::uint64_t History::validations(std::uint64_t step) const {
  return static_cast<std::uint64_t>(
      std::count_if(validated_.begin(), validated_.end(), [&](std::uint64_t at) { return at <= step; }));
}

void History::sync() {
  file_->sync_data();
}

std::vector<Series> History::series() const {
  using Numbers = std::vector<std::uint64_t>;
  using Reals = std::vector<double>;
  Numbers step, epoch, samples, skipped, micro_batch, accumulation, at_step, at_epoch;
  Reals loss, lr, rate, norm, scale;
  std::vector<std::uint8_t> updated, best;
  std::vector<Series> values; // of validations, by name in order of appearance
  for (const Record& record : read(*file_)) {
    if (record.kind == Kind::step) {
      step.push_back(record.step);
      epoch.push_back(record.epoch);
      samples.push_back(record.samples);
      skipped.push_back(record.skipped);
      micro_batch.push_back(record.micro_batch);
      accumulation.push_back(record.accumulation);
      loss.push_back(record.loss);
      lr.push_back(record.lr);
      rate.push_back(record.seconds > 0 ? record.samples / record.seconds : 0);
      norm.push_back(record.grad_norm);
      scale.push_back(record.loss_scale);
      updated.push_back(static_cast<std::uint8_t>(record.flag));
    } else if (record.kind == Kind::validation) {
      at_step.push_back(record.step);
      at_epoch.push_back(record.epoch);
      best.push_back(static_cast<std::uint8_t>(record.flag));
    } else {
      const std::string name = fmt::format("validation_{}", record.name);
      auto found = std::find_if(values.begin(), values.end(), [&](const Series& each) { return each.name == name; });
      if (found == values.end()) found = values.insert(found, {name, Reals()});
      auto& reals = std::get<Reals>(found->values);
      reals.resize(at_step.size(), std::numeric_limits<double>::quiet_NaN()); // NaN for validations without this value
      reals.back() = record.loss;
    }
  }
  std::vector<Series> all{{"step", step},
                          {"epoch", epoch},
                          {"loss", loss},
                          {"lr", lr},
                          {"samples", samples},
                          {"skipped", skipped},
                          {"micro_batch", micro_batch},
                          {"accumulation", accumulation},
                          {"samples_per_s", rate},
                          {"grad_norm", norm},
                          {"loss_scale", scale},
                          {"updated", updated}};
  if (at_step.empty()) return all;
  all.push_back({"validation_step", at_step});
  all.push_back({"validation_epoch", at_epoch});
  all.push_back({"validation_best", best});
  for (Series& each : values) {
    std::get<Reals>(each.values).resize(at_step.size(), std::numeric_limits<double>::quiet_NaN());
    all.push_back(std::move(each));
  }
  return all;
}

} // namespace mgpu::agent::write
