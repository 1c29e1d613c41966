#pragma once

#include <caf/fwd.hpp>
#include <memory>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "actors/interfaces.hpp"
#include "actors/job/actor.hpp"

namespace ved::actors {

struct registry_deps {
  std::shared_ptr<const job_environment> world;
  std::size_t live_jobs_max = 100;
  /// Why jobs are taken from the store: goes into the log of those whose submission was cut off.
  std::string why_recovered = "the daemon started anew while the submission was in flight";
};

class registry_state {
 public:
  static inline const char* name = "job_registry";

  /// Jobs do not outlive their registry: the next one starts its own from the store.
  ~registry_state();

  struct wake {
    time_point at;
    job_id job;
    friend bool operator<(const wake& a, const wake& b) { return a.at > b.at; }
  };
  struct fallen {
    time_point again_at;
    int times = 0;  ///< in a row
  };
  std::unordered_map<job_id, job_actor> jobs;
  std::unordered_map<caf::actor_addr, job_id> ids;
  std::priority_queue<wake> wakes;
  std::unordered_map<job_id, fallen> fallen_jobs;
  std::string recover_after;  ///< index key of the last job recovered
  bool recovered = false;
};

registry_actor::behavior_type job_registry(registry_actor::stateful_pointer<registry_state> self,
                                           registry_deps deps);

}  // namespace ved::actors
