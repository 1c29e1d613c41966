#include "adapters/slurm/text.hpp"
#include "adapters/slurm/watched.hpp"

// A hold, release, suspend or resume that Slurm took and does not show: a controller that was
// killed comes back with what it saved last, seconds or minutes old. Then it is told again; what
// somebody undid there is left so.
namespace ved::adapters::slurm {
namespace {

/// Single jobs that the controller is asked for in one poll.
constexpr std::size_t asked_max = 20;
/// Both clocks tell whole seconds.
constexpr seconds rounding{2};

bool is_of_the_queue(pb::JobControl control) {
  return control == pb::JOB_CONTROL_HOLD || control == pb::JOB_CONTROL_RELEASE;
}

}  // namespace

/// Squeue shows the job as if the control that Slurm took had never been. Whose hold it is that
/// follows a release tells its reason: an administrator's is none of ours.
bool slurm_cluster::is_contrary(watched& job) {
  if (!job.status || job.completing || job.strange) return false;
  auto& kept = *job.kept;
  const bool waits = job.status->state == pb::JOB_STATE_QUEUED;
  const bool is_held = waits && is_hold(job.waits_for);
  bool contrary = false;
  switch (job.job->taken) {
    case pb::JOB_CONTROL_HOLD:
      contrary = waits && !is_held;
      if (is_held) kept.held_as = job.waits_for;
      break;
    case pb::JOB_CONTROL_RELEASE: {
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
  std::size_t asked = 0;
  const auto name_of = [](const watched& job) { return "held" + job.job->id.str(); };
  for (const auto* job : jobs) {
    if (!is_of_the_queue(job->job->taken)) continue;
    if (asked == asked_max) break;
    ++asked;
    // While it is held a job may show another reason, as that it waits for an earlier one.
    const auto [number, cluster] = number_of(job->job->id);
    made.add_section(name_of(*job),
                     on_cluster(cluster) + "scontrol --all show job -o " + quote(number));
  }
  const auto got = run(std::move(made), at, {{"scontrol", static_cast<int>(asked) + 1}});
  const auto config = parse_config(got.of("config").out);
  if (!config || !stranger(config->cluster_name).empty()) return;
  for (auto* job : jobs) {
    auto& kept = *job->kept;
    if (is_of_the_queue(job->job->taken)) {
      const auto shown = parse_jobs(got.of(name_of(*job)).out);
      if (shown.rows.size() != 1) continue;
      const auto& row = shown.rows.front();
      if (row.state != "PENDING" || !row.priority) continue;
      const bool is_held = *row.priority == 0;
      if (is_held == (job->job->taken == pb::JOB_CONTROL_HOLD)) {
        kept.heeded_at = job->site_now;
        continue;
      }
    }
    const auto knew_at = std::max(job->job->taken_at + site_ahead_, kept.heeded_at);
    // Another cluster's controller is not the one that was asked.
    const bool lost = number_of(job->job->id).cluster.empty() && is_set(config->booted_at) &&
                      config->booted_at + rounding > knew_at;
    job->status->undone = lost ? undoing::by_loss : undoing::by_somebody;
  }
}

}  // namespace ved::adapters::slurm
