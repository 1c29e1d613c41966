#include <chrono>

#include "adapters/slurm/watched.hpp"

// What a job's own record tells of its end, in its directory. The job can write there, too: where
// Slurm tells an end, that is the one.
namespace ved::adapters::slurm {
namespace {

/// Both tell whole seconds.
constexpr seconds clock_rounding{2};

}  // namespace

/// It wrote how it ended, in the run that is meant: a requeued job has a record of the one before.
bool slurm_cluster::has_own_record(const watched& job) {
  const auto& kept = *job.kept;
  if (!job.left.ended || !job.left.exit_code) return false;
  // A requeued run takes the claim over, and the record of the one before away. What had completed
  // before it keeps both, and says so.
  if (const auto claim = parse_claim(job.left.claim);
      claimed_itself(job) && claim->restart < kept.restarts_at_least() && !job.left.kept)
    return false;
  const auto after = [&](time_point since) {
    return !is_set(since) || job.left.ended_at + clock_slack >= since;
  };
  return after(kept.submitted_at) && after(kept.waited_at) && after(known_start(job));
}

/// The job's claim is that of this run.
bool slurm_cluster::claimed_itself(const watched& job) {
  const auto claim = parse_claim(job.left.claim);
  return claim && !claim->cancelled && claim->token == job.job->token.str() &&
         claim->id == number_of(job.job->id).number;
}

/// When the run began that the record is of. Slurm may have lost that and shown the start of
/// another: it counts if it is not after the claim, which is made as a run begins.
time_point slurm_cluster::start_by_record(const watched& job) {
  const auto& kept = *job.kept;
  const auto& left = job.left;
  const auto last = kept.last && is_set(kept.last->started_at) ? kept.last->started_at
                                                               : last_requeued(job).started_at;
  const auto claim = parse_claim(left.claim);
  if (!claim || !is_set(left.claimed_at) || left.claimed_at > left.ended_at) return last;
  const bool is_first = claim->restart == 0;
  const auto seen = is_first && is_set(kept.first_start) ? kept.first_start : last;
  if (!is_set(seen) || seen > left.claimed_at + clock_rounding) return left.claimed_at;
  // The prolog, and nodes that boot, may take long; but the claim may be of a run that nobody saw.
  const bool is_last = claim->restart + 1 == kept.restarts;
  return is_first || is_last || seen + clock_slack >= left.claimed_at ? seen : left.claimed_at;
}

/// The end that its own record tells, where nothing of Slurm's does.
job_status slurm_cluster::end_by_record(const watched& job, const std::string& why,
                                        time_point noticed) {
  const auto& kept = *job.kept;
  job_status end;
  const int code = *job.left.exit_code;
  end.state = code == 0 ? pb::JOB_STATE_COMPLETED : pb::JOB_STATE_FAILED;
  if (code > 128 && code <= 192) end.exit_signal = code - 128;
  else end.exit_code = code;
  end.reason = "its own record, " + why;
  if (code != 0) end.reason += ": exit code " + std::to_string(code);
  end.started_at = start_by_record(job);
  // Anybody of the account can set the time of a file, and clocks differ: then it ended when that
  // was noticed.
  const bool plausible = job.left.ended_at <= job.site_now + clock_slack &&
                         (!is_set(end.started_at) || job.left.ended_at >= end.started_at);
  end.finished_at = plausible ? job.left.ended_at : noticed;
  if (!plausible) end.reason += "; the time of the record cannot be, its end is when it was seen";
  const auto claim = parse_claim(job.left.claim);
  const auto& before = job.job->started_at;
  if (claim && claim->restart > kept.restarts && is_set(before) && before < end.started_at)
    end.reason += "; how long an earlier run of it took, which began at " + to_rfc3339(before) +
                  ", is not known, and not counted in";
  // Nothing measured it but the job itself; what it held is known if squeue ever showed it.
  end.usage = kept.allocated;
  end.usage->clear_wall_clock_seconds();
  if (is_set(end.started_at) && end.finished_at > end.started_at)
    end.usage->set_wall_clock_seconds(
        std::chrono::duration_cast<seconds>(end.finished_at - end.started_at).count());
  leave_out_suspension(*end.usage, kept, end.started_at);
  return end;
}

}  // namespace ved::adapters::slurm
