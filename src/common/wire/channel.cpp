#include "common/wire/channel.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace mgpu::wire {

namespace {

constexpr std::size_t read_size = 256u << 10;
/// Small frames are merged into buffers of about this size, so that a thousand of them need one system call.
constexpr std::size_t merge_size = 64u << 10;

[[noreturn]] void throw_errno(const char* call) {
  Error error(fmt::format("{}: {}", call, std::strerror(errno)));
  error.call = call;
  throw error;
}

} // namespace

Channel::Channel(int fd) : fd_(fd) {
  const int flags = fcntl(fd_, F_GETFL);
  if (flags < 0 || fcntl(fd_, F_SETFL, flags | O_NONBLOCK) < 0) throw_errno("fcntl");
}

Channel::~Channel() {
  close(fd_);
}

std::pair<int, int> Channel::make_pair() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) < 0) throw_errno("socketpair");
  // Space for many small frames: fewer sleeps and wake-ups on both sides. The kernel may grant less.
  const int wanted = 1 << 20;
  for (const int end : ends) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
  return {ends[0], ends[1]};
}

void Channel::post(Type type, View payload) {
  const FrameHeader header{.type = type, .size = payload.size()};
  const auto* head = reinterpret_cast<const std::byte*>(&header);
  const std::lock_guard lock(out_mutex_);
  if (out_.empty() || out_.back().size() + payload.size() > merge_size) {
    out_.emplace_back();
    out_.back().reserve(std::max(sizeof header + payload.size(), payload.size() < merge_size ? merge_size : 0));
  }
  Buffer& buffer = out_.back();
  buffer.insert(buffer.end(), head, head + sizeof header);
  buffer.insert(buffer.end(), payload.begin(), payload.end());
}

bool Channel::flush() {
  const std::lock_guard lock(out_mutex_);
  return flush_locked();
}

bool Channel::flush_locked() {
  while (!out_.empty()) {
    const Buffer& buffer = out_.front();
    const ssize_t sent = ::send(fd_, buffer.data() + out_at_, buffer.size() - out_at_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      if (errno == EPIPE || errno == ECONNRESET) { // receive() notices it as well
        out_.clear();
        out_at_ = 0;
        return true;
      }
      throw_errno("send");
    }
    out_at_ += static_cast<std::size_t>(sent);
    if (out_at_ == buffer.size()) {
      out_.pop_front();
      out_at_ = 0;
    }
  }
  return true;
}

void Channel::send(Type type, View payload) {
  post(type, payload);
  while (!flush()) {
    pollfd waiter{fd_, POLLOUT, 0};
    // Woken by space or by the peer's end; the limit only guards against a lost wake-up.
    poll(&waiter, 1, 1000);
    if ((waiter.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) throw Error("the other end of the socket is gone");
  }
}

std::size_t Channel::receive(const std::function<void(Type, View)>& handle) {
  std::size_t frames = 0;
  // A bounded number of reads per call, so that a busy peer cannot hold the event loop.
  for (int reads = 0; reads < 4; ++reads) {
    if (in_.size() - in_end_ < read_size) in_.resize(in_end_ + read_size);
    const ssize_t got = ::recv(fd_, in_.data() + in_end_, in_.size() - in_end_, MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      if (errno != ECONNRESET) throw_errno("recv");
    }
    if (got <= 0) {
      closed_ = true;
      break;
    }
    in_end_ += static_cast<std::size_t>(got);
    while (in_end_ - in_begin_ >= sizeof(FrameHeader)) {
      FrameHeader header{};
      std::memcpy(&header, in_.data() + in_begin_, sizeof header);
      if (!header.valid()) throw Error("wire: not a frame of ours");
      const std::size_t whole = sizeof header + header.size;
      if (in_end_ - in_begin_ < whole) {
        if (in_.size() - in_begin_ < whole) in_.resize(in_begin_ + whole);
        break;
      }
      const View payload{in_.data() + in_begin_ + sizeof header, static_cast<std::size_t>(header.size)};
      in_begin_ += whole;
      ++frames;
      handle(header.type, payload);
    }
    if (in_begin_ == in_end_) {
      in_begin_ = in_end_ = 0;
    } else if (in_begin_ > read_size) {
      std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
      in_end_ -= in_begin_;
      in_begin_ = 0;
    }
    if (static_cast<std::size_t>(got) < read_size / 2) break;
  }
  return frames;
}

bool Channel::wait(std::chrono::microseconds timeout) const {
  pollfd waiter{fd_, POLLIN, 0};
  {
    const std::lock_guard lock(out_mutex_);
    if (!out_.empty()) waiter.events |= POLLOUT;
  }
  const timespec limit{timeout.count() / 1'000'000, (timeout.count() % 1'000'000) * 1000};
  return ppoll(&waiter, 1, &limit, nullptr) > 0;
}

} // namespace mgpu::wire
