#pragma once
// An item run whose ranks do as the test says. Every row's result is twice its item's number.
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/double_result.hpp"
#include "agent/items/item_workload.hpp"
#include "agent/run_rig.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "common/wire/batch_result.hpp"
#include "common/wire/items_messages.hpp"

namespace mgpu::agent {

class ItemTest : public RunTest {
 protected:
  using Bad = BadRow;

  void TearDown() override { coordinator_.reset(); } // before the job goes

  /// All ranks have their configuration.
  void configure(int items, std::vector<std::string> nodes, std::uint32_t batch_size = 4) {
    list_items(items);
    setup_.batch_size = batch_size;
    again(std::move(nodes));
  }
  /// Leaves shard `index` of `count` of the items that were listed.
  void cut(std::uint32_t index, std::uint32_t count, int items, std::uint32_t batch_size = 4) {
    list_items(items);
    setup_.batch_size = batch_size;
    const manifest::ItemSpan span = manifest::items_of({index, count}, setup_.manifest.size(), batch_size);
    setup_.shard = {{index, count}, span.first, setup_.manifest.size(), write::sha256_of(setup_.manifest)};
    setup_.manifest = setup_.manifest.part(span.first, span.count);
  }
  /// With the items and options of the run before.
  void again(std::vector<std::string> nodes) {
    link_.posted.clear();
    read_.clear();
    held_.clear();
    start([](RunControl& control) { return std::make_unique<ItemWorkload>(control); }, std::move(nodes));
    join_all();
    ASSERT_TRUE(until([&] { return count(size() - 1, Type::configure) == 1; }));
  }
  void open_rank(int rank) {
    wire::Opened opened;
    opened.columns = {double_index};
    open(rank, opened);
  }
  /// All ranks have opened the model and hold work, as far as there is any.
  void begin(int items, std::vector<std::string> nodes = {"a", "b"}, std::uint32_t batch_size = 4) {
    configure(items, std::move(nodes), batch_size);
    for (int rank = 0; rank < size(); ++rank) open_rank(rank);
    ASSERT_TRUE(until([&] { return !held(0).empty(); }));
  }

  /// Batches in a rank's hands, oldest first.
  std::deque<wire::BatchRange>& held(int rank) {
    const auto& frames = posted(rank);
    for (std::size_t& at = read_[rank]; at < frames.size(); ++at)
      if (frames[at].type == Type::grant)
        for (wire::BatchRange& range : frames[at].as<wire::Grant>().batches) held_[rank].push_back(std::move(range));
    return held_[rank];
  }
  wire::BatchRange take(int rank) {
    if (held(rank).empty()) throw Error(fmt::format("rank {} holds nothing", rank));
    wire::BatchRange range = std::move(held(rank).front());
    held(rank).pop_front();
    return range;
  }

  /// `scale`: what the results are wrong by.
  void answer(int rank, const wire::BatchRange& range, const std::vector<Bad>& bad = {}, double scale = 1) {
    const wire::Block block = double_result(range, bad, scale);
    arrive({rank, Type::results, {}, block});
  }
  /// Answers all that is in the rank's hands, and its statistics when they are asked for.
  void work(int rank) {
    while (!held(rank).empty()) answer(rank, take(rank));
    if (count(rank, Type::finish) > 0 && told_stats_.insert(rank).second) say(rank, Type::stats, wire::Stats());
  }
  Ended end_working(const std::set<int>& ranks) {
    told_stats_.clear();
    return end([&] {
      for (const int rank : ranks) work(rank);
    });
  }

  /// The rank's worker is dead, with all it had in hand; another is there when `again`.
  void die(int rank, wire::Died died, bool again = true) {
    held(rank).clear();
    say(rank, Type::died, died);
    if (again) {
      say_hello(rank);
      round();
      open_rank(rank);
    }
    round();
  }

  /// Rows of the result file: 2 × item, "failed" or "pending".
  std::vector<std::string> rows() const {
    const write::ReadFile file(setup_.output);
    const std::vector<Status> status = file.status();
    const std::vector<double> values = file.numbers("double_index");
    std::vector<std::string> rows;
    for (std::size_t row = 0; row < status.size(); ++row)
      rows.push_back(status[row] == Status::ok       ? fmt::format("{}", values[row])
                     : status[row] == Status::failed ? "failed"
                                                     : "pending");
    return rows;
  }
  std::string reason(std::uint64_t item) const {
    const write::ReadFile file(setup_.output);
    const auto errors = file.item_text("error");
    return errors ? errors->read(item, 1).at(0) : "";
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) names.push_back(entry.path().filename());
    return names;
  }

 private:
  std::map<int, std::size_t> read_;
  std::map<int, std::deque<wire::BatchRange>> held_;
  std::set<int> told_stats_;
};

} // namespace mgpu::agent
