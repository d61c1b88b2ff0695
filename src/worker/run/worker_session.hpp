#pragma once
#include <functional>
#include <memory>

#include "common/wire/activity_table.hpp"
#include "common/wire/channel.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/ring.hpp"

namespace mgpu::worker {

/// One configured run in a worker, whatever its kind: it works on threads of its own and is told what rank 0 says.
class WorkerSession {
 public:
  virtual ~WorkerSession() = default;
  /// A frame for the session. Throws Error on one that is not for its kind.
  virtual void handle(wire::Type type, wire::View payload) = 0;
  /// No more work: end when all in hand is done.
  virtual void finish() = 0;
  /// How the session ended: 0 after a drained finish, else the code of the Failure it has sent. Valid once `ended` was called.
  virtual int exit_code() const = 0;
};

/// What a session is made from. `ended` is called once, from a thread of the session, as its last act.
struct SessionParts {
  wire::Configure configure;
  wire::Channel& channel;
  wire::SharedMemory& ring;
  wire::ActivityTable& activity_table; ///< where its threads note what they are at
  std::function<void()> ended;
};
using MakeSession = std::function<std::unique_ptr<WorkerSession>(SessionParts)>;

} // namespace mgpu::worker
