#include "agent/items/item_workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "agent/coordinator/batches_in_flight.hpp"
#include "agent/coordinator/report.hpp"
#include "agent/setup/run_identity.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/items_messages.hpp"

namespace mgpu::agent {

using wire::Type;

namespace {

/// Default batch sizes. They depend on the kinds of device and input only, so that the same device gives the same batches.
constexpr std::uint32_t gpu_batch = 64;
constexpr std::uint32_t cpu_batch = 16;
constexpr std::uint32_t audio_batch = 8;

std::uint32_t choose_batch_size(const RunSetup& setup, bool gpu) {
  if (setup.batch_size > 0) return setup.batch_size;
  if (setup.job->media(setup.config) == Media::audio) return audio_batch;
  return gpu ? gpu_batch : cpu_batch;
}

/// Minimum time for an agent to notice that a worker is late, and extra time to end it.
constexpr double least_notice_s = 10, late_agent_s = 5;
constexpr std::size_t longest_last_words = 200;
/// --ship bytes: limit for files that are read and not answered. Each is in memory up to three times on its way.
constexpr std::uint64_t shipped_bytes = 64u << 20;

/// The last line that is not empty.
std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const std::size_t begin = text.rfind('\n');
  return std::string(text.substr(begin == std::string_view::npos ? 0 : begin + 1).substr(0, longest_last_words));
}

/// Batches in flight besides those being loaded: one is run and one is being sent. On a GPU two more: one queued behind the
/// running one, one being copied to the GPU.
constexpr std::int32_t cpu_ahead = 2, gpu_ahead = 4;

} // namespace

ItemWorkload::ItemWorkload(RunControl& control)
    : control_(control),
      setup_(control.setup()),
      output_(setup_),
      counts_(static_cast<std::size_t>(control.rank_table().size())),
      grants_(counts_.size()),
      failures_(control),
      began_s_(control.now_s()) {}

void ItemWorkload::plan(const std::vector<comm::Binding>& bindings) {
  plan_.emplace(setup_.manifest, choose_batch_size(setup_, bindings[0].device >= 0), setup_.schedule,
                control_.rank_table().size());
  for (const comm::Binding& binding : bindings)
    in_flight_.push_back(batches_in_flight(binding.device >= 0 ? gpu_ahead : cpu_ahead, binding, plan_->batch_size()));
  dispatch::DispatcherOptions options;
  options.least_credit = static_cast<std::uint32_t>(in_flight_[0]);
  options.retries = static_cast<std::uint32_t>(setup_.retries);
  // The agent ends a late worker; if it does not, the rank is given up. Not with --ship bytes: there the time of rank 0's own
  // reads would count.
  if (setup_.item_timeout_s > 0 && !setup_.ship_bytes)
    options.batch_timeout_s = std::max(2 * setup_.item_timeout_s * plan_->batch_size(), least_notice_s) + late_agent_s;
  options.node_of = nodes();
  gatherer_.emplace(plan_->items(), plan_->batch_size(), setup_.first_item());
  identify(bindings[0].device >= 0);
  dispatcher_.emplace(*plan_, options, setup_.resume && !setup_.dry_run ? go_on() : std::vector<bool>());
  failover_.emplace(control_, *dispatcher_);
  held_.emplace(control_, *dispatcher_, setup_.max_hold_s);
  input_.emplace(setup_, control_.rank_table(), *plan_, dispatcher_->leases());
  if (setup_.ship_bytes && !setup_.dry_run) shipper_.emplace(control_.rank_table().size(), setup_.max_file_bytes, shipped_bytes);
  for (const std::string& name : setup_.item_columns) item_columns_.push_back(setup_.manifest.column(name).value());
  print_plan(setup_, *plan_, control_.rank_table(), bindings);
}

std::vector<int> ItemWorkload::nodes() const {
  std::map<std::string, int> numbers;
  std::vector<int> node_of;
  for (int rank = 0; rank < control_.rank_table().size(); ++rank)
    node_of.push_back(numbers.emplace(control_.rank_table().at(rank).join->node, static_cast<int>(numbers.size())).first->second);
  return node_of;
}

void ItemWorkload::identify(bool gpu) {
  identity_ = identity_of(setup_);
  identity_.device_kind = gpu ? "cuda" : "cpu";
  identity_.batch_size = plan_->batch_size();
}

