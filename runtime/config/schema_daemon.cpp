#include "runtime/config/schema.hpp"
#include "runtime/logging/components.hpp"

// The daemon itself: listeners, state, logs, hooks, and the siblings of hpc.
namespace ved::runtime {
namespace {

constexpr double second = 1'000;
constexpr double hour = 3'600 * second;
constexpr double kib = 1'024;
constexpr double mib = 1'024 * kib;

section named(std::string name, std::string doc) {
  section s;
  s.name = std::move(name);
  s.doc = std::move(doc);
  return s;
}

section hook_section(hook_config& c) {
  section s;
  s.add("name", &c.name, "Unique; stands in logs and events.")
      .needed("name is required")
      .formed(is_name);
  s.add("callbacks", &c.callbacks, "Which callbacks it hears of.")
      .one_of(callback_names())
      .items_max = 9;
  s.add("command", &c.command, "Program (absolute path) and arguments; JSON on its input.");
  s.add("url", &c.url, "Instead of command: JSON is posted here.").formed(is_http_url);
  s.add("secret", refused_secret{"secret_file"}, "Refused here: use secret_file.");
  s.add("secret_file", &c.secret_file, "File of the HMAC key of a webhook, mode 0600.")
      .formed(is_absolute_path);
  s.add("timeout", &c.timeout, "For one delivery.").range(100, hour);
  s.add("max_attempts", &c.max_attempts, "Of older configurations.")
      .range(1, 100)
      .unused("a callback is tried until it is delivered");
  return s;
}

}  // namespace

section describe_state(state_config& c) {
  auto s = named("state", "Everything durable.");
  s.add("directory", &c.directory, "Where; made by 'ved init', mode 0711.")
      .needed("directory is required")
      .formed(is_absolute_path);
  s.add("min_free_bytes", size_target{&c.min_free_bytes},
        "With less free space no job is accepted (503); with less in a local cluster's work "
        "directory that cluster takes and starts none.")
      .at_least(0);
  return s;
}

section describe_http(http_config& c) {
  auto s = named("http", "The HTTP API.");
  s.add("address", &c.address, "Address to listen on.").formed(is_ip_address);
  s.add("port", &c.port, "0: any free port.").range(0, 65'535);
  s.add("trusted_networks", &c.trusted_networks,
        "Prolog and epilog events from here need no token, such as 10.0.0.0/8.")
      .formed(is_network)
      .unused("prolog and epilog events come with a later version");
  s.add("body_bytes_max", size_target{&c.body_bytes_max}, "Larger requests are refused (413).")
      .range(kib, 64 * mib);
  s.add("header_bytes_max", size_target{&c.header_bytes_max}, "Larger headers are refused (431).")
      .range(kib, mib);
  s.add("rate_per_second", &c.rate_per_second,
        "Requests per client address and per token, sustained (429).")
      .range(1, 1'000'000);
  s.add("rate_burst", &c.rate_burst, "Requests per client address and per token at once.")
      .range(1, 1'000'000);
  s.add("refusals_per_second", &c.refusals_per_second,
        "Refused requests without a good token per client address, sustained; ten times as many at "
        "once (429, and the connection is closed).")
      .range(1, 100'000);
  s.add("connections_max", &c.connections_max,
        "Open connections; beyond, the one that has waited longest for its client is closed. What "
        "does not fit the limit of open files is cut, with a warning. A quarter of them, and at "
        "least 8, may have an open request of one token (429).")
      .range(1, 100'000);
  s.add("connections_per_address", &c.connections_per_address,
        "Open connections of one client address; trusted proxies are not held to it.")
      .range(1, 100'000);
  s.add("trusted_proxies", &c.trusted_proxies,
        "Proxies, such as 127.0.0.1 or 10.0.0.0/8: the rightmost address of their header that is "
        "no proxy of this list is the client.")
      .formed(is_address_or_network);
  s.add("proxy_header", &c.proxy_header,
        "The header in which these proxies name their client; the other one is not looked at.")
      .one_of({"X-Forwarded-For", "Forwarded"});
  s.add("streams_max", &c.streams_max,
        "Live event streams; a quarter of them, and at least 8, for one client address, and for "
        "one token.")
      .range(0, 100'000);
  s.add("threads", &c.threads, "Threads of the server.").range(1, 256);
  s.add("read_timeout", &c.read_timeout, "For receiving a whole request.").range(100, hour);
  s.add("idle_timeout", &c.idle_timeout, "Between two requests.").range(100, hour);
  s.add("reply_timeout", &c.reply_timeout, "For the daemon's answer (503).").range(100, hour);
  return s;
}

section describe_gateway(gateway_config& c) {
  auto s = named("gateway", "For vectl and peers: mutual TLS with the certificates of 'ved init'.");
  s.add("enabled", &c.enabled, "Open it.");
  s.enabled = &c.enabled;
  s.add("address", &c.address, "Address to listen on.").formed(is_ip_address);
  s.add("port", &c.port, "0: any free port.").range(0, 65'535);
  return s;
}

section describe_metrics(metrics_config& c) {
  auto s = named("metrics", "A listener of its own for Prometheus.");
  s.add("enabled", &c.enabled, "Open it.");
  s.enabled = &c.enabled;
  s.add("address", &c.address, "Address to listen on.").formed(is_ip_address);
  s.add("port", &c.port, "0: any free port.").range(0, 65'535);
  s.add("path", &c.path, "Path of the metrics.").formed(is_url_path);
  return s;
}

section describe_logging(logging_config& c) {
  auto s = named("logging", "The daemon's log: one JSON object per line.");
  s.add("level", &c.level, "Of all components that name none.");
  s.add("file", &c.file, "Reopened on SIGHUP. Empty: standard error.").formed(is_absolute_path);
  for (const auto& component : log_components()) {
    s.add(std::string(component.name), component_target{&c.components},
          "Level of " + std::string(component.doc) + ".");
  }
  return s;
}

section describe_security(security_config& c) {
  auto s = named("security", "Keys.");
  s.add("signing_key_file", &c.signing_key_file,
        "Empty: PROVIDER_SIGNING_KEY_PATH, else STATE/keys/signing.key.")
      .formed(is_absolute_path)
      .unused("signed usage records come with a later version");
  return s;
}

list describe_hooks(std::vector<hook_config>& all) {
  list hooks;
  hooks.name = "hooks";
  hooks.doc = "Commands and webhooks that hear of job callbacks.";
  hooks.items_max = 32;
  hooks.append = [&all] { return hook_section(all.emplace_back()); };
  hooks.items = [&all] {
    std::vector<section> items;
    for (auto& one : all) items.push_back(hook_section(one));
    return items;
  };
  hooks.sample = [] {
    static hook_config sample;
    return hook_section(sample);
  };
  return hooks;
}

section describe_hpc_provider(hpc_provider_config& c) {
  auto s = named("hpc_provider", "The siblings of hpc in the provider daemon.");
  s.not_used = "the chain and settlement come with a later version";
  auto& chain = s.open("chain", "The chain.");
  chain.enabled = &c.chain.enabled;
  chain.add("enabled", &c.chain.enabled, "Use it.");
  chain.add("subscription_buffer_size", &c.chain.subscription_buffer_size, "Events that wait.")
      .at_least(1);
  chain.add("reconnect_interval", &c.chain.reconnect_interval, "Between two attempts.");
  chain.add("max_reconnect_attempts", &c.chain.max_reconnect_attempts, "0: for ever.").at_least(0);
  auto& settlement = s.open("settlement", "Settlement of usage.");
  settlement.enabled = &c.settlement.enabled;
  settlement.add("enabled", &c.settlement.enabled, "Settle.");
  settlement.add("batch_size", &c.settlement.batch_size, "Records in one batch.").at_least(1);
  settlement.add("batch_interval", &c.settlement.batch_interval, "Between two batches.");
  settlement.add("max_retries", &c.settlement.max_retries, "Attempts.").at_least(0);
  settlement.add("retry_backoff", &c.settlement.retry_backoff, "Between two attempts.");
  settlement.add("max_pending_records", &c.settlement.max_pending_records, "Records that wait.")
      .at_least(1);
  auto& credentials = s.open("credentials", "The credential store.");
  credentials.add("storage_dir", &c.credentials.storage_dir, "Where.").formed(is_absolute_path);
  credentials.add("rotation_warning_days", &c.credentials.rotation_warning_days, "Before expiry.")
      .at_least(0);
  credentials.add("rotation_check_interval", &c.credentials.rotation_check_interval,
                  "Between two checks.");
  auto& accounting = s.open("accounting", "Accounting snapshots.");
  accounting.add("snapshot_interval", &c.accounting.snapshot_interval, "Between two snapshots.");
  accounting.add("batch_size", &c.accounting.batch_size, "Records in one batch.").at_least(1);
  accounting.add("max_retries", &c.accounting.max_retries, "Attempts.").at_least(0);
  accounting.add("retry_backoff", &c.accounting.retry_backoff, "Between two attempts.");
  accounting.add("reconcile_interval", &c.accounting.reconcile_interval, "Between two passes.");
  auto& reconciliation = s.open("reconciliation", "Comparison with the chain.");
  reconciliation.add("interval", &c.reconciliation.interval, "Between two passes.");
  reconciliation.add("lookback", &c.reconciliation.lookback, "How far back.");
  return s;
}

}  // namespace ved::runtime
