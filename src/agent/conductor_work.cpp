// The run itself: leases out, results in, and the end of it.
#include <fmt/format.h>

#include <fstream>

#include "agent/conductor.hpp"
#include "agent/report.hpp"
#include "support/clock.hpp"
#include "support/text.hpp"
#include "write/read_file.hpp"

namespace mgpu::agent {

using wire::Type;

void Conductor::hand_out(double now) {
  if (dispatcher_->finished() && stop_reason_.empty()) return drain();
  if (writer_ && writer_->full()) return; // the disk is slower than the ranks: they wait, memory does not grow
  bool any = false;
  dispatcher_->pump(now, [&](int rank, const dispatch::Lease& lease) {
    any = true;
    if (lease.attempt > static_cast<std::uint32_t>(setup_.retries) + 1)
      hopeless_.emplace_back(rank, lease);
    else
      add_to_grant(grants_[static_cast<std::size_t>(rank)], lease);
  });
  if (!any) return;
  if (first_grant_s_ == 0) first_grant_s_ = now;
  for (int rank = 0; rank < roster_.size(); ++rank) {
    wire::Grant& grant = grants_[static_cast<std::size_t>(rank)];
    if (grant.batches.empty()) continue;
    wire::Buffer bytes;
    wire::encode(grant, bytes);
    post(rank, Type::grant, wire::View(bytes));
    grant.batches.clear();
  }
  for (const auto& [rank, lease] : std::exchange(hopeless_, {})) fail_batch(rank, lease);
}

void Conductor::add_to_grant(wire::Grant& grant, const dispatch::Lease& lease) {
  const dispatch::BatchSpan span = plan_->span(lease.batch);
  wire::BatchRange& range = grant.batches.emplace_back();
  range.batch = lease.batch;
  range.first = span.first;
  range.attempt = lease.attempt;
  range.items.reserve(span.count);
  for (std::uint64_t index = span.first; index < span.first + span.count; ++index) {
    Item& item = range.items.emplace_back();
    item.index = index;
    item.path = setup_.manifest.path(index);
    for (std::size_t at = 0; at < item_columns_.size(); ++at)
      item.columns.emplace_back(setup_.item_columns[at], setup_.manifest.value(item_columns_[at], index));
    if (!setup_.ship_bytes) continue;
    // What cannot be read here is left for the worker to open by path, which gives the same reason as without shipping.
    std::ifstream file(item.path, std::ios::binary);
    std::error_code error;
    const auto size = std::filesystem::file_size(item.path, error);
    if (!file || error || size > setup_.max_file_bytes) continue;
    item.content.resize(size);
    file.read(item.content.data(), static_cast<std::streamsize>(size));
    item.shipped = file.gcount() == static_cast<std::streamsize>(size);
  }
}

void Conductor::fail_batch(int rank, const dispatch::Lease& lease) {
  const dispatch::BatchSpan span = plan_->span(lease.batch);
  const std::string reason = fmt::format("its worker ended or stalled {} times while this batch was running", lease.attempt - 1);
  const std::vector<std::uint8_t> status(span.count, static_cast<std::uint8_t>(Status::failed));
  const std::vector<std::uint8_t> flags(span.count, flag_none);
  const std::vector<float> seconds(span.count, 0.0F);
  wire::BatchResult result;
  result.batch = lease.batch;
  result.first = span.first;
  result.attempt = lease.attempt - 1;
  result.status = status;
  result.flags = flags;
  result.seconds = seconds;
  for (std::uint32_t row = 0; row < span.count; ++row) result.errors.emplace_back(row, reason);
  const std::size_t size = wire::encoded_size(result);
  const std::shared_ptr<void> block(std::aligned_alloc(wire::block_alignment, size), [](void* pointer) { std::free(pointer); });
  auto* bytes = static_cast<std::byte*>(block.get());
  wire::encode(result, bytes);
  on_results(rank, {bytes, size}, block);
}

void Conductor::on_results(int rank, wire::View block, const std::shared_ptr<void>& owner) {
  const wire::BatchResult result = gatherer_->open(block);
  if (!dispatcher_->complete(rank, result.batch, now_s())) return; // a late or second answer: the first one counts
  gatherer_->count(result, [&](const gather::FailedItem& failed) { tell_failure(rank, failed); });
  if (!writer_) writer_ = std::make_unique<write::Writer>(file_.get());
  writer_->put({rank, block, owner});
  if (gatherer_->failed() > setup_.max_failures && stop_reason_.empty()) {
    stop_reason_ = fmt::format("{} items failed, --max-failures allows {}", gatherer_->failed(), setup_.max_failures);
    stop_s_ = now_s();
    dispatcher_->stop();
  }
}

void Conductor::tell_failure(int rank, const gather::FailedItem& failed) {
  const std::string text =
      fmt::format("item {} {}: {}", failed.item, show_path(setup_.manifest.path(failed.item)), failed.reason);
  if (logs_) logs_->write(rank, log_error, text);
  if (gatherer_->failed() < max_reasons_shown && progress_) progress_->say(fmt::format("rank {}: {}", rank, text));
}

void Conductor::drain() {
  phase_ = Phase::draining;
  phase_deadline_s_ = now_s() + 30;
  outcome_.run_s = first_grant_s_ > 0 ? now_s() - first_grant_s_ : 0;
  outcome_.open_s = (first_grant_s_ > 0 ? first_grant_s_ : now_s()) - began_s_;
  for (int rank = 0; rank < roster_.size(); ++rank)
    if (roster_.at(rank).lost.empty()) post(rank, Type::finish);
}

void Conductor::finish() {
  if (progress_) {
    progress_->update(gatherer_->done(), gatherer_->failed(), now_s());
    progress_->close();
  }
  if (!writer_) writer_ = std::make_unique<write::Writer>(file_.get());
  outcome_.done = gatherer_->done();
  outcome_.failed = gatherer_->failed();
  outcome_.flagged = gatherer_->flagged();
  outcome_.stopped = stop_reason_;
  outcome_.writer_busy = writer_->busy_fraction();

  write::Footer footer;
  footer.complete = dispatcher_->completed() == plan_->batches();
  footer.finished = utc_now();
  if (model_hash_.valid()) footer.model_sha256 = model_hash_.get();
  for (int rank = 0; rank < roster_.size(); ++rank) footer.ranks.push_back(rank_row(rank, roster_.at(rank)));
  writer_->finish(footer);

  if (!footer.complete)
    outcome_.code = ExitCode::stopped;
  else if (outcome_.failed > 0)
    outcome_.code = ExitCode::items_failed;
  print_table(setup_, outcome_, footer.ranks);
  if (footer.complete) finish_job(*setup_.job, setup_.config, write::ReadFile(setup_.output));
  write_summary(setup_, outcome_, footer);
  phase_ = Phase::done;
}

} // namespace mgpu::agent
