#pragma once

#include <string>
#include <vector>

#include "actors/job/core.hpp"
#include "actors/link/core.hpp"
#include "messages/error.hpp"
#include "runtime/config/config.hpp"
#include "runtime/own_stream.hpp"
#include "runtime/schedulers/kind.hpp"

/// From configuration to running parts of one cluster.
namespace ved::runtime {

core::job::policy policy_of(const cluster_config& cluster);
core::link::limits limits_of(const cluster_config& cluster);

/// What would keep active clusters from being opened, as far as the files of this machine tell: a
/// scheduler type without an adapter, keys and known hosts. Changes nothing.
std::vector<error> check_clusters(const config& settings);

/// `conflict` for clusters' own directories that are one, or inside of another or of the state
/// directory, and for what is appended to inside of one.
std::vector<error> shared_local_directories(const config& settings);

/// A setting that works and is dangerous.
struct cluster_warning {
  cluster_id cluster;
  std::string text;  ///< one sentence, with what to do
};

/// What an operator should know about the active clusters before jobs come: told by --check-config,
/// logged at start, and shown in /health for as long as it is so.
std::vector<cluster_warning> cluster_warnings(const config& settings);

/// `conflict` where the configuration names another scheduler than the one that the cluster's jobs
/// were sent to: nothing there knows them, so that they would be told as vanished while they run.
result<void> check_same_scheduler(const cluster_config& cluster, const remembered_cluster& known);

/// Opens the cluster's scheduler. errc::invalid when this version has no adapter for its type.
result<opened_cluster> open_cluster(const cluster_config& cluster,
                                    const cluster_environment& environment);

}  // namespace ved::runtime
