#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "messages/job.pb.h"
#include "messages/run_key.hpp"
#include "messages/time.hpp"

/// The scheduler port: what `ved` needs from Slurm, Moab, Open OnDemand or the local scheduler.
///
/// Calls block; one object belongs to one I/O worker thread at a time unless it says otherwise.
/// No call retries: retrying is the core's decision. Every call ends by its deadline, and then
/// reports that the outcome is not known.
namespace ved::adapters {

/// One job to submit. The token travels as the scheduler's job name.
struct submission {
  job_id job;
  submission_token token;
  int attempt = 1;
  pb::JobSpec spec;
  std::string spec_hash = {};  ///< of the spec as accepted, BLAKE2b in hex; empty: not known
  /// The spec's time limit is the daemon's default: the queue's own, if shorter, counts instead.
  bool limit_is_default = false;
};

/// The scheduler has the job under this id.
struct accepted {
  scheduler_job_id id;
};
/// The scheduler saw the request and surely made no job.
struct refused {
  bool permanent = false;  ///< false: a policy or limit that may pass
  std::string reason;      ///< the scheduler's own words
  /// Only what a command said, which may be a site's own: `find` may know better.
  bool unproven = false;
};
/// The scheduler surely never saw the request. `left_out`: it was not even tried, because of what
/// befell others of the same call; that is no failure of its own. `site_fault`: the scheduler's
/// own site takes nothing for now, so that it and all others wait on.
struct not_sent {
  std::string reason;
  bool left_out = false;
  bool site_fault = false;
  bool unproven = false;  ///< as of `refused`
};
/// A job may or may not exist: only `find` may follow.
struct unknown_outcome {
  std::string reason;
  bool answered = false;  ///< the scheduler itself said so, in words that nobody here knows
};
using submit_outcome = std::variant<accepted, refused, not_sent, unknown_outcome>;

/// A submission whose outcome is not known.
struct lookup {
  job_id job;
  submission_token token;
  std::string spec_hash = {};  ///< as of `submission`: a claim with another is not its
  time_point sent_at = {};     ///< not before that; unset: not known
};

/// Jobs that carry the token, the one that runs or ran first as far as the scheduler can tell,
/// then lowest id first; live and ended ones.
struct found {
  std::vector<scheduler_job_id> ids;
};
/// Two independent sources answered, and neither knows the token.
struct absent {
  std::string sources;  ///< which two, for the audit trail
  std::string unproven = {};  ///< not empty: why it may have run all the same
};
/// At least one source did not answer.
struct not_known {
  std::string reason;
};
using find_outcome = std::variant<found, absent, not_known>;

/// The scheduler shows the job as if the last control that it had taken had never been.
enum class undoing {
  none,
  by_somebody,  ///< who undid it there
  by_loss,      ///< of the scheduler's state: it came back without it
};

/// What the scheduler says about one job now.
struct job_status {
  pb::JobState state = pb::JOB_STATE_UNSPECIFIED;  ///< queued .. timeout; never pending
  std::string reason;       ///< the scheduler's words: why it waits, why it ended
  bool never_starts = false;  ///< queued: it cannot start unless somebody changes something
  bool held = false;          ///< queued: somebody holds it, so that it waits for a release
  /// When this run was taken into the scheduler's queue, which a requeue does anew: two runs of a
  /// job differ in it. Unset: not told.
  time_point enqueued_at = {};
  time_point started_at;    ///< unset until it started
  /// Of one that has begun: when the scheduler ends it at the latest. Unset: not told.
  time_point ends_by = {};
  time_point finished_at;   ///< unset until it ended
  int exit_code = 0;
  int exit_signal = 0;
  std::optional<pb::JobUsage> usage;       ///< only with a terminal state
  std::optional<submission_token> lost_claim_to;  ///< it exited at once: another copy runs
  /// Known from more than what jobs can write: the copy is of the same job and spec. A log that was
  /// restored from a backup does not know what was submitted after it.
  bool lost_to_same_job = false;
  /// Cancelled before it started, as its claim says, which jobs can write.
  bool says_cancelled = false;
  /// It has ended, but something of it is left there that may start: it is to be cancelled.
  bool leftover = false;
  undoing undone = undoing::none;  ///< `tracked_job::taken`
  /// The run that began at `tracked_job::started_at`, where this is of a later one, or of a wait
  /// after it.
  std::optional<pb::JobRun> run_before;
  std::vector<run_key> counted;  ///< runs whose use is part of `usage`, earlier ones too
  std::uint64_t note = 0;        ///< run_note, which it gets back after a restart; 0: nothing new
  /// Of one that has begun: what it holds. Unset: not told.
  std::optional<pb::JobUsage> allocated;
};
/// The primary source does not know the job; `confirmed`: nor does the second one. `never_ran`: the
/// scheduler lost it, nobody cancelled it, and nothing has claimed it yet.
struct missing {
  bool confirmed = false;
  std::string reason;
  bool never_ran = false;
};
/// It was asked, and nothing was learned: what was known before stands.
struct no_news {};
using observation = std::variant<job_status, missing, no_news>;

/// A job that the caller follows.
struct tracked_job {
  scheduler_job_id id;
  submission_token token;
  job_id job;
  /// What the scheduler was told last and has taken, and when; a poll tells if that is undone.
  pb::JobControl taken = pb::JOB_CONTROL_UNSPECIFIED;
  time_point taken_at = {};
  time_point started_at = {};  ///< of the run that was told last; unset: it was told to wait
  bool waits = false;          ///< by all that was told: nobody holds it, and it has not begun
  time_point enqueued_at = {};  ///< as it was told last; unset: it never was
  time_point first_enqueued_at = {};  ///< as it was told first
  run_key run_before = {};            ///< the last one that a requeue put an end to, as was told
  std::uint64_t note = 0;             ///< `job_status::note`
  std::shared_ptr<const pb::JobUsage> allocated = {};  ///< `job_status::allocated`, as told last
  /// Runs that were taken into the queue until then have told their use. Unset: none has.
  time_point told_until = {};
};

/// What bears the marks of one of our jobs, and is followed by nobody: such a job may have ended
/// here, and been requeued there since.
struct stray {
  job_id job;
  submission_token token;
  scheduler_job_id id;
  bool is_live = true;
  time_point enqueued_at = {};  ///< unset: not told
  std::uint64_t note = 0;       ///< run_note
  time_point started_at = {};   ///< unset: it has not begun, or has ended without; never: not told
};

/// A `quick` poll comes soon after another. As long as jobs are alive it may leave the accounts of
/// those that have ended to the next full one, show them as they were, and count them as settling.
enum class poll_kind { full, quick };

/// `observations[i]` belongs to the i-th tracked job.
struct poll_result {
  std::vector<observation> observations;
  int settling = 0;  ///< jobs that have ended, but whose accounts are not there yet: ask soon again
  std::vector<stray> strays = {};  ///< in this scheduler, and lasting; not each with each poll
  bool suspects_strays = false;  ///< whether what was seen is one the next poll tells: ask soon
  /// So long after its end a job may be requeued there. 0: never.
  microseconds returns_within{0};
};

/// Done, or already so (cancelling an ended job is done).
struct control_done {};
struct control_refused {
  std::string reason;
};
/// `site_fault`: the scheduler answers, and its own site keeps it from doing that for now.
struct control_unknown {
  std::string reason;
  bool site_fault = false;
};
using control_outcome = std::variant<control_done, control_refused, control_unknown>;

/// JOB_CONTROL_CANCEL without a scheduler's id: whether a copy exists is not known, and none that
/// arrives from now on may run. The request takes the job's claim itself; refused when a copy
/// holds it already.
struct control_request {
  tracked_job job;
  pb::JobControl control = pb::JOB_CONTROL_UNSPECIFIED;
};

/// A part of the queue (partition, class) and what one job may ask of it. Zero: no limit.
struct queue_info {
  std::string name;
  bool accepts_jobs = true;
  int nodes = 0;
  int cpus_per_node_max = 0;
  std::int64_t memory_mb_per_node_max = 0;
  int gpus_per_node_max = 0;
  std::int64_t time_limit_seconds = 0;
};

/// As far as the scheduler tells: what it does not is absent, and `notes` says why. Nothing that a
/// job needs depends on it.
struct inventory {
  std::string scheduler;  ///< "local", "slurm 22.05.8", ...
  /// What the scheduler calls itself, so that another one is known as such; empty: it tells none.
  std::string cluster_name = {};
  std::string account = {};  ///< there, whose jobs it is asked for; empty: of all, or not told
  std::vector<queue_info> queues;
  std::optional<int> cpus_total;
  std::optional<int> cpus_allocated;
  std::optional<std::int64_t> memory_mb_total;
  std::optional<std::int64_t> memory_mb_allocated;
  std::optional<int> gpus_total;
  std::optional<int> gpus_allocated;
  std::optional<int> jobs_queued;   ///< of all accounts
  std::optional<int> jobs_running;  ///< of all accounts
  std::vector<std::string> notes;   ///< "sinfo: Access/permission denied"; none: it is whole
};

/// The answers of `vectl hpc health-check`; an empty text is OK, otherwise what is wrong.
struct health {
  std::string connection;
  std::string authentication;
  std::string queue_access;
  std::vector<std::string> notes = {};  ///< what is missing, though no job needs it
};

enum class output_stream { standard_output, standard_error };

/// A piece of a job's output file.
struct output_request {
  tracked_job job;
  output_stream stream = output_stream::standard_output;
  std::uint64_t offset = 0;      ///< bytes from the beginning
  std::uint32_t bytes_max = 65536;
};
struct output_chunk {
  std::string bytes;
  std::uint64_t size = 0;  ///< of the whole file at the time of reading
};

class scheduler {
 public:
  using deadline = std::chrono::steady_clock::time_point;

