#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "messages/error.hpp"
#include "messages/event.pb.h"
#include "messages/ids.hpp"
#include "messages/job.pb.h"
#include "messages/rare.hpp"
#include "messages/run_key.hpp"
#include "messages/time.hpp"

/// The life of one job as pure functions: no clock, no I/O, no randomness.
///
///     accept ─► waiting ─► submitting ─┬─ accepted ──► queued ─► starting ─► running ─► finished
///                 ▲ ▲ ▲        │       ├─ permanent ─────────────────────────────────► finished
///                 │ │ └────────┼─ refused by policy, not sent (backed off)                ▲
///                 │ │          ▼ outcome unknown, restart          running ◄─► suspended  │
///                 │ └─────── unresolved ── found by token ─► queued      (seen; any order)│
///                 │ absent twice   │ (only lookups)                                       │
///                 │ (backed off)   └── absent, cancel wanted ─────────────────────────────┤
///                 └── release ── held ◄── retries used up, or an operator                 │
///                                 └────────── cancel ─────────────────────────────────────┘
///
/// `waiting` ends when the link has room for one more: only then is the intent written, so that
/// what waits is surely unsent, also after a restart. A queued job that the scheduler lost is
/// unresolved again when its claim is free.
/// Public states: waiting, submitting, unresolved and held show as `pending`. A live job that the
/// scheduler no longer shows is `missing`; only a second source and a grace time make that final.
namespace ved::core::job {

struct waiting {
  time_point retry_at;  ///< the next submission may be intended from then on
};
struct submitting {};   ///< the intent is durable, an answer is outstanding
struct unresolved {
  int absences = 0;                ///< lookups in a row that found nothing
  bool claimed_elsewhere = false;  ///< our copy lost the claim: the winner is looked up
  bool by_restart = false;         ///< our own restart lost the answer: no failure of the attempt
  /// A command says that it was refused so: that ends the job once nothing of it is found.
  pb::RefusalKind refusal = pb::REFUSAL_KIND_UNSPECIFIED;
};
struct held {
  std::string release;  ///< what would release it, in words
  bool by_operator = false;
  bool by_admin = false;  ///< and that operator has scope admin
};
struct queued {};
struct starting {};
struct running {};
struct suspended {};
struct counted_copy {
  scheduler_job_id id;
  time_point told_until;  ///< what its runs used that were enqueued until then is counted
};

/// A run of a job that has ended: somebody requeued it, or its submission surfaced late.
struct returned_copy {
  scheduler_job_id id;
  submission_token token;
  time_point told_until;   ///< its runs that were enqueued until then have told their use
  time_point enqueued_at;  ///< of the run that was seen; unset: not told
  std::uint64_t note = 0;  ///< and its run_note
  bool ended = false;      ///< when it was seen
};
struct finished {
  pb::JobState state = pb::JOB_STATE_UNSPECIFIED;
  int exit_code = 0;
  int exit_signal = 0;
  time_point finished_at;
  rare<pb::JobUsage> usage;
  time_point told_until;   ///< runs that were enqueued until then are in it; unset: none is
  bool abandoned = false;  ///< here alone: it may run on in the scheduler, and is ended there
  time_point run_started_at;  ///< of the run that may go on there; unset: it waits, or was told
  rare<returned_copy> returned;  ///< and that is what the scheduler has again of what had ended
};
using phase = std::variant<waiting, submitting, unresolved, held, queued, starting, running,
                           suspended, finished>;

/// Bound of job::lost_copies; each is a scheduler's duplicate, so more is not a real case.
inline constexpr std::size_t lost_copies_max = 16;
/// Bound of job::earlier_tokens; more attempts than this take an operator's releases.
inline constexpr std::size_t earlier_tokens_max = 64;

struct cancel_wish {
  std::string by;
  std::string reason;
  bool for_timeout = false;  ///< our own limit ended it: the final state is `timeout`
  time_point at;
};

/// Who asked for the hold or suspension that is in force or asked for.
struct hold_wish {
  std::string by;
  std::string reason;
  time_point at;
  bool by_admin = false;
};

/// A control that the scheduler has taken. Where it shows the job as if it had not, somebody undid
/// it there, or it has lost its state.
struct taken_control {
  pb::JobControl what = pb::JOB_CONTROL_UNSPECIFIED;
  time_point since;

