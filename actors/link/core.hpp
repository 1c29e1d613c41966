#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "actors/job/core.hpp"
#include "actors/link/limits.hpp"
#include "messages/ids.hpp"
#include "messages/rare.hpp"
#include "messages/time.hpp"

/// One cluster's connection as pure logic: it turns what all jobs want into as few scheduler calls
/// as possible, and answers into reports to just those jobs that they concern.
///
///   jobs ── want ──►  link  ── orders ──►  I/O workers (one call each, with a deadline)
///   jobs ◄─ reports ─ link  ◄─ completions ┘
///
/// Rules: a job's submission gets its turn when there is room, and only then its intent is written;
/// a token is sent at most once; a token that is still in flight is not looked up; one poll
/// at a time, for all jobs, at the interval's pace, at that of a queue that runs empty, or soon
/// after a hint, which is never believed; unchanged jobs hear nothing; unknown never reads as an
/// answer;
/// an open breaker sends nothing but one probe at a time.
namespace ved::core::link {

/// A number of events per minute: what was not used is kept for one minute at most.
class rate {
 public:
  rate(int per_minute, time_point now) : per_minute_(per_minute), left_(per_minute), at_(now) {}

  /// How many of `wanted` may happen now; they are used up. 0 per minute: no limit.
  int take(int wanted, time_point now);
  /// How many may happen now; infinite without a limit.
  double left(time_point now);
  /// Something happened that nobody asked for; may go below zero.
  void charge(int more) { left_ -= more; }

 private:
  int per_minute_;
  double left_;
  time_point at_;
};

/// What one job needs now; replaces what it needed before. All empty: nothing.
struct desired {
  std::optional<job::await_turn> turn;
  rare<job::run_submission> submit;
  rare<job::run_lookup> lookup;
  std::optional<job::follow> follow;
  rare<job::run_control> control;

  bool empty() const noexcept { return !turn && !submit && !lookup && !follow && !control; }
};
/// Picks the actions that concern the cluster out of a reaction.
desired desired_of(const std::vector<job::action>& actions);

using order_id = std::uint64_t;

struct submit_order {
  struct item {
    job_id job;
    submission_token token;
    int attempt = 0;
  };
  std::vector<item> items;
};
struct find_order {
  struct item {
    job_id job;
    submission_token token;
    std::vector<submission_token> earlier = {};  ///< looked up with it; the answer is one
    time_point sent_at = {};  ///< none of them before that
  };
  std::vector<item> items;
};
/// Somebody says that a job has probably started, or ended: a reason to ask, nothing else.
struct hint {
  job_id job;
  submission_token token;
  bool ended = true;
};
struct tracked {
  job_id job;
  scheduler_job_id id;
  submission_token token;
  job::taken_control taken = {};  ///< polls only
  time_point started_at = {};     ///< likewise; see job::follow
  bool waits = false;             ///< likewise
  time_point enqueued_at = {};    ///< see job::follow
  time_point first_enqueued_at = {};
  run_key run_before = {};
  std::uint64_t note = 0;
  std::shared_ptr<const pb::JobUsage> allocated = {};
  time_point told_until = {};
};
struct poll_order {
  std::vector<tracked> jobs;
  bool quick = false;  ///< sooner than the interval: accounts may wait while jobs are alive
};
struct control_order {
  struct item {
    tracked job;
    pb::JobControl control = pb::JOB_CONTROL_UNSPECIFIED;
  };
  std::vector<item> items;
};
struct inventory_order {};
struct health_order {};

struct order {
  order_id id = 0;
  time_point deadline;  ///< the call must have ended by then; a submission not begun is dropped
  std::variant<submit_order, find_order, poll_order, control_order, inventory_order, health_order>
      what;
};

/// Answers, item by item in the order's order. A whole call that failed is `call_failed`.
struct submit_done {
  std::vector<job::report_submission> answers;
  std::set<std::size_t> left_out;  ///< items that were not even tried: they wait on
  std::set<std::size_t> own_faults;  ///< items that failed before the scheduler was asked
  std::set<std::size_t> spoken_of;   ///< unknown items of which the scheduler itself said something
  /// Why the cluster's site takes nothing for now: items left out wait for that.
  std::string site_fault = {};
};
struct find_done {
  std::vector<job::report_lookup> answers;
};
struct poll_done {
  /// nullopt: nothing was learned of this job.
  using answer = std::optional<std::variant<job::report_status, job::report_missing>>;
  std::vector<answer> answers;
  int settling = 0;  ///< jobs that have ended, but whose accounts the scheduler has not told yet
  std::vector<std::pair<job_id, job::report_stray>> strays = {};  ///< followed by nobody, it seems
  microseconds returns_within{0};  ///< so long after its end a job may be requeued there
  bool suspects_strays = false;    ///< the next poll may tell of some
};
struct control_done {
  struct answer {
    bool known = false;    ///< false: the call's outcome is not known
    bool refused = false;
    std::string reason;
    bool site_fault = false;  ///< not known, though the scheduler answers: see control_unknown
  };
  std::vector<answer> answers;
};
struct inventory_done {};
struct health_done {};
/// Nothing was learned. For submissions: the outcome of each is unknown.
struct call_failed {
  std::string reason;
};
using completion =
    std::variant<submit_done, find_done, poll_done, control_done, inventory_done, health_done,
                 call_failed>;

/// How soon the next poll comes. Never later than the interval, nor sooner than its minimum; a poll
/// costs the scheduler the same for one job as for all, so a long queue is not asked more often.
class poll_pace {
 public:
  /// The last poll found `ended` jobs over or newly settling and `left` alive `since` the one
  /// before. Half of what those that are left will take at this pace, so that the end of a burst of
  /// short jobs is seen soon; each poll counts half as much as the one after it. When none ended,
  /// half as long again as the last time at least.
  microseconds next(const limits& bounds, std::size_t ended, std::size_t left, microseconds since);