  virtual ~scheduler() = default;

  /// Submits each job once; `result[i]` belongs to `jobs[i]`.
  virtual std::vector<submit_outcome> submit(std::span<const submission> jobs, deadline until) = 0;
  /// Looks submissions up by token in two independent sources.
  virtual std::vector<find_outcome> find(std::span<const lookup> what, deadline until) = 0;
  /// One query for all jobs. An error means: nothing is known about any of them.
  virtual result<poll_result> observe(std::span<const tracked_job> jobs, poll_kind kind,
                                      deadline until) = 0;
  /// Cancels, holds, releases, suspends or resumes; idempotent.
  virtual std::vector<control_outcome> control(std::span<const control_request> requests,
                                               deadline until) = 0;
  virtual result<inventory> take_inventory(deadline until) = 0;
  virtual health check_health(deadline until) = 0;
  virtual result<output_chunk> read_output(const output_request& request, deadline until) = 0;
  /// Commands and requests that this object has sent to the scheduler since it was made, whatever
  /// came of them; submissions and controls are none. The budget and the metrics are fed by it.
  virtual std::int64_t queries() const = 0;
};

/// Makes one connection's worth of a cluster; called once per I/O worker, on that worker's thread.
using scheduler_factory = std::function<result<std::unique_ptr<scheduler>>()>;

}  // namespace ved::adapters
