#include <chrono>
#include <variant>

#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/exits.hpp"
#include "adapters/slurm/watched.hpp"
#include "messages/job_state.hpp"
#include "messages/usage.hpp"

namespace ved::adapters::slurm {
namespace {

/// A state that a requeue may still undo counts when it was seen for so long.
constexpr seconds return_grace{5};
/// A copy that loses the claim does nothing else; a file system of the nodes may be slow.
constexpr seconds loses_within{600};
/// So long the directory of a job may be out of reach whose end its record would tell: one that
/// ended with a code of the wrapper's, or that Slurm does not know any more.
constexpr seconds unread_grace{600};
/// So long a job's row may be missing from broken answers before that is told.
constexpr seconds unseen_grace{60};
const std::string mixed_runs = "accounting mixes the runs of a job that has changed its size";

/// The end record's "site: words" or "request: words", told.
std::string whose_fault(const std::string& fault) {
  constexpr std::string_view request = "request: ";
  if (fault.starts_with(request)) return "the request's fault: " + fault.substr(request.size());
  constexpr std::string_view site = "site: ";
  return "the site's fault: " + fault.substr(fault.starts_with(site) ? site.size() : 0);
}

/// A code that only the wrapper uses, beside a record that says which of its ways it went.
bool is_wrappers(int code) {
  return code == lost_claim_exit || code == started_again_exit || code == no_claim_exit ||
         code == not_started_exit;
}

/// By Slurm's figures, which no job writes.
bool ended_at_once(const job_status& end) {
  const microseconds cpu{end.usage ? end.usage->cpu_time_us() : 0};
  if (cpu > unstarted_cpu_max) return false;
  return !is_set(end.started_at) ||
         end.finished_at - end.started_at <= longest_unstarted(cpu > microseconds{0});
}

/// The wrapper ended because it found no claim and could make none, and nothing else began there. A
/// job that ran has a claim, and a record of its end.
bool could_not_claim(const traces& left, const job_status& end) {
  if (end.state != pb::JOB_STATE_FAILED || end.exit_code != no_claim_exit) return false;
  if (end.exit_signal != 0 || !left.there || !left.claim.empty()) return false;
  if (left.strange || left.exit_code || !left.lost_to.empty() || left.again) return false;
  return ended_at_once(end);
}

}  // namespace

/// Why the end that accounting tells, and squeue never showed, is not believed; "" when it is.
/// slurmdbd ends jobs of which it knows nothing: as cancelled when a controller comes back without
/// its state, as completed for `sacctmgr show runawayjobs`, in the second in which they began.
std::string slurm_cluster::why_doubted(const watched& job) {
  if (!job.accounted || !job.accounted->final) return {};
  if (mixes_runs(job) && job.kept->ended) return mixed_runs;
  if (is_of_run_before(job)) return "accounting has the record of a run before this one only";
  if (job.status) return {};
  if (job.kept->ended || job.kept->exit) return {};
  const auto& told = *job.accounted;
  const auto& end = told.status;
  if (told.by_nobody)
    return "accounting says CANCELLED, but by nobody, and nothing else shows that it ended: Slurm's"
           " controller started without its state?";
  if (end.state != pb::JOB_STATE_COMPLETED) return {};
  const std::string but = "accounting says COMPLETED, but nothing shows that it ended: ";
  if (!told.has_started) return but + "it has no start there";
  if (job.left.exit_code == 0) return {};
  if (end.finished_at > job.site_now + controller_slack)
    return but + "its end there, " + to_rfc3339(end.finished_at) + ", has not come yet";
  const auto span = std::chrono::duration_cast<seconds>(end.finished_at - end.started_at);
  const bool knows_times = is_set(end.started_at) && is_set(end.finished_at);
  if (knows_times &&
      (span.count() < 0 || seconds{told.elapsed_seconds} > span + clock_slack))
    return but + "its times there contradict each other";
  if (told.elapsed_seconds == 0 && !told.batch_used)
    return but + "it took no time there, and left no record of an end";
  return {};
}

/// A controller that comes back without its last seconds starts a job that has begun already once
/// more under its number, and when that fails cancels it, as root. Nothing ran then that its record
/// could be of: that is of the run that counts.
///
/// The times of files are the job's own, Slurm's figures are not: a start that computed, or went on
/// for long, or was the first that was seen, is the run itself.
bool slurm_cluster::is_only_a_second_start(const watched& job, const job_status& end) {
  const auto& left = job.left;
  const auto& kept = *job.kept;
  // What ended and was told has left its record, too.
  if (is_set(job.job->told_until)) return false;
  if (end.state != pb::JOB_STATE_CANCELLED || !job.has_traces()) return false;
  // One that a signal ended may be what the cancel ended.
  if (!left.ended || !left.exit_code || *left.exit_code > 128) return false;
  if (!claimed_itself(job) || !ended_at_once(end)) return false;
  // Requeued, and cancelled while it waited to be run on.
  if (left.told || kept.run_before || kept.was_requeued()) return false;
  if (job.accounted && job.accounted->records.front().run.enqueued_at !=
                           job.accounted->records.back().run.enqueued_at)
    return false;
  if (!is_set(end.started_at) || end.finished_at - end.started_at < seconds{1}) return true;
  const auto seen = is_set(kept.first_start) ? kept.first_start : job.job->started_at;
  const bool began_before = !is_set(seen) || seen + seconds{1} < end.started_at;
  return began_before && left.ended_at + seconds{1} < end.started_at;
}

/// What Slurm measured besides counts, too.
void slurm_cluster::count_in(job_status& end, const job_status& told) {
  if (!told.usage) return;
  auto all = end.usage.value_or(pb::JobUsage{});
  const auto own = all.wall_clock_seconds();
  all.MergeFrom(*told.usage);
  all.set_wall_clock_seconds(std::max(own, told.usage->wall_clock_seconds()));
  end.usage = std::move(all);
  end.counted = told.counted;
}

std::string ending_reason(const std::string& state, const std::string& reason,
                          const exit_status& exit) {
  if (state == "COMPLETED") return {};
  std::string out = "Slurm: " + state;
  // What it waited for last, Slurm shows as the reason of its end. A wait for ever may be one.
  const bool stale = !explain_reason(reason).empty() && !is_for_ever(reason);
  if (!reason.empty() && reason != "None" && reason != state && !stale)
    out += " (" + reason + ")";
  if (exit.signal != 0) out += ", signal " + std::to_string(exit.signal);
  else if (exit.code != 0) out += ", exit code " + std::to_string(exit.code);
  return out;
}

/// A copy that found the claim of another says so by its exit code, and the claim stands there for
/// everybody to read. What a job merely writes of itself moves it nowhere. Where no source in Slurm
/// knows its exit code any more, its record and the claim must agree.
std::optional<job_status> slurm_cluster::lost_claim(const watched& job) const {
  const auto& kept = *job.kept;
  const auto& left = job.left;
  const auto claim = parse_claim(left.claim);
  const auto me = number_of(job.job->id).number;
  if (!claim || (!claim->cancelled && claim->token == job.job->token.str() && claim->id == me))
    return std::nullopt;
  const bool accounted = job.accounted && job.accounted->final;
  const bool by_slurm = accounted || kept.ended.has_value();
  const auto exit = accounted ? job.accounted->exit : kept.exit;
  if (by_slurm ? !exit || exit->code != lost_claim_exit || exit->signal != 0
               : left.lost_to != left.claim)
    return std::nullopt;
  auto status = accounted ? job.accounted->status : kept.ended.value_or(job_status{});
  // It ends in its first moments; one that ran for long has only changed its claim.
  if (is_set(status.started_at) && is_set(status.finished_at) &&
      status.finished_at - status.started_at > loses_within)
    return std::nullopt;
  status.exit_code = by_slurm ? lost_claim_exit : 0;
  if (claim->cancelled) {
    // A cancel of ours names the copy; what it used meanwhile it used.
    if (claim->token != job.job->token.str()) return std::nullopt;
    status.state = pb::JOB_STATE_CANCELLED;
    status.reason = "it was cancelled before it could start";
    status.says_cancelled = true;
    return status;
  }
  status.state = pb::JOB_STATE_FAILED;
  status.reason = "another copy had claimed the job: " + left.claim;
  status.lost_claim_to = submission_token{claim->token};
  return status;
}

/// slurmd could not start it at all, and nothing began: as where its output file cannot be made.
bool slurm_cluster::slurmd_failed(const watched& job, const exit_status& exit,
                                  const job_status& end) {
  const auto& left = job.left;
  return exit.slurmd != 0 && ended_at_once(end) && job.has_traces() && left.untouched &&
         left.claim.empty() && !left.ended;
}

/// A start after a requeue that could not take the claim of the run before over: the wrapper ended
/// it, and nothing of the job began. How long it took is the last run's alone.
bool slurm_cluster::could_not_take_over(const watched& job, bool accounted,
                                        const job_status& end) {
  const auto& left = job.left;
  if (end.state != pb::JOB_STATE_FAILED || end.exit_code != no_claim_exit) return false;
  if (end.exit_signal != 0 || !claimed_itself(job)) return false;
  if (left.strange || left.again || !left.lost_to.empty()) return false;
  const bool of_run_before =
      parse_claim(left.claim)->restart < job.kept->restarts_at_least() && !has_own_record(job);
  if (!left.no_claim && !of_run_before) return false;
  auto last = end;
  if (accounted) last.usage = job.accounted->records.back().usage;
  return ended_at_once(last);
}

/// Of a start that was the wrapper's alone.
void slurm_cluster::leave_out_last_run(job_status& end, const watched& job, bool accounted) {
  if (accounted && mixes_runs(job)) return;
  end.usage.emplace().set_wall_clock_seconds(0);
  end.counted.clear();
  if (!accounted) return;
  const auto& all = job.accounted->records;
  for (auto record = all.begin(); record + 1 < all.end(); ++record) {
    if (record->swept) continue;
    pb::add_usage(*end.usage, record->usage);
    end.counted.push_back(run_of(*record));
  }
  if (!end.counted.empty()) add_held(*end.usage, job);
}

/// The number that sbatch gave is not the job's: squeue showed its token with another one, and
/// never with this one. Who follows it looks it up by its token.
std::optional<observation> slurm_cluster::named_wrongly(const watched& job, bool told,
                                                        time_point now) {
  auto& kept = *job.kept;
  const auto me = number_of(job.job->id).number;
  if (told || job.status || kept.elsewhere.empty() || kept.ended) return std::nullopt;
  if (const auto claim = parse_claim(job.left.claim);
      claim && claim->token == job.job->token.str() && claim->id == me)
    return std::nullopt;
  // One broken answer is none; what was seen and is over is not waited for.
  if (!is_set(kept.unseen_since)) kept.unseen_since = now;
  if (!job.unseen.empty() && now < kept.unseen_since + unseen_grace) return std::nullopt;
  job_status status;
  status.state = pb::JOB_STATE_FAILED;
  status.reason = "squeue shows its token with job " + kept.elsewhere +
                  ", and not with the number that sbatch gave";
  status.lost_claim_to = job.job->token;
  return status;
}

/// How it exited, and why it ended, from all that is known.
exit_status slurm_cluster::tell_end(const watched& job, bool accounted,
                                    job_status& end) const {
  const auto& kept = *job.kept;
  const auto& left = job.left;
  const auto& state = accounted ? job.accounted->state : kept.ended_word;
  const auto& reason = accounted ? job.accounted->reason : kept.ended_reason;
  exit_sources all;
  all.state = state;
  all.queue = kept.exit;
  if (accounted) all.accounts = job.accounted->exit;
  if (end.state != pb::JOB_STATE_COMPLETED) all.own = left.exit_code;
  all.started = job.has_traces() && !left.untouched && !left.claim.empty();
  const auto verdict = judge_exit(all);
  end.exit_code = verdict.exit.code;
  end.exit_signal = verdict.exit.signal;
  end.reason = ending_reason(state, reason, verdict.exit);
  const bool failed = end.state == pb::JOB_STATE_FAILED;
  if (failed && !left.step.empty()) end.reason += "; in step " + left.step;
  end.reason += verdict.remarks;
  if (accounted && failed && state != "OUT_OF_MEMORY" && !job.accounted->out_of_memory.empty())
    end.reason += "; its step " + job.accounted->out_of_memory + " ran out of memory";
  return verdict.exit;
}

observation slurm_cluster::conclude(watched& job, time_point now) const {
  auto& kept = *job.kept;
  if (job.strange) {
    // A newer Slurm's word: nothing is known, so nothing changes.
    if (kept.last) return *kept.last;
    return missing{false, "squeue shows a state that is not known here: " + job.word};
  }
  if (job.outdated) {
    if (kept.last) return *kept.last;
    return no_news{};
  }
  if (job.put_off) {
    job.settling = true;
    if (!kept.last && job.status) kept.last = job.status;
    return kept.last ? *kept.last : still_ending(job);
  }
  forget_told_record(job);
  job.doubt = why_doubted(job);
  if (!job.doubt.empty()) job.accounted->final = false;
  const bool told = job.accounted && job.doubt.empty() ? job.accounted->final : has_own_record(job);
  if (auto named = named_wrongly(job, told, now)) return *named;
  if (job.unseen.empty()) {
    kept.unseen_since = {};
  } else if (!told) {
    if (!is_set(kept.unseen_since)) kept.unseen_since = now;
    // One broken answer is none. If they all are, somebody has to look.
    if (now >= kept.unseen_since + unseen_grace) return missing{false, job.unseen};
    if (kept.last) return *kept.last;
    return no_news{};
  }
  if (is_leftover(job)) {
    if (!is_set(kept.leftover_seen)) kept.leftover_seen = now;
    job.settling = asks_accounting() && !job.accounts_answer &&
                   now < kept.leftover_seen + options_.accounting_grace;
    if (job.settling) return *job.status;
    auto end = end_by_record(job, "Slurm lost that, and holds a second start of it", now);
    if (job.accounted) count_in(end, job.accounted->status);
    // Squeue shows it waiting, so that this very run seemed to be requeued.
    if (const auto run = last_requeued(job); is_set(run.started_at) &&
                                             run.started_at == end.started_at)
      end.counted.push_back(run);
    end.leftover = true;
    return end;
  }
  // A completed job that is still being cleaned up does not return; one that failed may, requeued.
  // Its use is whole when all its steps have ended.
  const bool completed = job.completing && job.accounted && job.accounted->final &&
                         !job.accounted->steps_open &&
                         job.accounted->status.state == pb::JOB_STATE_COMPLETED;
  if (job.status && !completed) {
    kept.last = job.status;
    kept.last->undone = undoing::none;  // that is news only now
    job.settling = job.completing && asks_accounting();
    return *job.status;
  }
  if (auto lost = lost_claim(job)) return *lost;
  const bool accounted = job.accounted && job.accounted->final;
  if (!is_set(kept.accounts_due) && (accounted || kept.ended)) kept.accounts_due = now;
  if (accounted && may_be_of_run_before(job)) {
    // One empty list is none.
    if (!is_set(kept.unqueued_since)) kept.unqueued_since = now;
    job.settling = now < kept.unqueued_since + return_grace;
    if (job.settling) return still_ending(job);
  }
  if (accounted && lags(job) && now < kept.accounts_due + options_.accounting_grace) {
    job.settling = true;
    return still_ending(job);
  }
  auto end = accounted ? job.accounted->status : job_status{};
  if (!accounted) {
    const auto without = conclude_without_accounting(job, now);
    if (!std::holds_alternative<job_status>(without)) return without;
    end = std::get<job_status>(without);
    if (!is_terminal(end.state)) return end;
  }
  // Only its directory tells that it lost the claim: a connection that is cut after accounting has
  // answered must not make that a failure.
  if (job.look == look_result::cut && now < kept.accounts_due + options_.accounting_grace) {
    job.settling = true;
    return still_ending(job);
  }
  if (accounted && job.may_return && now < kept.ended_seen + return_grace)
    return still_ending(job);
  const auto& left = job.left;
  if (is_only_a_second_start(job, end)) {
    const auto& state = accounted ? job.accounted->state : kept.ended_word;
    // It may have been seen in that one only.
    if (kept.last && kept.last->started_at > left.ended_at) kept.last->started_at = {};
    auto own = end_by_record(job, "Slurm lost that and says " + state + " of a second start", now);
    count_in(own, end);
    return own;
  }
  exit_status exit;
  if (accounted || kept.ended) {
    const auto more = end.reason;
    exit = tell_end(job, accounted, end);
    // At its limit a job is over for Slurm before the signal that ended its script is known.
    if (end.state == pb::JOB_STATE_TIMEOUT && exit.code == 0 && exit.signal == 0 &&
        is_set(kept.accounts_due) && now < kept.accounts_due + return_grace) {
      job.settling = true;
      return still_ending(job);
    }
    if (!more.empty()) end.reason += (end.reason.empty() ? "" : "; ") + more;
  } else if (end.state == pb::JOB_STATE_FAILED && !left.step.empty()) {
    end.reason += "; in step " + left.step;
  }
  const bool given_nodes = end.state == pb::JOB_STATE_CANCELLED && is_set(end.started_at);
  if (job.has_traces() && left.untouched && (given_nodes || end.state == pb::JOB_STATE_FAILED))
    end.reason += "; its directory holds no sign that it started";
  if (job.has_traces() && left.untouched && given_nodes)
    end.reason += ", though it had been given nodes: as where the site's prolog fails there";
  // Read before the script wrote it, or not shown by the file system yet: what the wrapper's code
  // means must not be told as the job's. As long as nobody could read it, another copy may run.
  const bool by_wrapper = end.state == pb::JOB_STATE_FAILED && is_wrappers(end.exit_code);
  const microseconds record_grace =
      job.has_traces() ? options_.accounting_grace
                        : std::max<microseconds>(options_.accounting_grace, unread_grace);
  // So with a claim of the run before: this run's may not be shown yet.
  const bool no_takeover = could_not_take_over(job, accounted, end);
  const bool is_unsure = !left.ended || (no_takeover && !left.no_claim);
  if (by_wrapper && is_unsure && !left.strange && is_set(kept.accounts_due) &&
      now < kept.accounts_due + record_grace) {
    job.settling = true;
    return still_ending(job);
  }
  if (end.state == pb::JOB_STATE_FAILED && slurmd_failed(job, exit, end))
    return missing{true,
                   "it could not be started, which is the site's fault, in " +
                       options_.shell.job_directory + ": " + end.reason,
                   true};
  if (could_not_claim(left, end))
    return missing{true,
                   "it could not be started, which is the site's fault: its claim could not be "
                   "made in " + options_.shell.job_directory + "/" + job.job->job.str() +
                       ": the file system is full or read-only, or its quota is used up",
                   true};
  if (no_takeover) {
    leave_out_last_run(end, job, accounted);
    end.exit_code = 0;
    end.reason = "it could not be run on after it was requeued, which is the site's fault: its "
                 "claim could not be replaced in " + options_.shell.job_directory + "/" +
                 job.job->job.str() +
                 ": the file system is full or read-only, or its quota is used up";
  }
  if (by_wrapper && !job.has_traces())
    end.reason += "; its directory could not be read, and exit code " +
                  std::to_string(end.exit_code) + " may be the wrapper's";
  if (left.strange) end.reason += "; what stands in place of its end record is no file";
  if (left.again && end.exit_code == started_again_exit)
    end.reason += "; Slurm lost its state and started it a second time, the first run left no end";
  if (left.kept && end.state == pb::JOB_STATE_COMPLETED)
    end.reason += std::string(end.reason.empty() ? "" : "; ") +
                  "Slurm requeued it after it had completed, and it was not run again";
  if (by_wrapper && job.has_traces() && !left.ended && !left.strange && !no_takeover)
    end.reason += "; it left no record, and exit code " + std::to_string(end.exit_code) +
                  " may be the wrapper's: its claim or its record could not be written";
  if (exit.slurmd != 0 && !ended_at_once(end)) end.reason += "; but Slurm says that it ran";
  const bool says_unstarted = (!left.fault.empty() && end.exit_code == not_started_exit) ||
                              (left.no_claim && end.exit_code == no_claim_exit &&
                               !no_takeover);
  if (says_unstarted && !ended_at_once(end)) {
    end.reason += "; its record says that it was not started" +
                  (left.fault.empty() ? std::string() : " (" + whose_fault(left.fault) + ")") +
                  ", but Slurm says that it ran";
  } else if (!left.fault.empty() && end.exit_code == not_started_exit) {
    // Its exit code is the wrapper's, not one of the job.
    end.exit_code = 0;
    end.reason = "its command was not started: " + whose_fault(left.fault);
  }
  if (!left.lost_to.empty())
    end.reason += "; it says that it lost its claim to " + left.lost_to + ", nothing else does";
  // What the script measured of itself leaves out srun's steps, and with them the other nodes.
  if (end.usage && !end.usage->has_cpu_time_us() && job.left.cpu_time &&
      end.usage->nodes_used() <= 1)
    end.usage->set_cpu_time_us(job.left.cpu_time->count());
  if (!accounted) count_runs_before(end, job);
  if (kept.resized || (job.accounted && job.accounted->was_resized()))
    end.reason += std::string(end.reason.empty() ? "" : "; ") +
                  "its size was changed while it ran: it counts with the most that it held";
  if (accounted && mixes_runs(job))
    end.reason += "; accounting mixes its runs since it was requeued: what it waited between them "
                  "may count in";
  return end;
}

/// It ended in squeue, but the whole story is not there yet.
observation slurm_cluster::still_ending(watched& job) const {
  auto& kept = *job.kept;
  if (kept.last && job.is_unread())
    kept.last->reason = "Slurm has ended it; its directory, which may tell more, does not answer";
  const bool shown_running = kept.last && kept.last->state == pb::JOB_STATE_RUNNING;
  if (shown_running || !kept.ended || !is_set(kept.ended->started_at)) {
    if (kept.last) return *kept.last;
    return no_news{};
  }
  job_status status;
  status.state = pb::JOB_STATE_RUNNING;
  status.started_at = kept.ended->started_at;
  kept.last = status;
  return status;
}

/// Why accounting does not tell what was used.
std::string slurm_cluster::why_by_queue(const watched& job) {
  if (!job.doubt.empty()) return job.doubt;
  if (mixes_runs(job)) return mixed_runs;
  if (job.accounted) return "accounting has no final record";
  return job.accounts_answer ? "accounting has no record of it" : "accounting does not answer";
}

observation slurm_cluster::conclude_without_accounting(watched& job, time_point now) const {
  auto& kept = *job.kept;
  const bool accounting = asks_accounting();
  if (kept.ended) {
    // Accounting is the better witness of use: it is waited for, but not for ever.
    job.settling = accounting && !mixes_runs(job) &&
                   now < kept.accounts_due + options_.accounting_grace;
    if (job.settling || (job.may_return && now < kept.ended_seen + return_grace))
      return still_ending(job);
    auto end = *kept.ended;
    if (accounting) end.reason = why_by_queue(job) + ": its use is what squeue told";
    return end;
  }
  // What Slurm has forgotten may have left the record of its end: nobody calls it gone unread.
  if (!job.is_unread()) kept.unread_since = {};
  else if (!is_set(kept.unread_since)) kept.unread_since = now;
  const bool read = !job.is_unread() || now >= kept.unread_since + unread_grace;
  const std::string but_unread = read ? "" : "; its directory was not read";
  // Accounting calls it alive, the controller does not know it: the record may be late, or the
  // controller lost the job (a "runaway job", sacctmgr(1)).
  const bool lives = job.accounted && job.doubt.empty();
  if (lives && !is_set(kept.runaway_seen)) kept.runaway_seen = now;
  // Nobody calls a job gone that any of Slurm's own words calls running.
  const bool runaway = lives && now >= kept.runaway_seen + options_.runaway_after &&
                       job.controller_denies;
  if ((!lives || runaway) && !job.controller_shows && has_own_record(job)) {
    // One empty list is none, and the record is the job's own word.
    if (!is_set(kept.unqueued_since)) kept.unqueued_since = now;
    if (now < kept.unqueued_since + return_grace) return still_ending(job);
    auto end = end_by_record(job, "Slurm does not know it any more", kept.unqueued_since);
    const auto claim = parse_claim(job.left.claim);
    if (claim && kept.session != 0 && claim->restart == kept.restarts)
      end.enqueued_at = kept.submitted_at;
    return end;
  }
  // Who holds or cancels a job must not see it come back: it was last seen waiting by itself.
  const bool never_ran =
      kept.waited && job.has_traces() && !job.left.ended && job.left.untouched;
  if (!job.doubt.empty())
    return missing{read && !job.controller_shows, job.doubt + but_unread,
                   never_ran && !job.accounted->has_started};
  if (job.accounted) {
    const bool only_waits = never_ran && job.accounted->state == "PENDING";
    if (only_waits) {
      const std::lock_guard lock(mutex_);
      accounted_only_[job.job->token.str()] = kept.runaway_seen;
    }
    return missing{runaway && read,
                   "squeue does not know it, accounting says " + job.accounted->state +
                       (job.controller_shows ? ", and so does scontrol" : "") + but_unread,
                   only_waits};
  }
  if (job.unnamed_accounts)
    return missing{false, "squeue does not know it, and accounting has records of its number that "
                          "do not say whose they are"};
  // Accounting hears of every job, also of one that is cancelled while it waits.
  if (job.accounts_answer)
    return missing{read, "neither squeue nor sacct know it" + but_unread, never_ran};
  if (!accounting && job.has_traces() && job.controller_denies) {
    // Had it ended since it was seen waiting squeue would show that, unless the controller lost its
    // state; what began meanwhile left a claim.
    const bool shown = is_set(kept.waited_at) && job.shown_for && (job.shown_for->count() == 0 ||
                                         job.site_now < kept.waited_at + *job.shown_for);
    std::string reason = "neither squeue nor scontrol know it, and ";
    reason += job.left.ended ? "its end record is of before it was seen waiting, by the clocks of "
                               "the login node and of the file server"
                             : "it left no end record";
    if (never_ran && !shown)
      reason += (is_set(kept.waited_at) ? "; it was seen waiting at " + to_rfc3339(kept.waited_at)
                                        : "; it waited before ved was started") +
                std::string(", longer ago than Slurm is known to show what has ended, so that it "
                            "never ran is not proven");
    return missing{true, reason, never_ran && shown};
  }
  return missing{false, accounting ? "squeue does not know it, accounting does not answer"
                                   : "squeue does not know it; no second source answers"};
}

}  // namespace ved::adapters::slurm