 private:
  double ended_ = 0;
  double time_ = 0;  ///< us that they took
};

enum class breaker { closed, open, half_open };

struct breaker_change {
  bool up = false;
  std::string reason;
  microseconds down_for{0};
};

struct outputs {
  std::vector<order> orders;
  std::vector<std::pair<job_id, job::command>> reports;
  std::optional<breaker_change> change;
  std::string no_health;  ///< why no answer will come to those who wait for a check; empty: it may

  void add(outputs more);
};

/// What a link knows of one job that no event tells.
struct job_note {
  submission_token waits;         ///< of the submission that has not left yet
  std::string site_fault;         ///< why none leaves for now
  std::string lookup_problem;     ///< why its last lookup told nothing
  bool waits_for_turn = false;    ///< its next submission has not begun
};

struct status {
  breaker state = breaker::closed;
  bool heard = false;  ///< the scheduler has answered since the start
  std::string reason;  ///< of the last failure while not closed, or of a fault of the site
  time_point last_poll_at;
  time_point last_answer_at;  ///< to anything that was asked of it
  time_point down_since;
  microseconds last_poll_took{0};
  std::size_t jobs_followed = 0;
  std::size_t submissions_waiting = 0;
  std::int64_t queries = 0;  ///< commands and requests since the start but submissions, controls
};

/// Owned by one actor (or one simulation); not thread-safe.
class link {
 public:
  link(limits bounds, time_point now);

  /// Never starts a call itself: follow with `tick`.
  outputs want(const job_id& job, desired what, time_point now);
  /// Starts what is due.
  outputs tick(time_point now);
  /// An answer to an order, and what it asked of the scheduler; answers to orders already given up
  /// are still used where they help.
  outputs complete(order_id id, completion what, std::int64_t queries, time_point now);
  /// Brings the next poll forward, for jobs that somebody says have started or ended; how many of
  /// them are news of jobs that are here. Of what else is named nothing is kept. A job is asked for
  /// a few times in growing pauses and then not for a poll interval, whatever is said of it. These
  /// polls keep their distance (`hint_spacing`, or poll_interval_min on large clusters and four
  /// times that while the queue fills; three times what the last poll took; less for the last jobs
  /// that are left) and leave half of a minute's queries.
  std::size_t hear(std::span<const hint> hints, time_point now);
  /// Some job wants something.
  bool has_jobs() const { return !jobs_.empty(); }
  /// Somebody wants to know how the cluster is: `tick` asks when its turn comes, unless an answer
  /// is on its way already.
  void want_health(time_point now) {
    if (!checks_health()) health_wanted_at_ = now;
    health_wanted_ = !checking_health_;
  }
  bool checks_health() const { return health_wanted_ || checking_health_; }
  /// Checks come no sooner, so that they never take more than a part of the queries.
  time_point next_health_at() const { return next_health_; }
  /// The order's answer is still waited for.
  bool awaits(order_id id) const { return orders_.contains(id); }

