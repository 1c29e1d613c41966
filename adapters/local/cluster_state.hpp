#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "adapters/local/burial.hpp"
#include "adapters/local/cluster.hpp"
#include "adapters/local/identity.hpp"
#include "adapters/local/moments.hpp"
#include "adapters/local/spool.hpp"
#include "adapters/local/supervisor.hpp"
#include "adapters/local/told.hpp"

/// Inside of the local scheduler; only adapters/local/ includes this.
namespace ved::adapters::local {

/// How a job ends that a cancel reached in the queue.
inline constexpr auto cancelled_before_start = "cancelled before it started";

/// So long it is looked what became of jobs, or their ends are written down, before the cluster's
/// thread does its other work.
inline constexpr milliseconds turn_max{50};

enum class place { queued, active, ended };

/// When the end of a watched supervisor was noticed, and when it lived for certain before that.
struct notice_of_end {
  clock_anchor at;
  clock_anchor lived_at;
};

/// One job in memory. Guarded by the cluster's mutex.
struct entry {
  std::uint64_t id = 0;
  submission_token token;
  job_id job;
  int priority = 0;
  int cpus = 1;
  std::int64_t memory_mb = 0;
  int gpus = 0;
  seconds limit{0};  ///< 0: none
  time_point submitted;

  place where = place::queued;
  bool held = false;
  bool unfit = false;  ///< asks for more than this machine has (it had more once)
  std::string spec_hash;  ///< in hex
  bool has_begun = false;  ///< its owner was told that it runs, whatever the directory still knows

  std::vector<int> gpu_ids;  ///< active: handed out
  bool stands = false;       ///< active: it was seen suspended
  bool announced = false;    ///< active: `supervisor` below is known and watched
  int silent_ends = 0;       ///< of supervisors that were watched, and left neither claim nor word
  unique_fd supervisor;      ///< active: pidfd
  std::optional<notice_of_end> noticed;  ///< active: the supervisor has ended
  /// Active: since when nobody can tell what became of it.
  std::optional<std::chrono::steady_clock::time_point> unclear_since;
  time_point began;          ///< active: its supervisor did, as far as is known
  /// Active: what the start that its supervisor tells is off by; looked at once, so that a start
  /// that was told stays the same.
  std::optional<microseconds> correction;
  /// Active, and cancel was asked: when the supervisor's own time for it is over.
  std::optional<std::chrono::steady_clock::time_point> cancel_due;
  bool cancel_asked = false;  ///< queued: it must not start, though nothing could be written yet
  std::string start_problem;  ///< queued: why its last start failed
  milliseconds start_pause{0};
  std::chrono::steady_clock::time_point start_after;

  pb::LocalJobStatus end;  ///< ended
  std::chrono::steady_clock::time_point noticed_at;
};

/// Higher priority first, then the older job.
struct queue_key {
  int priority;
  std::uint64_t id;
  friend bool operator<(const queue_key& a, const queue_key& b) noexcept {
    return a.priority != b.priority ? a.priority > b.priority : a.id < b.id;
  }
};

class local_cluster {
 public:
  explicit local_cluster(local_options options);
  ~local_cluster();
  local_cluster(const local_cluster&) = delete;
  local_cluster& operator=(const local_cluster&) = delete;

  /// Reads the spool.
  result<void> open();
  /// Starts the threads.
  void begin();

  std::vector<submit_outcome> submit(std::span<const submission> jobs, scheduler::deadline until);
  std::vector<find_outcome> find(std::span<const lookup> what);
  poll_result observe(std::span<const tracked_job> jobs);
  control_outcome control(const control_request& request);
  inventory take_inventory();
  health check_health();
  result<output_chunk> read_output(const output_request& request);

 private:
  using guard = std::unique_lock<std::mutex>;

  // submission.cpp
  std::optional<refused> check(const submission& what) const;
  result<std::uint64_t> draw_id(const guard&);
  void store(std::vector<pb::LocalJob>& batch, const std::vector<std::size_t>& places,
             std::vector<submit_outcome>& outcomes);
  submit_outcome begin_submission(const submission& what, scheduler::deadline until,
                                  std::uint64_t& id);

  // queries.cpp
  find_outcome find_one(const lookup& what);
  /// Whether the job gave way to a copy of itself; under the mutex.
  bool lost_to_same_job(const entry& job);
  void correct_start(entry& job, pb::LocalJobStatus& status) const;
  /// What a job in the queue waits for; under the mutex.
  std::string why_it_waits(const entry& job) const;
  std::string short_of(const entry& job) const;
  std::string kept_by_suspended() const;

  // control.cpp
  control_outcome bar(const tracked_job& job);
  control_outcome cancel(entry& job);
  control_outcome hold(entry& job, bool wanted);
  control_outcome suspend(entry& job, bool wanted);
  void nudge(const entry& job) const;
  void expect_end(entry& job) const;

