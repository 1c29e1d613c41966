#include <utility>

#include "messages/job_spec.hpp"
#include "runtime/config/schema.hpp"
#include "runtime/schedulers/kind.hpp"

// hpc: the part that concerns all clusters. Names, defaults and rule texts: provider operations
// guide and the provider daemon that it describes.
namespace ved::runtime {
namespace {

constexpr double second = 1'000;
constexpr double minute = 60 * second;
constexpr double day = 24 * 60 * minute;

void describe_job_service(section& into, job_service_config& c) {
  auto& s = into.open("job_service", "Jobs as a whole.");
  s.add("job_poll_interval", &c.job_poll_interval,
        "How often a cluster is asked, unless its own section says otherwise.")
      .range(second, day)
      .says("job_poll_interval must be at least 1 second");
  s.add("job_timeout_default", &c.job_timeout_default,
        "Time limit of a job that names none.")
      .range(spec_limits::runtime_seconds_min * second, spec_limits::runtime_seconds_max * second);
  s.add("max_concurrent_jobs", &c.max_concurrent_jobs,
        "Jobs that may be live at once; more are refused (429).")
      .range(1, 10'000'000)
      .says("max_concurrent_jobs must be at least 1");
  s.add("max_concurrent_jobs_per_principal", &c.max_concurrent_jobs_per_principal,
        "Of these, jobs that one token submitted (429); 0 for three quarters, so that others find "
        "a place.")
      .range(0, 10'000'000);
  s.add("enable_state_recovery", &c.enable_state_recovery,
        "Recover state at start; it always is, so only true is taken.")
      .only_true("to forget what runs would lose jobs and run them twice; to begin anew, give "
                 "another state.directory");
  s.add("state_store_path", &c.state_store_path,
        "State directory, when it stands in the file and state.directory does not.")
      .formed(is_absolute_path)
      .from_another();
}

void describe_usage_reporting(section& into, usage_reporting_config& c) {
  auto& s = into.open("usage_reporting", "Usage records of jobs.");
  s.not_used = "usage reports come with a later version";
  s.add("enabled", &c.enabled, "Send usage records.");
  s.enabled = &c.enabled;
  s.add("report_interval", &c.report_interval, "How often a running job is reported.")
      .at_least(minute)
      .says("report_interval must be at least 1 minute");
  s.add("batch_size", &c.batch_size, "Records in one report.").range(1, 10'000);
  s.add("retry_on_failure", &c.retry_on_failure, "Send again what was not acknowledged.");
}

void describe_audit(section& into, audit_config& c) {
  auto& s = into.open("audit", "The audit file, a follower of the event log.");
  s.add("enabled", &c.enabled, "Write it.");
  s.enabled = &c.enabled;
  s.add("log_path", &c.log_path, "Where; one JSON object per line.").formed(is_absolute_path);
  s.add("log_job_events", &c.log_job_events, "Events of category job.");
  s.add("log_security_events", &c.log_security_events, "Events of category security.");
  s.add("log_usage_reports", &c.log_usage_reports, "Events of category usage.");
}

void describe_routing(section& into, routing_config& c) {
  auto& s = into.open("routing", "Scheduling decisions that were made on the chain.");
  s.not_used = "routing decisions come with the chain in a later version";
  s.add("enabled", &c.enabled, "Check the decision of a job.");
  s.enabled = &c.enabled;
  s.add("enforcement_mode", &c.enforcement_mode, "What a violation does.")
      .one_of({"strict", "permissive", "audit_only"});
  s.add("max_decision_age_blocks", &c.max_decision_age_blocks, "Older is stale.").at_least(0);
  s.add("max_decision_age_seconds", &c.max_decision_age_seconds, "Older is stale.").at_least(0);
  s.add("allow_automatic_fallback", &c.allow_automatic_fallback, "Take another cluster.");
  s.add("require_decision_for_submission", &c.require_decision_for_submission,
        "No decision, no submission.");
  s.add("auto_refresh_stale_decisions", &c.auto_refresh_stale_decisions, "Ask for a new one.");
  s.add("violation_alert_threshold", &c.violation_alert_threshold, "Violations until an alert.")
      .at_least(0);
}

void describe_node_aggregator(section& into, node_aggregator_config& c) {
  auto& s = into.open("node_aggregator", "Heartbeats of node agents.");
  s.not_used = "node heartbeats come with a later version";
  s.add("enabled", &c.enabled, "Receive them.");
  s.enabled = &c.enabled;
  s.add("provider_address", &c.provider_address, "The provider's address on the chain.")
      .needed("node_aggregator.provider_address required");
  s.add("listen_addr", &c.listen_addr, "Where agents connect.")
      .needed("node_aggregator.listen_addr required");
  s.add("provider_id", &c.provider_id, "The provider's name.");
  s.add("cluster_id", &c.cluster_id, "The cluster whose nodes report.");
  s.add("batch_submit_interval", &c.batch_submit_interval, "Between two batches to the chain.")
      .at_least(second)
      .says("node_aggregator.batch_submit_interval must be >= 1s");
  s.add("max_batch_size", &c.max_batch_size, "Updates in one batch.")
      .at_least(1)
      .says("node_aggregator.max_batch_size must be >= 1");
  s.add("heartbeat_timeout", &c.heartbeat_timeout, "Silent for longer: stale.")
      .at_least(10 * second)
      .says("node_aggregator.heartbeat_timeout must be >= 10s");
  s.add("chain_grpc", &c.chain_grpc, "The chain's gRPC address.");
  s.add("allowed_node_pubkeys", &c.allowed_node_pubkeys, "Empty: any registered node.").items_max =
      100'000;
  s.add("chain_submit_enabled", &c.chain_submit_enabled, "Send node updates to the chain.");
  s.add("checkpoint_file", &c.checkpoint_file, "Where the aggregator kept its state.");
  s.add("checkpoint_interval", &c.checkpoint_interval, "How often it did.")
      .at_least(second)
      .says("node_aggregator.checkpoint_interval must be >= 1s");
  s.add("max_submit_retries", &c.max_submit_retries, "Attempts to send an update.").at_least(0);
  s.add("retry_backoff", &c.retry_backoff, "Between two attempts.");
  s.add("stale_miss_threshold", &c.stale_miss_threshold, "Missed heartbeats until stale.")
      .at_least(0);
  s.add("default_region", &c.default_region, "Of nodes that name none.");
  s.add("default_datacenter", &c.default_datacenter, "Of nodes that name none.");
  s.add("discovery_enabled", &c.discovery_enabled, "Ask the scheduler which nodes exist.");
  s.add("discovery_interval", &c.discovery_interval, "How often.")
      .at_least(second)
      .says("node_aggregator.discovery_interval must be >= 1s");
}

void describe_slurm_k8s(section& into, slurm_k8s_config& c) {
  auto& s = into.open("slurm_k8s", "A Slurm that runs in Kubernetes.");
  s.not_used = "Slurm in Kubernetes comes with a later version";
  s.add("enabled", &c.enabled, "Manage it.");
  s.enabled = &c.enabled;
  s.add("bootstrap_on_start", &c.bootstrap_on_start, "Install it at start.");
  s.add("namespace", &c.namespace_name, "Where.");
  s.add("ready_timeout", &c.ready_timeout, "Until it must be ready.");
  s.add("rollback_on_failure", &c.rollback_on_failure, "Remove what was half installed.");
  s.add("allow_degraded", &c.allow_degraded, "Serve with fewer nodes.");
  s.add("min_compute_ready", &c.min_compute_ready, "Nodes that must be ready.").at_least(0);
  s.add("health_check_interval", &c.health_check_interval, "Between two checks.");
  s.add("bootstrap_retry_attempts", &c.bootstrap_retry_attempts, "More attempts.").at_least(0);
  s.add("bootstrap_retry_backoff", &c.bootstrap_retry_backoff, "Between two attempts.");
}

void describe_retry(section& into, retry_config& c) {
  auto& s = into.open("retry", "Submissions that surely made no job are tried again.");
  s.add("max_retries", &c.max_retries, "Retries after the first attempt; then the job is held.")
      .range(0, 1'000)
      .says("max_retries cannot be negative");
  s.add("initial_backoff", &c.initial_backoff, "Wait before the first retry.").range(0, day);
  s.add("max_backoff", &c.max_backoff, "Longest wait.").range(0, day);
  s.add("backoff_multiplier", &c.backoff_multiplier, "Each wait is this much longer.")
      .range(1, 100)
      .says("backoff_multiplier must be at least 1.0");
  s.add("retryable_errors", &c.retryable_errors, "Words of errors that may pass.")
      .unused("the scheduler's answer itself says whether a retry is safe");
}

section cluster_section(cluster_config& cluster) {
  section s;
  describe_cluster(s, cluster);
  describe_retry(s, cluster.retry);
  return s;
}

}  // namespace

section describe_hpc(config_draft& draft) {
  auto& c = draft.value.hpc;
  section s;
  s.name = "hpc";
  s.doc = "The clusters and the life of jobs.";
  s.enabled = &c.enabled;
  s.add("enabled", &c.enabled, "Run the configured clusters.");
  s.add("provider_address", &c.provider_address, "The provider's address on the chain.")
      .unused("every job carries its provider's address");
  s.add("enforcement_mode", &c.enforcement_mode, "Accepted for compatibility.")
      .unused("no version of the provider daemon used it");
  describe_job_service(s, c.job_service);
  describe_usage_reporting(s, c.usage_reporting);
  describe_retry(s, c.retry);
  describe_audit(s, c.audit);
  describe_routing(s, c.routing);
  describe_node_aggregator(s, c.node_aggregator);
  describe_slurm_k8s(s, c.slurm_k8s);

  section single;
  describe_cluster(single, draft.single);
  for (auto& one : single.keys) {
    one.single_form = true;
    s.keys.push_back(std::move(one));
  }
  for (auto& one : single.sections) {
    one.single_form = true;
    s.sections.push_back(std::move(one));
  }

  list clusters;
  clusters.name = "clusters";
  clusters.doc =
      "Several clusters at once, instead of the single form. An item takes the keys "
      "scheduler_type, cluster_id, link, " + scheduler_kind_names(" and ") +
      " as above, and its own retry.";
  clusters.example =
      "- cluster_id: alpha\n"
      "  scheduler_type: slurm\n"
      "  slurm:\n"
      "    controller_host: slurmctld.example.com\n"
      "  retry:\n"
      "    max_retries: 5\n"
      "- cluster_id: workstation\n"
      "  scheduler_type: local\n"
      "  local:\n"
      "    cpus: 8\n";
  auto* all = &draft.value.clusters;
  const auto* defaults = &c;
  clusters.append = [all, defaults] {
    cluster_config fresh;
    fresh.retry = defaults->retry;
    all->push_back(std::move(fresh));
    return cluster_section(all->back());
  };
  clusters.items = [all] {
    std::vector<section> items;
    for (auto& one : *all) items.push_back(cluster_section(one));
    return items;
  };
  clusters.sample = [] {
    static cluster_config sample;
    return cluster_section(sample);
  };
  s.lists.push_back(std::move(clusters));
  return s;
}

}  // namespace ved::runtime
