#include "actors/job/explain.hpp"

#include <deque>
#include <optional>
#include <utility>

#include "actors/job/phases.hpp"
#include "actors/job/view.hpp"
#include "actors/words.hpp"
#include "messages/job_state.hpp"

namespace ved::core::job {

/// The job at the moment in question, and the last events that the words come from.
struct explanation::history {
  job state;
  std::string first_id;  ///< of the first event, whether it folds or not
  std::uint64_t version = 0;
  time_point last;
  std::deque<pb::ExplanationStep> steps;
  std::size_t steps_bytes = 0;
  std::uint64_t left_out = 0;  ///< steps before those
  std::optional<pb::JobSubmissionRefused> refused;
  time_point refused_at;
  std::optional<pb::JobLookupAbsent> absent;
  std::optional<pb::JobReleased> released;
  /// A hold that was asked for and not refused; gone when a later observation shows it undone.
  bool held = false;
  bool releasing = false;
  std::string hold_shows_as;  ///< the scheduler's reason first seen with it
  std::string problem;  ///< why the fold stopped
  bool limit_is_default = false;  ///< the job's request names no limit of time
  bool stood = false;             ///< the run was suspended, for a time that its limit leaves out

  void remember(const pb::Envelope& entry);
};

/// Remembers what the summary may quote; a later event of another kind does not erase it, the
/// phase decides which one is asked for.
void explanation::history::remember(const pb::Envelope& entry) {
  auto& h = *this;
  if (entry.job().has_accepted()) h.limit_is_default = entry.job().accepted().limit_is_default();
  if (entry.job().has_submission_intended()) {
    h.refused.reset();
    h.absent.reset();
    h.released.reset();
  }
  if (entry.job().has_submission_refused()) {
    h.refused = entry.job().submission_refused();
    h.refused_at = from_us(entry.at_us());
  }
  if (entry.job().has_lookup_absent()) h.absent = entry.job().lookup_absent();
  if (entry.job().has_released()) h.released = entry.job().released();
  if (entry.job().has_control_requested()) {
    const auto& asked = entry.job().control_requested();
    if (asked.control() == pb::JOB_CONTROL_HOLD) {
      h.held = true;
      h.hold_shows_as.clear();
    }
    h.releasing = asked.control() == pb::JOB_CONTROL_RELEASE;
  }
  if (entry.job().has_control_done()) {
    if (h.releasing) h.held = false;
    h.releasing = false;
  }
  if (entry.job().has_control_refused()) {
    if (entry.job().control_refused().control() == pb::JOB_CONTROL_HOLD) h.held = false;
    h.releasing = false;
  }
  if (!entry.job().has_observed()) return;
  const auto& seen = entry.job().observed();
  if (seen.state() == pb::JOB_STATE_QUEUED) h.stood = false;
  if (seen.state() == pb::JOB_STATE_SUSPENDED) h.stood = true;
  if (h.held) {
    if (h.hold_shows_as.empty()) h.hold_shows_as = seen.reason();
    if (seen.state() != pb::JOB_STATE_QUEUED || seen.reason() != h.hold_shows_as) h.held = false;
  }
}

namespace {

/// "10:03:12 UTC", with its date when that is not the day of `today`. The zone stands there as
/// clients show the times beside these sentences in their own.
std::string clock_text(time_point t, time_point today) {
  const std::string full = to_rfc3339(t);
  const std::string day = full.substr(0, 10);
  const std::string clock = full.substr(11, 8);
  return (to_rfc3339(today).substr(0, 10) == day ? clock : day + " " + clock) + " UTC";
}

std::string with_reason(const std::string& reason) {
  return reason.empty() ? "" : " (" + reason + ")";
}

template <class History>
class narrator {
 public:
  narrator(const History& h, time_point today, const cluster_view* cluster)
      : h_(h), state_(h.state), today_(today), cluster_(cluster) {}

  std::string summary() const {
    const std::string text =
        std::visit([&](const auto& phase) { return now(phase); }, state_.now);
    return std::string(state_name(public_state(state_))) + ": " + held_by() + text + wishes();
  }

