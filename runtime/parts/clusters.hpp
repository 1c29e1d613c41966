#pragma once

#include <caf/fwd.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/job/actor.hpp"
#include "actors/shell/cluster_directory.hpp"
#include "actors/shell/link_directory.hpp"
#include "actors/supervisor/actor.hpp"
#include "runtime/clusters.hpp"
#include "runtime/metrics/metrics.hpp"
#include "runtime/parts/logs.hpp"

namespace ved::runtime {

/// What a reload made of the clusters, each list by id.
struct cluster_changes {
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<std::string> changed;
  /// Configured, but out of service, and why.
  std::map<std::string, std::string> out_of_service;
};

/// The clusters of a running daemon: each with its scheduler, the threads that call it, and who
/// watches its jobs; their links are children of the supervisor. A cluster comes, changes and goes
/// while the daemon runs: its jobs, its log and whoever follows that stay. Owned by the daemon's
/// root, which calls one at a time.
class clusters_part {
 public:
  struct options {
    std::string supervisor_path;  ///< of ved-job-supervisor
    std::string fault_plan;       ///< see cluster_environment
    std::string gives_up;         ///< the cluster whose jobs are given up, once; empty: none
    std::shared_ptr<actors::log_sink> logs;
    std::shared_ptr<actors::problem_board> problems;
    std::function<time_point()> clock;
    std::function<void(const char* point)> crash_point;  ///< see job_environment
    logs_part* event_logs = nullptr;  ///< outlives this
  };
  /// A cluster's log is there now: whoever follows logs follows this one, too.
  using join_log = std::function<result<void>(const actors::open_log& log)>;
  /// What a cluster that comes while the daemon runs joins, and one that goes leaves.
  struct surroundings {
    caf::actor_system* system = nullptr;
    actors::supervisor_actor supervisor;
    join_log joined;  ///< also told of one that is followed already
    /// Told what a reload that does not return waits for; may be unset.
    std::function<void(const std::string&)> waits_for;

    void tell(const std::string& what) const {
      if (waits_for) waits_for(what);
    }
  };

  explicit clusters_part(options how);
  /// Stops.
  ~clusters_part();
  clusters_part(const clusters_part&) = delete;
  clusters_part& operator=(const clusters_part&) = delete;

  const std::shared_ptr<actors::cluster_directory>& directory() const { return directory_; }
  const std::shared_ptr<actors::link_directory>& links() const { return links_; }

  /// The metrics that hear of calls; before `open`.
  void count_in(std::shared_ptr<metrics> numbers) { numbers_ = std::move(numbers); }
  /// Sees to the logs of all that are configured. One without its log stands still.
  void need_logs(const config& settings, const join_log& joined);
  /// Opens them. An error names the first that cannot be opened; a start ends with it.
  result<void> open(const config& settings);
  /// The links, for the supervisor; `restarted` hears of each that it starts.
  actors::group_spec group(caf::actor_system& system,
                           std::function<void(const cluster_id&)> restarted);
  /// Lets the clusters start jobs, once the daemon is sure to serve.
  void begin();
  /// What differs is closed and opened anew; what is the same goes on undisturbed. One that cannot
  /// be opened is out of service, a problem in health, and tried again by the next reload.
  cluster_changes reload(const config& settings, const surroundings& around);
  /// What was given up, and may run on where nobody asks. Any thread.
  std::vector<actors::problem> problems() const;
  /// Ends calls that are under way, lets none begin, and waits for the watchers. The links have
  /// ended.
  void stop();

 private:
  struct running;

  cluster_environment environment(const config& settings);
  result<void> open_one(const cluster_config& cluster, cluster_environment& environment);
  result<void> join(const cluster_config& cluster, cluster_environment& environment,
                    const surroundings& around);
  void serve(const running& one) const;
  std::function<caf::actor()> start_link(const std::shared_ptr<running>& one,
                                         caf::actor_system& system) const;
  /// `comes_back`: as another one, in a moment.
  void close(const cluster_id& cluster, bool comes_back, const surroundings& around);
  void warn_of(const config& settings);
  void stand_still(const cluster_id& cluster, const std::string& why);
  /// The same, and a problem.
  void out_of_service(const cluster_id& cluster, const std::string& why);

  const options how_;
  std::string gives_up_;  ///< of the start alone, not of a later reload
  std::shared_ptr<metrics> numbers_;
  std::shared_ptr<actors::cluster_directory> directory_ =
      std::make_shared<actors::cluster_directory>();
  std::shared_ptr<actors::link_directory> links_ = std::make_shared<actors::link_directory>();
  std::function<void(const cluster_id&)> restarted_;
  std::map<cluster_id, std::string> instances_;  ///< of the logs: see instance_of
  std::map<cluster_id, std::shared_ptr<running>> running_;
  std::set<cluster_id> warned_;
};

}  // namespace ved::runtime
