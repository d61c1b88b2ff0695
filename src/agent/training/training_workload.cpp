#include "agent/training/training_workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <random>

#include "agent/coordinator/report.hpp"
#include "agent/setup/run_identity.hpp"
#include "common/support/clock.hpp"
#include "common/support/rank_logs.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

using wire::Type;

namespace {

constexpr std::uint64_t piece_items = 4096;

std::string random_token() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

/// Items and why they could not be used, as a checkpoint holds them: [part, row, reason].
template <typename Places>
void add_places(const nlohmann::json& checkpoint, const char* name, Places& places) {
  for (const nlohmann::json& each : checkpoint.value(name, nlohmann::json::array()))
    places.emplace(std::pair(each.at(0).get<std::uint8_t>(), each.at(1).get<std::uint64_t>()), each.at(2).get<std::string>());
}

template <typename Message>
void send_all(RunControl& control, Type type, const Message& message) {
  wire::Buffer bytes;
  wire::encode(message, bytes);
  control.post_all(type, wire::View(bytes));
}

} // namespace

TrainingWorkload::TrainingWorkload(RunControl& control)
    : control_(control),
      setup_(control.setup()),
      training_(*setup_.training),
      config_(setup_.config),
      output_(setup_),
      checkpoints_(training_.checkpoints, config_.get<std::size_t>("keep-checkpoints"), control.rank_table().size()),
      begin_(training_.begin),
      fresh_(static_cast<std::size_t>(control.rank_table().size()), true),
      next_piece_(fresh_.size(), std::numeric_limits<std::size_t>::max()),
      began_s_(control.now_s()),
      blamed_(fresh_.size(), 0) {
  number_ranks();
}

void TrainingWorkload::plan(const std::vector<comm::Binding>& bindings) {
  bindings_ = bindings;
  plan_ = plan_training(setup_, control_.rank_table().size(), bindings[0].device >= 0, config_);
  progress_.set_epochs(plan_.epochs);
  print_training_plan(setup_, plan_, config_, control_.rank_table(), bindings_);
}

void TrainingWorkload::start() {
  if (begin_) open_history(); // else when the network is open: until then an earlier training stays as it is
  make_pieces();
  output_.start(control_.rank_table().size(), identity_of(setup_), false);
}

/// The curves and checkpoints up to where the training begins.
void TrainingWorkload::open_history() {
  const std::uint64_t step = begin_ ? begin_->step : 0;
  if (begin_) add_places(begin_->json, "given_up", given_up_);
  const std::string curves = write::History::path_of(setup_.output);
  checkpoints_.begin(step);
  history_.reset();
  if (step == 0) {
    history_ = write::History::create(curves);
    return;
  }
  history_ = write::History::resume(curves, step, begin_->json.value("validations", std::uint64_t{0}));
  if (history_->last_step() != step)
    print_warning(fmt::format("{} ends at step {}, the checkpoint at {}: /training will have a gap", show_path(curves),
                              history_->last_step(), step));
  add_places(begin_->json, "skipped", skipped_);
}

void TrainingWorkload::describe(int rank, wire::Configure& configure) const {
  configure.config_json = config_.json().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  configure.batch_size = plan_.batch_size;
  configure.rank = number_[static_cast<std::size_t>(rank)];
  configure.world_size = ranks_;
  // Enough to keep the loaders busy while one is computed.
  const auto loaders = bindings_[static_cast<std::size_t>(rank)].loaders;
  configure.batches_in_flight = static_cast<std::int32_t>(2 + (loaders + plan_.batch_size - 1) / plan_.batch_size);
}

wire::Supervise TrainingWorkload::supervise() const {
  wire::Supervise supervise;
  supervise.stall_timeout_s = setup_.stall_timeout_s;
  supervise.item_timeout_s = std::max(setup_.item_timeout_s, 0.0); // its ranks wait for each other, and that ends
  supervise.batch_size = plan_.batch_size;
  // Ranks that miss the one that died end as well: who is to blame, and how often, is counted here.
  supervise.restarts = setup_.max_restarts > 0 ? 1 : 0;
  return supervise;
}

