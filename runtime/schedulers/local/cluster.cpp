#include "runtime/schedulers/local/cluster.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "adapters/local/job_cgroup.hpp"
#include "adapters/local/spool.hpp"
#include "adapters/local/step.hpp"
#include "adapters/system/files.hpp"
#include "adapters/system/owned_directory.hpp"
#include "runtime/descriptors.hpp"
#include "runtime/schedulers/local/kind.hpp"

namespace ved::runtime {

namespace {

/// Of what is there, or will be made: then of the directory above it. None: there is nothing.
std::optional<dev_t> device_of(std::filesystem::path path) {
  struct stat about {};
  while (::stat(path.c_str(), &about) != 0) {
    if (!path.has_relative_path()) return std::nullopt;
    path = path.parent_path();
  }
  return about.st_dev;
}

}  // namespace

adapters::local::local_options local_options_of(const cluster_config& cluster,
                                                const cluster_environment& around) {
  const auto& from = cluster.sections.of<local_config>();
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
  to.file_bytes_max = static_cast<std::uint64_t>(from.file_bytes_max);
  to.kill_wait = std::chrono::duration_cast<seconds>(from.kill_wait);
  return to;
}

result<void> check_local_user(const cluster_config& cluster) {
  const auto& name = cluster.sections.of<local_config>().run_as;
  const std::string where = "cluster " + cluster.cluster_id.str() + ": local.run_as";
  if (name.empty() && ::geteuid() == 0)
    return fail(errc::denied,
                where + " is not given and ved runs as root, so every job would be root: name "
                        "the account that jobs run as, run ved as another user, or write "
                        "`run_as: root` to mean it");
  if (auto user = adapters::local::find_user(name); !user) return fail_in(where, user.error());
  return {};
}

void distrust_local_user(const cluster_config& cluster, adapters::place_trust& into) {
  const auto user = adapters::local::find_user(cluster.sections.of<local_config>().run_as);
  if (!user) return;
  const auto trust = adapters::local::trust_beside(*user);
  into.never_users.insert(into.never_users.end(), trust.never_users.begin(),
                          trust.never_users.end());
  into.never_groups.insert(into.never_groups.end(), trust.never_groups.begin(),
                           trust.never_groups.end());
}

result<void> check_local_directory(const cluster_config& cluster) {
  const auto& from = cluster.sections.of<local_config>();
  const auto user = adapters::local::find_user(from.run_as);
  if (from.work_directory.empty() || !user) return {};  // of the user `check_local_user` tells
  const auto ours = adapters::local::judge_spool(
      from.work_directory, {adapters::local::spool_kind, cluster.cluster_id.str()}, *user);
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

std::optional<std::string> local_user_warning(const cluster_config& cluster) {
  if (!check_local_user(cluster)) return std::nullopt;
  const auto user = adapters::local::find_user(cluster.sections.of<local_config>().run_as);
  if (!user || user->switch_user) return std::nullopt;
  return "cluster " + cluster.cluster_id.str() + ": jobs run as " + user->name +
         ", the user of ved itself, and reach its keys and tokens: scopes do not bind on this "
         "cluster. To separate them run ved as root and name another account in local.run_as";
}

std::optional<std::string> local_disk_advice(const cluster_config& cluster,
                                             const std::string& state_directory) {
  const auto& from = cluster.sections.of<local_config>();
  if (from.file_bytes_max > 0) return std::nullopt;
  const auto& path = from.work_directory;
  if (!path.empty() && device_of(path) != device_of(state_directory)) return std::nullopt;
  return "cluster " + cluster.cluster_id.str() +
         ": its jobs write without bound to the disk of the state directory, and when one has "
         "filled it no cluster takes jobs: put local.work_directory on a file system of its own, "
         "or set local.file_bytes_max";
}

result<opened_cluster> open_local(const cluster_config& cluster, const remembered_cluster& known,
                                  const cluster_environment& around) {
  if (auto allowed = check_local_user(cluster); !allowed) return fail(allowed.error());
  auto options = local_options_of(cluster, around);
  options.clock = around.clock;
  options.min_free_bytes = around.min_free_bytes;
  if (around.tell)
    options.tell = [tell = around.tell, id = cluster.cluster_id](const std::string& problem) {
      tell(id, problem.empty() ? problem : "cluster " + id.str() + ": " + problem);
    };
  // Below the state directory the folder of all clusters is ours; jobs pass through it.
  if (cluster.sections.of<local_config>().work_directory.empty()) {
    const auto above = around.state_directory + "/local";
    if (auto made = adapters::make_directory(above, 0711); !made)
      return fail_in("cluster " + cluster.cluster_id.str(), made.error());
  }
  if (auto whole = check_still_there(cluster, options.directory, known); !whole)
    return fail(whole.error());
  if (const auto text = local_disk_advice(cluster, around.state_directory); text && around.warn)
    around.warn(cluster.cluster_id, *text);
  // A local cluster is called by its directory's name.
  options.bound_to = known.scheduler.name();
  if (around.met)
    options.recorded = [met = around.met, id = cluster.cluster_id]() -> std::optional<std::string> {
      const auto last = met(id);
      if (!last) return std::nullopt;
      return last->scheduler_type() == local_kind.name ? last->name() : std::string();
    };
  options.remembers = around.remembers;
  options.takes_copy = known.given_up;
  auto opened = adapters::local::open_local_cluster(std::move(options));
  if (!opened) return fail_in("cluster " + cluster.cluster_id.str(), opened.error());
  return opened_cluster{adapters::local::make_local_factory(*opened),
                        [cluster = *opened] { adapters::local::begin(*cluster); }};
}

}  // namespace ved::runtime
