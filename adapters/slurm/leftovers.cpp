#include "adapters/slurm/states.hpp"
#include "adapters/slurm/watched.hpp"

// A job that may be requeued, whose controller was killed just after its start and came back with
// the state before that: it is started once more while it runs, the node refuses that, and Slurm
// holds it in the queue for ever. Meanwhile the run ended, as only its own record tells.
namespace ved::adapters::slurm {

/// What a counted restart would do when somebody released it: what has completed is not run again,
/// what may only have saved its state is.
bool slurm_cluster::is_leftover(const watched& job) {
  const auto& left = job.left;
  if (is_set(job.job->told_until)) return false;
  if (!is_launch_failure(job.waits_for) || !job.status || !job.has_traces()) return false;
  return left.ended && left.exit_code == 0 && !left.told && claimed_itself(job);
}

/// Looks into the directories of those that Slurm holds so.
void slurm_cluster::look_at_leftovers(std::vector<watched>& all, call at, time_point now) {
  std::vector<watched*> jobs;
  for (auto& job : all)
    if (job.status && is_launch_failure(job.waits_for)) jobs.push_back(&job);
  if (jobs.empty()) return;
  for (auto* job : jobs) job->look = look_result::cut;
  auto made = begin();
  const auto nonce = made.nonce();
  std::vector<bool> looked;
  const auto looks = looks_at(jobs, looked, now);
  if (looks.empty()) return;
  made.add_guarded_section("leftovers",
                           look_function(nonce) + "cd \"$ved_jobs\" || exit 1\n" + looks,
                           share_of(at.until, jobs.size()));
  read_looks(jobs, looked, nonce, run(std::move(made), at).of("leftovers"), now);
}

}  // namespace ved::adapters::slurm
