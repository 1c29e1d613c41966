#pragma once

#include <caf/fwd.hpp>
#include <functional>
#include <memory>
#include <string>

#include "actors/interfaces.hpp"
#include "actors/shell/commit_feed.hpp"

namespace ved::actors {

/// Appends that may wait for the next commit; beyond, the answer is errc::overloaded.
inline constexpr std::size_t append_queue_max = 65536;

/// The log's single writer. It must be spawned detached: it blocks in the sync.
struct event_log_deps {
  std::shared_ptr<store::event_log> log;
  std::shared_ptr<commit_feed> feed;
  std::function<time_point()> clock;
  /// Called once when the disk has failed: the process must end and start anew from what is
  /// stored, because after a failed sync nothing is known about the pages in memory.
  std::function<void(const std::string& reason)> fatal;
  std::size_t queue_max = append_queue_max;
};

/// Bytes of appends that wait; beyond, errc::overloaded likewise.
inline constexpr std::size_t append_queue_bytes_max = 256u << 20;
/// Appends in one commit.
inline constexpr std::size_t append_group_max = 1024;
/// Bytes in one commit, unless a single append has more: how long the ones behind it wait.
inline constexpr std::size_t append_group_bytes_max = 8u << 20;

class event_log_state {
 public:
  static inline const char* name = "event_log";

  struct waiting {
    store::append_request request;
    std::size_t bytes = 0;
    caf::typed_response_promise<append_reply> promise;
  };
  std::vector<waiting> queue;
  std::size_t queued_bytes = 0;
  bool flush_sent = false;
  std::vector<caf::typed_response_promise<barrier_atom>> barriers;  ///< wait for the next flush
};

/// How many of the waiting appends, given their bytes in order, make the next commit: at least one.
std::size_t next_group(const std::vector<event_log_state::waiting>& queue);

/// Whether an append of so many bytes may wait for the next commit: alone it always may.
bool has_room(const event_log_state& state, std::size_t bytes,
              std::size_t queue_max = append_queue_max);

event_log_actor::behavior_type event_log(event_log_actor::stateful_pointer<event_log_state> self,
                                         event_log_deps deps);

}  // namespace ved::actors
