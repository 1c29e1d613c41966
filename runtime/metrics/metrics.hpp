#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "actors/job/core.hpp"
#include "messages/api.pb.h"
#include "messages/event.pb.h"
#include "messages/ids.hpp"
#include "messages/time.hpp"
#include "runtime/http/server.hpp"

namespace ved::runtime {

/// The daemon's numbers in Prometheus' text format 0.0.4. Names of the provider operations guide
/// begin with hpc_ and are about jobs and clusters, the others with ved_ and are about the daemon.
/// Counters begin at zero with the process. Every call is safe from any thread and does not block
/// on I/O, except text().
class metrics {
 public:
  struct sources {
    std::string version;
    time_point started_at;
    std::vector<cluster_id> clusters;  ///< see serve
    std::function<std::uint64_t()> log_bytes;
    std::function<std::uint64_t()> disk_free_bytes;
    std::function<time_point()> now;
    /// Name and end of each certificate that the daemon uses.
    std::function<std::vector<std::pair<std::string, time_point>>()> certificates;
    std::function<microseconds()> clock_offset;  ///< of the system's clock from the daemon's
    std::function<std::map<std::string, std::uint64_t>()> damaged_reads;  ///< by table of the log
  };

  explicit metrics(sources from);
  ~metrics();
  metrics(const metrics&) = delete;
  metrics& operator=(const metrics&) = delete;

  /// These clusters are configured now. Their series are there from now on, so that no alert misses
  /// one.
  void serve(const std::vector<cluster_id>& clusters);
  /// A cluster has answered a poll.
  void poll_took(const cluster_id& cluster, microseconds duration);
  /// Commands of the scheduler were run ("sbatch", "squeue").
  void commands_run(const cluster_id& cluster, std::string_view command, int times);
  /// A supervisor has started an actor anew ("job", "link").
  void actor_restarted(std::string_view name);
  /// An answered request. `route` is the template with its parameters in braces, never a path.
  void http_request(std::string_view route, std::string_view method, unsigned status,
                    microseconds duration);
  /// Where text() finds the server's own counts.
  void watch_http(std::function<http_counts()> counts);

  /// A group commit of the log, and how far it is now.
  void committed();
  /// A try to deliver a callback has failed.
  void hook_failed(const std::string& hook);
  /// Requests that were refused for want of a valid token or a right.
  void security_event(std::string_view event_type);

  /// Counts a committed event. `before`: null for the first event of a job; `after`: null when
  /// the event is not a job's. Every event once; the gauges of live jobs are apart: count_live().
  void observe(const pb::Envelope& what, const core::job::job* before, const core::job::job* after);

  /// One live job as found at the start.
  struct live_job {
    std::string cluster;
    pb::JobState state = pb::JOB_STATE_UNSPECIFIED;
    bool held = false;
  };
  /// Adds `jobs` to, or with -1 takes them from, the gauges of live jobs.
  void count_live(const live_job& job, double jobs);
  /// Live jobs of clusters that are not configured: nothing follows them. Any thread.
  std::map<std::string, std::uint64_t> unfollowed_jobs() const;

  /// Everything, given what the daemon's actors say now; without what only they know when they gave
  /// no answer (a Status without status). Linear in the number of series.
  std::string text(const pb::Status& now) const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// How a job counts in the gauges; the state of a finished one is not live.
metrics::live_job to_live(const core::job::job& job);

}  // namespace ved::runtime
