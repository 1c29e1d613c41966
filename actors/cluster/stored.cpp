#include "actors/cluster/stored.hpp"

#include "actors/words.hpp"

namespace ved::core {

std::string cluster_stream(std::string_view cluster_id) {
  return "cluster/" + std::string(cluster_id);
}

namespace cluster {

result<std::string> fold(std::string_view, std::string_view state, const pb::Envelope& event) {
  if (!event.cluster().has_identified()) return std::string(state);
  pb::ClusterRecord record;
  record.set_scheduler_type(event.cluster().identified().scheduler_type());
  record.set_name(event.cluster().identified().name());
  record.set_place(event.cluster().identified().place());
  record.set_account(event.cluster().identified().account());
  return record.SerializeAsString();
}

std::string tell(const pb::ClusterEvent& what) {
  switch (what.event_case()) {
    case pb::ClusterEvent::kDown:
      return "the cluster stopped answering" + because(what.down().reason());
    case pb::ClusterEvent::kUp:
      return "the cluster answers again after " +
             std::to_string(what.up().down_us() / 1'000'000) + " s";
    case pb::ClusterEvent::kIdentified: {
      const auto& e = what.identified();
      return "the cluster's scheduler is " + e.scheduler_type() +
             (e.name().empty() ? "" : " '" + e.name() + "'");
    }
    case pb::ClusterEvent::kBegun: return "the log of the cluster was begun";
    case pb::ClusterEvent::EVENT_NOT_SET: break;
  }
  return std::string(unknown_event_words);
}

}  // namespace cluster
}  // namespace ved::core
