#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/local/cluster.hpp"
#include "messages/error.hpp"
#include "runtime/schedulers/kind.hpp"
#include "runtime/schedulers/local/config.hpp"

/// All that the daemon knows of clusters of scheduler_type local.
namespace ved::runtime {

/// The adapter's options of the cluster. `work_directory` empty: STATE/local/CLUSTER.
adapters::local::local_options local_options_of(const cluster_config& cluster,
                                                const cluster_environment& around);

/// Whether jobs of the cluster run as a user that somebody chose: `denied` as root without
/// `run_as`, since every job would be root; `invalid` when there is no such user.
result<void> check_local_user(const cluster_config& cluster);

/// Adds the user that jobs run as, and its groups, unless it is that of this process.
void distrust_local_user(const cluster_config& cluster, adapters::place_trust& into);

/// Whether `work_directory` may be taken: empty, not there yet, or this cluster's own already.
result<void> check_local_directory(const cluster_config& cluster);

/// `conflict` where the directory bears no mark of ours although the log knows jobs there: all of
/// them would be told as vanished while they run, and run again once its disk is mounted.
result<void> check_still_there(const cluster_config& cluster, const std::string& directory,
                               const remembered_cluster& known);

/// A sentence when jobs run as the user of this process: they reach its keys, tokens and log, so
/// scopes of tokens do not bind who may submit there. Nothing where the user is refused.
std::optional<std::string> local_user_warning(const cluster_config& cluster);

/// A sentence when what jobs write, without bound, takes the room of the state directory's log.
std::optional<std::string> local_disk_advice(const cluster_config& cluster,
                                             const std::string& state_directory);

/// Opens the directory of the cluster, and makes it when there is none.
result<opened_cluster> open_local(const cluster_config& cluster, const remembered_cluster& known,
                                  const cluster_environment& around);

}  // namespace ved::runtime
