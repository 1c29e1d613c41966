#pragma once

#include <caf/fwd.hpp>
#include <caf/typed_response_promise.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "actors/interfaces.hpp"
#include "actors/job/actor.hpp"

namespace ved::actors {

struct registry_deps {
  std::shared_ptr<const job_environment> world;
  std::size_t live_jobs_max = 100;
  std::size_t live_jobs_per_principal_max = 100;
  /// Why jobs are taken from the store: goes into the log of those whose submission was cut off.
  std::string why_recovered = "the daemon started anew while the submission was in flight";
  microseconds tick_interval = milliseconds{50};  ///< how late a wish may be fulfilled
};

class registry_state {
 public:
  static inline const char* name = "job_registry";

  /// Jobs do not outlive their registry: the next one starts its own from the store.
  ~registry_state();

  struct fallen {
    time_point again_at;
    int times = 0;  ///< in a row
  };
  using submitter = std::pair<std::string, std::string>;  ///< name and id of the token
  struct member {
    job_actor actor;
    /// Of `by_submitter`; null: it has ended, and is only followed on.
    std::pair<const submitter, std::size_t>* whose;
  };
  std::unordered_map<job_id, member> jobs;
  std::size_t ended = 0;  ///< how many of them have
  /// How many of those that have not each principal submitted; none stands with 0.
  std::map<submitter, std::size_t> by_submitter;
  std::unordered_map<caf::actor_addr, const job_id*> ids;  ///< keys of `jobs`
  /// One wish per live job at most: a limit may be weeks away, long after its job has ended.
  std::set<std::pair<time_point, job_id>> wakes;
  std::unordered_map<job_id, time_point> wishes;
  std::unordered_map<job_id, fallen> fallen_jobs;
  /// One index of a log.
  struct part {
    store::named_log log;
    std::string_view prefix;
  };
  /// Logs that may still hold back appends of jobs of the registry before this one.
  std::size_t logs_to_wait_for = 0;
  std::set<std::string> logs;      ///< whose jobs are recovered, or will be
  std::vector<part> recovering;    ///< while it does
  std::size_t recovered_parts = 0; ///< of these, wholly
  std::string recover_after;    ///< index key of the last job recovered in the next of them
  std::unordered_set<job_id> unrecovered;  ///< live jobs in the store that are not in `jobs` yet
  struct waiting_submission {
    submit_job what;
    caf::typed_response_promise<job_reply> promise;
  };
  /// Whether their submitters have their parts is not known before all is recovered.
  std::vector<waiting_submission> waiting;
  bool recovered = false;
  /// By log and index: key where the next one goes on.
  std::map<std::pair<std::string, std::string_view>, std::string> sweep_after;
  time_point sweep_at;
};

registry_actor::behavior_type job_registry(registry_actor::stateful_pointer<registry_state> self,
                                           registry_deps deps);

}  // namespace ved::actors