  std::vector<std::string> next() const {
    std::vector<std::string> out;
    std::visit([&](const auto& phase) { add_next(out, phase); }, state_.now);
    if (!is_terminal(state_)) add_cluster(out);
    return out;
  }

 private:
  std::string at(time_point t) const { return "at " + clock_text(t, today_); }
  std::string submission() const { return "submission " + std::to_string(state_.attempt); }
  std::string scheduler_job() const { return "scheduler job " + state_.scheduler_id.str(); }
  std::string vectl(const std::string& verb) const {
    return "vectl job " + verb + " " + state_.id.str();
  }

  std::string now(const waiting& w) const {
    if (waits_for_turn(w))
      return (state_.reason.empty() ? "accepted" : state_.reason) + "; waits here since " +
             clock_text(std::max(w.retry_at, state_.changed_at), today_) +
             ": nothing of submission " +
             std::to_string(state_.attempt + 1) + " has been sent to the cluster " +
             state_.cluster.str();
    const std::string follows = std::to_string(state_.attempt + 1) + " follows " + at(w.retry_at);
    if (h_.refused && !h_.released) {
      const auto& e = *h_.refused;
      return (e.kind() == pb::REFUSAL_KIND_NOT_SENT
                  ? submission() + " never reached the scheduler"
                  : "the scheduler refused " + submission() + " for now") +
             " " + at(h_.refused_at) + with_reason(e.reason()) + "; submission " + follows;
    }
    return (state_.reason.empty() ? "accepted" : state_.reason) + "; submission " + follows;
  }

  bool waits_for_turn(const waiting& w) const {
    return cluster_ != nullptr && cluster_->waits_for_turn && w.retry_at <= today_;
  }
  bool waits_here() const { return cluster_ != nullptr && cluster_->waits == state_.token; }

  std::string now(const submitting&) const {
    if (waits_here())
      return submission() + " (token " + state_.token.str() + ") waits here since " +
             clock_text(state_.intended_at, today_) +
             "; nothing of it has been sent to the cluster " + state_.cluster.str();
    return submission() + " (token " + state_.token.str() + ") has been with the cluster " +
           state_.cluster.str() + " since " + clock_text(state_.intended_at, today_) +
           ", and its answer is awaited";
  }

  std::string now(const unresolved& u) const {
    if (u.claimed_elsewhere) {
      return state_.reason + "; looking the copy up by token " + state_.token.str();
    }
    if (u.refusal != pb::REFUSAL_KIND_UNSPECIFIED)
      return submission() + " was refused, as a command of the site says" +
             with_reason(state_.reason) + "; before that counts all that it has said so of is " +
             "looked up";
    std::string text = submission() + " was lost from sight" + with_reason(state_.reason) + " " +
                       at(state_.changed_at) + "; looking it up by token " + state_.token.str() +
                       " before anything else is sent";
    if (u.absences > 0 && h_.absent) {
      text += ", " + std::to_string(u.absences) + " lookup(s) found nothing so far" +
              with_reason(h_.absent->sources());
    }
    return text;
  }

  std::string now(const held& h) const {
    return std::string(h.by_operator ? "" : "held: ") + state_.reason + " " +
           at(state_.changed_at);
  }

  std::string with_scheduler(const std::string& what) const {
    std::string text = scheduler_job() + " " + what;
    if (is_set(state_.missing_since)) {
      return text + " when last seen, but the scheduler has not shown it since " +
             clock_text(state_.missing_since, today_) + with_reason(state_.reason);
    }
    return text + with_reason(state_.reason);
  }

  std::string now(const queued&) const {
    std::string text = with_scheduler("waits in the queue" +
                                      (state_.queue.empty() ? "" : " " + state_.queue) +
                                      " since " + clock_text(state_.submitted_at, today_));
    if (is_set(state_.never_starts_since))
      text += "; as things are it can never start, the scheduler has said since " +
              clock_text(state_.never_starts_since, today_);
    return text;
  }
  std::string now(const starting&) const { return with_scheduler("is starting"); }
  std::string now(const running&) const {
    return with_scheduler(is_set(state_.started_at)
                              ? "has been running since " + clock_text(state_.started_at, today_)
                              : "is running");
  }
  std::string now(const suspended&) const {
    return with_scheduler("has been suspended since " + clock_text(state_.changed_at, today_));
  }

