#include "runtime/config/schema.hpp"
#include "runtime/schedulers/kind.hpp"

// What belongs to one cluster: an item of hpc.clusters, or the single form below hpc.
namespace ved::runtime {
namespace {

constexpr double second = 1'000;
constexpr double hour = 3'600 * second;
constexpr double day = 24 * hour;

void describe_link(section& into, cluster_config& c) {
  auto& s = into.open("link", "How the scheduler is asked; one set of bounds per cluster.");
  s.add("poll_interval", &c.poll_interval,
        "Between two polls. Not given: the scheduler section's, or job_service.job_poll_interval.")
      .range(100, day)
      .from_another();
  s.add("poll_interval_min", &c.poll_interval_min,
        "How soon the next poll may come while jobs end and few are left. Not given: a tenth of "
        "the interval.")
      .range(poll_interval_min_least.count(), day)
      .from_another();
  s.add("early_poll_nodes_max", &c.early_poll_nodes_max,
        "Clusters with more nodes, counted per queue, are polled sooner than the interval after "
        "hints only; 0: all of them. Not given: 99, or any number if poll_interval_min is given.")
      .range(0, early_poll_nodes_most)
      .from_another();
  s.add("connection_timeout", &c.connection_timeout,
        "For one call. Not given: the scheduler section's.")
      .range(100, hour)
      .from_another();
  s.add("io_workers", &c.io_workers, "Calls at the same time.").range(1, 64);
  s.add("queue_max", &c.queue_max, "Calls that may wait for a worker.").range(1, 1'000'000);
  s.add("submit_batch_max", &c.submit_batch_max, "Submissions in one call.").range(1, 1'000);
  s.add("queries_per_minute_max", &c.queries_per_minute_max,
        "Commands or requests that ask: polls, lookups, inventories, health checks. A poll needs "
        "up to two.")
      .range(1, 60'000);
  s.add("submissions_per_minute_max", &c.submissions_per_minute_max,
        "Submissions and controls; 0: as many as the scheduler takes.")
      .range(0, 1'000'000);
  s.add("message_timeout", &c.message_timeout,
        "The scheduler may act on a message this much later (Slurm: MessageTimeout).")
      .range(0, hour);
  s.add("vanish_grace", &c.vanish_grace, "A job must stay absent this long to count as lost.")
      .range(0, day);
  s.add("breaker_failures", &c.breaker.failures, "Failures in a row that open the breaker.")
      .range(1, 1'000);
  s.add("breaker_open_for", &c.breaker.open_for, "How long it stays open before a trial.")
      .range(100, hour);
}

}  // namespace

void describe_cluster(section& into, cluster_config& c) {
  into.add("scheduler_type", &c.kind, "What runs the jobs.").says("invalid scheduler type");
  into.add("cluster_id", &c.cluster_id, "The cluster's name in jobs; unique.")
      .needed("cluster_id is required when HPC is enabled")
      .formed(is_name);
  into.add("drain", &c.drain,
           "Takes no new jobs; those that it has go on to their ends. A reload takes it over.");
  describe_link(into, c);
  for (const auto* kind : scheduler_kinds()) {
    auto& s = into.open(std::string(kind->name), kind->doc);
    if (kind->open == nullptr) s.not_used = "this scheduler comes with a later version";
    kind->describe(s, c.sections);
  }
}

}  // namespace ved::runtime
