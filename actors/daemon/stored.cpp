#include "actors/daemon/stored.hpp"

#include <algorithm>

#include "actors/words.hpp"

namespace ved::core::daemon {

result<std::string> fold(std::string_view stream, std::string_view state,
                         const pb::Envelope& event) {
  if (!event.daemon().has_cluster_log_begun()) return std::string(state);
  pb::DaemonRecord record;
  if (!record.ParseFromString(std::string(state)))
    return fail(errc::corrupt, std::string(stream) + ": stored state does not parse");
  const auto& cluster = event.daemon().cluster_log_begun().cluster_id();
  const auto& known = record.cluster_logs();
  if (std::find(known.begin(), known.end(), cluster) == known.end())
    record.add_cluster_logs(cluster);
  return record.SerializeAsString();
}

std::string tell(const pb::DaemonEvent& what) {
  switch (what.event_case()) {
    case pb::DaemonEvent::kStarted: {
      const auto& e = what.started();
      return "ved " + e.ved_version() + " started with " + std::to_string(e.live_jobs()) +
             " live jobs, process " + std::to_string(e.pid());
    }
    case pb::DaemonEvent::kStopped: return "ved stopped" + because(what.stopped().reason());
    case pb::DaemonEvent::kClusterLogBegun:
      return "the log of cluster " + what.cluster_log_begun().cluster_id() + " was begun";
    case pb::DaemonEvent::EVENT_NOT_SET: break;
  }
  return std::string(unknown_event_words);
}

}  // namespace ved::core::daemon
