#include "tools/ve_sim/check.hpp"

#include <set>

#include "actors/job/stored.hpp"
#include "messages/job_state.hpp"

namespace ved::sim {
namespace {

namespace job = core::job;

constexpr std::size_t events_per_job_max = 100'000;
/// The longest way of a cancel: restart, settling time, lookup, control.
constexpr auto cancel_time_max = seconds{60};

class checker {
 public:
  explicit checker(const evidence& all) : all_(all) {}

  std::vector<std::string> run() {
    check_logs();
    check_callbacks();
    for (const auto& [id, wish] : all_.wishes) {
      if (!wish.acknowledged && !wish.gives_up)
        broken("job " + id.str() + " is asked for again and again, and never acknowledged");
      check_job(id, wish);
    }
    return std::move(found_);
  }

 private:
  void broken(const std::string& what) { found_.push_back(what); }

  void check_logs() {
    for (const auto& one : all_.survivor.logs().all()) {
      const auto verified = one.log->verify();
      if (!verified)
        broken("log " + one.name + " cannot be verified: " + verified.error().message);
      else if (!verified->ok)
        broken("log " + one.name + " does not verify: " + verified->first_problem);
    }
  }

  /// In the order of each log, none left out; told twice only while nobody knew that it was told.
  void check_callbacks() {
    std::map<std::string, const heard_callback*> last;
    std::set<std::string> ids;
    for (const auto& one : all_.heard) {
      auto& before = last[one.log];
      if (before != nullptr && before->id == one.id) continue;
      const std::string name = "callback " + one.callback + " of job " + one.job.str();
      if (!ids.insert(one.id).second) broken(name + " came again after a later one");
      if (before != nullptr && before->position > one.position) broken(name + " came too late");
      before = &one;
      ++told_[one.job][one.callback];
    }
  }

  /// What the log says of a job was told.
  void check_told(const std::string& name, const job_id& id,
                  const std::vector<pb::Envelope>& events) {
    int submitted = 0;
    int ends = 0;  // and what more it used after that
    std::string end;
    bool came_back = false;
    for (const auto& e : events) {
      submitted += e.job().has_submitted() ? 1 : 0;
      came_back = came_back || e.job().has_returned();
      // What came back and was ended while it waited is no news.
      const auto& run = e.job().abandoned_over().run();
      const bool used = run.started_at_us() != 0 || run.usage().wall_clock_seconds() > 0;
      const bool over = e.job().abandoned_over().has_run() && (used || !came_back);
      ends += e.job().has_finished() || over ? 1 : 0;
      if (e.job().has_abandoned_over()) came_back = false;
      if (e.job().has_finished()) end = state_name(e.job().finished().state());
    }
    if (!end.empty() && told_[id][end] != ends)
      broken(name + ": its end (" + end + ") was told " + std::to_string(told_[id][end]) +
             " times, not " + std::to_string(ends));
    if (told_[id]["submitted"] != submitted)
      broken(name + " was submitted " + std::to_string(submitted) + " times, and told so " +
             std::to_string(told_[id]["submitted"]) + " times");
  }

  void check_job(const job_id& id, const client_wish& wish) {
    const std::string name = "job " + id.str();
    const auto held = all_.survivor.logs().find_stream(core::job_stream(id.str()));
    if (!held) return broken(name + ": " + held.error().message);
    if (!*held) {
      if (wish.acknowledged) broken(name + " was acknowledged and is not in a log");
      return;
    }
    const auto events =
        (*held)->in.log->read_stream(core::job_stream(id.str()), 0, events_per_job_max);
    if (!events) return broken(name + ": " + events.error().message);
    int places = 0;
    for (const auto& one : all_.survivor.logs().all()) {
      const auto state = one.log->state(core::job_stream(id.str()));
      places += state && *state ? 1 : 0;
    }
    if (places != 1) broken(name + " is in " + std::to_string(places) + " logs");
    job::job state;
    for (const auto& e : *events) {
      if (auto applied = job::apply(state, e); !applied)
        return broken(name + ": the log does not fold: " + applied.error().message);
    }
    check_stored(name, id, (*held)->at.state, state);
    check_attempts(name, *events);
    check_told(name, id, *events);
    check_end(name, state, wish);
    check_truth(name, id, state);
    check_cancel(name, id, wish);
  }

  /// Replay, stored state and memory agree.
  void check_stored(const std::string& name, const job_id& id, const std::string& stored,
                    const job::job& state) {
    const auto replayed = job::to_record(state).SerializeAsString();
    if (stored != replayed) broken(name + ": the stored state differs from the replay");
    const auto* live = all_.survivor.find(id);
    if (live != nullptr && job::to_record(*live).SerializeAsString() != replayed)
      broken(name + ": the live state differs from the replay");
    if (live != nullptr && job::is_terminal(*live)) broken(name + " is finished and still live");
    if (live == nullptr && !job::is_terminal(state)) broken(name + " is not finished and was lost");
  }