  // dispatch.cpp: on the cluster's thread, without the mutex
  void run();
  void notice_ends(milliseconds at_most);
  void conclude_noticed();
  void wake() const;
  bool dispatch();
  void announce(const submission_token& token);
  void not_started(const submission_token& token);
  void start_failed(const submission_token& token, const std::string& problem);
  void start_succeeded(entry& job);
  void press(const submission_token& token);
  void check_active();
  void clean();
  void remove_old();
  // ends.cpp: what became of active jobs, likewise
  void note_end(entry& job) const;
  void conclude(const submission_token& token);
  bool ran_all_the_same(const submission_token& token);
  bool may_live(const submission_token& token);
  bool is_given_up(const submission_token& token, const std::string& why);
  result<pb::LocalJobStatus> read_end(const submission_token& token,
                                      const told_bounds& known) const;
  std::optional<clock_anchor> last_seen(const submission_token& token,
                                        const pb::LocalJobStatus& status,
                                        std::span<const char* const> files) const;
  std::optional<clock_anchor> latest_allowed(const submission_token& token, const burial& one,
                                             seconds limit) const;
  // burials.cpp: of jobs that nobody can speak for any more, likewise
  void begin_burial(const submission_token& token, const std::string& unread);
  bool is_over(const burial& one) const;
  void go_on_burying();
  clock_anchor end_of(const submission_token& token, burial& one,
                      const std::optional<notice_of_end>& noticed, seconds limit) const;
  void end_burial(const submission_token& token, burial& one);

  /// Now, on both clocks.
  clock_anchor now() const { return {options_.clock(), since_boot()}; }
  void correct_times(pb::LocalJobStatus& end, const told_bounds& known) const;

  // site.cpp
  bool is_in_place() const;
  std::string problem_of_directory() const;
  /// A write failed; under the mutex.
  void note_failed_write(const error& why);
  void look_at_site();

  // copies.cpp: before anything is changed
  result<void> check_original() const;
  result<void> note_birthmark() const;

  // opening.cpp: which directory it is, and what the log knows of it
  result<void> read_opening();
  result<void> check_directory() const;
  result<void> check_log();
  void count_opening();
  std::string recorded_name() const;
  result<void> write_identity(const directory_identity& identity) const;
  void look_at_log();

  // cluster.cpp: all with the mutex held
  bool has_trace_of_run(const submission_token& token) const;
  /// What `entry` holds of a job against which its files are read; now.
  told_bounds bounds_of(const entry& job) const;
  result<void> load(const submission_token& token);
  entry& insert(const pb::LocalJob& job);
  bool fits_machine(const entry& job) const;
  bool fits_now(const entry& job) const;
  void enqueue(entry& job);
  void take_slots(entry& job, const std::vector<int>* gpu_ids);
  void release_slots(entry& job);
  void end(entry& job, const pb::LocalJobStatus& status);
  entry* find_entry(const submission_token& token);
  entry* find_entry(const scheduler_job_id& id);
  result<void> save_next_id(std::uint64_t value) const;

  const local_options options_;
  const spool spool_;
  const std::string boot_id_;
  unique_fd lock_;
  unique_fd root_;  ///< the directory as it was when it was opened
  unique_fd wake_;
  unique_fd epoll_;

  std::mutex mutex_;
  std::condition_variable written_;
  std::unordered_map<std::string, std::unique_ptr<entry>> jobs_;  ///< by token
  std::unordered_map<std::uint64_t, entry*> by_id_;
  std::set<queue_key> queue_;                                       ///< neither held nor unfit
  std::set<std::uint64_t> active_;                                  ///< ids
  std::map<std::pair<std::int64_t, std::uint64_t>, entry*> ended_;  ///< by end time
  std::unordered_set<std::string> busy_;  ///< tokens whose directory appears or disappears now
  std::map<std::string, std::string> damaged_;  ///< token: why its spec cannot be read
  std::size_t queued_ = 0;                      ///< all that wait, also held and unfit
  int cpus_used_ = 0;
  std::int64_t memory_mb_used_ = 0;
  std::vector<bool> gpu_used_;
  std::uint64_t next_id_ = 1;
  std::uint64_t next_id_saved_ = 1;
  std::uint64_t opening_ = 0;  ///< how often the directory was opened, this time included
  directory_identity identity_;  ///< as it is on disk; of the cluster's thread once it runs
  std::string name_;             ///< what the log shall call the directory
  std::string log_problem_;      ///< what the log does not know of the directory
  std::string site_problem_;   ///< why nothing can be taken or started in the directory
  std::string write_problem_;  ///< what failed last, until a write succeeds
  std::string told_;           ///< to the owner; of the cluster's thread
  std::string start_problem_;  ///< why no supervisor can be started
  submission_token start_failed_;  ///< of the last job whose start failed; empty: one went well
  milliseconds start_pause_{0};  ///< the last pause; 0: the last start went well
  std::chrono::steady_clock::time_point start_again_at_;
  std::atomic<bool> stopping_{false};

  // Of the cluster's thread:
  clock_anchor looked_at_;  ///< no supervisor had ended then whose end is not noticed yet
  std::deque<submission_token> noticed_;     ///< ends to look into
  std::map<std::string, burial> burials_;    ///< by token
  std::chrono::steady_clock::time_point bury_at_;  ///< the next look

  std::condition_variable stopped_;

  std::thread thread_;
  std::thread cleaner_;
  /// Of those that ended long ago what takes long to remove. Of the cleaner alone.
  std::vector<std::pair<submission_token, job_id>> half_removed_;
};

}  // namespace ved::adapters::local
