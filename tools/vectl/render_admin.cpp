#include <algorithm>
#include <cctype>

#include "messages/job_state.hpp"
#include "tools/vectl/moment.hpp"
#include "tools/vectl/render.hpp"

namespace vectl {

namespace pb = ved::pb;
using ved::microseconds;

namespace {

std::string ago(std::int64_t us, ved::time_point now) {
  if (us == 0) return "never";
  return human_duration(microseconds{std::max<std::int64_t>(0, ved::to_us(now) - us)}) + " ago";
}

/// "4/32"; "?" for what the scheduler does not tell.
std::string share(bool has_used, std::int64_t used, bool has_total, std::int64_t total) {
  if (!has_used && !has_total) return "-";
  if (has_used && has_total && total == 0 && used == 0) return "-";
  return (has_used ? std::to_string(used) : "?") + "/" + (has_total ? std::to_string(total) : "?");
}
std::string cpu_share(const pb::Cluster& of) {
  return share(of.has_cpus_allocated(), of.cpus_allocated(), of.has_cpus_total(), of.cpus_total());
}
std::string gpu_share(const pb::Cluster& of) {
  return share(of.has_gpus_allocated(), of.gpus_allocated(), of.has_gpus_total(), of.gpus_total());
}

std::string connection_word(const pb::Cluster& cluster) {
  if (cluster.connected()) return "up";
  return cluster.last_poll_at_us() == 0 && cluster.reason().empty() ? "not yet" : "down";
}

tone connection_tone(const pb::Cluster& cluster) {
  return cluster.connected() ? tone::good : tone::bad;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// The guide shows whole seconds: "2024-01-15T10:00:00Z".
std::string guide_time(std::int64_t us) {
  if (us == 0) return "never";
  return ved::to_rfc3339(ved::from_us(us)).substr(0, 19) + "Z";
}

/// Where no job is followed, none is polled, and that is no fault.
std::string last_poll(const pb::ClusterHealth& cluster) {
  if (cluster.last_poll_at_us() == 0 && cluster.active_jobs() == 0)
    return "none, no job is followed";
  return guide_time(cluster.last_poll_at_us());
}

bool healthy(const pb::ClusterHealth& cluster) {
  return cluster.connection().empty() && cluster.authentication().empty() &&
         cluster.queue_access().empty();
}

}  // namespace

std::string render_clusters(const pb::ClusterList& clusters, ved::time_point now,
                            const style& look) {
  if (clusters.clusters().empty()) return "no clusters are configured\n";
  table rows({"CLUSTER", "TYPE", "CONNECTION", "LAST ANSWER", "JOBS", "CPUS", "GPUS", "OBSERVED",
              "DETAIL"});
  for (const auto& cluster : clusters.clusters())
    rows.add({{printable(cluster.cluster_id())},
              {printable(cluster.scheduler_type())},
              {connection_word(cluster), connection_tone(cluster)},
              {ago(std::max(cluster.last_answer_at_us(), cluster.last_poll_at_us()), now)},
              {std::to_string(cluster.jobs_tracked())},
              {cpu_share(cluster)},
              {gpu_share(cluster)},
              {cluster.inventory_at_us() == 0 ? "-" : ago(cluster.inventory_at_us(), now)},
              {cluster.connected() ? (cluster.drains() ? "takes no new jobs (drain)" : "")
                                   : printable(cluster.reason())}});
  return rows.text(look);
}

std::string render_cluster(const pb::Cluster& cluster, ved::time_point now, const style& look) {
  sheet lines;
  lines.add("Cluster", printable(cluster.cluster_id()), tone::bold);
  lines.add("Scheduler",
            printable(cluster.scheduler_type()) +
                (cluster.scheduler().empty() ? "" : ", " + printable(cluster.scheduler())));
  std::string connection = connection_word(cluster);
  if (!cluster.connected() && cluster.down_since_us() != 0)
    connection += " since " + local_time(cluster.down_since_us());
  lines.add("Connection", connection, connection_tone(cluster));
  if (cluster.drains()) lines.add("New jobs", "none: its configuration says drain", tone::warn);
  lines.add("Circuit breaker", printable(cluster.breaker()),
            cluster.breaker() == "closed" ? tone::plain : tone::warn);
  lines.add_if("Last failure", printable(cluster.reason()));
  std::string poll = ago(cluster.last_poll_at_us(), now);
  if (cluster.last_poll_us() != 0)
    poll += ", took " + human_duration(microseconds{cluster.last_poll_us()});
  lines.add("Last poll", cluster.last_poll_at_us() == 0 && cluster.jobs_tracked() == 0
                             ? "none: no job is followed"
                             : poll);
  lines.add("Last answer", ago(cluster.last_answer_at_us(), now));
  lines.add("Poll interval", human_duration(ved::milliseconds{cluster.poll_interval_ms()}));
  lines.add("Queries", std::to_string(cluster.queries()) + " since start");
  lines.add("Jobs tracked", std::to_string(cluster.jobs_tracked()));
  lines.add("Submissions waiting", std::to_string(cluster.submissions_waiting()));
  lines.add("Observed", ago(cluster.inventory_at_us(), now) +
                            (cluster.inventory_at_us() == 0 ? "" : ", what follows"));
  if (cluster.has_jobs_running() && cluster.has_jobs_queued())
    lines.add("Scheduler's jobs", std::to_string(cluster.jobs_running()) + " running, " +
                                      std::to_string(cluster.jobs_queued()) + " queued");
  lines.add("CPUs", cpu_share(cluster));
  if (cluster.memory_mb_total() > 0)
    lines.add("Memory",
              human_bytes(static_cast<std::uint64_t>(cluster.memory_mb_allocated()) << 20) +
                  " of " +
                  human_bytes(static_cast<std::uint64_t>(cluster.memory_mb_total()) << 20));
  lines.add("GPUs", gpu_share(cluster));
  for (const auto& note : cluster.notes()) lines.add("Not known", printable(note), tone::warn);
  std::string text = lines.text(look);
  if (cluster.queues().empty()) return text;
  table rows({"QUEUE", "OPEN", "NODES", "CPUS/NODE", "MEMORY/NODE", "GPUS/NODE", "TIME LIMIT"});
  for (const auto& queue : cluster.queues())
    rows.add({{printable(queue.name())},
              {queue.accepts_jobs() ? "yes" : "no", queue.accepts_jobs() ? tone::good : tone::bad},
              {std::to_string(queue.nodes())},
              {std::to_string(queue.cpus_per_node_max())},
              {human_bytes(static_cast<std::uint64_t>(queue.memory_mb_per_node_max()) << 20)},
              {std::to_string(queue.gpus_per_node_max())},
              {queue.time_limit_seconds() == 0
                   ? "none"
                   : human_duration(ved::seconds{queue.time_limit_seconds()})}});
  return text + "\n" + rows.text(look);
}

std::string render_health(const pb::HealthReport& report, const style& look,
                          ved::time_point now) {
  if (report.clusters().empty()) return "no clusters are configured\n";
  const auto verdict = [&](const std::string& problem) {
    return problem.empty() ? paint("OK", tone::good, look)
                           : paint("FAILED (" + printable(problem) + ")", tone::bad, look);
  };
  std::string text;
  for (const auto& cluster : report.clusters()) {
    if (report.clusters_size() > 1) {
      if (!text.empty()) text += "\n";
      text += "Cluster: " + printable(cluster.cluster_id()) + "\n";
    }
    text += "Scheduler Type: " + upper(printable(cluster.scheduler_type())) + "\n" +
            "Connection: " + verdict(cluster.connection()) + "\n" +
            "Authentication: " + verdict(cluster.authentication()) + "\n" +
            "Queue Access: " + verdict(cluster.queue_access()) + "\n";
    for (const auto& note : cluster.notes())
      text += "Missing, no job needs it: " + printable(note) + "\n";
    text += "Last Job Poll: " + last_poll(cluster) + "\n" +
            "Active Jobs: " + std::to_string(cluster.active_jobs()) + "\n";
    if (ved::is_set(now) && cluster.checked_at_us() != 0)
      text += "Checked: " + ago(cluster.checked_at_us(), now) + "\n";
  }
  return text;
}

bool healthy(const pb::HealthReport& report) {
  return std::all_of(report.clusters().begin(), report.clusters().end(),
                     [](const pb::ClusterHealth& cluster) { return healthy(cluster); });
}

namespace {

/// Those that have something to tell: who is behind, waits or fails.
std::string render_followers(const pb::Status& status, ved::time_point now, const style& look) {
  table rows({"FOLLOWER", "LOG", "BEHIND", "WAITING", "OLDEST", "FAILS SINCE"});
  bool any = false;
  for (const auto& one : status.followers()) {
    if (one.failing_since_us() == 0 && one.waiting() == 0) continue;
    any = true;
    const bool fails = one.failing_since_us() != 0;
    rows.add({{printable(one.name())},
              {printable(one.log())},
              {std::to_string(one.behind())},
              {std::to_string(one.waiting())},
              {one.oldest_at_us() == 0 ? "-" : ago(one.oldest_at_us(), now)},
              {fails ? ago(one.failing_since_us(), now) + ": " + printable(one.error()) : "-",
               fails ? tone::bad : tone::plain}});
  }
  return any ? "\n" + rows.text(look) : "";
}

std::string render_logs(const google::protobuf::RepeatedPtrField<pb::LogSize>& logs,
                        const style& look) {
  table rows({"LOG", "EVENTS", "STREAMS", "ON DISK", "HEAD HASH"});
  for (const auto& one : logs) {
    const bool lost = !one.problem().empty();
    rows.add({{printable(one.log())},
              {std::to_string(one.last_position())},
              {std::to_string(one.streams())},
              {human_bytes(one.disk_bytes())},
              {lost ? printable(one.problem()) : hex(one.head_hash()),
               lost ? tone::bad : tone::plain}});
  }
  return logs.empty() ? "" : "\n" + rows.text(look);
}

}  // namespace

std::string render_status(const pb::Status& status, ved::time_point now, const style& look) {
  sheet lines;
  lines.add("Status", printable(status.status()),
            status.status() == "ok" ? tone::good : tone::warn);
  for (const auto& problem : status.problems()) lines.add("Problem", printable(problem), tone::bad);
  lines.add("Version", printable(status.version()));
  if (status.started_at_us() != 0)
    lines.add("Started",
              local_time(status.started_at_us()) + " (" + ago(status.started_at_us(), now) + ")");
  lines.add("Live jobs", std::to_string(status.live_jobs()));
  lines.add("Log position", std::to_string(status.log_position()));
  std::string text = lines.text(look) + render_followers(status, now, look);
  if (status.clusters().empty()) return text;
  pb::ClusterList clusters;
  *clusters.mutable_clusters() = status.clusters();
  return text + "\n" + render_clusters(clusters, now, look);
}

std::string render_verification(const pb::LogVerification& seen, const style& look) {
  sheet lines;
  lines.add("Log", seen.ok() ? "verified" : "CORRUPT", seen.ok() ? tone::good : tone::bad);
  lines.add_if("First problem", printable(seen.first_problem()), tone::bad);
  for (const auto& log : seen.missing_logs()) lines.add("Not restored", printable(log), tone::bad);
  lines.add("Events", std::to_string(seen.events()));
  lines.add("Streams", std::to_string(seen.streams()));
  if (seen.outdated_states() != 0)
    lines.add("Outdated",
              std::to_string(seen.outdated_states()) +
                  " stored states differ from the fold of their events in what an older release "
                  "did not store: no damage; `vectl log rebuild` with ved stopped makes them anew",
              tone::warn);
  if (seen.duration_us() != 0) lines.add("Took", human_duration(microseconds{seen.duration_us()}));
  return lines.text(look) + render_logs(seen.logs(), look);
}

std::string render_stats(const pb::LogStats& stats, const style& look) {
  sheet lines;
  lines.add("Events", std::to_string(stats.last_position()));
  if (stats.streams() != 0) lines.add("Streams", std::to_string(stats.streams()));
  lines.add("Live jobs", std::to_string(stats.live_jobs()));
  lines.add("On disk", human_bytes(stats.disk_bytes()));
  if (stats.disk_free_bytes() != 0) lines.add("Disk free", human_bytes(stats.disk_free_bytes()));
  for (const auto& entry : stats.jobs())
    lines.add("Jobs " + std::string(state_name(entry.state())), std::to_string(entry.count()),
              tone_of(entry.state()));
  return lines.text(look) + render_logs(stats.logs(), look);
}

std::string render_backup(const pb::BackupDone& done, const style& look) {
  std::string missing;
  for (const auto& one : done.missing_logs())
    missing += paint("NOT in this backup: " + printable(one.log()), tone::bad, look) + ": " +
               printable(one.problem()) + "\n";
  if (!missing.empty())
    missing += "This backup is not whole: keep the last whole one until the next\n";
  return "backed up " + std::to_string(done.last_position()) + " events to " +
         printable(done.directory()) + "\n" + render_logs(done.logs(), look) + missing;
}

std::string render_reload(const pb::ConfigReloaded& done) {
  std::string text;
  const auto each = [&](const char* what, const auto& all) {
    for (const auto& id : all) text += "cluster " + printable(id) + ": " + what + "\n";
  };
  each("added", done.added());
  each("removed", done.removed());
  each("changed", done.changed());
  if (text.empty()) text = "no cluster has changed\n";
  for (const auto& problem : done.problems()) text += "problem: " + printable(problem) + "\n";
  if (done.restart_needed()) text += "other keys have changed that only a restart takes over\n";
  return text;
}

}  // namespace vectl
