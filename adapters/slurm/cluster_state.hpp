#pragma once

#include <algorithm>
#include <atomic>
#include <initializer_list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "adapters/slurm/cluster.hpp"
#include "adapters/slurm/errors.hpp"
#include "adapters/slurm/hangs.hpp"
#include "adapters/slurm/site.hpp"
#include "adapters/slurm/tables.hpp"
#include "adapters/slurm/traces.hpp"

/// Private to adapters/slurm: the cluster's shared state and one source file per question.
namespace ved::adapters::slurm {

class slurm_cluster {
 public:
  using deadline = scheduler::deadline;
  /// One call of the port: when it must be over, and the tally of what it asks of Slurm.
  struct call {
    deadline until;
    std::int64_t& queries;
  };

  slurm_cluster(slurm_options options, std::shared_ptr<transport> way);

  std::vector<submit_outcome> submit(std::span<const submission> jobs, call at);
  std::vector<find_outcome> find(std::span<const lookup> what, call at);
  result<poll_result> observe(std::span<const tracked_job> jobs, poll_kind kind, call at);
  std::vector<control_outcome> control(std::span<const control_request> requests, call at);
  result<inventory> take_inventory(call at);
  health check_health(call at);
  result<output_chunk> read_output(const output_request& request, call at);

 private:
  /// What one exec brought. `problem` is empty when the program ran to its end.
  struct answer {
    bool started = true;
    bool whole = false;   ///< nothing of it goes on, and all that it printed is here
    bool denied = false;  ///< the login was refused, or its shell takes no commands
    std::string problem;
    std::string out;  ///< what the program printed
    std::string err;
    std::map<std::string, section> sections;

    /// The section, or one that never began.
    const section& of(const std::string& name) const;
  };
  /// What we remember of a followed job between two polls.
  struct memory {
    job_id job;
    scheduler_job_id id;
    submission_token token;
    time_point ended_seen;       ///< when squeue first showed it ended
    time_point accounts_due;     ///< the first poll after its end that was not quick
    time_point runaway_seen;     ///< when accounting first called it alive against squeue
    /// As squeue showed it; unset: it never did. Controls read it, in any thread.
    std::atomic<time_point> submitted_at{time_point{}};
    /// Squeue's last word, or the log's: it waits, and nobody holds it. A control makes it void, in
    /// any thread.
    std::atomic<bool> waited{false};
    /// The first and the last submission that were seen: between them the number was this job's.
    time_point first_submission;
    time_point last_submission;
    int restarts = 0;            ///< how often Slurm has requeued it, as far as is known
    std::int64_t session = 0;    ///< of its submission, on the login node; 0: not known
    time_point older_since;      ///< since when squeue shows an older submission than it did
    time_point leftover_seen;    ///< when Slurm first held a second start of what has completed
    time_point detail_at;        ///< when the controller was last asked for it alone
    time_point unseen_since;     ///< squeue's answers were broken where its row may be
    time_point unqueued_since;   ///< squeue did not show it, and its own record says that it ended
    time_point unread_since;     ///< its directory was asked for, and nothing of it came
    time_point waited_at;        ///< when squeue last showed it waiting, by the site's clock
    time_point ran_at;           ///< when it last showed it running, by the same
    time_point completing_at;    ///< when the run ended that it shows completing; else unset
    /// Another number that bore its token in squeue, while its own was not shown as its.
    std::string elsewhere;
    std::optional<job_status> last;
    time_point first_start;      ///< the first that squeue showed
    pb::JobUsage allocated;      ///< the most that squeue showed that its run holds
    time_point allocated_since;  ///< when that run began
    bool resized = false;        ///< and it held more at one time than at another
    time_point stood_since;      ///< when the run began that stood suspended for `stood`
    std::optional<seconds> stood;  ///< unset: it was not seen suspended
    std::optional<pb::JobRun> run_before;  ///< the last one that a requeue put an end to
    time_point heeded_at;        ///< when squeue last showed what its last control led to
    std::string held_as;         ///< squeue's reason while it was held through us
    /// Squeue's last word of its end, which may age out there.
    std::optional<job_status> ended;
    std::string ended_word;           ///< Slurm's, of that end
    std::string ended_reason;
    std::optional<exit_status> exit;  ///< as squeue shows it: whole

