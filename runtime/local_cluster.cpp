#include "runtime/local_cluster.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "adapters/local/job_cgroup.hpp"
#include "adapters/local/spool.hpp"
#include "adapters/local/step.hpp"
#include "adapters/system/owned_directory.hpp"
#include "runtime/descriptors.hpp"

namespace ved::runtime {

adapters::local::local_options local_options_of(const cluster_config& cluster,
                                                const cluster_environment& around) {
  const auto& from = cluster.local;
  adapters::local::local_options to;
  to.directory = from.work_directory.empty()
                     ? around.state_directory + "/local/" + cluster.cluster_id.str()
                     : from.work_directory;
  to.cluster = cluster.cluster_id.str();
  // Nobody else's daemon finds its way into our state directory.
  if (!from.work_directory.empty()) to.log = around.instance;
  to.supervisor_path = around.supervisor_path;
  to.cpus = from.cpus > 0 ? from.cpus
                          : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  to.memory_mb = from.memory_mb > 0 ? from.memory_mb
                                    : static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) *
                                          (sysconf(_SC_PAGESIZE) / 1024) / 1024;
  to.gpus = from.gpus;
  to.cgroup = adapters::local::own_cgroup();
  to.run_as = from.run_as;
  for (const auto& queue : from.queues) to.queues.push_back(queue.name);
  to.open_files = first_descriptor_limit();
  to.kill_wait = std::chrono::duration_cast<seconds>(from.kill_wait);
  return to;
}

result<void> check_local_user(const cluster_config& cluster) {
  const auto& name = cluster.local.run_as;
  const std::string where = "cluster " + cluster.cluster_id.str() + ": local.run_as";
  if (name.empty() && ::geteuid() == 0)
    return fail(errc::denied,
                where + " is not given and ved runs as root, so every job would be root: name "
                        "the account that jobs run as, run ved as another user, or write "
                        "`run_as: root` to mean it");
  if (auto user = adapters::local::find_user(name); !user) return fail_in(where, user.error());
  return {};
}

result<void> check_local_directory(const cluster_config& cluster) {
  const auto& path = cluster.local.work_directory;
  if (path.empty()) return {};
  auto ours = adapters::judge_directory(
      path, {adapters::local::spool_kind, cluster.cluster_id.str()});
  if (!ours)
    return fail_in("cluster " + cluster.cluster_id.str() + ": local.work_directory", ours.error());
  return {};
}

result<void> check_still_there(const cluster_config& cluster, const std::string& directory,
                               const remembered_cluster& known) {
  std::error_code problem;
  const auto mark = directory + "/" + adapters::owner_mark_name;
  if (known.sent_jobs == 0 || std::filesystem::exists(mark, problem)) return {};
  return fail(errc::conflict,
              "cluster " + cluster.cluster_id.str() + ": its work directory " + directory +
                  " holds nothing of ved, but the log knows " + std::to_string(known.sent_jobs) +
                  " of its jobs as sent and not ended: is its disk not mounted? Mount it; only to "
                  "give up all these jobs, which may run, start once with --give-up-jobs-of " +
                  cluster.cluster_id.str());
}

std::vector<error> shared_local_directories(const config& settings) {
  std::vector<adapters::directory_use> uses{{"state.directory", settings.state.directory}};
  for (const auto& cluster : active_clusters(settings)) {
    if (cluster.type == scheduler_type::local && !cluster.local.work_directory.empty())
      uses.push_back({"cluster " + cluster.cluster_id.str() + ": local.work_directory",
                      cluster.local.work_directory});
  }
  return adapters::shared_directories(uses);
}

std::optional<std::string> local_user_warning(const cluster_config& cluster) {
  const auto user = adapters::local::find_user(cluster.local.run_as);
  if (!user || user->switch_user) return std::nullopt;
  return "cluster " + cluster.cluster_id.str() + ": jobs run as " + user->name +
         ", the user of ved itself, and reach its keys and tokens: scopes do not bind on this "
         "cluster. To separate them run ved as root and name another account in local.run_as";
}

}  // namespace ved::runtime