/// What earlier runs have done, by batch.
std::vector<bool> ItemWorkload::go_on() {
  const std::optional<write::Earlier> earlier = output_.resume(
      control_.rank_table().size(), identity_,
      [this](std::string_view what, std::uint64_t done, std::uint64_t total) { control_.reading(what, done, total); });
  if (!earlier) return {};
  earlier_ = earlier->done;
  gatherer_->begin_with(earlier->done, earlier->failed, earlier->flagged);
  std::string text = fmt::format("{}: {} of {} items are done already", setup_.retry_failed ? "--retry-failed" : "--resume",
                                 earlier->done, plan_->items());
  if (earlier->failed > 0) text += fmt::format(", {} of them failed", earlier->failed);
  if (earlier->mistrusted > 0)
    text += fmt::format("; {} are done again, as their rows are not what the journal says", earlier->mistrusted);
  if (earlier->damaged_bytes > 0)
    text += fmt::format("; {} of the journal are damaged", human_bytes(static_cast<double>(earlier->damaged_bytes)));
  print_notice(text);
  return earlier->batches;
}

void ItemWorkload::describe(int rank, wire::Configure& configure) const {
  configure.config_json = setup_.config.json().dump();
  configure.batch_size = plan_->batch_size();
  configure.batches_in_flight = in_flight_[static_cast<std::size_t>(rank)];
}

wire::Supervise ItemWorkload::supervise() const {
  wire::Supervise supervise;
  supervise.item_timeout_s = setup_.item_timeout_s;
  supervise.stall_timeout_s = setup_.stall_timeout_s;
  supervise.batch_size = plan_->batch_size();
  supervise.restarts = setup_.max_restarts > 0 ? 1 : 0;
  supervise.max_restarts = setup_.max_restarts;
  return supervise;
}

void ItemWorkload::opened(int rank, bool again) {
  const wire::Opened& opened = *control_.rank_table().at(rank).opened;
  if (!opened.columns.empty()) {
    output_.set_columns(opened.columns);
    gatherer_->set_columns(opened.columns);
  }
  if (!again) dispatcher_->add_rank(rank);
}

void ItemWorkload::on_frame(int rank, Type type, wire::View payload, const std::shared_ptr<void>& owner) {
  if (type == Type::results) on_results(rank, payload, owner);
}

void ItemWorkload::worker_died(int rank, const wire::Died& died) {
  const RankState& state = control_.rank_table().at(rank);
  dispatch::Death death;
  death.certain = died.certain != 0;
  if (died.device != wire::DeviceTrouble::none) death.gpu_of = rank;
  const bool blameless = died.stalled != 0 && input_->is_away(control_.now_s());
  if (died.stalled != 0 && !blameless) failover_->note_stall(rank);
  for (const wire::Suspect& suspect : died.suspects)
    if (!blameless)
      death.suspects.push_back({suspect.batch, row_in_batch(suspect.batch, suspect.first - setup_.first_item()), suspect.rows});
  control_.say(fmt::format("rank {} on {}: its worker died: {}{}", rank, state.join->host, died.reason,
                           blameless           ? "; no rank gets anything read: no item is charged"
                           : died.retired != 0 ? ""
                                               : "; another takes its place"));
  if (shipper_) shipper_->forget(rank);
  dispatcher_->release(rank, death, [&](const dispatch::Lease& row) {
    const std::string words = last_line(died.last_words);
    fail_row(rank, row,
             fmt::format("{} worker(s) died over it; the last on rank {} ({}): {}{}", row.attempt - 1, rank, state.join->host,
                         died.reason, words.empty() ? "" : "; it said: " + words));
  });
}

void ItemWorkload::lost(int rank, const std::string& reason, ExitCode /*code*/, bool over) {
  if (over) return; // its results are here; only its statistics are missing
  if (shipper_) shipper_->forget(rank);
  const std::string& host = control_.rank_table().at(rank).join->host;
  dispatcher_->lose_rank(rank, [&](const dispatch::Lease& row) {
    fail_row(rank, row, fmt::format("it ended {} workers; the last with rank {} ({}): {}", row.attempt - 1, rank, host, reason));
  });
  control_.say(fmt::format("rank {} on {} is out of the run: {}; others do its work", rank, host, reason));
  if (control_.rank_table().living() == 0)
    throw Error(fmt::format("no rank is left; the last, rank {} on {}: {}", rank, host, reason));
}

