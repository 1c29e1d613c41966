#pragma once

#include <caf/fwd.hpp>
#include <memory>
#include <string>

#include "actors/interfaces.hpp"
#include "actors/shell/link_directory.hpp"

namespace ved::actors {

struct ingress_deps {
  registry_actor registry;
  std::shared_ptr<const link_directory> links;
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
