#pragma once

#include <functional>

#include "adapters/scheduler.hpp"
#include "messages/error.hpp"

namespace ved::actors {

/// Where the blocking calls to one cluster's scheduler are made: threads in a daemon (io_pool), the
/// timeline in a simulation.
class call_pool {
 public:
  /// Tells whoever waits for it what came of a call.
  using telling = std::function<void()>;
  /// Gets the connection, or the reason why there is none, and makes the call.
  using task = std::function<telling(result<adapters::scheduler*> connection)>;

  virtual ~call_pool() = default;

  /// Any thread. False: the queue is full or the pool stops; the task will not run.
  virtual bool post(task work) = 0;
};

}  // namespace ved::actors
