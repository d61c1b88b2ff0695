#pragma once
// The protocol between an agent and the fork server of its workers. The fork server (src/common/wire/fork_server.hpp) is a copy
// of the first worker, made before it had threads: a fork takes milliseconds, a start of the program 0.4 s because of LibTorch.
#include <array>
#include <optional>
#include <string>

namespace mgpu::wire {

/// Numbers of a worker's inherited descriptors, besides the standard streams.
struct WorkerDescriptors {
  static constexpr int socket = 3, ring = 4, activity = 5, forks = 6;
  static constexpr int last = forks;
};

/// The fork server writes this byte when it is ready for requests.
constexpr char fork_server_ready = 'r';

/// A request for a worker. The receiver owns the descriptors of a received request.
struct ForkRequest {
  /// In this order: socket on which the worker writes its process id and waits for a byte as confirmation (without it, it ends);
  /// socket; ring; activity table; standard error.
  std::array<int, 5> descriptors{-1, -1, -1, -1, -1};
  std::string temporary_folder; ///< its TMPDIR
  int agent = 0;                ///< process id of the agent: the worker ends when that process does
};

/// False when the fork server has ended. Throws Error when the request cannot be sent for another reason.
bool send_fork_request(int control, const ForkRequest& request);
/// Waits for a request; nullopt when the other end is closed. Throws Error on anything but a request.
std::optional<ForkRequest> receive_fork_request(int control);

} // namespace mgpu::wire
