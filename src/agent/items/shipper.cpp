#include "agent/items/shipper.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

namespace mgpu::agent {

namespace {

constexpr std::size_t most_a_read = 1u << 30;

/// Non-blocking, so that a FIFO in the list is skipped and not waited for.
void read_file(Item& item, std::uint64_t most_bytes) {
  const int fd = ::open(item.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return;
  struct stat facts {};
  if (::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && static_cast<std::uint64_t>(facts.st_size) <= most_bytes) {
    item.content.resize(static_cast<std::size_t>(facts.st_size));
    std::size_t filled = 0;
    while (filled < item.content.size()) {
      const ssize_t got = ::read(fd, item.content.data() + filled, std::min(item.content.size() - filled, most_a_read));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      filled += static_cast<std::size_t>(got);
    }
    item.shipped = filled == item.content.size();
    if (!item.shipped) item.content = {};
  }
  ::close(fd);
}

std::uint64_t size_of(const wire::BatchRange& range) {
  std::uint64_t bytes = 0;
  for (const Item& item : range.items) bytes += item.content.size();
  return bytes;
}

} // namespace

struct Shipper::State {
  State(int ranks, std::uint64_t most_file, std::uint64_t budget)
      : most_file_bytes(most_file), budget_bytes(budget), generation(static_cast<std::size_t>(ranks)), sent(generation.size()) {}

  struct Wanted {
    Ready ready;
    std::uint64_t generation = 0;
  };
  bool current(const Wanted& wanted) const {
    return wanted.generation == generation[static_cast<std::size_t>(wanted.ready.rank)];
  }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return ending || (!wanted.empty() && under_way < budget_bytes); });
      if (ending) return;
      Wanted next = std::move(wanted.front());
      wanted.pop_front();
      if (!current(next)) continue;
      lock.unlock();
      wire::BatchRange& range = next.ready.range;
      for (std::size_t row = 0; row < range.items.size(); ++row) try {
          if (range.wanted(row)) read_file(range.items[row], most_file_bytes);
        } catch (const std::bad_alloc&) { // left to the worker
          range.items[row].content = {};
        }
      lock.lock();
      if (ending) return;
      if (!current(next)) continue;
      const std::uint64_t bytes = size_of(range);
      under_way += bytes;
      sent[static_cast<std::size_t>(next.ready.rank)][range.batch] += bytes;
      read.push_back(std::move(next));
    }
  }

  const std::uint64_t most_file_bytes, budget_bytes;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Wanted> wanted;                                ///< guarded by mutex, as are all members below
  std::vector<Wanted> read;                                 ///< not taken yet
  std::vector<std::uint64_t> generation;                    ///< by rank: workers it has lost
  std::vector<std::map<std::uint64_t, std::uint64_t>> sent; ///< by rank and batch: bytes
  std::uint64_t under_way = 0;
  bool ending = false;
};

Shipper::Shipper(int ranks, std::uint64_t most_file_bytes, std::uint64_t budget_bytes)
    : state_(std::make_shared<State>(ranks, most_file_bytes, budget_bytes)) {
  std::thread([state = state_] { state->run(); }).detach();
}

Shipper::~Shipper() {
  const std::lock_guard lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
}

void Shipper::add(int rank, wire::BatchRange range) {
  const std::lock_guard lock(state_->mutex);
  state_->wanted.push_back({{rank, std::move(range)}, state_->generation[static_cast<std::size_t>(rank)]});
  state_->changed.notify_all();
}

std::vector<Shipper::Ready> Shipper::take() {
  std::vector<Ready> ready;
  const std::lock_guard lock(state_->mutex);
  for (State::Wanted& each : state_->read)
    if (state_->current(each)) ready.push_back(std::move(each.ready));
  state_->read.clear();
  return ready;
}

void Shipper::answered(int rank, std::uint64_t batch) {
  const std::lock_guard lock(state_->mutex);
  auto& sent = state_->sent[static_cast<std::size_t>(rank)];
  const auto found = sent.find(batch);
  if (found == sent.end()) return;
  state_->under_way -= found->second;
  sent.erase(found);
  state_->changed.notify_all();
}

void Shipper::forget(int rank) {
  const std::lock_guard lock(state_->mutex);
  ++state_->generation[static_cast<std::size_t>(rank)];
  for (const auto& [batch, bytes] : state_->sent[static_cast<std::size_t>(rank)]) state_->under_way -= bytes;
  state_->sent[static_cast<std::size_t>(rank)].clear();
  state_->changed.notify_all();
}

std::uint64_t Shipper::bytes_under_way() const {
  const std::lock_guard lock(state_->mutex);
  return state_->under_way;
}

} // namespace mgpu::agent
