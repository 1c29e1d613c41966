#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "runtime/clusters.hpp"
#include "runtime/config/config.hpp"

namespace ved::runtime {

/// What would keep the cluster from being opened: keys, known hosts. Connects to no host.
result<void> check_slurm(const cluster_config& cluster);

/// Opens a Slurm cluster as its configuration says: through ssh when a host is given, else with
/// commands of this machine. Connects nowhere yet. `count` hears of every command of Slurm that is
/// run, `warn` of what an operator should change; both from any thread.
///
/// Jobs lie in `instance`, a directory of its own below the configured one: another daemon of the
/// same account may have jobs of the same names. `home` is what the Slurm that has live jobs of the
/// cluster calls itself; empty: nobody knows.
result<opened_cluster> open_slurm(
    const cluster_config& cluster, const std::string& instance, const std::string& home,
    std::function<time_point()> clock,
    std::function<void(std::string_view command, int times)> count,
    const std::function<void(const std::string& warning)>& warn);

}  // namespace ved::runtime