void TrainingWorkload::make_pieces() {
  std::uint64_t held_out = training_.validation ? training_.validation->manifest.size() : 0;
  if (config_.get<bool>("quick-test"))
    held_out = std::min<std::uint64_t>(held_out, plan_.steps_an_epoch * static_cast<std::uint64_t>(plan_.global_batch));
  add_pieces(wire::DataPart::train, setup_.manifest, training_.labels, setup_.manifest.size());
  if (training_.validation)
    add_pieces(wire::DataPart::validation, training_.validation->manifest, training_.validation->labels, held_out);
  else
    add_pieces(wire::DataPart::validation, {}, {}, 0);
}

void TrainingWorkload::add_pieces(wire::DataPart part, const manifest::Manifest& manifest, const manifest::StringColumn& labels,
                                  std::uint64_t count) {
  std::vector<std::size_t> columns;
  for (const std::string& name : setup_.item_columns)
    if (count > 0) columns.push_back(manifest.column(name).value());
  std::uint64_t row = 0;
  do { // one piece at least, so that the worker knows that the part is empty
    wire::Items piece{static_cast<std::uint8_t>(part), count, {}, {}};
    for (; row < count && piece.items.size() < piece_items; ++row) {
      Item& item = piece.items.emplace_back();
      item.index = row;
      item.path = manifest.path(row);
      item.columns.emplace_back("label", labels[row]);
      if (const auto found = given_up_.find({piece.part, row}); found != given_up_.end())
        piece.given_up.push_back({row, piece.part, found->second});
      for (std::size_t at = 0; at < columns.size(); ++at)
        item.columns.emplace_back(setup_.item_columns[at], manifest.value(columns[at], row));
    }
    wire::encode(piece, pieces_.emplace_back());
  } while (row < count);
}

void TrainingWorkload::configured(int rank) {
  fresh_[static_cast<std::size_t>(rank)] = true;
  next_piece_[static_cast<std::size_t>(rank)] = 0;
}

/// A rank gets a piece of the list when the one before has left: else each of them would wait as a copy of its own.
void TrainingWorkload::hand_out_pieces() {
  for (int rank = 0; rank < control_.rank_table().size(); ++rank) {
    std::size_t& next = next_piece_[static_cast<std::size_t>(rank)];
    if (!fresh_[static_cast<std::size_t>(rank)] || !control_.rank_table().at(rank).lost.empty()) next = pieces_.size();
    for (; next < pieces_.size() && control_.idle(rank); ++next) control_.post(rank, Type::items, wire::View(pieces_[next]));
  }
}

void TrainingWorkload::opened(int /*rank*/, bool /*again*/) {
  for (int rank = 0; rank < control_.rank_table().size(); ++rank)
    if (number_[static_cast<std::size_t>(rank)] >= 0 &&
        (!fresh_[static_cast<std::size_t>(rank)] || !control_.rank_table().at(rank).opened))
      return;
  if (!connected_ && losses_.empty()) connect();
}

