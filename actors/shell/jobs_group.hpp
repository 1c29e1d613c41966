#pragma once

#include <caf/fwd.hpp>
#include <functional>
#include <memory>

#include "actors/interfaces.hpp"
#include "actors/registry/actor.hpp"
#include "actors/shell/link_directory.hpp"
#include "actors/supervisor/actor.hpp"

namespace ved::actors {

/// What the supervised group of the job registry and the ingress is made of.
struct jobs_group_parts {
  registry_deps registry;
  std::shared_ptr<const link_directory> links;
  /// Of each registry and each ingress that is started; on the supervisor's thread.
  std::function<void(const registry_actor&)> has_registry;
  std::function<void(const ingress_actor&)> has_ingress;
};

/// An ingress ends with its registry, and is started after it.
group_spec jobs_group(caf::actor_system& system, jobs_group_parts parts);

}  // namespace ved::actors
