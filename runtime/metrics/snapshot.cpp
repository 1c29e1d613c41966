#include <algorithm>
#include <utility>

#include "runtime/metrics/metrics_impl.hpp"

// What is read off the daemon when somebody asks: gauges that would be stale otherwise, and counts
// that others keep.
namespace ved::runtime {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using label_list = std::vector<ClientMetric::Label>;

class families {
 public:
  /// Begins a family; `add` puts series into it.
  families& begin(const char* name, const char* help, MetricType type = MetricType::Gauge) {
    all_.push_back({name, help, type, {}});
    return *this;
  }
  families& add(double value, label_list labels = {}) {
    auto& family = all_.back();
    auto& series = family.metric.emplace_back();
    series.label = std::move(labels);
    (family.type == MetricType::Counter ? series.counter.value : series.gauge.value) = value;
    return *this;
  }
  /// One series per cluster.
  template <class Read>
  families& each(const pb::Status& now, Read read) {
    for (const auto& c : now.clusters())
      add(static_cast<double>(read(c)), {{"cluster", c.cluster_id()}});
    return *this;
  }
  /// One series per cluster that tells this figure, times `unit`.
  template <class Has, class Read>
  families& each_told(const pb::Status& now, Has has, Read read, double unit = 1) {
    for (const auto& c : now.clusters())
      if ((c.*has)()) add(static_cast<double>((c.*read)()) * unit, {{"cluster", c.cluster_id()}});
    return *this;
  }
  std::vector<MetricFamily> take() {
    std::erase_if(all_, [](const MetricFamily& f) { return f.metric.empty(); });
    return std::move(all_);
  }

