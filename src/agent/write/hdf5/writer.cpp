#include "agent/write/hdf5/writer.hpp"

#include <atomic>
#include <optional>

namespace mgpu::agent::write {

namespace {
using Clock = std::chrono::steady_clock;

/// Small blocks are collected up to the next commit: waking the thread for each would cost more than writing it.
constexpr std::size_t wake_bytes = 256u << 10;
/// Memory of a block besides its bytes: its owner, the queue.
constexpr std::size_t block_cost_bytes = 256;
/// Bytes between two checks whether a commit is due.
constexpr std::size_t commit_check_bytes = 8u << 20;

/// The next task of the thread: a block or rows, the columns of what follows, or the model's hash.
struct Task {
  Block block = {};
  std::unique_ptr<Rows> rows = nullptr;
  std::size_t bytes() const { return rows ? rows->owner_bytes : block.bytes.size(); }
  std::optional<std::vector<ColumnSpec>> columns = std::nullopt;
  std::string model_sha256 = {};
};
} // namespace

struct Writer::Impl {
  Impl(std::unique_ptr<ResultFile> result_file, std::chrono::milliseconds commit_interval, std::size_t limit)
      : file(std::move(result_file)), commit_every(commit_interval), queue_limit_bytes(limit), thread([this] { run(); }) {}

  void push(Task task);
  void stop();
  void run();
  void work();
  bool wait_for_tasks(std::deque<Task>& tasks);
  void process(std::deque<Task>& tasks);
  void commit_if_due();

  std::unique_ptr<ResultFile> file;
  const std::chrono::milliseconds commit_every;
  const std::size_t queue_limit_bytes;
  const Clock::time_point began = Clock::now();

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Task> queue; ///< guarded by mutex, as are the next four
  bool stopping = false;
  /// A put does not wake a thread that is awake, or that wakes for the next commit soon enough.
  enum class Sleep : std::uint8_t { awake, until_commit, until_block } sleep = Sleep::awake;
  std::exception_ptr failure;
  bool finished = false;

  std::atomic<std::size_t> queued_bytes{0};
  std::atomic<bool> failed{false};
  std::atomic<std::int64_t> busy_ns{0};

  bool uncommitted = false; ///< used by the thread only, as is the next
  Clock::time_point oldest_uncommitted{};
  std::thread thread; ///< last: it uses all of the above
};

void Writer::Impl::push(Task task) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex);
    if (failed) return; // check() throws the reason; the block's memory is released at once
    queued_bytes += task.bytes() + block_cost_bytes;
    queue.push_back(std::move(task));
    wake = sleep == Sleep::until_block || (sleep == Sleep::until_commit && (queue.back().columns || queued_bytes >= wake_bytes));
  }
  if (wake) changed.notify_one();
}

void Writer::Impl::stop() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  changed.notify_one();
  if (thread.joinable()) thread.join();
}

void Writer::Impl::run() {
  try {
    work();
  } catch (...) {
    std::deque<Task> dropped; // destroyed outside the lock: owners release memory of others
    const std::lock_guard lock(mutex);
    failure = std::current_exception();
    failed = true;
    dropped.swap(queue);
  }
}

void Writer::Impl::work() {
  std::deque<Task> tasks;
  while (wait_for_tasks(tasks)) {
    const auto begin = Clock::now();
    process(tasks);
    commit_if_due();
    busy_ns += std::chrono::nanoseconds(Clock::now() - begin).count();
  }
  file->commit();
}

/// Waits for tasks or until a commit is due; false when all is done.
bool Writer::Impl::wait_for_tasks(std::deque<Task>& tasks) {
  std::unique_lock lock(mutex);
  if (uncommitted) {
    sleep = Sleep::until_commit;
    changed.wait_until(lock, oldest_uncommitted + commit_every,
                       [this] { return stopping || queued_bytes >= wake_bytes || (!queue.empty() && queue.back().columns); });
  } else {
    sleep = Sleep::until_block;
    changed.wait(lock, [this] {
      return stopping || !queue.empty();
    }); // ends with the next block, or with stop(), called by the destructor
  }
  sleep = Sleep::awake;
  tasks.swap(queue);
  return !(stopping && tasks.empty());
}

void Writer::Impl::process(std::deque<Task>& tasks) {
  std::size_t unchecked_bytes = 0;
  for (; !tasks.empty(); tasks.pop_front()) {
    Task& task = tasks.front();
    queued_bytes -= task.bytes() + block_cost_bytes;
    if (task.columns) {
      file->set_columns(*task.columns);
      continue;
    }
    if (!task.model_sha256.empty()) {
      file->set_model_sha256(task.model_sha256);
    } else if (task.rows) {
      file->put(task.rows->result, task.rows->rank, task.rows->owner);
    } else {
      wire::BatchResult result = wire::decode_batch_result(task.block.bytes);
      result.first -= task.block.items_before;
      file->put(result, task.block.rank, task.block.owner);
    }
    if (!uncommitted) oldest_uncommitted = Clock::now();
    uncommitted = true;
    unchecked_bytes += task.bytes();
    if (unchecked_bytes < commit_check_bytes) continue;
    unchecked_bytes = 0;
    commit_if_due();
  }
}

void Writer::Impl::commit_if_due() {
  if (!uncommitted || Clock::now() < oldest_uncommitted + commit_every) return;
  file->commit();
  uncommitted = false;
}

Writer::Writer(std::unique_ptr<ResultFile> file, std::chrono::milliseconds commit_every, std::size_t queue_bytes)
    : impl_(std::make_unique<Impl>(std::move(file), commit_every, queue_bytes)) {}

Writer::~Writer() {
  if (impl_) impl_->stop();
}

void Writer::set_columns(const std::vector<ColumnSpec>& columns) {
  impl_->push({.columns = columns});
}

void Writer::set_model_sha256(const std::string& sha256) {
  impl_->push({.model_sha256 = sha256});
}

void Writer::put(Block block) {
  impl_->push({.block = std::move(block)});
}

void Writer::put(Rows rows) {
  impl_->push({.rows = std::make_unique<Rows>(std::move(rows))});
}

bool Writer::full() const {
  return impl_->queued_bytes > impl_->queue_limit_bytes;
}

double Writer::busy_fraction() const {
  const double total_ns = static_cast<double>(std::chrono::nanoseconds(Clock::now() - impl_->began).count());
  return total_ns <= 0 ? 0 : static_cast<double>(impl_->busy_ns.load()) / total_ns;
}

void Writer::check() const {
  if (!impl_->failed) return;
  const std::lock_guard lock(impl_->mutex);
  std::rethrow_exception(impl_->failure);
}

void Writer::finish(const Footer& footer) {
  impl_->stop();
  check();
  if (impl_->finished) throw Error("the result file was finished before");
  impl_->finished = true;
  impl_->file->finish(footer);
}

} // namespace mgpu::agent::write