  /// The cluster has at most this many nodes.
  void knows_nodes(int nodes) { nodes_ = nodes; }

  status view() const;
  job_note about(const job_id& job) const;
  /// When `tick` may start the next poll; none while one runs or nothing is followed.
  std::optional<time_point> next_poll_at() const {
    if (polling_ || followed_.empty()) return std::nullopt;
    return poll_due();
  }
  time_point last_poll_at() const { return last_poll_at_; }
  microseconds last_poll_took() const { return last_poll_took_; }

 private:
  enum class sending { no, waiting, in_flight, answered };
  static constexpr std::size_t reasons_max = 4;
  /// What a status said, as far as a difference is news; of the id that is followed.
  struct shown {
    pb::JobState state = pb::JOB_STATE_UNSPECIFIED;
    bool never_starts = false;
    bool held = false;
    std::string reason;
    time_point started_at;
    time_point enqueued_at;
    time_point ends_by;
    submission_token lost_claim_to;
    /// Reasons told of late, as hashes, and when.
    std::array<std::pair<std::size_t, time_point>, reasons_max> told{};

    bool same_but_reason(const job::report_status& other) const {
      return state == other.state && never_starts == other.never_starts && held == other.held &&
             started_at == other.started_at && enqueued_at == other.enqueued_at &&
             ends_by == other.ends_by && lost_claim_to == other.lost_claim_to;
    }
  };
  /// Where a job stands that waits for its turn: not before a time, then first come.
  using place_in_line = std::pair<time_point, std::uint64_t>;
  struct asking {
    submission_token token;
    int times = 0;  ///< since it was asked first, or since an absence counts
    time_point not_before;
    std::string problem;  ///< why the last one told nothing
  };
  /// One per live job: kept small, what few entries need lies elsewhere.
  struct entry {
    desired wanted;
    std::optional<place_in_line> line;  ///< in turns_
    sending send = sending::no;
    submission_token sent;  ///< the token that `send` speaks of
    std::unique_ptr<job::report_submission> answer;
    time_point followed_since;
    time_point control_not_before;  ///< an answered control is not repeated at once
    int control_times = 0;          ///< the scheduler took it so often, and nothing shows
    std::unique_ptr<shown> last;  ///< last status passed on
  };
  struct by_name {
    bool operator()(const job_id* a, const job_id* b) const { return *a < *b; }
  };
  struct running {
    order what;
    time_point started;
  };
  /// One that was hinted at, until a poll shows that, or it was asked for often enough.
  struct hinted {
    submission_token token;
    bool ended = false;
    std::size_t asked = 0;  ///< polls since the hint
    bool asking = false;    ///< the poll that runs counts for it
    std::optional<time_point> due = {};  ///< of its next poll; none: that is over
    time_point deaf_until = {};          ///< none due: no hint counts before
  };
  /// What asks the scheduler for something, and so waits for its turn of the queries.
  enum class question : std::size_t { poll, find, control, inventory, health };
  static constexpr std::size_t questions = 5;

