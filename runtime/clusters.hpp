#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "actors/job/core.hpp"
#include "actors/link/core.hpp"
#include "adapters/scheduler.hpp"
#include "adapters/watcher.hpp"
#include "messages/error.hpp"
#include "runtime/config/config.hpp"
#include "runtime/own_stream.hpp"

/// From configuration to running parts of one cluster.
namespace ved::runtime {

core::job::policy policy_of(const cluster_config& cluster);
core::link::limits limits_of(const cluster_config& cluster);

struct cluster_environment {
  std::string state_directory;
  std::string supervisor_path;  ///< of ved-job-supervisor
  /// Faults to inject, for torture runs: "seed=7,reply_lost=0.1,..."; empty: none.
  std::string fault_plan;
  /// Tells this daemon's log from every other: names its part of directories that others share.
  std::string instance;
  std::function<time_point()> clock;
  /// A command of the scheduler was run, so many times; any thread.
  std::function<void(const cluster_id&, std::string_view command, int times)> count;
  /// Something that an operator should change.
  std::function<void(const cluster_id&, const std::string& warning)> warn;
  /// What keeps the cluster from taking or starting jobs, until it tells another; empty: nothing.
  std::function<void(const cluster_id&, const std::string& problem)> tell = {};
  std::int64_t min_free_bytes = 0;  ///< of the state directory's guard: of work directories, too
  /// What the log knows of the cluster; nothing of one whose jobs the operator gives up.
  remember_cluster remember = [](const cluster_id&) { return remembered_cluster{}; };
  /// Whether the log knows the job's end; any thread.
  std::function<adapters::remembered(const job_id&, const submission_token&)> remembers = {};
};

struct opened_cluster {
  adapters::scheduler_factory factory;
  /// Lets it start jobs, once the daemon is sure to serve.
  std::function<void()> begin = [] {};
  /// Ends calls that are under way and lets none begin: before the workers are waited for.
  std::function<void()> stop = [] {};
  /// Who sees jobs start and end; null: nobody.
  std::shared_ptr<adapters::job_watcher> watcher = {};
};

/// What would keep active clusters from being opened, as far as the files of this machine tell: a
/// scheduler type without an adapter, keys and known hosts. Changes nothing.
std::vector<error> check_clusters(const config& settings);

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
