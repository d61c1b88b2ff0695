#include "worker/collective/shared_node.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "common/support/clock.hpp"
#include "mgpu/error.hpp"

namespace mgpu::worker::collective {

namespace {

using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t line_bytes = 64;
constexpr std::uint64_t ready_mark = 0x6d67'7075'0001;
constexpr double longest_spin_s = 50e-6;
constexpr double nap_s = 0.02; ///< delay in detecting the death of a rank or a timeout
constexpr std::size_t kinds_of_counts = 4;
constexpr std::size_t operation_words = 6;
constexpr std::size_t affinity_words = sizeof(cpu_set_t) / sizeof(std::uint64_t);

std::size_t up_to(std::size_t size, std::size_t unit) {
  return (size + unit - 1) / unit * unit;
}

std::uint64_t hash_of(const FlatLayout& layout) {
  std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a over words
  const auto mix = [&](std::uint64_t value) { hash = (hash ^ value) * 0x100000001b3; };
  mix(layout.elements);
  for (const auto* slices : {&layout.buckets, &layout.undecayed}) {
    mix(slices->size());
    for (const Slice& slice : *slices) {
      mix(slice.begin);
      mix(slice.end);
    }
  }
  return hash;
}

// The word is shared between processes, so no FUTEX_PRIVATE_FLAG.
void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, double limit_s) {
  const timespec limit{0, static_cast<long>(limit_s * 1e9)};
  syscall(SYS_futex, &word, FUTEX_WAIT, seen, &limit, nullptr, 0);
}

void futex_wake_all(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

enum : std::uint32_t { running = 0, writing_reason = 1, aborted = 2 };

} // namespace

struct SharedNode::Control {
  Word ready; ///< ready_mark: the other members are set
  Word layout_hash, elements;
  std::atomic<std::uint32_t> state;
  char reason[500];
  alignas(line_bytes) std::atomic<std::uint32_t> event; ///< the futex; changes when a wait may have ended
  std::atomic<std::uint32_t> sleepers;
};

// Processors fetch cache lines in pairs, so the data of different ranks are kept apart.
struct alignas(2 * line_bytes) SharedNode::RankPage {
  Word counts[kinds_of_counts];
  Word operation[operation_words];                       ///< text: its last operation
  alignas(2 * line_bytes) Word affinity[affinity_words]; ///< the cores that it may use
};

NodeMap::NodeMap(const FlatLayout& layout, std::size_t local_size, std::size_t area_numbers) {
  slots = up_to(sizeof(SharedNode::Control), 2 * line_bytes) + local_size * sizeof(SharedNode::RankPage);
  area = up_to(slots + 2 * local_size * SharedNode::slot_numbers * sizeof(double), page_bytes);
  parameters = up_to(area + area_numbers * sizeof(double), page_bytes);
  // A few lines between the arrays, so that the same element of each does not use the same cache set.
  gradients_stride = up_to(layout.elements * sizeof(float), page_bytes) + 6 * line_bytes;
  gradients = parameters + gradients_stride;
  size_bytes = gradients + local_size * gradients_stride;
}

SharedNode::SharedNode(const NodeSpec& spec, const FlatLayout& layout)
    : ranks_(spec.ranks),
      hosts_(spec.hosts),
      local_rank_(spec.local_rank),
      timeout_s_(spec.timeout_s),
      map_(layout, spec.ranks.size(), spec.area_numbers),
      memory_(spec.memory) {
  if (local_rank_ == 0)
    create(spec, layout);
  else
    join(spec, layout);
  memory_->hold(local_rank_);
  try {
    memory_->reserve(offset_of(gradients(local_rank_)), map_.gradients_stride);
  } catch (const Error& error) {
    fail(fmt::format("{}: {}", name(local_rank_), error.what()));
  }
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof cores, &cores);
  std::uint64_t words[affinity_words];
  std::memcpy(words, &cores, sizeof words);
  for (std::size_t i = 0; i < affinity_words; ++i) page(local_rank_).affinity[i] = words[i];
  barrier("meeting in shared memory");
  spin_ = cores_for_all();
}

void SharedNode::create(const NodeSpec& spec, const FlatLayout& layout) {
  if (!memory_ && spec.token.empty() && spec.ranks.size() == 1)
    memory_ = std::make_shared<wire::NodeMemory>(wire::NodeMemory::anonymous(map_.size_bytes));
  if (!memory_) {
    memory_ = std::make_shared<wire::NodeMemory>(wire::NodeMemory::create(spec.token, spec.node, map_.size_bytes));
    memory_->reserve(0, map_.gradients);
  }
  control().layout_hash = hash_of(layout);
  control().elements = layout.elements;
  control().ready = ready_mark;
}

void SharedNode::join(const NodeSpec& spec, const FlatLayout& layout) {
  const auto pause = std::chrono::milliseconds(1);
  const double deadline = now_s() + timeout_s_;
  const auto check_deadline = [&] {
    if (now_s() > deadline)
      throw Error(fmt::format("{} has waited {:g} s for {} to make shared memory", name(local_rank_), timeout_s_, name(0)));
  };
  while (!memory_) {
    wire::NodeMemory found = wire::NodeMemory::open(spec.token, spec.node);
    if (found.data() != nullptr) {
      memory_ = std::make_shared<wire::NodeMemory>(std::move(found));
      break;
    }
    check_deadline();
    std::this_thread::sleep_for(pause);
  }
  while (control().ready != ready_mark) {
    check_deadline();
    std::this_thread::sleep_for(pause);
  }
  if (control().layout_hash != hash_of(layout))
    fail(fmt::format("{} has another network than {}: {} numbers in {} buckets, not {}", name(local_rank_), name(0),
                     layout.elements, layout.buckets.size(), control().elements.load()));
}

