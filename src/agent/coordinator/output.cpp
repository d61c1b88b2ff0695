#include "agent/coordinator/output.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "agent/coordinator/report.hpp"
#include "common/support/clock.hpp"
#include "common/support/faults.hpp"
#include "common/support/hash.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

namespace {

/// --fault enospc: limits the size of this process's files; a write beyond it fails as on a full disk.
void inject_full_disk(const Config& config) {
  if (!config.has("fault")) return;
  const auto bytes = Faults(config.get<std::string>("fault"), 0).disk_full_after();
  if (!bytes) return;
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{*bytes, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) throw Error(fmt::format("--fault enospc: setrlimit: {}", std::strerror(errno)));
}

} // namespace

write::Header Output::header(int world_size) const {
  return {setup_.job_name, setup_.command, setup_.config.json().dump(), std::string(version), setup_.model, "",
          utc_now(),       world_size};
}

std::optional<write::Earlier> Output::resume(int world_size, write::Identity identity, const OnReading& on_reading) {
  inject_full_disk(setup_.config);
  identity.manifest_sha256 = write::sha256_of(setup_.manifest);
  if (!setup_.model.empty()) identity.model_sha256 = model_sha256_ = sha256_of(setup_.model, on_reading);
  write::Header facts = header(world_size);
  facts.identity = std::move(identity);
  std::unique_ptr<write::ResultFile> file =
      setup_.retry_failed
          ? write::ResultFile::retry(setup_.output, setup_.manifest, facts, setup_.verify, on_reading, setup_.lock)
          : write::ResultFile::resume(setup_.output, facts, setup_.verify, on_reading, setup_.lock);
  if (!file) return std::nullopt;
  const write::Earlier earlier = file->earlier();
  writer_ = std::make_unique<write::Writer>(std::move(file));
  return earlier;
}

void Output::start(int world_size, const write::Identity& identity, bool by_items) {
  if (writer_) return;
  inject_full_disk(setup_.config);
  write::Header facts = header(world_size);
  facts.identity = identity;
  facts.by_items = by_items;
  file_ = std::async(std::launch::async, [this, facts]() mutable {
    facts.identity->manifest_sha256 = write::sha256_of(setup_.manifest);
    return write::ResultFile::create(setup_.output, setup_.manifest, facts, setup_.lock);
  });
  if (!setup_.model.empty() && model_sha256_.empty()) model_hash_ = std::make_unique<ModelHash>(setup_.model);
}

write::Writer& Output::writer() {
  if (writer_) return *writer_;
  std::unique_ptr<write::ResultFile> file = file_.get();
  if (const std::string old = file->earlier().set_aside; !old.empty())
    print_notice(fmt::format("what an earlier run left is kept as {} until this one is complete", show_path(old)));
  writer_ = std::make_unique<write::Writer>(std::move(file));
  if (columns_) writer_->set_columns(*columns_);
  return *writer_;
}

void Output::set_columns(const std::vector<ColumnSpec>& columns) {
  if (columns_) {
    if (*columns_ != columns) throw Error("two ranks announced different output columns; is the model the same on every host?");
    return;
  }
  columns_ = columns;
  if (writer_)
    writer_->set_columns(columns); // else when the file is created: that may take long and must not delay the heartbeats
}

void Output::put(write::Block block) {
  writer().put(std::move(block));
}

void Output::put(write::Rows rows) {
  writer().put(std::move(rows));
}

void Output::check() {
  if (model_hash_ && model_sha256_.empty()) model_sha256_ = model_hash_->poll().value_or("");
  if (!writer_ && file_.valid() && file_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) writer();
  if (!writer_) return;
  if (!told_hash_ && !model_sha256_.empty()) {
    told_hash_ = true;
    writer_->set_model_sha256(model_sha256_);
  }
  writer_->check();
}

write::Footer Output::finish(bool complete, const RankTable& rank_table, std::vector<write::Series> training,
                             const std::function<void(write::RankRow&)>& adjust) {
  write::Footer footer;
  footer.complete = complete;
  footer.finished = utc_now();
  if (model_hash_ && model_sha256_.empty()) model_sha256_ = model_hash_->wait(setup_.stall_timeout_s);
  footer.model_sha256 = model_sha256_;
  for (int rank = 0; rank < rank_table.size(); ++rank) {
    footer.ranks.push_back(rank_row(rank, rank_table.at(rank)));
    if (adjust) adjust(footer.ranks.back());
    const RankState& state = rank_table.at(rank);
    if (!state.gpu.rows().empty()) footer.telemetry.push_back({rank, state.gpu_uuid, state.gpu.rows()});
  }
  footer.training = std::move(training);
  writer().finish(footer);
  return footer;
}

void Output::discard() noexcept {
  const bool made = writer_ != nullptr || file_.valid();
  writer_.reset();
  if (file_.valid()) file_.wait();
  file_ = {};
  if (made) write::ResultFile::discard(setup_.output);
}

} // namespace mgpu::agent
