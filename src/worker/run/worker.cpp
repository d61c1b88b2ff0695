#include "worker/run/worker.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/wire/control_messages.hpp"
#include "worker/device/devices.hpp"

namespace mgpu::worker {

namespace {
/// Frames and the session's end wake the main thread. It also wakes at this interval to record a sign of life.
constexpr int longest_sleep_ms = 500;
} // namespace

Worker::Worker(wire::Channel& channel, wire::SharedMemory& ring, wire::ActivityTable& activity_table, MakeSession make_session,
               std::function<void()> agent_gone)
    : channel_(channel),
      ring_(ring),
      activity_table_(activity_table),
      make_session_(std::move(make_session)),
      agent_gone_(std::move(agent_gone)),
      ended_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (ended_fd_ < 0) throw Error(fmt::format("eventfd: {}", std::strerror(errno)));
}

Worker::~Worker() {
  session_.reset(); // its thread writes to the event descriptor
  close(ended_fd_);
}

int Worker::run() {
  wire::Hello hello;
  hello.pid = getpid();
  hello.versions = worker_versions();
  hello.devices = list_devices(hello.device_note);
  channel_.send(wire::Type::hello, hello);
  for (;;) {
    channel_.receive([this](wire::Type type, wire::View payload) { handle(type, payload); });
    if (ended_) return session_->exit_code();
    if (finished_ && session_ == nullptr) return 0;
    if (channel_.closed()) {
      agent_gone_();
      return static_cast<int>(ExitCode::failed);
    }
    wait();
  }
}

void Worker::wait() {
  activity_table_.beat();
  pollfd waiters[] = {{channel_.fd(), POLLIN, 0}, {ended_fd_, POLLIN, 0}};
  poll(waiters, 2, longest_sleep_ms);
  ended_ = (waiters[1].revents & POLLIN) != 0;
}

void Worker::handle(wire::Type type, wire::View payload) {
  if (type == wire::Type::configure) {
    if (session_ != nullptr) throw Error("the worker was configured twice");
    session_ = make_session_({wire::decode<wire::Configure>(payload), channel_, ring_, activity_table_, [fd = ended_fd_] {
                                const std::uint64_t one = 1;
                                [[maybe_unused]] const ssize_t written = write(fd, &one, sizeof one);
                              }});
    return;
  }
  if (type == wire::Type::finish) {
    finished_ = true;
    if (session_ != nullptr) session_->finish();
    return;
  }
  if (session_ == nullptr) throw Error("the worker got work before its configuration");
  session_->handle(type, payload);
}

} // namespace mgpu::worker
