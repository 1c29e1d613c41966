#include <catch2/catch.hpp>

#include "runtime/config/load.hpp"
#include "runtime/schedulers/kind.hpp"
#include "runtime/schedulers/moab/config.hpp"
#include "runtime/schedulers/ood/config.hpp"
#include "runtime/schedulers/slurm/config.hpp"

// The YAML blocks of the provider operations guide, as they stand there.
using namespace ved::runtime;

namespace {

load_options no_environment() {
  return {[](const char*) -> std::optional<std::string> { return std::nullopt; }, true};
}

config load(const std::string& text) {
  auto out = load_config_text(text, "ved.yaml", no_environment());
  INFO(out.problem_text());
  REQUIRE(out.ok());
  return out.value;
}

using std::chrono::hours;
using std::chrono::minutes;
using ved::seconds;

}  // namespace

TEST_CASE("config: the guide's basic configuration loads with its meaning", "[runtime][config]") {
  const auto c = load(R"(hpc:
  enabled: true
  scheduler_type: slurm  # Options: slurm, moab, ood
  cluster_id: "my-hpc-cluster-001"

  job_service:
    job_poll_interval: 15s
    job_timeout_default: 24h
    max_concurrent_jobs: 100
    enable_state_recovery: true
    state_store_path: /var/lib/virtengine/hpc-state

  usage_reporting:
    enabled: true
    report_interval: 5m
    batch_size: 50
    retry_on_failure: true

  retry:
    max_retries: 3
    initial_backoff: 1s
    max_backoff: 30s
    backoff_multiplier: 2.0

  audit:
    enabled: true
    log_path: /var/log/virtengine/hpc-audit.log
    log_job_events: true
    log_security_events: true
    log_usage_reports: true
)");
  CHECK(c.hpc.enabled);
  REQUIRE(c.clusters.size() == 1);
  CHECK(c.clusters[0].kind->name == "slurm");
  CHECK(c.clusters[0].cluster_id.str() == "my-hpc-cluster-001");
  CHECK(c.clusters[0].poll_interval == seconds{15});
  CHECK(c.clusters[0].retry == c.hpc.retry);
  CHECK(c.hpc.job_service.job_timeout_default == hours{24});
  CHECK(c.hpc.job_service.max_concurrent_jobs == 100);
  CHECK(c.state.directory == "/var/lib/virtengine/hpc-state");
  CHECK(c.hpc.usage_reporting.report_interval == minutes{5});
  CHECK(c.hpc.retry.max_retries == 3);
  CHECK(c.hpc.retry.initial_backoff == seconds{1});
  CHECK(c.hpc.retry.max_backoff == seconds{30});
  CHECK(c.hpc.retry.backoff_multiplier == 2.0);
  CHECK(c.hpc.audit.log_path == "/var/log/virtengine/hpc-audit.log");
  CHECK(active_clusters(c).size() == 1);
}

TEST_CASE("config: the guide's SLURM block loads and is disabled as written",
          "[runtime][config]") {
  const auto c = load(R"(hpc:
  scheduler_type: slurm
  slurm:
    cluster_name: virtengine-hpc
    controller_host: slurmctld.example.com
    controller_port: 6817
    auth_method: munge  # Options: munge, jwt
    # auth_token: "..."  # Required if auth_method is jwt
    default_partition: default
    job_poll_interval: 10s
    connection_timeout: 30s
    max_retries: 3
)");
  REQUIRE(c.clusters.size() == 1);
  const auto& slurm = c.clusters[0].sections.of<slurm_config>();
  CHECK(slurm.controller_host == "slurmctld.example.com");
  CHECK(slurm.controller_port == 6817);
  CHECK(slurm.default_partition == "default");
  CHECK(c.clusters[0].poll_interval == seconds{10});
  CHECK(c.clusters[0].connection_timeout == seconds{30});
  CHECK_FALSE(c.hpc.enabled);
  CHECK(active_clusters(c).empty());
}

TEST_CASE("config: the guide's MOAB block loads", "[runtime][config]") {
  const auto c = load(R"(hpc:
  scheduler_type: moab
  moab:
    server_host: moab-server.example.com
    server_port: 42559
    use_tls: true
    auth_method: password  # Options: password, key, kerberos
    # username and password should be provided via environment variables
    default_queue: batch
    default_account: default
    job_poll_interval: 15s
    connection_timeout: 30s
    waldur_integration: true
    waldur_endpoint: https://waldur.example.com/api
    ssh_host_key_callback: known_hosts  # Options: known_hosts, pinned, insecure
    ssh_known_hosts_path: /home/provider/.ssh/known_hosts
)");
  REQUIRE(c.clusters.size() == 1);
  const auto& moab = c.clusters[0].sections.of<moab_config>();
  CHECK(c.clusters[0].kind->name == "moab");
  CHECK(c.clusters[0].poll_interval == seconds{15});
  CHECK(moab.server_host == "moab-server.example.com");
  CHECK(moab.server_port == 42559);
  CHECK(moab.use_tls);
  CHECK(moab.waldur_endpoint == "https://waldur.example.com/api");
  CHECK(moab.ssh_known_hosts_path == "/home/provider/.ssh/known_hosts");
}

