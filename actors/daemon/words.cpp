#include "actors/daemon/words.hpp"

#include "actors/words.hpp"

namespace ved::core::daemon {

std::string tell(const pb::DaemonEvent& what) {
  switch (what.event_case()) {
    case pb::DaemonEvent::kStarted: {
      const auto& e = what.started();
      return "ved " + e.version() + " started with " + std::to_string(e.live_jobs()) +
             " live jobs, process " + std::to_string(e.pid());
    }
    case pb::DaemonEvent::kStopped: return "ved stopped" + because(what.stopped().reason());
    case pb::DaemonEvent::EVENT_NOT_SET: break;
  }
  return std::string(unknown_event_words);
}

}  // namespace ved::core::daemon