  std::string now(const finished& f) const {
    std::string text = "ended " + at(f.finished_at);
    if (f.exit_signal != 0) {
      text += " by signal " + std::to_string(f.exit_signal);
    } else if (f.state == pb::JOB_STATE_COMPLETED || f.exit_code != 0) {
      text += " with exit code " + std::to_string(f.exit_code);
    }
    if (!state_.scheduler_id.empty()) text += " as " + scheduler_job();
    return text + because(state_.reason);
  }

  /// Who asked for it and why, behind a wish or a hold.
  std::string of_whom() const {
    return state_.hold ? " by " + state_.hold->by + with_reason(state_.hold->reason) : "";
  }
  std::string held_by() const {
    if (!state_.hold || state_.wanted != pb::JOB_CONTROL_UNSPECIFIED) return "";
    if (is_unseen_suspend(state_)) return "";
    const auto& hold = *state_.hold;
    return "held by " + hold.by + " since " + clock_text(hold.at, today_) +
           because(hold.reason) + "; ";
  }

  std::string wishes() const {
    if (is_terminal(state_)) return "";
    if (state_.cancel) {
      const auto& c = *state_.cancel;
      return "; " + c.by + " asked " + at(c.at) + " to cancel it" + with_reason(c.reason);
    }
    switch (state_.wanted) {
      case pb::JOB_CONTROL_HOLD:
        return "; a hold was asked for" + of_whom() + " and is not in effect yet";
      case pb::JOB_CONTROL_RELEASE: return "; a release was asked for and is not in effect yet";
      case pb::JOB_CONTROL_SUSPEND:
        return "; a suspend was asked for" + of_whom() + " and is not in effect yet";
      case pb::JOB_CONTROL_RESUME: return "; a resume was asked for and is not in effect yet";
      default: break;
    }
    if (!is_unseen_suspend(state_)) return "";
    return "; it was suspended" + of_whom() +
           ", and runs: the scheduler may have lost that or somebody undone it there";
  }

  // --- what follows ------------------------------------------------------------------------------

  void add_turn(std::vector<std::string>& out) const {
    out.push_back(cluster_->site_fault.empty()
                      ? "it is sent when the cluster answers and those before it are through"
                      : "it is sent once the cluster takes jobs again; for now it takes none: " +
                            cluster_->site_fault);
  }

  void add_next(std::vector<std::string>& out, const waiting& w) const {
    if (waits_for_turn(w))
      add_turn(out);
    else
      out.push_back("submission " + std::to_string(state_.attempt + 1) + " is sent " +
                    at(w.retry_at));
    if (cluster_ != nullptr && state_.failures > 0) {
      const int left = cluster_->limits.max_retries - state_.failures;
      out.push_back(left > 0 ? "after " + std::to_string(left) +
                                   " more failed submission(s) beyond that one it is held"
                             : "if that one fails too, it is held for an operator");
    }
    out.push_back("to stop it before that: " + vectl("hold") + " or " + vectl("cancel"));
  }

  void add_next(std::vector<std::string>& out, const submitting&) const {
    if (waits_here())
      add_turn(out);
    out.emplace_back(
        "accepted: it is followed; refused: retried or failed with the scheduler's words; "
        "no answer: it is looked up by its token before anything else is sent");
    if (state_.cancel) {
      out.emplace_back("if the submission has not left yet it is withdrawn, otherwise the "
                       "scheduler is asked to cancel it");
    }
  }

  /// No attempt is left after this one.
  bool used_up(const unresolved& u) const {
    return cluster_ != nullptr && !u.by_restart &&
           state_.failures >= cluster_->limits.max_retries;
  }

