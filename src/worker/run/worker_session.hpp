#pragma once
#include <functional>
#include <memory>

#include "common/wire/activity_table.hpp"
#include "common/wire/channel.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/ring.hpp"

namespace mgpu::worker {

/// One configured run of any kind in a worker. It works on its own threads and receives rank 0's frames.
class WorkerSession {
 public:
  virtual ~WorkerSession() = default;
  /// Handles a frame. Throws Error on one that is not for this kind of session.
  virtual void handle(wire::Type type, wire::View payload) = 0;
  /// No more work: ends when all work is done.
  virtual void finish() = 0;
  /// 0 after a drained finish, else the code of the Failure that it has sent. Valid once `ended` was called.
  virtual int exit_code() const = 0;
};

/// Arguments of a session. `ended` is called once, as the last action of the session's thread.
struct SessionParts {
  wire::Configure configure;
  wire::Channel& channel;
  wire::SharedMemory& ring;
  wire::ActivityTable& activity_table; ///< for the activities of its threads
  std::function<void()> ended;
};
using MakeSession = std::function<std::unique_ptr<WorkerSession>(SessionParts)>;

} // namespace mgpu::worker
