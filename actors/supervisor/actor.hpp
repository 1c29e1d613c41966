#pragma once

#include <caf/actor.hpp>
#include <caf/atom.hpp>
#include <caf/fwd.hpp>
#include <caf/typed_actor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/shell/log_sink.hpp"
#include "actors/supervisor/restart_policy.hpp"

/// The supervision tree of the daemon, two levels deep:
///
///     root (rest_for_one over its groups; 3 restarts in 60 s, then the process ends)
///      ├─ group "links"  (one_for_one): one scheduler link per cluster
///      └─ group "jobs"   (rest_for_one): job registry (and through it the jobs), ingress
///
/// The event log stands outside: its failure always ends the process, because nothing may be
/// retried on a file handle whose sync has failed.
namespace ved::actors {

struct child_spec {
  std::string name;
  /// Spawns the child and makes its handle known to whoever needs it.
  std::function<caf::actor()> start;
};

struct group_spec {
  std::string name;
  core::supervisor::strategy how = core::supervisor::strategy::one_for_one;
  core::supervisor::restart_limits limits;
  std::vector<child_spec> children;
};

struct supervisor_deps {
  std::vector<group_spec> groups;
  core::supervisor::restart_limits root_limits{3, seconds{60}, milliseconds{100}, seconds{5}, 2.0,
                                               seconds{60}};
  std::shared_ptr<log_sink> logs;
  std::function<time_point()> clock;
  /// Called once when restarting has not helped.
  std::function<void(const std::string& reason)> fatal;
  /// After each restart of a child, by name; for metrics.
  std::function<void(const std::string& child)> restarted;
};

/// A child that comes while the others run; one of that name that runs is ended before.
struct put_child {
  std::string group;
  child_spec child;
};
/// A child that is ended and not started again.
struct take_child {
  std::string group;
  std::string name;
};

using children_atom = caf::atom_constant<caf::atom("children")>;
using stop_atom = caf::atom_constant<caf::atom("stop")>;

struct restart_order {
  std::size_t group = 0;
  std::vector<std::size_t> children;
  std::uint64_t generation = 0;  ///< of the group; an older order is void
};
struct child_list {
  std::vector<std::pair<std::string, caf::actor>> children;
};

using supervisor_actor = caf::typed_actor<
    // To itself: start these children again.
    caf::reacts_to<restart_order>,
    // Who runs now, by name.
    caf::replies_to<children_atom>::with<child_list>,
    // Who runs then.
    caf::replies_to<put_child>::with<child_list>,
    // Who is ended; none: it did not run.
    caf::replies_to<take_child>::with<child_list>,
    // Ends the children, last started first, then itself.
    caf::reacts_to<stop_atom>>;

class supervisor_state {
 public:
  static inline const char* name = "supervisor";

  struct child {
    child_spec spec;  ///< nothing starts it: it was taken away
    caf::actor handle;
  };
  struct group {
    std::string name;
    std::vector<child> children;
    core::supervisor::restart_policy policy;
    std::uint64_t generation = 0;
  };
  std::vector<group> groups;
  std::unique_ptr<core::supervisor::restart_policy> root;
};

supervisor_actor::behavior_type supervisor(
    supervisor_actor::stateful_pointer<supervisor_state> self, supervisor_deps deps);

}  // namespace ved::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::restart_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::child_list)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::put_child)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::take_child)
