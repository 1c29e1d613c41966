#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/scheduler.hpp"
#include "tools/ve_sim/timeline.hpp"

namespace ved::sim {

/// How a simulated scheduler misbehaves by itself; lies of the wire are the decorator's.
struct cluster_faults {
  double doubles = 0;        ///< per submission: two copies are made
  double loses_record = 0;   ///< per submission: some time later nobody knows the copy any more
  double requeues = 0;       ///< per start: the node fails and the copy goes back to the queue
  double returns = 0;        ///< per end: somebody requeues the copy some time later
  double ignores_limit = 0;  ///< per start: the time limit is not enforced
  bool unknown_words = false;  ///< every submission is refused in words that mean nothing to us
  double foreign_winner = 0;   ///< per copy that runs: its end record names a stranger's token
  double garbage = 0;          ///< per answer about a copy: its reason is random bytes
};

/// One copy of a job as the scheduler truly has it.
struct copy {
  std::uint64_t id = 0;
  job_id job;
  submission_token token;
  pb::JobState state = pb::JOB_STATE_QUEUED;
  std::string reason;
  time_point submitted_at;
  time_point started_at;
  time_point finished_at;
  time_point ends_at;  ///< while running
  microseconds run_for{0};
  microseconds limit{0};  ///< 0: none
  int exit_code = 0;
  std::optional<submission_token> lost_claim_to;
  bool claimed = false;  ///< it passed the claim: the user's work ran
  time_point claimed_at;
  bool doubled = false;  ///< one of two copies of one submission
  bool names_stranger = false;  ///< it says that it gave way to a token of no job
  bool lost = false;     ///< its record is gone, and so is its process
  std::optional<pb::JobState> ended_as;  ///< before somebody requeued it
  unsigned plan = 0;     ///< planned transitions of an older plan are void
};

/// The truth: what one scheduler did. Outlives crashes of the daemon.
class cluster {
 public:
  cluster(std::string name, timeline& time, dice& luck, history& story);

  std::uint64_t accept(const adapters::submission& what);
  void set_faults(const cluster_faults& faults) { faults_ = faults; }
  void set_down(bool down);
  bool down() const noexcept { return down_; }

  const std::string& name() const noexcept { return name_; }
  const std::map<std::uint64_t, copy>& copies() const noexcept { return copies_; }
  int executions(const job_id& job) const;
  static bool is_live(const copy& one);

  /// A port onto this cluster; each sees the same truth.
  std::unique_ptr<adapters::scheduler> connect();

 private:
  friend class cluster_port;

  struct claim {
    std::uint64_t id = 0;
    submission_token token;
  };

  /// The text, or what a broken or hostile part of the site puts in its place.
  std::string garbage(const std::string& text);
  copy& make_copy(const adapters::submission& what, bool doubled);
  void plan_start(copy& one, microseconds pause);
  void plan_end(copy& one);
  void start(std::uint64_t id, unsigned plan);
  void run(std::uint64_t id, unsigned plan);
  void end(std::uint64_t id, unsigned plan);
  void lose(std::uint64_t id);
  void plan_return(const copy& one);
  void finish(copy& one, pb::JobState state, const std::string& reason);
  adapters::control_outcome control(std::uint64_t id, pb::JobControl what);
  adapters::control_outcome bar(const job_id& job);
  void tell(const copy& one, const std::string& what);

  std::string name_;
  timeline& time_;
  dice& luck_;
  history& story_;
  cluster_faults faults_;
  bool down_ = false;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, copy> copies_;
  std::map<job_id, claim> claims_;  ///< the directory that the first line of a script makes
  std::map<job_id, int> executions_;
};

}  // namespace ved::sim