  bool may_call(time_point now) const;
  order& start(outputs& out, time_point now);
  order& start(question what, outputs& out, time_point now);
  std::array<question, questions> turns() const;
  bool control_waits(time_point now) const;
  time_point poll_due() const;
  bool is_large() const;
  bool looks_for_strays(time_point now) const;
  void plan_hints();
  bool hints_due(time_point now) const { return hint_due_ && now >= *hint_due_; }
  void begin_hinted(time_point now);
  void settle_hinted(const poll_order& asked, const poll_done* done, time_point now);
  void forget_hint(const job_id& job, const entry& e);
  void unfollow(const job_id& job, time_point now);
  void leave_line(entry& e);
  void give_turns(outputs& out, time_point now);
  void start_submit(outputs& out, time_point now);
  void start_find(outputs& out, time_point now);
  void start_control(outputs& out, time_point now);
  void start_poll(outputs& out, time_point now);
  void start_inventory(outputs& out, time_point now);
  void start_health(outputs& out, time_point now);
  void give_up_overdue(outputs& out, time_point now);
  void finish(outputs& out, const order& what, const completion& answer, time_point now,
              bool in_time);
  void on_submit(outputs& out, const submit_order& asked, const completion& answer,
                 time_point now);
  bool waits_on(const submit_order::item& item) const;
  void on_find(outputs& out, const find_order& asked, const completion& answer);
  void on_poll(outputs& out, const poll_order& asked, const completion& answer, time_point now);
  bool is_news(const entry& e, const job::report_status& seen, time_point now) const;
  static void note_shown(entry& e, const job::report_status& seen, time_point now);
  void plan_poll(const poll_done& done, time_point soonest);
  /// How often the scheduler has taken it by now; 0: it is not wanted any more.
  int on_control_taken(outputs& out, const control_order::item& item, time_point now);
  void on_control(outputs& out, const control_order& asked, const completion& answer,
                  time_point now);
  void count_success(outputs& out, time_point now);
  void count_failure(outputs& out, const std::string& reason, time_point now);

  limits bounds_;
  std::unordered_map<job_id, entry> jobs_;
  std::map<place_in_line, job_id> turns_;
  std::uint64_t next_place_ = 1;
  std::unordered_map<job_id, time_point> turned_;  ///< had their turn, the intent is being written
  std::deque<job_id> to_submit_;
  std::set<job_id> to_find_;
  std::unordered_map<job_id, asking> asking_;  ///< of jobs in to_find_
  std::set<job_id> to_control_;
  job_id find_from_;
  job_id control_from_;
  std::set<const job_id*, by_name> followed_;  ///< keys of jobs_
  std::map<order_id, running> orders_;
  std::map<order_id, order> given_up_;  ///< submissions whose late answers still count
  order_id next_order_ = 1;
  bool submitting_ = false;
  bool finding_ = false;
  /// A lookup that brought nothing may have been too long for its time: the next one asks for half.
  int find_most_ = bounds_.lookup_batch_max;
  bool controlling_ = false;
  bool polling_ = false;
  bool taking_inventory_ = false;
  bool health_wanted_ = false;
  time_point health_wanted_at_;
  bool checking_health_ = false;
  bool probe_wanted_ = false;  ///< nothing else tells whether the scheduler answers
  std::array<time_point, questions> asked_at_{};
  time_point next_poll_;
  std::optional<time_point> early_poll_;  ///< sooner than that, unless the queue still fills
  time_point poll_started_;
  time_point poll_started_before_;
  time_point full_poll_at_;  ///< when the last one began; unset: the next poll is a full one
  std::optional<int> nodes_;
  time_point left_at_;       ///< when a job was followed last, or this link began
  std::optional<microseconds> returns_within_;  ///< as the scheduler told
  bool suspects_strays_ = false;
  time_point no_strays_at_;  ///< when the last question began whose answer showed none to look for
  poll_pace pace_;
  std::unordered_map<job_id, hinted> hinted_;  ///< of jobs_ only
  std::optional<time_point> hint_due_;         ///< the first due of those that are followed
  bool all_hinted_ = false;                    ///< all that are followed have ended, as hints say
  bool hints_changed_ = false;                 ///< both are to be found anew
  std::size_t settling_ = 0;  ///< in the last poll
  time_point next_control_;
  time_point next_submit_;  ///< after a fault of the site
  std::string site_fault_;
  time_point next_inventory_;
  time_point next_health_;

  breaker breaker_ = breaker::closed;
  bool heard_ = false;
  int failures_ = 0;
  std::string reason_;
  time_point open_until_;
  time_point down_since_;
  rate query_rate_;
  rate submission_rate_;

  time_point last_poll_at_;
  time_point last_answer_at_;
  microseconds last_poll_took_{0};
  std::int64_t queries_ = 0;
};

}  // namespace ved::core::link
