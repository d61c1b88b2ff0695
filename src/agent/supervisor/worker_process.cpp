#include "agent/supervisor/worker_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <vector>

#include "agent/cli/job_list.hpp"
#include "common/support/clock.hpp"
#include "common/wire/batch_result.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

namespace {

constexpr std::size_t last_words_bytes = 1000;
constexpr double read_errors_every_s = 0.02;
/// A process that SIGKILL has not ended by then hangs in its driver.
constexpr double reap_limit_s = 5;

} // namespace

struct WorkerProcess::Shared {
  Shared(int socket, std::size_t ring_bytes)
      : channel(socket),
        ring(wire::SharedMemory::create(ring_bytes)),
        activity_table(wire::SharedMemory::create(wire::ActivityTable::size_bytes())) {}
  wire::Channel channel;
  wire::SharedMemory ring, activity_table;
};

WorkerProcess::WorkerProcess(WorkerStarter& starter, std::size_t ring_bytes)
    : WorkerProcess(starter, ring_bytes, wire::Channel::make_pair()) {}

WorkerProcess::WorkerProcess(WorkerStarter& starter, std::size_t ring_bytes, std::pair<int, int> ends)
    : shared_(std::make_shared<Shared>(ends.first, ring_bytes)), temporary_("mgpu_worker") {
  const OwnedFd given(ends.second);
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) throw Error(fmt::format("pipe2: {}", std::strerror(errno)));
  OwnedFd reading(pipe_ends[0]);
  const OwnedFd writing(pipe_ends[1]);
  process_.emplace(
      starter.start({given.get(), shared_->ring.fd(), shared_->activity_table.fd(), writing.get()}, temporary_.path()));
  fcntl(reading.get(), F_SETFL, O_NONBLOCK);
  errors_ = reading.let_go();
}

WorkerProcess::~WorkerProcess() {
  end();
  if (errors_ >= 0) close(errors_);
}

void WorkerProcess::end() {
  if (!end_) {
    kill();
    process_->wait(reap_limit_s);
    end_ = {"ended by its agent", SIGKILL};
  }
  pass_on_errors();
  temporary_.remove();
}

const wire::ActivityTable& WorkerProcess::activity_table() const {
  return wire::ActivityTable::in(shared_->activity_table);
}

/// Forwards to this process's standard error at once, for a user who is watching.
void WorkerProcess::pass_on_errors() {
  std::array<char, 4096> text;
  for (ssize_t got = 0; errors_ >= 0 && (got = read(errors_, text.data(), text.size())) > 0;) {
    const std::string_view piece(text.data(), static_cast<std::size_t>(got));
    std::fwrite(piece.data(), 1, piece.size(), stderr); // does not throw when mpirun has ended and nobody reads
    last_words_.append(piece);
    if (last_words_.size() > 2 * last_words_bytes) last_words_.erase(0, last_words_.size() - last_words_bytes);
  }
}

std::string WorkerProcess::find_program() {
  if (const char* named = std::getenv("MGPU_WORKER"); named != nullptr) return named;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / worker_name()).string();
}

void WorkerProcess::post(wire::Type type, wire::View payload) {
  shared_->channel.post(type, payload);
}

void WorkerProcess::flush() {
  shared_->channel.flush();
}

bool WorkerProcess::poll(const OnWorkerFrame& handle) {
  if (const double now = now_s(); now - read_errors_s_ > read_errors_every_s) {
    read_errors_s_ = now;
    pass_on_errors();
  }
  if (shared_->channel.closed()) return false;
  const std::size_t frames = shared_->channel.receive([&](wire::Type type, wire::View payload) {
    if (type == wire::Type::shared_results) {
      const auto range = wire::decode<wire::SharedRange>(payload);
      if (range.offset > shared_->ring.size() || range.size > shared_->ring.size() - range.offset)
        throw Error("the worker named a range outside its shared memory");
      const wire::View block{shared_->ring.data() + range.offset, range.size};
      const std::shared_ptr<void> owner(nullptr,
                                        [shared = shared_, range](void*) { shared->channel.post(wire::Type::release, range); });
      handle(wire::Type::results, block, owner);
    } else if (type == wire::Type::results) {
      // The socket's buffer is reused, so the result is copied.
      auto* bytes = static_cast<std::byte*>(std::aligned_alloc(
          wire::block_alignment, (payload.size() + wire::block_alignment - 1) / wire::block_alignment * wire::block_alignment));
      if (bytes == nullptr) throw std::bad_alloc();
      const std::shared_ptr<void> owner(bytes, [](void* pointer) { std::free(pointer); });
      std::memcpy(bytes, payload.data(), payload.size());
      handle(wire::Type::results, {bytes, payload.size()}, owner);
    } else {
      handle(type, payload, nullptr);
    }
  });
  return frames > 0;
}

void WorkerProcess::wait(std::chrono::microseconds timeout) {
  if (!shared_->channel.closed())
    shared_->channel.wait(timeout);
  else
    usleep(static_cast<useconds_t>(timeout.count()));
}

std::optional<WorkerEnd> WorkerProcess::ended() {
  if (end_) return end_;
  // The socket closes when the worker ends: until then waitpid would be a wasted system call in every round.
  if (!shared_->channel.closed()) return std::nullopt;
  const std::optional<int> status = process_->ended();
  if (!status) return std::nullopt;
  pass_on_errors();
  const int signal = WIFSIGNALED(*status) ? WTERMSIG(*status) : 0;
  const bool good = signal == 0 && WEXITSTATUS(*status) == 0;
  end_ = {good ? "" : describe_end(*status, signal == SIGKILL ? who_killed(memory_before_, read_memory_events()) : ""), signal};
  return end_;
}

void WorkerProcess::kill() {
  if (!end_) process_->signal(SIGKILL);
}

} // namespace mgpu::agent
