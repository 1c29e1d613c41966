#include "adapters/slurm/records.hpp"
#include "adapters/slurm/watched.hpp"

// A hold, release, suspend or resume that Slurm took and does not show: a controller that was
// killed comes back with what it saved last, seconds or minutes old. Then it is told again; what
// somebody undid there is left so.
namespace ved::adapters::slurm {
namespace {

/// Both clocks tell whole seconds.
constexpr seconds rounding{2};

}  // namespace

/// Squeue shows the job as if the control that Slurm took had never been. While it is held its
/// reason may be another, as that it waits for an earlier job, but its priority is none. Whose hold
/// it is that follows a release tells its reason: an administrator's is none of ours.
bool slurm_cluster::is_contrary(watched& job) {
  if (!job.status || job.completing || job.strange) return false;
  auto& kept = *job.kept;
  const bool waits = job.status->state == pb::JOB_STATE_QUEUED;
  const bool is_held = waits && job.priority == 0;
  bool contrary = false;
  switch (job.job->taken) {
    case pb::JOB_CONTROL_HOLD:
      if (waits && !job.priority) return false;
      contrary = waits && !is_held;
      if (is_held && is_hold(job.waits_for)) kept.held_as = job.waits_for;
      break;
    case pb::JOB_CONTROL_RELEASE: {
      if (waits && !job.priority) return false;
      const bool ours = job.waits_for == "JobHeldUser" || job.waits_for == kept.held_as;
      if (is_held && !ours) return false;
      contrary = is_held;
      break;
    }
    case pb::JOB_CONTROL_SUSPEND: contrary = job.status->state == pb::JOB_STATE_RUNNING; break;
    case pb::JOB_CONTROL_RESUME: contrary = job.word == "SUSPENDED"; break;
    default: return false;
  }
  if (!contrary) kept.heeded_at = job.site_now;
  return contrary;
}

/// The controller lost it if it started since it was told, and since squeue last showed that it
/// knew. As long as it does not say when, nothing is concluded.
void slurm_cluster::ask_what_undid(const std::vector<watched*>& jobs, call at) {
  auto made = begin();
  made.add_section("config", "scontrol show config");
  const auto got = run(std::move(made), at, {{"scontrol"}});
  const auto config = parse_config(got.of("config").out);
  if (!config || !stranger(config->cluster_name).empty()) return;
  for (auto* job : jobs) {
    const auto knew_at = std::max(job->job->taken_at + site_ahead_, job->kept->heeded_at);
    // Another cluster's controller is not the one that was asked.
    const bool lost = number_of(job->job->id).cluster.empty() && is_set(config->booted_at) &&
                      config->booted_at + rounding > knew_at;
    job->status->undone = lost ? undoing::by_loss : undoing::by_somebody;
  }
}

}  // namespace ved::adapters::slurm