/// Whether ranks may spin while they wait: not if they share cores.
bool SharedNode::cores_for_all() const {
  int cores = 0;
  for (std::size_t i = 0; i < affinity_words; ++i) {
    std::uint64_t word = 0;
    for (int local = 0; local < local_size(); ++local) word |= page(local).affinity[i];
    cores += __builtin_popcountll(word);
  }
  return cores >= local_size();
}

double* SharedNode::slot(int local, bool second) const {
  return at<double>(map_.slots) + (static_cast<std::size_t>(local) * 2 + (second ? 1 : 0)) * slot_numbers;
}

SharedNode::RankPage& SharedNode::page(int local) const {
  return at<RankPage>(up_to(sizeof(Control), 2 * line_bytes))[local];
}

void SharedNode::barrier(std::string_view operation) {
  char text[operation_words * sizeof(std::uint64_t)] = {};
  operation.copy(text, sizeof text - 1);
  std::uint64_t words[operation_words];
  std::memcpy(words, text, sizeof words);
  for (std::size_t i = 0; i < operation_words; ++i) page(local_rank_).operation[i].store(words[i], std::memory_order_relaxed);
  check(); // a rank that has failed must not let the others pass
  advance(Count::arrived, ++barriers_);
  await(Count::arrived, barriers_, operation);
}

void SharedNode::advance(Count count, std::uint64_t value) {
  page(local_rank_).counts[static_cast<std::size_t>(count)] = value;
  if (reached(count, value)) notify();
}

void SharedNode::await(Count count, std::uint64_t value, std::string_view operation) {
  check();
  if (reached(count, value)) return;
  for (const double end = spin_ ? now_s() + longest_spin_s : 0; end > 0 && now_s() < end;)
    for (int i = 0; i < 32; ++i) {
      if (reached(count, value)) return;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  sleep(count, value, operation);
}

bool SharedNode::reached(Count count, int local, std::uint64_t value) const {
  return page(local).counts[static_cast<std::size_t>(count)] >= value;
}

bool SharedNode::reached(Count count, std::uint64_t value) const {
  if (count == Count::reduced) return reached(count, 0, value);
  for (int local = 0; local < local_size(); ++local)
    if (!reached(count, local, value)) return false;
  return true;
}

void SharedNode::sleep(Count count, std::uint64_t value, std::string_view operation) {
  Control& shared = control();
  const double deadline = now_s() + timeout_s_;
  for (;;) {
    const std::uint32_t seen = shared.event;
    // Announced before the last check: a rank that ends the wait later sees the sleeper and wakes it.
    ++shared.sleepers;
    if (!reached(count, value) && shared.state != aborted) futex_wait(shared.event, seen, nap_s);
    --shared.sleepers;
    if (reached(count, value)) return;
    check();
    look_for_the_dead(count, value, operation);
    if (now_s() < deadline) continue;
    std::vector<std::string> missing;
    for (int local = 0; local < local_size(); ++local) {
      if (reached(count, local, value) || (count == Count::reduced && local > 0)) continue;
      std::uint64_t words[operation_words];
      for (std::size_t i = 0; i < operation_words; ++i) words[i] = page(local).operation[i].load(std::memory_order_relaxed);
      char text[sizeof words];
      std::memcpy(text, words, sizeof text);
      missing.push_back(*text == 0 ? name(local) : fmt::format("{} (last seen in: {})", name(local), text));
    }
    fail(fmt::format("{}: after {:g} s still waiting for {}", operation, timeout_s_, fmt::join(missing, ", ")));
  }
}

void SharedNode::look_for_the_dead(Count count, std::uint64_t value, std::string_view operation) {
  const int watched = count == Count::reduced ? 1 : local_size();
  for (int local = 0; local < watched; ++local) {
    // Before its first barrier a rank may not hold its lock yet.
    const bool was_here = local != local_rank_ && reached(Count::arrived, local, 1);
    if (was_here && !memory_->held(local) && !reached(count, local, value))
      fail(fmt::format("{}: {} has ended", operation, name(local)));
  }
}

void SharedNode::notify() {
  ++control().event;
  if (control().sleepers > 0) futex_wake_all(control().event);
}

void SharedNode::abort(std::string_view reason) {
  std::uint32_t expected = running;
  if (!control().state.compare_exchange_strong(expected, writing_reason)) return;
  reason.copy(control().reason, sizeof control().reason - 1); // the memory was zero, so the text is terminated
  control().state = aborted;
  notify();
}

void SharedNode::check() const {
  if (control().state == aborted) throw Error(control().reason);
}

std::string SharedNode::name(int local) const {
  const auto rank = static_cast<std::size_t>(rank_of(local));
  return rank < hosts_.size() ? fmt::format("rank {} on {}", rank, hosts_[rank]) : fmt::format("rank {}", rank);
}

void SharedNode::fail(const std::string& reason) {
  abort(reason);
  throw Error(reason);
}

} // namespace mgpu::worker::collective