bool ItemWorkload::step(double now) {
  output_.check();
  if (const double away_s = suspension_.seconds(now); away_s > 0) {
    dispatcher_->postpone(away_s);
    held_->postpone(away_s);
    input_->note_life(now);
  }
  if (input_->look(now))
    stop_early(fmt::format("no rank got anything read for {:.0f} s: the input does not answer", input_->quiet_s(now)), now, 0);
  failover_->give_up_stalled_ranks();
  if (!stop_.asked()) failover_->put_aside_sick_ranks();
  if (const std::string reason = held_->step(now); !reason.empty()) stop_early(reason, now, setup_.grace_s);
  for (const int rank : dispatcher_->overdue(now))
    control_.give_up(rank, fmt::format("its batch took longer than --item-timeout allows ({:.0f} s)", setup_.item_timeout_s));
  if (dispatcher_->finished() || stop_.expired(now)) {
    stop_.end(now);
    return true;
  }
  hand_out(now);
  return false;
}

void ItemWorkload::stop(const std::string& reason, double now, double grace_s) {
  if (stop_.asked()) return;
  stop_early(reason, now, grace_s);
  control_.say(fmt::format("stopping: {} received; batches in hand are finished first ({:.0f} s at most)", reason, grace_s));
}

void ItemWorkload::stop_early(const std::string& reason, double now, double grace_s) {
  stop_.ask(reason, now, grace_s);
  dispatcher_->stop();
}

void ItemWorkload::show(Progress& progress, double now) const {
  progress.begin_with(earlier_);
  progress.update(gatherer_->done(), gatherer_->failed(), now, opening_line(control_.rank_table()));
}

double ItemWorkload::drain_limit_s() const {
  return stop_.drain_limit_s();
}

void ItemWorkload::hand_out(double now) {
  bool any = false;
  if (shipper_)
    for (Shipper::Ready& ready : shipper_->take()) {
      any = true;
      grants_[static_cast<std::size_t>(ready.rank)].batches.push_back(std::move(ready.range));
    }
  if (!output_.full()) // else the ranks wait for the disk, and memory does not grow
    dispatcher_->pump(now, [&](int rank, const dispatch::Lease& lease) {
      wire::BatchRange range = range_of(lease);
      if (shipper_) return shipper_->add(rank, std::move(range));
      any = true;
      grants_[static_cast<std::size_t>(rank)].batches.push_back(std::move(range));
    });
  if (!any) return;
  if (first_grant_s_ == 0) first_grant_s_ = now;
  for (int rank = 0; rank < control_.rank_table().size(); ++rank) {
    wire::Grant& grant = grants_[static_cast<std::size_t>(rank)];
    if (grant.batches.empty()) continue;
    wire::Buffer bytes;
    wire::encode(grant, bytes);
    control_.post(rank, Type::grant, wire::View(bytes));
    grant.batches.clear();
  }
}

wire::BatchRange ItemWorkload::range_of(const dispatch::Lease& lease) const {
  const dispatch::BatchSpan span = plan_->span(lease.batch);
  wire::BatchRange range;
  range.batch = lease.batch;
  range.first = setup_.first_item() + span.first; // workers know the whole manifest's numbers only: a shard must change no result
  range.attempt = lease.attempt + (lease.second_try() ? 1 : 0);
  if (lease.rows < span.count) {
    range.wanted_begin = lease.begin;
    range.wanted_rows = lease.rows;
  }
  range.items.reserve(span.count);
  for (std::uint64_t index = span.first; index < span.first + span.count; ++index) {
    Item& item = range.items.emplace_back();
    item.index = setup_.first_item() + index;
    item.path = setup_.manifest.path(index);
    for (std::size_t at = 0; at < item_columns_.size(); ++at)
      item.columns.emplace_back(setup_.item_columns[at], setup_.manifest.value(item_columns_[at], index));
  }
  return range;
}

std::uint32_t ItemWorkload::row_in_batch(std::uint64_t batch, std::uint64_t item) const {
  return static_cast<std::uint32_t>(item - plan_->span(batch).first);
}

/// A failed row, reported in place of the worker.
void ItemWorkload::fail_row(int rank, const dispatch::Lease& lease, const std::string& reason) {
  struct Row {
    std::uint8_t status = static_cast<std::uint8_t>(Status::failed), flags = flag_none;
    float seconds = 0;
    std::string reason;
  };
  const auto row = std::make_shared<Row>(Row{.reason = reason});
  wire::BatchResult result;
  result.batch = lease.batch;
  result.first = plan_->span(lease.batch).first + lease.begin;
  result.attempt = lease.attempt - 1;
  result.status = {&row->status, 1};
  result.flags = {&row->flags, 1};
  result.seconds = {&row->seconds, 1};
  result.errors.emplace_back(0, row->reason);
  accept_rows({rank, std::move(result), row, sizeof(Row) + reason.size()});
}

