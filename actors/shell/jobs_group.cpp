#include "actors/shell/jobs_group.hpp"

#include <caf/actor_system.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <utility>

#include "actors/ingress/actor.hpp"

namespace ved::actors {

group_spec jobs_group(caf::actor_system& system, jobs_group_parts parts) {
  group_spec out{"jobs", core::supervisor::strategy::rest_for_one, {}, {}};
  const auto now = std::make_shared<registry_actor>();  ///< the one that runs
  const auto of = std::make_shared<const jobs_group_parts>(std::move(parts));
  out.children.push_back({"job_registry", [&system, of, now] {
                            *now = system.spawn(job_registry, of->registry);
                            of->has_registry(*now);
                            return caf::actor_cast<caf::actor>(*now);
                          }});
  out.children.push_back({"ingress", [&system, of, now] {
                            auto made = system.spawn(ingress, ingress_deps{*now, of->links});
                            of->has_ingress(made);
                            return caf::actor_cast<caf::actor>(made);
                          }});
  return out;
}

}  // namespace ved::actors