  /// Every intent but the first follows a sure refusal or a settled lookup.
  void check_attempts(const std::string& name, const std::vector<pb::Envelope>& events) {
    bool sure = true;
    std::set<std::string> tokens;
    int ends = 0;
    int failures = 0;  // in a row, without an operator
    bool by_restart = false;
    for (const auto& e : events) {
      if (e.job().has_claim_lost()) by_restart = false;
      if (e.job().has_submission_unresolved())
        by_restart = e.job().submission_unresolved().by_restart();
      if (e.job().has_submission_refused() ||
          (e.job().has_lookup_absent() && e.job().lookup_absent().settled() && !by_restart))
        ++failures;
      if (e.job().has_submitted() || e.job().has_released()) failures = 0;
      if (failures > all_.max_retries + 1)
        broken(name + ": its submissions fail for ever and it is not held");
      // An operator has found out what became of the copy that a stranger's token hides.
      if (e.job().has_released()) sure = true;
      const bool after_all = e.job().has_returned() || e.job().has_abandoned_over();
      if (ends > 0 && !after_all) broken(name + ": an event follows its end");
      if (e.job().has_finished()) ++ends;
      if (e.job().has_submission_refused()) sure = true;
      if (e.job().has_lookup_absent() && e.job().lookup_absent().settled()) sure = true;
      if (e.job().has_submitted() || e.job().has_claim_lost()) sure = false;
      if (!e.job().has_submission_intended()) continue;
      if (!sure) broken(name + ": sent again without a refusal or a settled lookup");
      sure = false;
      if (!tokens.insert(e.job().submission_intended().token()).second)
        broken(name + ": a token was used twice");
    }
  }

  void check_end(const std::string& name, const job::job& state, const client_wish& wish) {
    if (!wish.acknowledged) return;
    const bool held = std::holds_alternative<job::held>(state.now);
    if (!job::is_terminal(state) && !held)
      broken(name + " is stuck in phase " + std::string(job::phase_name(state)) + " (" +
             state.reason + ")");
    if (held && state.reason.empty()) broken(name + " is held without a reason");
    if (wish.cancel_acknowledged && !state.cancel && !job::is_terminal(state))
      broken(name + ": an acknowledged cancel is not in the log");
  }

  void check_truth(const std::string& name, const job_id& id, const job::job& state) {
    const copy* ran = nullptr;
    int executions = 0;
    bool lost_record = false;
    std::set<std::string> tokens;
    for (const auto& [cluster_name, truth] : all_.clusters) {
      executions += truth->executions(id);
      for (const auto& [number, one] : truth->copies()) {
        if (one.job != id) continue;
        // One that names a stranger is as good as lost to its job.
        lost_record = lost_record || one.lost || one.names_stranger;
        if (!one.lost) tokens.insert(one.token.str());
        if (one.claimed) ran = &one;
        if (job::is_terminal(state) && !one.lost &&
            state.scheduler_id.str() == std::to_string(number) && one.lost_claim_to &&
            end_state(state) != pb::JOB_STATE_CANCELLED)
          broken(name + " ended with a copy that had lost the claim");
        if (cluster_name != state.cluster.str()) broken(name + " ran on another cluster");
        if (job::is_terminal(state) && cluster::is_live(one) && !all_.wild)
          broken(name + " is finished, and its copy " + std::to_string(number) + " lives on");
      }
    }
    if (executions > 1) broken(name + " was executed " + std::to_string(executions) + " times");
    // A job whose record was lost is allowed to be sent again: it was surely gone.
    if (tokens.size() > 1 && !all_.wild && !lost_record)
      broken(name + " has copies of " + std::to_string(tokens.size()) + " submissions");
    if (job::is_terminal(state)) check_outcome(name, state, ran, lost_record);
  }

  /// With nothing in the way, a cancel ends the job soon, or the job ended by itself before.
  void check_cancel(const std::string& name, const job_id& id, const client_wish& wish) {
    if (!is_set(wish.calm_cancel_at) || all_.wild) return;
    for (const auto& [cluster_name, truth] : all_.clusters)
      for (const auto& [number, one] : truth->copies())
        if (one.job == id && one.state != pb::JOB_STATE_CANCELLED && !one.lost &&
            one.finished_at > wish.calm_cancel_at + cancel_time_max)
          broken(name + ": copy " + std::to_string(number) + " ran on long after its cancel");
  }

  /// The final state is what truly happened.
  void check_outcome(const std::string& name, const job::job& state, const copy* ran,
                     bool lost_record) {
    const auto& end = std::get<job::finished>(state.now);
    if (ran == nullptr) {
      if (end.state == pb::JOB_STATE_COMPLETED)
        broken(name + " is completed and was never executed");
      return;
    }
    if (ran->lost || lost_record) return;  // nobody can know
    if (all_.wild && state.scheduler_id.str() != std::to_string(ran->id)) return;
    const auto is_told = [&](pb::JobState truly) {
      return end.state == truly ||
             (end.state == pb::JOB_STATE_TIMEOUT && truly == pb::JOB_STATE_CANCELLED);
    };
    // One that was requeued before anybody saw its end has gone on.
    const bool same = is_told(ran->state) || (ran->ended_as && is_told(*ran->ended_as));
    if (!same)
      broken(name + " is " + std::string(state_name(end.state)) +
             ", but the copy that ran is " + std::string(state_name(ran->state)));
    if (same && end.exit_code != ran->exit_code && end.state == pb::JOB_STATE_FAILED)
      broken(name + ": wrong exit code");
    if (!all_.wild && ran->claimed_at > end.finished_at) broken(name + " ran after its end");
  }

  static pb::JobState end_state(const job::job& state) {
    return std::get<job::finished>(state.now).state;
  }

  const evidence& all_;
  std::map<job_id, std::map<std::string, int>> told_;  ///< callbacks, by job
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> check(const evidence& all) {
  return checker(all).run();
}

}  // namespace ved::sim
