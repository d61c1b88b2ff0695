#include "common/wire/fork_request.hpp"

#include <fmt/format.h>
#include <linux/limits.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "mgpu/error.hpp"

namespace mgpu::wire {

namespace {

constexpr std::size_t descriptors_bytes = sizeof ForkRequest::descriptors;

/// The parts of a message, with space for the descriptors; it has pointers into itself.
struct Message {
  Message(int& agent, char* path, std::size_t path_bytes) : parts{{&agent, sizeof agent}, {path, path_bytes}} {
    header.msg_iov = parts;
    header.msg_iovlen = 2;
    header.msg_control = room;
    header.msg_controllen = sizeof room;
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  iovec parts[2];
  alignas(cmsghdr) char room[CMSG_SPACE(descriptors_bytes)] = {};
  msghdr header{};
};

} // namespace

bool send_fork_request(int control, const ForkRequest& request) {
  std::string path = request.temporary_folder;
  int agent = request.agent;
  Message message(agent, path.data(), path.size());
  cmsghdr* control_part = CMSG_FIRSTHDR(&message.header);
  control_part->cmsg_level = SOL_SOCKET;
  control_part->cmsg_type = SCM_RIGHTS;
  control_part->cmsg_len = CMSG_LEN(descriptors_bytes);
  std::memcpy(CMSG_DATA(control_part), request.descriptors.data(), descriptors_bytes);
  if (sendmsg(control, &message.header, MSG_NOSIGNAL) >= 0) return true;
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return false;
  throw Error(fmt::format("cannot ask the fork server: {}", std::strerror(errno)));
}

std::optional<ForkRequest> receive_fork_request(int control) {
  ForkRequest request;
  request.temporary_folder.resize(PATH_MAX);
  Message message(request.agent, request.temporary_folder.data(), request.temporary_folder.size());
  ssize_t got = 0;
  do {
    got = recvmsg(control, &message.header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;
  const cmsghdr* control_part = CMSG_FIRSTHDR(&message.header);
  if (control_part == nullptr || control_part->cmsg_type != SCM_RIGHTS || control_part->cmsg_len != CMSG_LEN(descriptors_bytes) ||
      static_cast<std::size_t>(got) <= sizeof request.agent)
    throw Error("the fork server was asked for something else than a worker");
  std::memcpy(request.descriptors.data(), CMSG_DATA(control_part), descriptors_bytes);
  request.temporary_folder.resize(static_cast<std::size_t>(got) - sizeof request.agent);
  return request;
}

} // namespace mgpu::wire