 private:
  std::vector<MetricFamily> all_;
};

double in_seconds(std::int64_t us) {
  return static_cast<double>(us) / 1e6;
}
constexpr double mib = 1024.0 * 1024.0;

void add_connections(families& out, const pb::Status& now) {
  out.begin("hpc_scheduler_connected", "1 while the cluster's scheduler answers.")
      .each(now, [](const auto& c) { return c.connected() ? 1 : 0; });
  out.begin("hpc_scheduler_breaker_state", "1 for the state that the circuit breaker is in.");
  for (const auto& c : now.clusters())
    for (const auto& state : breaker_states())
      out.add(c.breaker() == state ? 1 : 0, {{"cluster", c.cluster_id()}, {"state", state}});
  out.begin("hpc_scheduler_queries_total", "Commands and requests sent to the scheduler.",
            MetricType::Counter)
      .each(now, [](const auto& c) { return c.queries(); });
  out.begin("hpc_scheduler_last_poll_timestamp_seconds", "When the last poll was answered.")
      .each(now, [](const auto& c) { return in_seconds(c.last_poll_at_us()); });
  out.begin("hpc_submissions_waiting", "Submissions that wait for the cluster.")
      .each(now, [](const auto& c) { return c.submissions_waiting(); });
  out.begin("hpc_jobs_followed", "Jobs in the cluster's poll.").each(now, [](const auto& c) {
    return c.jobs_tracked();
  });
}

/// What the figures below it are worth: they stay as they are while a scheduler does not answer.
void add_inventory_age(families& out, const pb::Status& now, time_point at) {
  out.begin("hpc_cluster_inventory_age_seconds",
            "For how long cores, memory, GPUs and queues of the cluster are as last observed.");
  for (const auto& c : now.clusters())
    if (c.inventory_at_us() != 0)
      out.add(in_seconds(std::max<std::int64_t>(to_us(at) - c.inventory_at_us(), 0)),
              {{"cluster", c.cluster_id()}});
}

void add_capacity(families& out, const pb::Status& now) {
  using cluster = pb::Cluster;
  out.begin("hpc_cluster_cpus", "Cores of the cluster.")
      .each_told(now, &cluster::has_cpus_total, &cluster::cpus_total);
  out.begin("hpc_cluster_cpus_allocated", "Cores in use.")
      .each_told(now, &cluster::has_cpus_allocated, &cluster::cpus_allocated);
  out.begin("hpc_cluster_memory_bytes", "Memory of the cluster.")
      .each_told(now, &cluster::has_memory_mb_total, &cluster::memory_mb_total, mib);
  out.begin("hpc_cluster_memory_allocated_bytes", "Memory in use.")
      .each_told(now, &cluster::has_memory_mb_allocated, &cluster::memory_mb_allocated, mib);
  out.begin("hpc_cluster_gpus", "GPUs of the cluster.")
      .each_told(now, &cluster::has_gpus_total, &cluster::gpus_total);
  out.begin("hpc_cluster_gpus_allocated", "GPUs in use.")
      .each_told(now, &cluster::has_gpus_allocated, &cluster::gpus_allocated);
  out.begin("hpc_cluster_jobs", "All jobs of the cluster, also those of others.");
  for (const auto& c : now.clusters()) {
    if (c.has_jobs_queued())
      out.add(c.jobs_queued(), {{"cluster", c.cluster_id()}, {"state", "queued"}});
    if (c.has_jobs_running())
      out.add(c.jobs_running(), {{"cluster", c.cluster_id()}, {"state", "running"}});
  }
}

/// "audit" and "hook/<name>" as /health knows them.
void add_followers(families& out, const pb::Status& now, time_point at) {
  const auto each = [&](auto read) {
    for (const auto& f : now.followers())
      out.add(static_cast<double>(read(f)), {{"follower", f.name()}, {"log", f.log()}});
  };
  const auto since = [&](std::int64_t us) {
    return us == 0 ? 0.0 : in_seconds(std::max<std::int64_t>(to_us(at) - us, 0));
  };
  out.begin("ved_follower_position", "Log position up to which a follower has done its work.");
  each([](const auto& f) { return f.position(); });
  out.begin("ved_follower_behind_events", "Events of the log that a follower has not done yet.");
  each([](const auto& f) { return f.behind(); });
  out.begin("ved_follower_failing_seconds", "For how long a follower has failed; 0: it works.");
  each([&](const auto& f) { return since(f.failing_since_us()); });
  constexpr std::string_view prefix = "hook/";
  const auto each_hook = [&](auto read) {
    for (const auto& f : now.followers())
      if (f.name().starts_with(prefix))
        out.add(static_cast<double>(read(f)),
                {{"hook", f.name().substr(prefix.size())}, {"log", f.log()}});
  };
  out.begin("ved_hook_waiting", "Callbacks in memory that are not delivered.");
  each_hook([](const auto& f) { return f.waiting(); });
  out.begin("ved_hook_oldest_age_seconds", "Age of the oldest callback that is not delivered.");
  each_hook([&](const auto& f) { return since(f.oldest_at_us()); });
}

void add_certificates(families& out, const metrics::sources& from) {
  if (!from.certificates) return;
  out.begin("ved_certificate_expiry_seconds", "Until a certificate ends; below 0: it has ended.");
  for (const auto& [name, expiry] : from.certificates())
    out.add(in_seconds(to_us(expiry) - to_us(from.now())), {{"certificate", name}});
}

void add_status(families& out, const pb::Status& now) {
  out.begin("ved_status", "1 for the status that /health shows.");
  for (const char* status : {"ok", "degraded", "full", "stopping"})
    out.add(now.status() == status ? 1 : 0, {{"status", status}});
  out.begin("ved_problems", "Problems that /health shows.").add(now.problems_size());
  out.begin("ved_live_jobs", "Jobs with an actor.").add(static_cast<double>(now.live_jobs()));
  out.begin("ved_log_events_total", "Events of all logs.", MetricType::Counter)
      .add(static_cast<double>(now.log_position()));
}

void add_daemon(families& out, const metrics::sources& from) {
  out.begin("ved_build_info", "1, with the version.").add(1, {{"version", from.version}});
  out.begin("process_start_time_seconds", "When the daemon started.")
      .add(in_seconds(to_us(from.started_at)));
  if (from.log_bytes)
    out.begin("ved_log_size_bytes", "Size of the event log on disk.")
        .add(static_cast<double>(from.log_bytes()));
  if (from.disk_free_bytes)
    out.begin("ved_state_disk_free_bytes", "Free space of the state directory's disk.")
        .add(static_cast<double>(from.disk_free_bytes()));
  if (from.clock_offset)
    out.begin("ved_clock_offset_seconds",
              "How far the system's clock is ahead of the time that the daemon keeps.")
        .add(static_cast<double>(from.clock_offset().count()) / 1e6);
  if (from.damaged_reads) {
    out.begin("ved_log_damaged_reads_total", "Reads of the event log that met damage, by table.",
              MetricType::Counter);
    for (const auto& [table, reads] : from.damaged_reads())
      out.add(static_cast<double>(reads), {{"table", table}});
  }
}

void add_http(families& out, const http_counts& counts) {
  out.begin("ved_http_connections", "Open connections.")
      .add(static_cast<double>(counts.connections));
  out.begin("ved_http_event_streams", "Live event streams.")
      .add(static_cast<double>(counts.streams));
  out.begin("ved_http_connections_rejected_total", "Connections over the limit.",
            MetricType::Counter)
      .add(static_cast<double>(counts.connections_rejected));
  out.begin("ved_http_requests_limited_total", "Requests over the rate.", MetricType::Counter)
      .add(static_cast<double>(counts.requests_limited));
}

}  // namespace

const std::vector<std::string>& breaker_states() {
  static const std::vector<std::string> all{"closed", "open", "half_open"};
  return all;
}

std::vector<prometheus::MetricFamily> snapshot(const metrics::sources& from, const pb::Status& now,
                                               const http_counts* http) {
  families out;
  // No answer from the actors: a gap is true, zeros would be a lie and reset every counter.
  if (!now.status().empty()) {
    add_connections(out, now);
    add_capacity(out, now);
    add_status(out, now);
    if (from.now) add_followers(out, now, from.now());
    if (from.now) add_inventory_age(out, now, from.now());
  }
  add_daemon(out, from);
  add_certificates(out, from);
  if (http != nullptr) add_http(out, *http);
  return out.take();
}

}  // namespace ved::runtime
