#pragma once

#include <caf/fwd.hpp>
#include <functional>
#include <memory>
#include <string>

#include "actors/interfaces.hpp"
#include "actors/shell/commit_feed.hpp"

namespace ved::actors {

/// The log's single writer. It must be spawned detached: it blocks in the sync.
struct event_log_deps {
  std::shared_ptr<store::event_log> log;
  std::shared_ptr<commit_feed> feed;
  std::function<time_point()> clock;
  /// Called once when the disk has failed: the process must end and start anew from what is
  /// stored, because after a failed sync nothing is known about the pages in memory.
  std::function<void(const std::string& reason)> fatal;
};

/// Appends that may wait for the next commit; beyond, the answer is errc::overloaded.
inline constexpr std::size_t append_queue_max = 65536;
/// Appends in one commit.
inline constexpr std::size_t append_group_max = 1024;

class event_log_state {
 public:
  static inline const char* name = "event_log";

  struct waiting {
    store::append_request request;
    caf::typed_response_promise<append_reply> promise;
  };
  std::vector<waiting> queue;
  bool flush_sent = false;
};

event_log_actor::behavior_type event_log(event_log_actor::stateful_pointer<event_log_state> self,
                                         event_log_deps deps);

}  // namespace ved::actors