TEST_CASE("config: the guide's Open OnDemand block loads", "[runtime][config]") {
  const auto c = load(R"(hpc:
  scheduler_type: ood
  ood:
    base_url: https://ondemand.example.com
    cluster: virtengine-hpc
    oidc_issuer: https://veid.virtengine.io
    oidc_client_id: provider-daemon
    # oidc_client_secret provided via environment variable
    session_poll_interval: 15s
    connection_timeout: 30s
    slurm_partition: interactive
    default_hours: 4
    enable_file_browser: true
)");
  REQUIRE(c.clusters.size() == 1);
  CHECK(c.clusters[0].kind->name == "ood");
  const auto& ood = c.clusters[0].sections.of<ood_config>();
  CHECK(ood.oidc_issuer == "https://veid.virtengine.io");
  CHECK(ood.default_hours == 4);
  CHECK(c.clusters[0].poll_interval == seconds{15});
}

TEST_CASE("config: the guide's short blocks load on their own and together",
          "[runtime][config]") {
  const auto c = load(R"(logging:
  level: debug
  hpc_scheduler: trace
moab:
  ssh_host_key_callback: known_hosts  # RECOMMENDED
  ssh_known_hosts_path: /home/provider/.ssh/known_hosts
job_service:
  max_concurrent_jobs: 250  # Adjust based on cluster capacity
usage_reporting:
  report_interval: 6m
  batch_size: 51
metrics:
  enabled: true
  port: 9091
  path: /metrics
)");
  CHECK(c.logging.level == log_level::debug);
  CHECK(c.logging.components.at("hpc_scheduler") == log_level::trace);
  REQUIRE(c.clusters.size() == 1);
  const auto& moab = c.clusters[0].sections.of<moab_config>();
  CHECK(moab.ssh_known_hosts_path == "/home/provider/.ssh/known_hosts");
  CHECK(c.hpc.job_service.max_concurrent_jobs == 250);
  CHECK(c.hpc.usage_reporting.report_interval == minutes{6});
  CHECK(c.hpc.usage_reporting.batch_size == 51);
  CHECK(c.metrics.enabled);
  CHECK(c.metrics.port == 9091);
  CHECK(c.metrics.path == "/metrics");
}

TEST_CASE("config: the guide's environment variables are read", "[runtime][config]") {
  const auto environment = [](const char* name) -> std::optional<std::string> {
    return "value-of-" + std::string(name);
  };
  const load_options options{environment, true};
  const auto cluster = [&](const std::string& text) {
    auto out = load_config_text("hpc:\n  enabled: true\n  cluster_id: c1\n" + text, "f", options);
    INFO(out.problem_text());
    REQUIRE(out.problems.size() == 1);  // the signing key path is not a path here
    CHECK(out.problems[0].key == "security.signing_key_file");
    return out.value.clusters.at(0);
  };
  const auto slurm = cluster("  slurm: {auth_method: jwt}\n").sections.of<slurm_config>();
  CHECK(slurm.auth_token.reveal() == "value-of-SLURM_JWT_TOKEN");
  const auto moab = cluster("  scheduler_type: moab\n").sections.of<moab_config>();
  CHECK(moab.username == "value-of-MOAB_USERNAME");
  CHECK(moab.password.reveal() == "value-of-MOAB_PASSWORD");
  const auto ood = cluster("  scheduler_type: ood\n").sections.of<ood_config>();
  CHECK(ood.oidc_client_secret.reveal() == "value-of-OOD_OIDC_CLIENT_SECRET");
  const load_options key_path{[](const char* name) -> std::optional<std::string> {
                                if (std::string(name) != "PROVIDER_SIGNING_KEY_PATH") return {};
                                return "/path/to/key";
                              },
                              true};
  const auto missing = load_config_text("http: {}", "f", key_path);
  CHECK(missing.value.security.signing_key_file == "/path/to/key");
  CHECK(missing.problem_text().find(
            "PROVIDER_SIGNING_KEY_PATH: (12 bytes, not shown: they may be a secret): No such") !=
        std::string::npos);
}
