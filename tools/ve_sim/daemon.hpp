#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/job/core.hpp"
#include "actors/link/core.hpp"
#include "actors/supervisor/restart_policy.hpp"
#include "adapters/scheduler.hpp"
#include "store/event_log.hpp"
#include "tools/ve_sim/timeline.hpp"

namespace ved::sim {

/// How often the daemon's own parts fail, per event or call.
struct daemon_faults {
  double crash = 0;                ///< per step: the whole daemon is killed
  double sync_fails = 0;           ///< per group commit
  double crash_around_commit = 0;  ///< per group commit: before it, or before its acknowledgement
  double overloaded = 0;           ///< per append: the log's queue is full
  double slow_call = 0;            ///< per scheduler call: it takes as long as it may
  double stuck_call = 0;           ///< per scheduler call: it returns long after its deadline
};

/// A job as an outside client sees it.
struct client_answer {
  bool ok = false;
  errc code = errc::internal;
  std::string message;
  bool already_known = false;
};

/// What the daemon's process stands on and what survives its death.
struct site {
  timeline& time;
  dice& luck;
  history& story;
  core::job::policy job_limits;
  core::link::limits link_limits;
  daemon_faults faults;
  std::map<std::string, std::unique_ptr<adapters::scheduler>> ports;  ///< by cluster
  std::map<job_id, pb::JobSpec> specs;             ///< as sent; for calls that outlive the daemon
  std::function<void(const std::string&)> die;     ///< the process ends now
  std::function<void(const std::string&)> broken;  ///< an invariant does not hold
};

/// The actors of one daemon process, as a single-threaded shell over the same cores and the same
/// log: decide, append, apply, reply, react. Its messages travel through the timeline.
class daemon {
 public:
  using reply = std::function<void(client_answer)>;

  daemon(site& where, std::unique_ptr<store::event_log> log);
  ~daemon();

  /// The process is gone: nothing that it had planned happens any more.
  void kill() { *alive_ = false; }
  /// Revives every live job from the log.
  void recover();
  void submit(const pb::JobSpec& spec, const std::string& spec_hash, reply done);
  void ask(const job_id& job, core::job::command what, reply done);

  void crash_some_job();
  void crash_some_link();

  store::event_log& log() { return *log_; }
  std::size_t live_jobs() const { return jobs_.size(); }
  const core::job::job* find(const job_id& job) const;
  /// Nothing is on its way inside the daemon.
  bool idle() const;

 private:
  struct message {
    core::job::command what;
    reply done;  ///< none for reports
  };
  struct job_actor {
    core::job::job state;
    std::uint64_t version = 0;
    std::uint64_t incarnation = 0;
    bool awaits_log = false;
    std::deque<message> mailbox;
    time_point woken_at;
  };
  struct pending_append {
    store::append_request request;
    std::function<void(result<store::append_ack>)> done;
  };
  struct link_actor {
    std::unique_ptr<core::link::link> core;
    std::uint64_t incarnation = 0;
    std::uint64_t stream_version = 0;
    bool up = false;
    std::deque<core::link::order> queue;  ///< calls that wait for a worker
    int busy = 0;
  };

  /// Runs `what` later, unless this process has died by then.
  void later(microseconds pause, std::function<void()> what);
  core::job::context context();
  void deliver(const job_id& job, message what);
  void take(const job_id& job, message what);
  void commit(const job_id& job, core::job::events events, const reply& done);
  void append(pending_append what);
  void write();
  void settle(const job_id& job);
  void fail_job(const job_id& job, const std::string& why);
  void revive(const job_id& job, const std::string& why);
  result<void> load(const job_id& job, job_actor& into) const;

  void start_link(const std::string& cluster);
  void tick(const std::string& cluster, std::uint64_t incarnation);
  void handle(const std::string& cluster, core::link::outputs out);
  void run_next(const std::string& cluster);
  void call(const std::string& cluster, core::link::order what);
  void record(const std::string& cluster, const core::link::breaker_change& change);

  site& site_;
  std::unique_ptr<store::event_log> log_;
  std::shared_ptr<bool> alive_;
  std::uint64_t next_incarnation_ = 1;
  std::map<job_id, job_actor> jobs_;
  std::map<std::string, link_actor> links_;
  core::supervisor::restart_policy restarts_;
  std::deque<pending_append> appends_;
  bool writing_ = false;
  int calls_ = 0;
};

}  // namespace ved::sim