void ItemWorkload::on_results(int rank, wire::View block, const std::shared_ptr<void>& owner) {
  const wire::BatchResult result = gatherer_->open(block);
  const std::uint32_t begin = row_in_batch(result.batch, result.first);
  // Late and repeated results are dropped: the first one counts.
  const std::uint32_t leased = dispatcher_->rows_of(rank, result.batch, begin);
  if (leased == 0) return;
  if (result.rows() > leased)
    throw wire::Malformed(fmt::format("a result of {} rows of batch {}, {} were asked for", result.rows(), result.batch, leased));
  // The result of a large batch may arrive in parts.
  const dispatch::Lease lease =
      dispatcher_->complete(rank, result.batch, begin, control_.now_s(), static_cast<std::uint32_t>(result.rows())).value();
  if (shipper_ && !dispatcher_->leases().holds(rank, result.batch)) shipper_->answered(rank, result.batch);
  const std::vector<items::Unreadable> for_others = failover_->rows_for_others(rank, lease, result);
  if (for_others.empty()) {
    count(rank, result);
    output_.put(write::Block{rank, block, owner, setup_.first_item()});
    return stop_if_too_many_failed();
  }
  std::size_t at = 0;
  const auto accept_until = [&](std::size_t end) {
    if (at < end) accept_rows({rank, wire::part_of(result, at, end), owner, block.size()});
  };
  for (const items::Unreadable& rows : for_others) {
    accept_until(rows.begin);
    at = rows.end;
  }
  accept_until(result.rows());
}

void ItemWorkload::accept_rows(write::Rows rows) {
  count(rows.rank, rows.result);
  output_.put(std::move(rows));
  stop_if_too_many_failed();
}

void ItemWorkload::count(int rank, const wire::BatchResult& result) {
  last_result_s_ = control_.now_s();
  input_->note_life(last_result_s_);
  failover_->note_done(rank);
  const items::Accepted accepted =
      gatherer_->count(result, [&](const items::FailedItem& failed) { failures_.add(rank, failed, gatherer_->failed()); });
  Count& count = counts_[static_cast<std::size_t>(rank)];
  count.items += accepted.rows;
  count.failed += accepted.failed;
  ++count.batches;
}

void ItemWorkload::stop_if_too_many_failed() {
  if (earlier_ == 0) failures_.warn_if_all_fail(gatherer_->done());
  if (gatherer_->failed() > setup_.max_failures && !stop_.asked())
    stop_early(fmt::format("{} items failed, --max-failures allows {}", gatherer_->failed(), setup_.max_failures),
               control_.now_s(), setup_.grace_s);
}

Outcome ItemWorkload::finish() {
  Outcome outcome;
  outcome.done = gatherer_->done();
  outcome.earlier = earlier_;
  outcome.failed = gatherer_->failed();
  outcome.flagged = gatherer_->flagged();
  outcome.stopped = stop_.reason();
  outcome.run_s = first_grant_s_ > 0 ? std::max(last_result_s_ - first_grant_s_, 0.0) : 0;
  outcome.open_s = (first_grant_s_ > 0 ? first_grant_s_ : control_.now_s()) - began_s_;
  outcome.writer_busy = output_.busy_fraction();
  const write::Footer footer = output_.finish(dispatcher_->all_done(), control_.rank_table(), {}, [this](write::RankRow& row) {
    const Count& count = counts_[static_cast<std::size_t>(row.rank)];
    row.items = count.items;
    row.failed = count.failed;
    row.batches = count.batches;
  });
  if (!footer.complete)
    outcome.code = ExitCode::stopped;
  else if (outcome.failed > 0)
    outcome.code = ExitCode::items_failed;
  print_table(setup_, outcome, footer.ranks, control_.rank_table());
  if (footer.complete) finish_job(*setup_.job, setup_.config, write::ReadFile(setup_.output));
  write_summary(setup_, outcome, footer);
  return outcome;
}

void ItemWorkload::discard_unused() noexcept {
  if (!gatherer_ || gatherer_->done() == 0) output_.discard();
}

} // namespace mgpu::agent
