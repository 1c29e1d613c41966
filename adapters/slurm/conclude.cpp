#include <chrono>
#include <variant>

#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/watched.hpp"
#include "messages/job_state.hpp"

namespace ved::adapters::slurm {
namespace {

/// A state that a requeue may still undo counts when it was seen for so long.
constexpr seconds return_grace{5};

job_status as_submitted() {
  job_status out;
  out.state = pb::JOB_STATE_QUEUED;
  return out;
}

}  // namespace

std::string ending_reason(const std::string& state, const std::string& reason,
                          const exit_status& exit, pb::JobState as) {
  if (as == pb::JOB_STATE_COMPLETED) return {};
  std::string out = "Slurm: " + state;
  // Slurm shows a hold that was over long ago among the reasons of an end.
  const bool stale = reason == "JobHeldUser" || reason == "JobHeldAdmin";
  if (!reason.empty() && reason != "None" && reason != state && !stale)
    out += " (" + reason + ")";
  if (exit.signal != 0) out += ", signal " + std::to_string(exit.signal);
  else if (exit.code != 0) out += ", exit code " + std::to_string(exit.code);
  return out;
}

observation slurm_cluster::conclude(watched& job, time_point now) const {
  auto& kept = *job.kept;
  if (job.strange) {
    // A newer Slurm's word: nothing is known, so nothing changes.
    if (kept.last) return *kept.last;
    return missing{false, "squeue shows a state that is not known here: " + job.word};
  }
  if (job.put_off) {
    job.settling = true;
    if (!kept.last && job.status) kept.last = job.status;
    return kept.last ? *kept.last : still_ending(job);
  }
  const bool told = (job.accounted && job.accounted->final) || job.left.ended;
  if (job.unseen && !told) {
    if (kept.last) return *kept.last;
    return missing{false, "squeue gave only a part of its answer"};
  }
  // A completed job that is still being cleaned up does not return; one that failed may, requeued.
  // Its use is whole when all its steps have ended.
  const bool completed = job.completing && job.accounted && job.accounted->final &&
                         !job.accounted->steps_open &&
                         job.accounted->status.state == pb::JOB_STATE_COMPLETED;
  if (job.status && !completed) {
    kept.last = job.status;
    job.settling = job.completing && asks_accounting();
    return *job.status;
  }
  const auto me = job.job->token.str() + ":" + job.job->id.str();
  const auto exit = job.accounted ? job.accounted->status.exit_code
                    : kept.ended  ? kept.ended->exit_code
                                  : 0;
  auto lost_to = job.left.lost_to;
  if (lost_to.empty() && exit == lost_claim_exit && !job.left.claim.empty() &&
      job.left.claim != me && !job.left.claim.starts_with(me + ":"))
    lost_to = job.left.claim;
  if (!lost_to.empty()) {
    job_status status = kept.ended.value_or(job_status{});
    status.usage.reset();
    if (lost_to.starts_with("cancelled:")) {
      status.state = pb::JOB_STATE_CANCELLED;
      status.reason = "it was cancelled before it could start";
      return status;
    }
    status.state = pb::JOB_STATE_FAILED;
    status.reason = "another copy had claimed the job: " + lost_to;
    status.lost_claim_to = submission_token{lost_to.substr(0, lost_to.find(':'))};
    return status;
  }
  const bool accounted = job.accounted && job.accounted->final;
  if (!is_set(kept.accounts_due) && (accounted || kept.ended)) kept.accounts_due = now;
  auto end = accounted ? job.accounted->status : job_status{};
  if (!accounted) {
    const auto without = conclude_without_accounting(job, now);
    if (!std::holds_alternative<job_status>(without)) return without;
    end = std::get<job_status>(without);
    if (!is_terminal(end.state)) return end;
  }
  // Only its directory tells that it lost the claim: a connection that is cut after accounting has
  // answered must not make that a failure.
  if (job.traces_cut && now < kept.accounts_due + options_.accounting_grace) {
    job.settling = true;
    return still_ending(job);
  }
  if (accounted && job.may_return && now < kept.ended_seen + return_grace)
    return still_ending(job);
  if (end.state == pb::JOB_STATE_FAILED && !job.left.step.empty())
    end.reason += (end.reason.empty() ? "" : "; ") + ("in step " + job.left.step);
  if (const auto own = job.left.exit_code; own && end.state != pb::JOB_STATE_COMPLETED &&
                                           *own != end.exit_code && *own - 128 != end.exit_signal)
    end.reason += "; its own record says exit code " + std::to_string(*own);
  if (end.state == pb::JOB_STATE_FAILED && job.traces_answer && job.left.untouched)
    end.reason += "; its directory holds no sign that it started";
  if (job.left.again)
    end.reason += "; Slurm lost its state and started it a second time, the first run left no end";
  if (job.left.no_claim) end.reason += "; it could not make its claim in the job directory";
  if (end.usage && end.usage->cpu_time_us() == 0 && job.left.cpu_time)
    end.usage->set_cpu_time_us(job.left.cpu_time->count());
  return end;
}

/// It ended in squeue, but the whole story is not there yet.
observation slurm_cluster::still_ending(watched& job) const {
  auto& kept = *job.kept;
  const bool shown_running = kept.last && kept.last->state == pb::JOB_STATE_RUNNING;
  if (shown_running || !kept.ended || !is_set(kept.ended->started_at))
    return kept.last.value_or(as_submitted());
  job_status status;
  status.state = pb::JOB_STATE_RUNNING;
  status.started_at = kept.ended->started_at;
  kept.last = status;
  return status;
}

observation slurm_cluster::conclude_without_accounting(watched& job, time_point now) const {
  auto& kept = *job.kept;
  const bool accounting = asks_accounting();
  if (kept.ended) {
    // Accounting is the better witness of use: it is waited for, but not for ever.
    job.settling = accounting && now < kept.accounts_due + options_.accounting_grace;
    if (job.settling || (job.may_return && now < kept.ended_seen + return_grace))
      return still_ending(job);
    auto end = *kept.ended;
    if (accounting)
      end.reason += std::string(end.reason.empty() ? "" : "; ") +
                    "accounting has no final record: its use is what squeue told";
    return end;
  }
  if (job.left.ended && job.left.exit_code) {
    job_status end;
    const int code = *job.left.exit_code;
    end.state = code == 0 ? pb::JOB_STATE_COMPLETED : pb::JOB_STATE_FAILED;
    if (code > 128 && code <= 192) end.exit_signal = code - 128;
    else end.exit_code = code;
    end.reason = "its own record, Slurm does not know it any more";
    if (code != 0) end.reason += ": exit code " + std::to_string(code);
    end.finished_at = job.left.ended_at;
    if (kept.last) end.started_at = kept.last->started_at;
    // Nothing measured it but the job itself; what it held is known if squeue ever showed it.
    end.usage = kept.allocated;
    end.usage->set_wall_clock_seconds(0);
    if (is_set(end.started_at) && end.finished_at > end.started_at)
      end.usage->set_wall_clock_seconds(
          std::chrono::duration_cast<seconds>(end.finished_at - end.started_at).count());
    return end;
  }
  // Who holds or cancels a job must not see it come back: it was last seen waiting by itself.
  const bool never_ran =
      kept.waited && job.traces_answer && !job.left.ended && job.left.untouched;
  if (job.accounted) {
    // Accounting calls it alive, the controller does not know it: the record may be late, or the
    // controller lost the job (a "runaway job", sacctmgr(1)).
    if (!is_set(kept.runaway_seen)) kept.runaway_seen = now;
    const bool only_waits = never_ran && job.accounted->state == "PENDING";
    if (only_waits) {
      const std::lock_guard lock(mutex_);
      accounted_only_[job.job->token.str()] = kept.runaway_seen;
    }
    return missing{now >= kept.runaway_seen + options_.runaway_after,
                   "squeue does not know it, accounting says " + job.accounted->state,
                   only_waits};
  }
  // Accounting hears of every job, also of one that is cancelled while it waits.
  if (job.accounts_answer) return missing{true, "neither squeue nor sacct know it", never_ran};
  if (!accounting && job.traces_answer && job.controller_denies)
    return missing{true, "neither squeue nor scontrol know it, and it left no end record"};
  return missing{false, accounting ? "squeue does not know it, accounting does not answer"
                                   : "squeue does not know it; no second source answers"};
}

}  // namespace ved::adapters::slurm
