#pragma once

#include "runtime/schedulers/kind.hpp"
#include "runtime/schedulers/slurm/config.hpp"

namespace ved::runtime {

/// What would keep the cluster from being opened: keys, known hosts. Connects to no host.
result<void> check_slurm(const cluster_config& cluster);

/// Opens a Slurm cluster as its configuration says: through ssh when a host is given, else with
/// commands of this machine. Connects nowhere yet.
///
/// Jobs lie in `around.instance`, a directory of its own below the configured one: another daemon
/// of the same account may have jobs of the same names.
result<opened_cluster> open_slurm(const cluster_config& cluster, const remembered_cluster& known,
                                  const cluster_environment& around);

}  // namespace ved::runtime