    void note_submission(time_point at);
    bool was_requeued() const { return first_submission < last_submission; }
    /// Where squeue's count is not known, by its submissions.
    int restarts_at_least() const { return session != 0 ? restarts : was_requeued() ? 1 : 0; }
    bool was_submitted_at(time_point at) const;
  };
  /// A run as accounting has it.
  struct account_record {
    run_key run;
    time_point finished_at;  ///< unset: not told
    bool swept = false;      ///< ended by slurmdbd, in the second in which it began
    bool resized = false;    ///< put together from one for each size
    pb::JobUsage usage;
  };
  /// All that accounting knows of one job id.
  struct account {
    std::vector<account_record> records;
    bool was_resized() const;
    std::string state;   ///< of the last record
    std::string reason;  ///< of the last record
    std::optional<exit_status> exit;
    job_status status;  ///< of the last record, with the use of all
    bool final = false;
    /// Slurm names who cancelled a job; slurmdbd, which ends what a controller without its state
    /// does not know any more, names nobody.
    bool by_nobody = false;
    bool has_started = false;          ///< the last record tells a start
    std::int64_t elapsed_seconds = 0;  ///< of the last record
    bool batch_used = false;  ///< the batch step of the last record told what it used: it ended
    std::string out_of_memory;  ///< the step that was
    bool steps_open = false;  ///< some of its steps have not ended: their use is not there yet
  };
  struct watched;  // one job in the course of an observation
  /// The jobs of one question to sacct, all of one cluster.
  struct accounts_part {
    std::string cluster;
    bool federated = false;
    std::vector<watched*> jobs;
    std::string ids;

    std::string selection() const;
  };

  /// Commands that a program runs to ask Slurm for something.
  struct query {
    std::string_view command;
    int times = 1;
  };

  program begin() const;
  std::string other_account(const section& told);
  /// Counts the queries, unless the program surely never began.
  answer run(program made, call at, std::initializer_list<query> queries = {});
  void judge_arrival(answer& to, const command_finished& done, const arrival& came,
                     std::size_t bytes) const;
  void count(std::string_view command, int times = 1) const;

  /// Seconds that so many directories of jobs may take of a call's time.
  static int share_of(deadline until, std::size_t directories);
  bool asks_accounting() const;
  void note_accounting(failure what);
  /// The columns that this sacct has; asked once. Empty: it could not be asked.
  std::vector<std::string> learn_fields(call at);
  static std::string identity_format(const std::string& separator);
  static std::string guard(const std::string& index, const std::string& cluster,
                           const std::string& ids, const std::string& separator);
  std::string add_claims(program& to, std::span<const control_request> requests,
                         time_point now) const;
  static std::string cancel_other(const tracked_job& job, const std::string& claim_mark,
                                  const std::string& separator);
  std::string submission_of(const tracked_job& job) const;
  control_outcome judge_control(const control_request& one, const section& part,
                                const std::string& problem);

