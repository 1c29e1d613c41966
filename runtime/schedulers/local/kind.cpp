#include "runtime/schedulers/local/kind.hpp"

#include <algorithm>
#include <utility>

#include "actors/job/core.hpp"
#include "runtime/config/schema.hpp"
#include "runtime/schedulers/local/cluster.hpp"

namespace ved::runtime {
namespace {

constexpr double hour = 3'600'000;
constexpr double day = 24 * hour;

/// A call is a few file operations: it needs no network's patience.
constexpr milliseconds call_timeout_max{5'000};

section local_queue_section(local_queue_config& c) {
  section s;
  s.add("name", &c.name, "The queue_name of jobs.").needed("name is required").formed(is_name);
  return s;
}

void describe(section& s, scheduler_sections& values) {
  auto& c = values.of<local_config>();
  s.add("cpus", &c.cpus, "Slots; 0: all cores.").range(0, 65'536);
  s.add("memory_mb", &c.memory_mb, "0: all memory.").range(0, 1LL << 40);
  s.add("gpus", &c.gpus, "GPUs.").range(0, 1'024);
  s.add("run_as", &c.run_as,
        "User that jobs run as; ved as root must be given one. Empty: its own.")
      .formed(is_name);
  s.add("work_directory", &c.work_directory, "Of the jobs. Empty: STATE/local/CLUSTER.")
      .formed(is_absolute_path);
  s.add("file_bytes_max", size_target{&c.file_bytes_max},
        "Longest file that a job may write, its output and what it makes itself; 0: no limit.")
      .range(0, 1LL << 50);
  s.add("kill_wait", &c.kill_wait, "Between TERM and KILL.").range(0, hour);
  s.add("job_poll_interval", &c.job_poll_interval, "Between two polls.").range(100, day);
  auto queues = list_of<local_queue_config>(
      "queues", "Queues that jobs may name, beside default and local.", c.queues,
      local_queue_section);
  queues.unique = "name";
  s.lists.push_back(std::move(queues));
}

section_pace pace(const scheduler_sections& values) {
  return {values.of<local_config>().job_poll_interval, {}, {}};
}

/// Nobody else is asked, and a call that has ended is over.
void limit(core::link::limits& link) {
  link.call_timeout = std::min<microseconds>(link.call_timeout, call_timeout_max);
  link.fresh_grace = link.call_timeout + seconds{1};
  link.early_poll_nodes_max.reset();
  link.queries_per_minute_max = 0;
}

void rule(core::job::policy& jobs, const cluster_config&) { jobs.limits_suspension = true; }

std::vector<error> check(const cluster_config& cluster) {
  std::vector<error> out;
  if (auto allowed = check_local_user(cluster); !allowed) out.push_back(allowed.error());
  if (auto ours = check_local_directory(cluster); !ours) out.push_back(ours.error());
  return out;
}

std::optional<own_directory> directory(const cluster_config& cluster) {
  const auto& path = cluster.sections.of<local_config>().work_directory;
  if (path.empty()) return std::nullopt;
  return own_directory{"local.work_directory", path};
}

}  // namespace

constinit const scheduler_kind local_kind{
    .name = "local",
    .doc = "scheduler_type local: processes on this machine.",
    .defaults = [] { return scheduler_section(local_config{}); },
    .describe = describe,
    .pace = pace,
    .check = check,
    .warning = local_user_warning,
    .advice = local_disk_advice,
    .directory = directory,
    .distrust = distrust_local_user,
    .uses_supervisor = true,
    .in_process = true,
    .limit = limit,
    .rule = rule,
    .open = open_local,
};

}  // namespace ved::runtime
