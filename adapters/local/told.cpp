#include "adapters/local/told.hpp"

#include <unistd.h>

#include <algorithm>

#include "adapters/local/spool.hpp"
#include "messages/job_state.hpp"

namespace ved::adapters::local {

namespace {

constexpr seconds tolerance{2};
/// By so much the clock may have been set between two boots before nobody believes it.
constexpr seconds clock_tolerance{24 * 3600};
/// Where nobody can tell: longer than a machine runs.
constexpr seconds run_max{10LL * 365 * 24 * 3600};
/// The last second that RFC 3339 can write.
constexpr microseconds time_max = seconds{253'402'300'799};
/// A supervisor's own reason has `reason_bytes_max`; that of a lost one names files.
constexpr std::size_t told_reason_bytes_max = 16u << 10;
constexpr std::int64_t memory_bytes_possible = std::int64_t{1} << 50;
constexpr std::uint64_t job_id_max = std::uint64_t{1} << 53;
constexpr int exit_code_max = 255;
constexpr int signal_max = 64;

template <class Number>
bool within(Number value, Number most) {
  return value >= 0 && value <= most;
}

/// How long a job that tells these times may have run.
seconds longest(const pb::LocalJobStatus& end, const told_bounds& known) {
  if (is_of_this_boot(end, known))
    return std::chrono::ceil<seconds>(
               microseconds{end.finished_boot_us() - end.started_boot_us()}) + tolerance;
  // Set back since then, the clock does not tell.
  if (known.now.time < known.submitted) return run_max;
  return std::chrono::ceil<seconds>(known.now.time - known.submitted) + clock_tolerance;
}

std::optional<std::string> problem_of_usage(const pb::JobUsage& usage, seconds longest,
                                            const told_bounds& known) {
  const auto cpus = std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF));
  const bool possible =
      within<std::int64_t>(usage.wall_clock_seconds(), longest.count()) &&
      within<std::int64_t>(usage.cpu_time_us(), microseconds{longest}.count() * cpus) &&
      within<std::int64_t>(usage.memory_bytes_max(), memory_bytes_possible) &&
      within<std::int64_t>(usage.memory_bytes_allocated(), known.memory_mb << 20) &&
      within(usage.nodes_used(), 1) && within(usage.cpu_cores(), known.cpus) &&
      within(usage.gpus(), known.gpus);
  if (possible) return std::nullopt;
  return "a use of resources that is not possible";
}

}  // namespace

bool is_of_this_boot(const pb::LocalJobStatus& status, const told_bounds& known) {
  const auto latest = (known.now.boot + tolerance).count();
  return status.boot_id() == known.boot_id && status.started_boot_us() > 0 &&
         status.started_boot_us() <= status.finished_boot_us() &&
         status.finished_boot_us() <= latest;
}

std::optional<std::string> problem_of_end(const pb::LocalJobStatus& end,
                                          const told_bounds& known) {
  if (!is_terminal(end.state())) return "its state is no end";
  if (end.reason().size() > told_reason_bytes_max) return "its reason is too long";
  if (!within(end.exit_code(), exit_code_max) || !within(end.exit_signal(), signal_max))
    return "an exit code or signal that there is none of";
  if (!within<std::int64_t>(end.started_at_us(), time_max.count()) ||
      !within<std::int64_t>(end.finished_at_us(), time_max.count()) ||
      end.started_boot_us() < 0 || end.finished_boot_us() < 0)
    return "a time that is not possible";
  const submission_token winner(end.lost_claim_to());
  if (!winner.empty() && !is_valid_token(winner)) return "a winner of its claim that is no job";
  return problem_of_usage(end.usage(), longest(end, known), known);
}

std::optional<std::string> problem_of_running(const pb::LocalJobStatus& status,
                                              const told_bounds& known) {
  if (status.state() != pb::JOB_STATE_RUNNING && status.state() != pb::JOB_STATE_SUSPENDED)
    return "its state is not that of a job that runs";
  if (status.reason().size() > told_reason_bytes_max) return "its reason is too long";
  const bool possible =
      within<std::int64_t>(status.started_at_us(), time_max.count()) &&
      (status.boot_id() == known.boot_id
           ? within<std::int64_t>(status.started_boot_us(), (known.now.boot + tolerance).count())
           : from_us(status.started_at_us()) <= known.now.time + clock_tolerance);
  if (!possible) return "a start that is not possible";
  if (!within<std::int64_t>(status.ends_by_us(), time_max.count()))
    return "a limit that is not possible";
  return std::nullopt;
}

std::optional<std::string> problem_of_job(const pb::LocalJob& job) {
  const auto& asked = job.spec().resources();
  if (job.id() > job_id_max) return "an id that was not given away";
  if (asked.cpu_cores_per_node() < 0 || asked.memory_gb_per_node() < 0 ||
      asked.gpus_per_node() < 0 || job.spec().max_runtime_seconds() < 0)
    return "resources that are negative";
  if (!within<std::int64_t>(job.submitted_at_us(), time_max.count()))
    return "a time that is not possible";
  return std::nullopt;
}

microseconds put_off(const pb::LocalJobStatus& status, seconds limit) {
  if (status.ends_by_us() == 0) return microseconds{0};
  return std::max(microseconds{status.ends_by_us() - status.started_at_us()} - limit,
                  microseconds{0});
}

std::vector<int> possible_gpus(const pb::LocalSupervisor& supervisor, int asked, int all) {
  std::vector<int> out;
  for (const int gpu : supervisor.gpus()) {
    if (std::ssize(out) == asked) break;
    if (gpu >= 0 && gpu < all && std::find(out.begin(), out.end(), gpu) == out.end())
      out.push_back(gpu);
  }
  return out;
}

}  // namespace ved::adapters::local