  bool operator==(const taken_control&) const = default;
};

/// The fold of a job's events. Small: the spec stays in the log's first event of the stream.
struct job {
  job_id id;
  cluster_id cluster;
  std::string customer;
  std::string queue;
  std::string submitted_by;  ///< principal
  std::string submitted_by_token;  ///< which of the tokens of that name; empty: not known
  std::string spec_hash;
  std::int64_t max_runtime_seconds = 0;

  phase now;
  std::string reason;  ///< why it is in this phase, in words
  int attempt = 0;     ///< submissions intended so far
  int failures = 0;    ///< of them, in a row, refused by policy, never sent or lost without a job
  submission_token token;            ///< of the last attempt, or of its copy that claimed the job
  /// Of the attempts before it, oldest first, at most earlier_tokens_max: one of them may turn out
  /// to be the copy that runs; no other token can.
  std::vector<submission_token> earlier_tokens;
  /// Of attempts of which only a command's words say that they made no job, newest last; at most
  /// earlier_tokens_max.
  std::vector<submission_token> unproven_tokens;
  scheduler_job_id scheduler_id;     ///< empty until the scheduler has it
  /// Copies that lost the claim, newest last, at most lost_copies_max: never adopted again.
  std::vector<scheduler_job_id> lost_copies;
  /// The runs that gave way to another copy, or said so, as one: the job ends with what they used
  /// and its last run did. Else a job could run for nothing.
  std::shared_ptr<const pb::JobRun> gave_way;
  /// Whose runs those are, the newest last, at most lost_copies_max: any may come back.
  std::vector<counted_copy> counted_copies;
  /// Runs that a requeue put an end to, the first one first: the job ends with what they used, too.
  std::vector<pb::JobRun> requeued;
  rare<cancel_wish> cancel;
  rare<hold_wish> hold;
  pb::JobControl wanted = pb::JOB_CONTROL_UNSPECIFIED;  ///< asked of the scheduler, not over yet
  taken_control taken;  ///< the last one that was, as long as nothing took its place
  time_point missing_since;
  time_point never_starts_since;  ///< since when the scheduler says that it cannot start
  bool held_there = false;        ///< queued, and the scheduler says that somebody holds it
  time_point enqueued_at;         ///< when the scheduler took the last run into its queue
  time_point first_enqueued_at;   ///< and the first one that it told of
  std::uint64_t scheduler_note = 0;  ///< run_note of the last run that was told
  time_point ends_by;             ///< when the scheduler ends that run at the latest
  std::shared_ptr<const pb::JobUsage> allocated;  ///< what that run holds, as far as was told

