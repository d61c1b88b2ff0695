#pragma once
// What an agent and the fork server of its workers say to each other. The fork server (src/common/wire/fork_server.hpp) is a copy of the first
// worker, made before it had threads: to fork it takes milliseconds where to start the program takes LibTorch's 0.4 s.
#include <array>
#include <optional>
#include <string>

namespace mgpu::wire {

/// Numbers under which a worker finds what it inherits, beside the standard streams.
struct WorkerDescriptors {
  static constexpr int socket = 3, ring = 4, activity = 5, forks = 6;
  static constexpr int last = forks;
};

/// The fork server writes this byte when it is ready to be asked.
constexpr char fork_server_ready = 'r';

/// Asks for a worker. Descriptors of a request that was received belong to who received it.
struct ForkRequest {
  /// In this order: where the worker writes its process id, and waits for a byte that says it is wanted (without, it ends); socket;
  /// ring; activity table; standard error.
  std::array<int, 5> descriptors{-1, -1, -1, -1, -1};
  std::string temporary_folder; ///< its TMPDIR
  int agent = 0;                ///< process id: the worker ends when that process does
};

/// False when nobody reads there any more. Throws Error when it cannot be sent for another reason.
bool send_fork_request(int control, const ForkRequest& request);
/// Waits for one; nothing when the other end has been closed. Throws Error on what is not a request.
std::optional<ForkRequest> receive_fork_request(int control);

} // namespace mgpu::wire