  std::string cluster_mismatch(const std::string& config) const;
  /// The same of the name that a Slurm told: not the configured one, nor the first that answered.
  std::string stranger(const std::string& name) const;
  void meet(const std::string& name);
  /// Why the queries that found nothing say nothing: Slurm's commands may be there and broken, and
  /// what prints nothing and ends well looks like an empty cluster. A controller always has a
  /// configuration to tell.
  std::string why_deaf(const section& config) const;
  /// Of the account's jobs in `cluster`, in all partitions: also in hidden ones, and in those that
  /// the account may no longer use.
  static std::string squeue_command(const std::string& cluster, const std::string& separator);
  static std::string sacct_command(const std::string& selection,
                                   const std::vector<std::string>& fields,
                                   const std::string& separator);
  /// Slurm's number alone is not enough: a controller that lost its state gives it out again.
  static std::string key(const tracked_job& job) { return job.id.str() + ' ' + job.token.str(); }
  static bool is_ours(const tracked_job& job, const queue_row& row);
  std::vector<stray> lasting(std::vector<stray> shown, time_point now);
  microseconds returns_within() const;
  std::set<std::string> clusters_of(std::span<const tracked_job> jobs);
  bool is_in_job_directory(const queue_row& row) const;
  std::optional<stray> stray_at(const queue_row& row, const std::string& cluster) const;
  void remember_former(const memory& left, time_point now);
  static bool is_followed(const watched& job, const queue_row& row);
  static bool is_run_on(const watched& job, const queue_row& row);
  time_point ends_by(const queue_row& row) const;
  static time_point known_start(const watched& job);
  static run_key last_requeued(const watched& job);
  static std::uint64_t note_of(const memory& kept);
  static void remember_told(memory& to, const tracked_job& job);
  static bool is_old(watched& job, const queue_row& row, time_point now);
  /// What was known of the job before the row was read.
  struct known_before {
    time_point enqueued_at;
    int restarts = 0;
    std::int64_t session = 0;
  };
  static void note_requeue(watched& job, const queue_row& row, bool began,
                           const known_before& before);
  time_point site_clock(const section& told, time_point now);
  void see_in_queue(watched& job, const queue_row& row, time_point now);
  std::string looks_at(const std::vector<watched*>& jobs, std::vector<bool>& looked,
                       time_point now) const;
  bool read_looks(const std::vector<watched*>& jobs, const std::vector<bool>& looked,
                  const std::string& nonce, const section& told, time_point now);
  result<void> ask_second_source(const std::vector<watched*>& jobs, call at);
  void read_accounts(const std::vector<watched*>& jobs, const section& from,
                     const std::vector<std::string>& fields, const std::string& separator,
                     bool whole) const;
  static std::vector<accounts_part> parts_of(const std::vector<watched*>& jobs);
  static void hear_controller(watched& job, const section& one);
  bool knows_submissions() const;
  void learn_submissions(const std::vector<watched*>& jobs, call at);
  static void add_held(pb::JobUsage& usage, const watched& job);
  static run_key run_of(const account_record& record);
  static void note_allocation(memory& kept, const queue_row& row, time_point start);
  static void end_record(account_record& record, time_point end);
  static void bound_record(account_record& record, time_point over);
  static void bound_records(std::vector<account_record>& all);
  /// `goes_on`: the last record's run does, with another size.
  static void add_record(account& to, const account_row& row, bool goes_on);
  static bool is_contrary(watched& job);
  void ask_what_undid(const std::vector<watched*>& jobs, call at);
  observation conclude(watched& job, time_point now) const;
  observation conclude_without_accounting(watched& job, time_point now) const;
  static bool is_of_run_before(const watched& job);
  static bool is_before(const watched& job, const account_record& record);
  static bool lags(const watched& job);
  static void count_runs_before(job_status& end, const watched& job);
  static bool mixes_runs(const watched& job);
  static void note_suspension(memory& kept, const queue_row& row, time_point start,
                              time_point site_now);
  static void leave_out_suspension(pb::JobUsage& used, const memory& kept, time_point start);
  static bool may_be_of_run_before(const watched& job);
  static void count_in(job_status& end, const job_status& told);
  static std::string why_doubted(const watched& job);
  static std::string why_by_queue(const watched& job);
  static bool has_own_record(const watched& job);
  static void forget_told_record(watched& job);
  static bool claimed_itself(const watched& job);
  static bool is_leftover(const watched& job);
  void look_at_leftovers(std::vector<watched>& all, call at, time_point now);
  static bool is_only_a_second_start(const watched& job, const job_status& end);
  static time_point start_by_record(const watched& job);
  static job_status end_by_record(const watched& job, const std::string& why, time_point noticed);
  std::optional<job_status> lost_claim(const watched& job) const;
  static std::optional<observation> named_wrongly(const watched& job, bool told, time_point now);
  static bool could_not_take_over(const watched& job, bool accounted, const job_status& end);
  static void leave_out_last_run(job_status& end, const watched& job, bool accounted);
  static bool slurmd_failed(const watched& job, const exit_status& exit,
                            const job_status& end);
  exit_status tell_end(const watched& job, bool accounted, job_status& end) const;
  observation still_ending(watched& job) const;
  /// What a lookup asks, and what it answered.
  struct lookup_sources {
    bool accounting = false;
    table<queue_row> queue;
    table<account_row> accounts;
    std::vector<sought> left;
    bool queue_answers = false;
    bool accounts_answer = false;
    std::string silence;  ///< why not all of them answered
    /// Since then nothing has left the queue that this controller has shown; unset: not known.
    time_point all_shown_since;
    microseconds site_ahead{0};  ///< of our clock
    std::string here;     ///< our cluster's name; empty: not known
  };
  find_outcome judge_lookup(const lookup& one, std::size_t number,
                            const lookup_sources& all) const;
  find_outcome judge_waiting(const std::string& token, const scheduler_job_id& id,
                             bool others_deny, time_point now) const;
  /// By token: since when a source is the only one that names it. Needs `mutex_`.
  using named_alone = std::map<std::string, time_point>;
  time_point since(named_alone& all, const std::string& token, time_point now) const;