  void add_next(std::vector<std::string>& out, const unresolved& u) const {
    const bool refused = u.refusal != pb::REFUSAL_KIND_UNSPECIFIED;
    out.push_back((refused ? std::string("found") : "found by token " + state_.token.str()) +
                  ": it is adopted" + (state_.cancel ? " and cancelled" : ""));
    const std::string then = state_.cancel ? "the job ends as cancelled"
                             : u.refusal == pb::REFUSAL_KIND_PERMANENT ? "the job fails"
                             : refused ? "it is held for an operator"
                             : u.claimed_elsewhere || used_up(u)
                                 ? "it is held for an operator"
                                                    : "submission " +
                                                         std::to_string(state_.attempt + 1) +
                                                         " is sent";
    if (refused) {
      out.push_back("absent in two sources: " + then);
    } else if (cluster_ == nullptr) {
      out.push_back("surely absent (two sources, after the scheduler's own time-outs): " + then);
    } else {
      const auto counts_from = state_.changed_at + cluster_->limits.settle;
      out.push_back("absent in two sources in " +
                    std::to_string(cluster_->limits.absences_needed) + " lookups after " +
                    clock_text(counts_from, today_) + ": " + then);
    }
    if (cluster_ != nullptr && !cluster_->lookup_problem.empty())
      out.push_back("the last lookup told nothing: " + cluster_->lookup_problem);
    out.emplace_back("as long as a source does not answer, nothing changes and nothing is sent");
  }

  void add_next(std::vector<std::string>& out, const held& h) const {
    out.push_back("nothing happens until " + h.release);
    out.push_back("release: " + vectl("release") + "; give up: " + vectl("cancel"));
  }

  void add_followed(std::vector<std::string>& out, const std::string& ahead) const {
    if (state_.cancel) {
      out.push_back("the scheduler is asked to cancel " + scheduler_job() +
                    " until it shows its end");
    } else if (!is_set(state_.missing_since)) {
      out.push_back(ahead);
    }
    if (!is_set(state_.missing_since)) return;
    out.emplace_back("if the scheduler shows it again, it is followed on");
    const std::string rule = "it ends only when a second source confirms that it is gone";
    out.push_back(cluster_ == nullptr
                      ? rule + " and the grace time has passed"
                      : rule + ", not before " +
                            clock_text(state_.missing_since + cluster_->limits.vanish_grace,
                                       today_));
  }

  void add_next(std::vector<std::string>& out, const queued&) const {
    const bool releasing = state_.wanted == pb::JOB_CONTROL_RELEASE ||
                           state_.wanted == pb::JOB_CONTROL_RESUME;
    const bool is_held = (h_.held && state_.wanted == pb::JOB_CONTROL_UNSPECIFIED) ||
                         (state_.held_there && !releasing);
    add_followed(out, is_held ? "it stays so until it is released: " + vectl("release")
                              : "it starts when the scheduler decides so");
  }
  void add_next(std::vector<std::string>& out, const starting&) const {
    add_followed(out, "it runs once the scheduler has set it up");
  }
  /// Whose the limit is that the job's request does not name.
  std::string by_default() const {
    return h_.limit_is_default ? ", which is the daemon's default: it named none, and a shorter "
                                 "one of its queue counts instead"
                               : "";
  }
  void add_next(std::vector<std::string>& out, const running&) const {
    add_followed(out, "it ends by itself" +
                          (state_.max_runtime_seconds > 0
                               ? ", or at its limit of " +
                                     std::to_string(state_.max_runtime_seconds) + " s" +
                                     by_default()
                               : std::string()));
    if (state_.cancel || state_.max_runtime_seconds <= 0 || !is_set(state_.started_at)) return;
    const auto limit = state_.started_at + seconds{state_.max_runtime_seconds};
    out.push_back("the limit is reached " + at(limit) +
                  (h_.stood                ? ", and later by the time that it was suspended"
                   : h_.limit_is_default ? " at the latest"
                                         : "") +
                  (cluster_ == nullptr
                       ? ""
                       : "; if the scheduler lets it run on, we cancel it " +
                             at(limit_at(state_, cluster_->limits))));
    if (cluster_ != nullptr && state_.ends_by > limit + cluster_->limits.timeout_grace)
      out.push_back("its scheduler gives it longer, and ends it " + at(state_.ends_by) +
                    " at the latest");
  }
  void add_next(std::vector<std::string>& out, const suspended&) const {
    add_followed(out, "it stays so until it is released: " + vectl("release"));
    if (cluster_ == nullptr || limit_at(state_, cluster_->limits) == time_point::max()) return;
    out.push_back("it ends at the latest " +
                  at(state_.started_at + 2 * seconds{state_.max_runtime_seconds}) +
                  ", suspended or not: at twice its limit of " +
                  std::to_string(state_.max_runtime_seconds) + " s");
  }
  void add_next(std::vector<std::string>& out, const finished&) const {
    if (!is_abandoned(state_)) return out.emplace_back("nothing: this state is final"), void();
    if (const auto* back = returned(state_))
      return out.push_back("this state is final, but scheduler job " + back->id.str() +
                           " came back there, requeued or with an older state of the scheduler: "
                           "it is ended there, and what it used is added"),
             void();
    const std::string there =
        state_.scheduler_id.empty() ? "what is there of it" : scheduler_job();
    out.push_back("this state is final, but " + there +
                  " may run on: it is ended there as soon as cluster " + state_.cluster.str() +
                  " is configured and answers");
  }

