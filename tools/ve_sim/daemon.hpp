#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/job/actor.hpp"
#include "actors/registry/actor.hpp"
#include "actors/shell/cluster_directory.hpp"
#include "actors/shell/link_directory.hpp"
#include "actors/shell/log_writers.hpp"
#include "actors/supervisor/actor.hpp"
#include "adapters/scheduler.hpp"
#include "store/event_logs.hpp"
#include "store/memory_kv.hpp"
#include "tools/ve_sim/calls.hpp"
#include "tools/ve_sim/hook.hpp"
#include "tools/ve_sim/stage.hpp"
#include "tools/ve_sim/timeline.hpp"

namespace ved::sim {

/// How often the daemon's own parts fail, per event or call.
struct daemon_faults {
  double crash = 0;                ///< per step: the whole daemon is killed
  double sync_fails = 0;           ///< per look at the disks
  double crash_around_commit = 0;  ///< per group commit: before it, or before its acknowledgement
  double crash_at_point = 0;       ///< per named place in the code (see job_environment)
  double slow_actor = 0;           ///< per message: its actor gets no thread for a while
  call_faults calls;
  hook_faults hook;
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
  stage& actors;
  timeline& time;
  dice& luck;
  history& story;
  core::job::policy job_limits;
  core::link::limits link_limits;
  daemon_faults faults;
  std::size_t log_queue_max = 65536;   ///< appends that may wait
  std::size_t call_queue_max = 1024;   ///< calls that may, per cluster
  std::shared_ptr<store::memory_disk> own_disk;
  std::map<std::string, std::shared_ptr<store::memory_disk>> disks;   ///< by cluster
  std::map<std::string, std::unique_ptr<adapters::scheduler>> ports;  ///< by cluster
  std::vector<heard_callback> heard;               ///< by the site's receiver of callbacks
  std::function<void(const std::string&)> broken;  ///< an invariant does not hold
};

/// One daemon process: its real actors under their supervisor, on disks in memory and simulated
/// schedulers. Its root, threads and clock are the simulation's.
class daemon {
 public:
  using reply = std::function<void(client_answer)>;

  /// Opens the logs and starts the tree, as the daemon's root does.
  explicit daemon(site& where);
  ~daemon();
  daemon(const daemon&) = delete;
  daemon& operator=(const daemon&) = delete;

  /// Lets one of its actors take one message; false: none has any.
  bool act();
  /// Why the process must end now; none: it lives.
  const std::optional<std::string>& dies_of() const noexcept { return life_->dies_of; }
  /// The process is gone, and with it what its disks had not synced.
  void kill();

  void submit(const pb::JobSpec& spec, const std::string& spec_hash, reply done);
  void ask(const job_id& job, core::job::command what, reply done);

  /// One actor fails: a job's, a link, the registry, the ingress, a log's writer or the supervisor.
  void crash_some_job();
  void crash_some_link();
  void crash_some_part();

  const store::event_logs& logs() const { return *logs_; }
  /// The job as its actor has it; null: it has none.
  const core::job::job* find(const job_id& job) const;
  /// Nothing is on its way inside the daemon.
  bool idle() const;

 private:
  /// Outlives the daemon in what it had planned.
  struct life {
    bool alive = true;
    std::optional<std::string> dies_of;
  };
  class sink;

  void open_log(const std::string& name, const std::shared_ptr<store::memory_disk>& disk);
  void start_writers();
  void start_hooks();
  result<store::append_ack> append(const actors::event_log_actor& writer,
                                   store::append_request what);
  void start_tree();
  caf::actor start_link(const std::string& cluster);
  std::function<void(result<actors::job_snapshot>)> answering(reply done) const;
  std::function<void(const char*)> crash_point();
  std::function<void(const std::string&)> dying();
  std::function<time_point()> clock() const;
  void fail_actor(const std::string& what, const caf::actor& which);
  const actors::registry_state* registry() const;
  void tell_events(const std::string& log);

  site& site_;
  std::shared_ptr<life> life_ = std::make_shared<life>();
  std::shared_ptr<store::event_logs> logs_;
  std::shared_ptr<actors::log_writers> writers_;
  std::shared_ptr<actors::link_directory> links_ = std::make_shared<actors::link_directory>();
  std::shared_ptr<actors::cluster_directory> clusters_ =
      std::make_shared<actors::cluster_directory>();
  std::shared_ptr<actors::log_sink> sink_;
  std::map<std::string, std::shared_ptr<simulated_calls>> calls_;
  std::vector<std::unique_ptr<simulated_hook>> hooks_;
  std::vector<actors::commit_feed::subscription> told_;  ///< for the history
  std::map<std::string, std::uint64_t> told_to_;
  actors::registry_actor registry_;
  actors::ingress_actor ingress_;
  actors::supervisor_actor supervisor_;
  std::vector<caf::resumable*> aside_;  ///< actors that get no thread for a while
};

}  // namespace ved::sim
