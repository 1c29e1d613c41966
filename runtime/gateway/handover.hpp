#pragma once

#include <caf/actor.hpp>
#include <caf/actor_control_block.hpp>
#include <caf/actor_system.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "messages/error.hpp"

namespace ved::runtime {

/// The inner door to CAF: connected sockets that our own side accepted and checked become
/// connections of CAF's BASP broker, as CAF's TLS module does it with sockets of its own. Nothing
/// listens anywhere: no other process can reach CAF. Includes CAF: for runtime/gateway/*.cpp only.
class handover {
 public:
  handover();
  ~handover();
  handover(const handover&) = delete;
  handover& operator=(const handover&) = delete;

  /// Lets new connections reach `whom`, which takes the place of the actor before it. Error:
  /// unavailable (no descriptors). One caller at a time, on a `caf_visit` or a thread of CAF's.
  result<void> publish(caf::actor_system& system, caf::strong_actor_ptr whom,
                       std::set<std::string> interface);

  /// Gives CAF a connected stream socket, whose owner it becomes; on failure it is closed.
  /// Any thread. False: nothing is published, or no memory.
  bool give(int socket);

  /// Sockets under way; shared with CAF's side.
  struct queue;

 private:
  std::mutex guard_;
  std::shared_ptr<queue> queue_;  ///< of the actor that is published now
  std::uint16_t port_ = 0;        ///< its name inside CAF
};

}  // namespace ved::runtime