  void add_cluster(std::vector<std::string>& out) const {
    if (cluster_ == nullptr) return;
    const std::string name = "cluster " + state_.cluster.str();
    if (is_set(cluster_->down_since) || cluster_->breaker == "open") {
      out.push_back(name + " does not answer" +
                    (is_set(cluster_->down_since)
                         ? " since " + clock_text(cluster_->down_since, today_)
                         : std::string()) +
                    with_reason(cluster_->reason) + "; nothing moves until it does");
    } else if (is_set(cluster_->last_answer_at)) {
      out.push_back(name + " last answered " + at(cluster_->last_answer_at));
    }
  }

  const History& h_;
  const job& state_;
  time_point today_;
  const cluster_view* cluster_;
};

}  // namespace

explanation::explanation(time_point at) : history_(std::make_unique<history>()), at_(at) {}
explanation::~explanation() = default;

const job& explanation::state() const { return history_->state; }

bool explanation::add(const pb::Envelope& what) {
  auto& h = *history_;
  if (!h.problem.empty()) return false;
  if (h.first_id.empty()) h.first_id = what.job().accepted().spec().job_id();
  const auto when = from_us(what.at_us());
  if (is_set(at_) && when > at_) return false;
  if (auto applied = apply(h.state, what); !applied) {
    h.problem = applied.error().message;
    return false;
  }
  h.remember(what);
  h.last = when;
  h.version = what.version() != 0 ? what.version() : h.version + 1;
  auto& step = h.steps.emplace_back();
  step.set_position(what.position());
  step.set_at_us(to_us(when));
  step.set_text(tell(what.job()));
  step.set_principal(what.principal());
  h.steps_bytes += step.ByteSizeLong();
  while (h.steps.size() > explained_steps_max ||
         (h.steps_bytes > explained_bytes_max && h.steps.size() > 1)) {
    h.steps_bytes -= h.steps.front().ByteSizeLong();
    h.steps.pop_front();
    ++h.left_out;
  }
  return true;
}

pb::Explanation explanation::finish(const cluster_view* cluster) {
  auto& h = *history_;
  pb::Explanation out;
  out.set_at_us(to_us(at_));
  for (auto& step : h.steps) *out.add_steps() = std::move(step);
  out.set_steps_left_out(h.left_out);
  if (h.state.id.empty()) {
    out.set_job_id(h.first_id);
    out.set_summary(!h.problem.empty()    ? "the log does not fold: " + h.problem
                    : h.first_id.empty() ? "there is no such job"
                                         : "the job was not known yet at " + to_rfc3339(at_));
    return out;
  }
  out.set_job_id(h.state.id.str());
  *out.mutable_job() = to_api_job(h.state, h.version);
  // A cluster's state of today explains nothing about a past moment.
  const narrator words(h, is_set(at_) ? at_ : h.last, is_set(at_) ? nullptr : cluster);
  out.set_summary(words.summary() +
                  (h.problem.empty() ? "" : "; the log does not fold further: " + h.problem));
  for (auto& line : words.next()) out.add_next(std::move(line));
  return out;
}

pb::Explanation explain(const std::vector<pb::Envelope>& log, time_point at,
                        const cluster_view* cluster) {
  explanation out(at);
  for (const auto& entry : log)
    if (!out.add(entry)) break;
  return out.finish(cluster);
}

}  // namespace ved::core::job
