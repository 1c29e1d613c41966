#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "actors/link/limits.hpp"
#include "messages/ids.hpp"
#include "messages/secret.hpp"
#include "messages/time.hpp"
#include "runtime/schedulers/sections.hpp"

/// The effective configuration: plain values with their defaults. What a key means, its bounds and
/// its text form stand once, in schema.cpp. Durations are milliseconds, sizes bytes.
/// Sources: the provider operations guide; keys that it does not name are ours.
namespace ved::runtime {

enum class log_level { trace, debug, info, warn, error, critical, off };

/// "trace" ... "off".
const char* to_string(log_level level) noexcept;

/// hpc.job_service
struct job_service_config {
  milliseconds job_poll_interval{15'000};
  milliseconds job_timeout_default{24 * 3'600'000};
  int max_concurrent_jobs = 100;
  int max_concurrent_jobs_per_principal = 0;  ///< 0: three quarters of all
  bool enable_state_recovery = true;
  std::string state_store_path = "/var/lib/virtengine/hpc-state";

  friend bool operator==(const job_service_config&, const job_service_config&) = default;
};

/// hpc.usage_reporting
struct usage_reporting_config {
  bool enabled = true;
  milliseconds report_interval{300'000};
  int batch_size = 50;
  bool retry_on_failure = true;

  friend bool operator==(const usage_reporting_config&, const usage_reporting_config&) = default;
};

/// hpc.retry: how often and how soon a submission that surely made no job is tried again.
struct retry_config {
  int max_retries = 3;
  milliseconds initial_backoff{1'000};
  milliseconds max_backoff{30'000};
  double backoff_multiplier = 2.0;
  std::vector<std::string> retryable_errors{"connection refused", "timeout", "temporary failure"};

  friend bool operator==(const retry_config&, const retry_config&) = default;
};

/// hpc.audit
struct audit_config {
  bool enabled = true;
  std::string log_path = "/var/log/virtengine/hpc-audit.log";
  bool log_job_events = true;
  bool log_security_events = true;
  bool log_usage_reports = true;

  friend bool operator==(const audit_config&, const audit_config&) = default;
};

/// hpc.routing
struct routing_config {
  bool enabled = true;
  std::string enforcement_mode = "strict";
  int max_decision_age_blocks = 100;
  int max_decision_age_seconds = 600;
  bool allow_automatic_fallback = true;
  bool require_decision_for_submission = true;
  bool auto_refresh_stale_decisions = true;
  int violation_alert_threshold = 5;

  friend bool operator==(const routing_config&, const routing_config&) = default;
};

/// hpc.node_aggregator
struct node_aggregator_config {
  bool enabled = false;
  std::string provider_address;
  std::string listen_addr = ":8081";
  std::string provider_id;
  std::string cluster_id;
  milliseconds batch_submit_interval{60'000};
  int max_batch_size = 50;
  milliseconds heartbeat_timeout{120'000};
  std::string chain_grpc;
  std::vector<std::string> allowed_node_pubkeys;
  bool chain_submit_enabled = true;
  std::string checkpoint_file;
  milliseconds checkpoint_interval{30'000};
  int max_submit_retries = 5;
  milliseconds retry_backoff{5'000};
  int stale_miss_threshold = 5;
  std::string default_region;
  std::string default_datacenter;
  bool discovery_enabled = true;
  milliseconds discovery_interval{120'000};

  friend bool operator==(const node_aggregator_config&, const node_aggregator_config&) = default;
};

/// hpc.slurm_k8s
struct slurm_k8s_config {
  bool enabled = false;
  bool bootstrap_on_start = true;
  std::string namespace_name = "slurm-system";
  milliseconds ready_timeout{600'000};
  bool rollback_on_failure = true;
  bool allow_degraded = false;
  int min_compute_ready = 1;
  milliseconds health_check_interval{60'000};
  int bootstrap_retry_attempts = 1;
  milliseconds bootstrap_retry_backoff{20'000};

  friend bool operator==(const slurm_k8s_config&, const slurm_k8s_config&) = default;
};

/// What the link of a cluster keeps to where nobody says otherwise.
inline constexpr core::link::limits link_defaults;

constexpr milliseconds in_milliseconds(microseconds span) {
  return std::chrono::duration_cast<milliseconds>(span);
}

/// The circuit breaker of a cluster.
struct breaker_config {
  int failures = link_defaults.breaker_failures;  ///< in a row, until it opens
  milliseconds open_for = in_milliseconds(link_defaults.breaker_open_for);

  friend bool operator==(const breaker_config&, const breaker_config&) = default;
};

/// One cluster: an entry of hpc.clusters, or the single form (hpc.scheduler_type, hpc.slurm, ...),
/// which is shorthand for a list of one.
struct cluster_config {
  ved::cluster_id cluster_id;
  const scheduler_kind* kind = default_scheduler_kind();  ///< scheduler_type; never null
  bool drain = false;  ///< takes no new jobs; those that it has go on to their ends
  /// Effective: the first that the file gives of link.poll_interval, the scheduler section's
  /// job_poll_interval (session_poll_interval), hpc.job_service.job_poll_interval (not for local);
  /// else the scheduler section's default.
  milliseconds poll_interval = in_milliseconds(link_defaults.poll_interval);
  /// Effective: link.poll_interval_min, else a tenth of the interval.
  milliseconds poll_interval_min = in_milliseconds(link_defaults.poll_interval_min);
  int early_poll_nodes_max = 99;  ///< larger clusters are polled at the interval only
  /// Effective: link.connection_timeout, else the scheduler section's.
  milliseconds connection_timeout = in_milliseconds(link_defaults.call_timeout);
  int io_workers = 4;
  int queue_max = 1'024;      ///< calls that wait for a worker
  int submit_batch_max = link_defaults.batch_max;  ///< submissions in one call
  int queries_per_minute_max = link_defaults.queries_per_minute_max;
  /// Submissions and controls; 0: no limit.
  int submissions_per_minute_max = link_defaults.submissions_per_minute_max;
  breaker_config breaker;
  /// A message may reach the scheduler this long after it was sent: a lookup that finds nothing
  /// counts only afterwards (Slurm: MessageTimeout, 10 s by default).
  milliseconds message_timeout{10'000};
  /// How long a job must stay absent, confirmed, before it counts as lost.
  milliseconds vanish_grace{60'000};
  retry_config retry;  ///< hpc.retry, overridden by the cluster's own
  scheduler_sections sections;

  friend bool operator==(const cluster_config&, const cluster_config&) = default;
};

/// hpc, without what belongs to one cluster.
struct hpc_config {
  bool enabled = false;
  std::string provider_address;
  std::string enforcement_mode;
  job_service_config job_service;
  usage_reporting_config usage_reporting;
  retry_config retry;
  audit_config audit;
  routing_config routing;
  node_aggregator_config node_aggregator;
  slurm_k8s_config slurm_k8s;

  friend bool operator==(const hpc_config&, const hpc_config&) = default;
};

/// logging
struct logging_config {
  log_level level = log_level::info;
  /// Levels of single components ("hpc_scheduler"); the names are log_components().
  std::map<std::string, log_level> components;
  std::string file;  ///< empty: standard error

  friend bool operator==(const logging_config&, const logging_config&) = default;
};

/// metrics: a listener of its own.
struct metrics_config {
  bool enabled = false;
  std::string address = "127.0.0.1";
  int port = 9090;
  std::string path = "/metrics";

  friend bool operator==(const metrics_config&, const metrics_config&) = default;
};

/// http: the API.
struct http_config {
  std::string address = "127.0.0.1";
  int port = 8080;  ///< 0: any free port
  /// CIDR blocks whose prolog and epilog events need no token. None by default: every user of this
  /// machine can connect from its loopback address.
  std::vector<std::string> trusted_networks;
  std::int64_t body_bytes_max = 1 << 20;
  std::int64_t header_bytes_max = 16 << 10;
  int rate_per_second = 2'000;  ///< requests per client address and per token, sustained
  int rate_burst = 4'000;
  int refusals_per_second = 50;  ///< per client address, of requests without a good token
  int connections_max = 1'024;
  int connections_per_address = 256;
  /// Addresses and CIDR blocks whose `proxy_header` names the client.
  std::vector<std::string> trusted_proxies;
  std::string proxy_header = "X-Forwarded-For";
  int streams_max = 256;  ///< live event streams
  int threads = 2;
  milliseconds read_timeout{15'000};   ///< for a whole request
  milliseconds idle_timeout{60'000};   ///< between two requests
  milliseconds reply_timeout{30'000};  ///< for the answer, then 503

  friend bool operator==(const http_config&, const http_config&) = default;
};

/// gateway: CAF over mutual TLS, for vectl and peers.
struct gateway_config {
  bool enabled = true;
  std::string address = "127.0.0.1";
  int port = 8443;  ///< 0: any free port

  friend bool operator==(const gateway_config&, const gateway_config&) = default;
};

/// state: where everything durable lives.
struct state_config {
  /// state.directory, else an hpc.job_service.state_store_path that the file gives.
  std::string directory = "/var/lib/ved";
  std::int64_t min_free_bytes = 256LL << 20;  ///< below it no job is accepted

  friend bool operator==(const state_config&, const state_config&) = default;
};

/// security
struct security_config {
  /// Else PROVIDER_SIGNING_KEY_PATH; empty: STATE/keys/signing.key.
  std::string signing_key_file;

  friend bool operator==(const security_config&, const security_config&) = default;
};

/// The nine callbacks of the guide, in its order.
const std::vector<std::string>& callback_names();

/// One of hooks: a command or a webhook that hears of callbacks.
struct hook_config {
  std::string name;
  std::vector<std::string> callbacks = callback_names();
  std::vector<std::string> command;  ///< argv, with the absolute path of the program first
  std::string url;
  std::string secret_file;  ///< of the HMAC key of a webhook
  secret signing_secret;    ///< its content
  milliseconds timeout{10'000};
  int max_attempts = 5;

  friend bool operator==(const hook_config&, const hook_config&) = default;
};

/// hpc_provider: the siblings of hpc in the provider daemon.
struct chain_config {
  bool enabled = true;
  int subscription_buffer_size = 100;
  milliseconds reconnect_interval{10'000};
  int max_reconnect_attempts = 0;  ///< 0: for ever

  friend bool operator==(const chain_config&, const chain_config&) = default;
};
struct settlement_config {
  bool enabled = false;
  int batch_size = 50;
  milliseconds batch_interval{300'000};
  int max_retries = 3;
  milliseconds retry_backoff{5'000};
  int max_pending_records = 100;

  friend bool operator==(const settlement_config&, const settlement_config&) = default;
};
struct credentials_config {
  std::string storage_dir = "/var/lib/virtengine/hpc-credentials";
  int rotation_warning_days = 14;
  milliseconds rotation_check_interval{24 * 3'600'000};

  friend bool operator==(const credentials_config&, const credentials_config&) = default;
};
struct accounting_config {
  milliseconds snapshot_interval{300'000};
  int batch_size = 50;
  int max_retries = 3;
  milliseconds retry_backoff{10'000};
  milliseconds reconcile_interval{3'600'000};

  friend bool operator==(const accounting_config&, const accounting_config&) = default;
};
struct reconciliation_config {
  milliseconds interval{3'600'000};
  milliseconds lookback{24 * 3'600'000};

  friend bool operator==(const reconciliation_config&, const reconciliation_config&) = default;
};
struct hpc_provider_config {
  chain_config chain;
  settlement_config settlement;
  credentials_config credentials;
  accounting_config accounting;
  reconciliation_config reconciliation;

  friend bool operator==(const hpc_provider_config&, const hpc_provider_config&) = default;
};

/// The whole configuration. Value type; the daemon's root owns the current one.
struct config {
  hpc_config hpc;
  /// Every configured cluster, also those of the single form. They run only when hpc.enabled;
  /// active_clusters() says which do.
  std::vector<cluster_config> clusters;
  logging_config logging;
  metrics_config metrics;
  http_config http;
  gateway_config gateway;
  state_config state;
  security_config security;
  std::vector<hook_config> hooks;
  hpc_provider_config hpc_provider;

  friend bool operator==(const config&, const config&) = default;
};

/// The clusters that run: all when hpc.enabled, else none.
std::vector<cluster_config> active_clusters(const config& from);

}  // namespace ved::runtime
