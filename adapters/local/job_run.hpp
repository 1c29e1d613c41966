#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <set>
#include <string>

#include "adapters/local/job_cgroup.hpp"
#include "adapters/local/spool.hpp"
#include "adapters/local/step.hpp"
#include "adapters/local/supervisor.hpp"

namespace ved::adapters::local {

/// Why a job is ended from outside.
enum class ending { none, cancel, time_limit, stopped };

/// Runs the steps of one claimed job in the supervisor's process: single-threaded, a subreaper,
/// with all signals blocked; it waits for them and for every process of the job.
class job_run {
 public:
  job_run(const supervisor_options& options, const spool& files, pb::LocalJob job, job_user user,
          const job_cgroup& cgroup)
      : options_(options),
        spool_(files),
        job_(std::move(job)),
        user_(std::move(user)),
        cgroup_(cgroup) {}

  /// Opens the job's files and makes its directory; nothing of the job runs yet.
  result<void> prepare();
  /// After `prepare`: runs the job to its end.
  pb::LocalJobStatus run();

 private:
  void run_steps();
  started_step start(const step& what, int number);
  void put_limit_off(microseconds by);
  microseconds pause_start(milliseconds pause, std::chrono::steady_clock::time_point began);
  void stand_by();
  void wait_for_leader();
  void drain();
  void note(const std::string& line);

  void sleep_until_event(milliseconds at_most);
  void reap();
  void look_at_controls();
  bool cancel_was_signalled();
  void check_time();
  void begin_end(ending why, std::string text);
  void kill_when_due();
  void suspend();
  struct found {
    bool stood = true;    ///< none of it ran
    bool stands = false;  ///< none of it runs now
  };
  found stop_tree();
  void keep_suspended();
  void resume();
  void signal_tree(int number);
  void kill_tree();

  microseconds time_held() const;
  microseconds run_time() const;
  milliseconds time_left() const;
  void write_status();
  void beat();
  void judge_step(const step& what, int number, int count);
  void take_outputs_back() const;
  pb::LocalJobStatus finish();

  const supervisor_options& options_;
  const spool& spool_;
  const pb::LocalJob job_;
  const job_user user_;
  const job_cgroup& cgroup_;

  step_launch launch_;
  unique_fd stdout_;
  unique_fd stderr_;
  unique_fd notes_;
  unique_fd work_;
  unique_fd entrance_;  ///< to the job's cgroup

  pb::LocalJobStatus status_;
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point beat_at_;
  microseconds waited_{0};  ///< for room to start a step
  bool suspended_ = false;
  std::chrono::steady_clock::time_point resumed_at_;  ///< last
  std::chrono::steady_clock::time_point looked_at_;  ///< suspended: all of it was stopped then
  std::chrono::steady_clock::time_point look_at_;    ///< suspended: whether it still is
  microseconds stood_{0};  ///< while it was suspended; the time in which some of it ran is none
  bool ran_on_ = false;    ///< though it was suspended

  pid_t leader_ = 0;
  std::optional<int> leader_status_;  ///< as waitpid(2) gives it
  bool children_ = false;
  bool failed_ = false;
  bool cancel_signalled_ = false;
  bool draining_ = false;  ///< the outcome is settled

  ending ending_ = ending::none;
  std::string ending_text_;
  std::chrono::steady_clock::time_point kill_at_;

  std::set<pid_t> attempts_;        ///< to start a step, that failed; still to be waited for
  std::int64_t attempts_cpu_us_ = 0;  ///< of those that ended
  std::int64_t cpu_us_ = 0;
  std::int64_t rss_bytes_max_ = 0;
};

}  // namespace ved::adapters::local
