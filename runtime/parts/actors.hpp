#pragma once

#include <caf/fwd.hpp>
#include <functional>
#include <memory>
#include <string>

#include "actors/interfaces.hpp"
#include "actors/job/actor.hpp"
#include "actors/supervisor/actor.hpp"
#include "runtime/config/config.hpp"
#include "runtime/parts/clusters.hpp"
#include "runtime/parts/logs.hpp"

namespace ved::runtime {

/// The actor system of a running daemon, with the supervised tree: links, registry with its jobs,
/// ingress. Owned by the daemon's root.
class actors_part {
 public:
  struct options {
    job_service_config limits;
    std::shared_ptr<actors::log_sink> logs;
    std::shared_ptr<actors::problem_board> problems;
    std::function<time_point()> clock;
    std::function<void(const char* point)> crash_point;  ///< see job_environment
    std::function<void(const std::string& why)> fatal;
    std::function<void(const std::string& child)> restarted;
    logs_part* event_logs = nullptr;   ///< outlives this
    clusters_part* clusters = nullptr; ///< likewise
  };

  /// Has the system, and the logs their writers in it.
  explicit actors_part(options how);
  ~actors_part();
  actors_part(const actors_part&) = delete;
  actors_part& operator=(const actors_part&) = delete;

  /// Starts the tree; all of it runs when this returns. `ingress` hears of each ingress actor.
  void begin(std::function<void(const actors::ingress_actor&)> ingress);
  /// Ends it, and waits until all have ended: the supervisor may be starting one right now, and
  /// theirs are calls into others. The logs' writers go on.
  void end();

  caf::actor_system& system() const;
  const actors::supervisor_actor& supervisor() const noexcept { return supervisor_; }

 private:
  struct host;

  actors::group_spec jobs(std::function<void(const actors::ingress_actor&)> ingress);

  const options how_;
  std::unique_ptr<host> host_;
  std::shared_ptr<const actors::job_environment> world_;
  actors::registry_actor registry_;  ///< touched by the supervisor's thread only
  actors::supervisor_actor supervisor_;
};

}  // namespace ved::runtime
