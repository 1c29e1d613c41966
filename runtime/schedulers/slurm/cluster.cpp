#include "runtime/schedulers/slurm/cluster.hpp"

#include <cstdlib>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/cluster.hpp"
#include "adapters/slurm/watcher.hpp"
#include "adapters/ssh/transport.hpp"

namespace ved::runtime {
namespace {

namespace slurm = adapters::slurm;

slurm::slurm_options options_of(const cluster_config& cluster, const std::string& instance) {
  const auto& from = cluster.sections.of<slurm_config>();
  slurm::slurm_options to;
  to.cluster = cluster.cluster_id.str();
  to.shell.bin_directory = from.bin_directory;
  to.shell.conf_file = from.conf_file;
  to.shell.clusters = from.clusters;
  to.cluster_name = from.cluster_name;
  to.shell.token = from.auth_token;
  to.shell.job_directory = below_home(from.job_directory) + "/" + instance;
  to.defaults = from.defaults;
  // The guide's default means the partition that slurm.conf marks as the default one.
  if (from.default_partition != "default") to.defaults.partition = from.default_partition;
  to.rules = from.rules;
  for (const auto& type : from.gpu_types) to.gpu_types[type.name] = type.gres;
  to.gres_for_gpus = from.gpu_option == "gres";
  to.memory = from.memory_option == "none"          ? slurm::memory_option::none
              : from.memory_option == "mem_per_cpu" ? slurm::memory_option::mem_per_cpu
                                                    : slurm::memory_option::mem;
  constexpr int octal = 8;
  to.umask = static_cast<int>(std::strtol(from.umask.c_str(), nullptr, octal));
  to.containers = from.containers;
  to.accounting_grace = from.accounting_grace;
  to.runaway_after = from.runaway_after;
  to.hints = from.hints == "auto";
  return to;
}

}  // namespace

result<void> check_slurm(const cluster_config& cluster) {
  const auto& ssh = cluster.sections.of<slurm_config>().ssh;
  if (ssh.host.empty()) return {};
  if (auto usable = adapters::check_ssh_options(ssh_options_of(ssh)); !usable)
    return fail_in("cluster " + cluster.cluster_id.str() + ": ssh", usable.error());
  return {};
}

result<opened_cluster> open_slurm(const cluster_config& cluster, const remembered_cluster& known,
                                  const cluster_environment& around) {
  const auto& id = cluster.cluster_id;
  auto options = options_of(cluster, around.instance);
  options.home = known.scheduler.name();
  options.account = known.scheduler.account();
  options.clock = around.clock;
  options.count = [id, count = around.count](std::string_view command, int times) {
    count(id, command, times);
  };
  std::shared_ptr<adapters::transport> way;
  if (const auto& login = cluster.sections.of<slurm_config>().ssh; login.host.empty()) {
    way = adapters::make_process_transport();
  } else {
    if (auto usable = check_slurm(cluster); !usable) return fail(usable.error());
    auto ssh = adapters::make_ssh_transport(ssh_options_of(login));
    for (const auto& warning : ssh->status().warnings) around.warn(id, warning);
    way = std::move(ssh);
  }
  auto watcher = options.hints ? slurm::make_slurm_watcher(options.shell, way) : nullptr;
  return opened_cluster{
      .factory = slurm::make_slurm_factory(slurm::open_slurm_cluster(std::move(options), way)),
      .stop = [way] { way->stop(); },
      .watcher = std::move(watcher)};
}

}  // namespace ved::runtime