  time_point accepted_at;
  time_point intended_at;
  time_point submitted_at;
  time_point started_at;
  time_point changed_at;
  /// Since when this daemon follows it; unset: since its acceptance. Not stored.
  time_point watched_since;
  time_point missing_told_at;  ///< when it was said last why it is missing. Not stored.
};

/// Limits and times of a job's cluster; the shell draws nothing from elsewhere.
struct policy {
  int max_retries = 3;
  microseconds initial_backoff = seconds{1};
  microseconds max_backoff = seconds{30};
  double backoff_multiplier = 2.0;
  /// After an outcome was lost, how long the scheduler may still be working on the request: an
  /// absence counts only from then on (twice Slurm's MessageTimeout by default).
  microseconds settle = seconds{20};
  int absences_needed = 2;
  /// How long a job may be gone from both sources before it is final.
  microseconds vanish_grace = seconds{60};
  /// How long the scheduler must say that a job can never start, before we cancel it; 0: never.
  microseconds cancel_never_starts_after{0};
  /// Beyond max_runtime_seconds, before we cancel what the scheduler should have ended.
  microseconds timeout_grace = seconds{120};
  /// What is suspended keeps what it holds: the time since its start ends a job, too, when it is
  /// twice its limit.
  bool limits_suspension = false;
};

/// What a decision may depend on besides state and command.
struct context {
  time_point now;
  std::uint64_t draw = 0;  ///< random bits: token and jitter
  policy limits;
};

// --- commands ------------------------------------------------------------------------------------
struct cancel_job {
  std::string by;
  std::string reason;
  /// Nobody follows its cluster any more: the job ends here, whatever becomes of it there.
  bool gives_up = false;
};
struct hold_job {
  std::string by;
  std::string reason;
  bool by_admin = false;  ///< who asks has scope admin
};
/// What ved itself holds, or somebody with scope admin, only such a one releases: errc::denied.
struct release_job {
  std::string by;
  std::string reason;
  bool by_admin = false;
};
/// Time has passed, or the link has room for the submission that waits: do what is due.
struct advance {};
/// The actor was started from the stored state: nothing is known of requests in flight.
struct recover {
  std::string reason;
};

enum class submission_result { accepted, refused_permanent, refused_policy, not_sent, unknown };
struct report_submission {
  submission_token token;
  submission_result what = submission_result::unknown;
  scheduler_job_id id;  ///< accepted only
  std::string reason;
  bool unproven = false;  ///< refused or not sent, as the words of a command say
};

enum class lookup_result { found, absent, unknown };
struct report_lookup {
  submission_token token;
  lookup_result what = lookup_result::unknown;
  std::vector<scheduler_job_id> ids;  ///< found: lowest first
  std::string reason;                 ///< absent: the two sources; unknown: why
  submission_token of = {};  ///< found: the one of those asked for; empty: `token`
  std::string unproven = {};  ///< absent, and not empty: why it may have run all the same
};

struct report_status {
  scheduler_job_id id;
  pb::JobState state = pb::JOB_STATE_UNSPECIFIED;  ///< queued .. timeout
  std::string reason;
  bool never_starts = false;  ///< queued: the scheduler says that it cannot start
  bool held = false;          ///< queued: the scheduler says that somebody holds it
  time_point enqueued_at = {};  ///< when the scheduler took this run into its queue
  time_point ends_by = {};      ///< of one that has begun: when the scheduler ends it at the latest
  time_point started_at;
  time_point finished_at;
  int exit_code = 0;
  int exit_signal = 0;
  std::optional<pb::JobUsage> usage;
  submission_token lost_claim_to;  ///< not empty: it exited at once, another copy runs
  bool lost_to_same_job = false;  ///< and the scheduler vouches that the copy is of this job
  bool says_cancelled = false;    ///< only what jobs can write says that somebody cancelled it
  bool leftover = false;  ///< it has ended, and something of it is still there to be cancelled
  /// The control that the scheduler had taken, if it shows the job as if it had not.
  pb::JobControl undone = pb::JOB_CONTROL_UNSPECIFIED;
  bool undone_by_loss = false;  ///< with the scheduler's state, else by somebody
  /// The one that the log knows, where this is of a later one.
  std::optional<pb::JobRun> run_before = {};
  std::vector<run_key> counted = {};  ///< runs whose use is part of `usage`, earlier ones too
  std::uint64_t note = 0;             ///< run_note; 0: nothing new
  std::optional<pb::JobUsage> allocated = {};  ///< what a run that has begun holds
};
/// The scheduler has something with the job's marks that nobody follows.
struct report_stray {
  submission_token token;
  scheduler_job_id id;
  bool is_live = true;
  time_point enqueued_at = {};  ///< unset: not told
  cluster_id cluster = {};      ///< whose it is there; of another cluster's jobs it says nothing
  std::uint64_t note = 0;       ///< run_note
  time_point started_at = {};   ///< unset: it has not begun, or has ended without
};
struct report_missing {
  scheduler_job_id id;
  bool confirmed = false;  ///< the second source does not know it either
  std::string reason;
  bool never_ran = false;  ///< and the claim is free: another submission cannot run it twice
};
struct report_control {
  pb::JobControl control = pb::JOB_CONTROL_UNSPECIFIED;
  bool refused = false;
  std::string reason;
};

using command =
    std::variant<cancel_job, hold_job, release_job, advance, recover, report_submission,
                 report_lookup, report_status, report_missing, report_control, report_stray>;

using event = pb::Envelope;  ///< only the `event` oneof is set by a decision
using events = std::vector<event>;

// --- the three functions -------------------------------------------------------------------------

/// Accepts a new job. `limit_is_default`: its time limit is ours, the request named none.
events accept(const pb::JobSpec& spec, const std::string& spec_hash, const context& ctx,
              bool limit_is_default = false);

/// May refuse (errc::conflict with the reason); changes nothing. No events: nothing to do.
result<events> decide(const job& state, const command& what, const context& ctx);

/// Total over the events that `decide` makes; the only place where state changes.
/// An impossible event is errc::corrupt: the log is not ours.
result<void> apply(job& state, const event& what);

// --- what should be going on now -----------------------------------------------------------------
/// Send `advance` when the link has room for one more submission, not before `at`. Nothing is ever
/// put off longer than `longest`: if it seems so, the clock was set back.
struct await_turn {
  time_point at;
  microseconds longest{0};
};
struct run_submission {
  submission_token token;
  int attempt = 0;
  bool withdraw = false;  ///< a cancel waits: do not send it if it was not sent yet
};
struct run_lookup {
  submission_token token;
  time_point counts_from;  ///< an absence tells something from then on
  std::vector<submission_token> earlier = {};  ///< attempts that are looked up with it
  time_point sent_at = {};  ///< none of them before that
};
/// Keep this job in the cluster's poll.
struct follow {
  scheduler_job_id id;
  submission_token token;
  pb::JobState state;
  taken_control taken = {};  ///< what it shows should agree with that
  time_point started_at = {};  ///< of the run that the log knows last; unset: it waits
  bool waits = false;          ///< by itself: nobody holds it, and nobody has cancelled it
  time_point enqueued_at = {};  ///< of that run, as far as the scheduler told
  time_point first_enqueued_at = {};  ///< of the first one
  run_key run_before = {};            ///< the last one that was requeued
  std::uint64_t note = 0;             ///< run_note, as far as the log knows
  std::shared_ptr<const pb::JobUsage> allocated = {};  ///< what that run holds
  time_point told_until = {};  ///< runs that were enqueued until then have told their use
};
struct run_control {
  scheduler_job_id id;  ///< empty, with a cancel: not known; keep every copy from starting
  submission_token token;
  pb::JobControl control;
};
/// Send `advance` at this moment.
struct wake {
  time_point at;
};
using action = std::variant<await_turn, run_submission, run_lookup, follow, run_control, wake>;

/// Derived from the state alone, so it may be asked again after every event or restart.
std::vector<action> react(const job& state, const policy& limits);

// --- views ---------------------------------------------------------------------------------------
pb::JobState public_state(const job& state);
bool is_terminal(const job& state);
/// It runs, though the scheduler had taken a suspend: whether that is lost is not known yet.
bool is_unseen_suspend(const job& state);
/// It has ended here, and what may run of it in the scheduler is followed until it has ended too.
bool is_abandoned(const job& state);
/// What a job that has ended used, with that of a run of which only now something is known; none:
/// nothing is known.
rare<pb::JobUsage> used_in_all(const job& state, const pb::JobRun& run);
std::string_view phase_name(const job& state);

/// "ve" and 12 base32 characters of `draw`.
submission_token make_token(std::uint64_t draw);

pb::JobRecord to_record(const job& state);
result<job> from_record(const pb::JobRecord& record);

}  // namespace ved::core::job
