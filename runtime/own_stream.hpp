#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "adapters/remembered.hpp"
#include "messages/event.pb.h"
#include "messages/ids.hpp"
#include "messages/time.hpp"
#include "store/event_logs.hpp"

/// What the daemon writes into its own log of itself, the stream "daemon", and what it asks its
/// logs at its start.
namespace ved::runtime {

/// What the log knows of a cluster with live jobs of which a submission was sent or may have been.
struct remembered_cluster {
  std::uint64_t sent_jobs = 0;
  pb::ClusterRecord scheduler;  ///< empty: it was never met
  bool given_up = false;        ///< the operator said so
};
/// Nothing of a cluster without such jobs, nor of `given_up`. The logs must outlive it.
using remember_cluster = std::function<result<remembered_cluster>(const cluster_id&)>;
remember_cluster remembering(const store::event_logs& logs, std::string given_up);

/// What the logs know of a job's life under that token. They must outlive it; any thread.
std::function<adapters::remembered(const job_id&, const submission_token&)> life_in(
    const store::event_logs& logs);

/// What a cluster's log knows of the scheduler that was met there last, also without live jobs;
/// nothing where it cannot be read. Any thread, also when the logs are gone.
std::function<std::optional<pb::ClusterRecord>(const cluster_id&)> met_in(
    std::weak_ptr<const store::event_logs> logs);

/// Sixteen random hex digits: one start of the program.
std::string make_boot_id();

/// Writes daemon_started and gives the daemon's name, see `instance_of`. Before any actor exists,
/// so nobody else writes yet.
result<std::string> record_start(const store::event_logs& logs, const std::string& boot_id,
                                 time_point now);

/// The clusters that had a log, as far as the daemon's own log knows.
result<std::set<std::string>> clusters_with_logs(const store::event_log& own);
/// The event of the daemon's own stream that this cluster has a log now.
pb::Envelope cluster_log_begun(const cluster_id& cluster, time_point now);
/// Writes it. As record_start, before any actor exists.
result<void> record_cluster_log(store::event_log& own, const cluster_id& cluster, time_point now);
/// Gives the log of a cluster its first event, where it has none, and tells its name, see
/// `instance_of`. As record_start.
result<std::string> begin_cluster_log(store::event_log& log, const cluster_id& cluster,
                                      time_point now);

/// The cluster that the log's first event names; empty: it has none yet.
result<std::string> cluster_of(const store::event_log& log);

/// The event as the next one of the daemon's own stream.
result<store::append_request> of_daemon(const store::event_log& own, pb::Envelope event);

/// Sixteen hex digits of a log's first event: the same for ever, also after a restore; of two logs
/// never the same. Of the daemon's own log: the name of the daemon.
result<std::string> instance_of(const store::event_log& log);

}  // namespace ved::runtime
