#pragma once

#include <caf/fwd.hpp>
#include <map>
#include <string>

#include "actors/interfaces.hpp"

namespace ved::actors {

struct ingress_deps {
  registry_actor registry;
  std::map<cluster_id, link_actor> links;
};

class ingress_state {
 public:
  static inline const char* name = "ingress";
};

/// Where threads outside the actor system hand in commands.
ingress_actor::behavior_type ingress(ingress_actor::stateful_pointer<ingress_state> self,
                                     ingress_deps deps);

/// Within this time every `done` is called.
inline constexpr auto ingress_timeout = seconds{20};

}  // namespace ved::actors