  const slurm_options options_;
  const std::shared_ptr<transport> way_;

  std::timed_mutex observing_;  ///< one poll at a time; guards what `seen_` holds
  microseconds site_ahead_{0};  ///< of our clock, in the last poll that told; by polls alone
  microseconds site_ahead_about_{0};  ///< the same, to a minute
  std::timed_mutex inventorying_;  ///< one inventory at a time: who waited for it has it, too
  mutable std::mutex mutex_;    ///< guards the rest
  std::shared_ptr<const site> site_;  ///< of the last inventory; empty before the first
  bool site_asked_ = false;           ///< a submission has waited for the first inventory
  inventory inventory_;               ///< the last one
  std::chrono::steady_clock::time_point inventory_at_;  ///< when it was there; unset: never
  std::optional<bool> accounting_;    ///< empty: not known yet
  std::vector<std::string> fields_;   ///< of sacct
  time_point renames_until_;          ///< a plugin of the site rewrites job names, it seemed
  std::string home_;                  ///< ClusterName of the Slurm that is ours; empty: not known
  std::string account_;               ///< there, whose jobs ours are; empty: not known yet
  bool tells_config_ = false;         ///< its controller has told its configuration before
  std::string met_;                   ///< the one that was told last
  mutable named_alone accounted_only_;  ///< accounting, which calls it waiting
  mutable named_alone filed_only_;      ///< an output file, where accounting answers
  hang_memory hangs_;
  /// By `key`; followed jobs only.
  std::unordered_map<std::string, memory> seen_;
  /// What squeue shows of ours that is not followed: since when, and when that is told. By polls
  /// alone.
  struct stray_seen {
    time_point since;
    time_point seen_at = {};
    time_point changed_at = {};
    time_point enqueued_at = {};  ///< and since then as what: what is new of it is told anew
    bool is_live = false;
    time_point told_at = {};
    int times = 0;  ///< it was told
  };
  std::map<std::string, stray_seen> strays_;
  /// One that was followed: the marks of what has its number, and is of its submission, may be
  /// changed by whoever has the account.
  struct former {
    job_id job;
    submission_token token;
    std::int64_t session = 0;
    int restarts = 0;
    time_point submitted_at;
    time_point left_at;
  };
  std::map<scheduler_job_id, former> former_;  ///< as long as it may come back. By polls alone
  std::map<std::string, time_point> had_jobs_;  ///< other clusters of the site: when last. Likewise
};

}  // namespace ved::adapters::slurm