void TrainingWorkload::connect() {
  const RankTable& rank_table = control_.rank_table();
  const int leader = first_rank();
  const wire::Trainable& first = rank_table.at(leader).opened->trainable;
  wire::Connect message;
  std::vector<std::string> nodes;
  std::int64_t fits = first.batch_size;
  for (int rank = leader; rank < rank_table.size(); ++rank) {
    if (number_[static_cast<std::size_t>(rank)] < 0) continue;
    const wire::Trainable& trainable = rank_table.at(rank).opened->trainable;
    const wire::Join& join = *rank_table.at(rank).join;
    if (trainable.signature != first.signature)
      throw usage_error(
          fmt::format("rank {} on {} opened another network than rank {} on {}: is the file the same on every host?", rank,
                      join.host, leader, rank_table.at(leader).join->host));
    fits = std::min(fits, trainable.batch_size);
    auto node = std::find(nodes.begin(), nodes.end(), join.node);
    if (node == nodes.end()) node = nodes.insert(node, join.node);
    message.node_of.push_back(static_cast<std::int32_t>(node - nodes.begin()));
    message.hosts.push_back(join.host);
  }
  if (begin_)
    if (const auto was = begin_->json.value("signature", first.signature); was != first.signature)
      throw usage_error(
          fmt::format("--resume: checkpoint {} is of another network than --model {}", show_path(begin_->folder), setup_.model));
  if (!history_) open_history();
  if (plan_.batch_found && connected_s_ == 0) {
    if (fits > 0) plan_ = with_batch(plan_, setup_, ranks_, fits, config_);
    control_.say(fmt::format("--batch-size auto: {} a rank, global batch {}, {} steps an epoch, learning rate × {:.6g}",
                             plan_.batch_size, plan_.global_batch, plan_.steps_an_epoch, plan_.lr_factor));
  }
  message.timeout_s = setup_.config.get<double>("reduce-timeout");
  message.token = random_token();
  message.nccl_id = first.nccl_id;
  message.batch_size = plan_.batch_size;
  message.attempt = attempt_;
  if (begin_) {
    message.first_validation = begin_->json.value("validations", std::uint64_t{0});
    message.checkpoint = begin_->folder;
  }
  send_all(control_, Type::connect, message);
  pieces_ = {};
  trainable_ = first;
  connected_ = true;
  heard_s_ = control_.now_s();
  if (connected_s_ == 0) connected_s_ = heard_s_;
}

void TrainingWorkload::halt(bool now, const std::string& reason) {
  send_all(control_, Type::halt, wire::Halt{static_cast<std::uint8_t>(now ? 1 : 0), reason});
}

void TrainingWorkload::stop(const std::string& reason, double /*now*/, double /*grace_s*/) {
  if (!stop_reason_.empty() || !error_.empty()) return;
  stop_reason_ = reason;
  halt(false, reason);
  control_.say(fmt::format("stopping: {} received; the step under way is finished and a checkpoint written", reason));
}

void TrainingWorkload::fail(const std::string& reason, ExitCode code) {
  if (!error_.empty()) return;
  error_ = reason;
  error_code_ = code;
  halt(true, reason);
}

bool TrainingWorkload::step(double now) {
  output_.check();
  heard_s_ += suspension_.seconds(now);
  hand_out_pieces();
  if (!losses_.empty() && stop_reason_.empty()) take_losses(now);
  // Between two words of rank 0 lies at most a validation; what takes this long will not end.
  const double silent_limit_s = std::max(3600.0, 10 * config_.get<double>("reduce-timeout"));
  if (connected_ && now - heard_s_ > silent_limit_s)
    fail(fmt::format("nothing heard of the training for {}", human_duration(now - heard_s_)), ExitCode::failed);
  if (!error_.empty()) return true;
  if (!stop_reason_.empty()) return true;
  return connected_ && losses_.empty() && progress_.total() > 0 && last_step() >= progress_.total();
}

double TrainingWorkload::drain_limit_s() const {
  constexpr double last_words_s = 5, checkpoint_s = 120;
  if (!losses_.empty() || !error_.empty()) return last_words_s;
  // A last validation and a last checkpoint come behind the last step.
  return stop_reason_.empty() ? std::max(3600.0, 10 * config_.get<double>("reduce-timeout")) : checkpoint_s;
}

void TrainingWorkload::show(Progress& progress, double now) const {
  if (!progress.due(now)) return;
  const auto& last = progress_.last();
  progress.show(last ? last->step : 0, progress_.total(), last ? progress_.line(now) : opening_line(control_.rank_table()), now);
}

} // namespace mgpu::agent
