#include <catch2/catch.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "runtime/clusters.hpp"
#include "runtime/config/load.hpp"
#include "runtime/config/quantity.hpp"
#include "runtime/config/yaml.hpp"
#include "runtime/schedulers/local/config.hpp"
#include "runtime/schedulers/slurm/config.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved::runtime;
using ved::milliseconds;
using ved::seconds;

namespace {

load_outcome load(const std::string& text) {
  const load_options options{
      [](const char*) -> std::optional<std::string> { return std::nullopt; }, true};
  return load_config_text(text, "ved.yaml", options);
}

std::string problems(const std::string& text) { return load(text).problem_text(); }

}  // namespace

TEST_CASE("config: a file that says little is the default configuration", "[runtime][config]") {
  for (const auto* text : {"hpc: {}\n", "hpc: {clusters: []}\n", "logging:\n", "---\nhttp: {}\n"}) {
    const auto out = load(text);
    INFO(text << out.problem_text());
    CHECK(out.ok());
    CHECK(out.value == config{});
  }
}

TEST_CASE("config: a file that says nothing, or stops where clusters begin, is refused",
          "[runtime][config]") {
  for (const auto* text : {"", "\n", "---\n", "---\n...\n", "# nothing\n", "{}", "null", "~\n"}) {
    INFO(text);
    CHECK(problems(text) == "ved.yaml:1: sets nothing: an empty configuration is not taken\n");
  }
  CHECK(problems("state: {}\nhpc:\n") ==
        "ved.yaml:2: hpc: has nothing in it; leave it out where that is meant\n");
  CHECK(problems("hpc:\n  clusters:\n") ==
        "ved.yaml:2: hpc.clusters: has nothing in it; write [] where no cluster is meant\n");
}

TEST_CASE("config: it is known whether a file speaks of clusters", "[runtime][config]") {
  for (const auto* text : {"hpc: {clusters: []}", "hpc: {enabled: false}"})
    CHECK(load(text).tells_clusters);
  for (const auto* text : {"state: {}", "hpc: {}", "hpc: {retry: {}}"})
    CHECK_FALSE(load(text).tells_clusters);
}

TEST_CASE("config: every problem is reported at once with file, line, key and expectation",
          "[runtime][config]") {
  const auto text = problems(R"(hpc:
  enabled: true
  cluster_id: c1
  retry:
    max_retries: x
    inital_backoff: 1s
    max_backoff: 30
  job_service: 7
http:
  port: 80800
  port: 81
colour: red
)");
  CHECK(text ==
        "ved.yaml:5: hpc.retry.max_retries: expected integer from 0 to 1000, got \"x\"\n"
        "ved.yaml:6: hpc.retry.inital_backoff: unknown key; did you mean initial_backoff?\n"
        "ved.yaml:7: hpc.retry.max_backoff: expected duration (such as 15s or 1m30s) from 0s to "
        "24h, got \"30\"\n"
        "ved.yaml:8: hpc.job_service: expected a section with keys, got \"7\"\n"
        "ved.yaml:10: http.port: expected integer from 0 to 65535, got 80800\n"
        "ved.yaml:11: http.port: given twice, first on line 10\n"
        "ved.yaml:12: colour: unknown key; expected one of hpc, state, http, gateway, metrics, "
        "logging, security, hpc_provider, hooks\n");
}

TEST_CASE("config: one wrong value is one problem, told of the key that was given",
          "[runtime][config]") {
  const auto slurm = [](const std::string& keys) {
    return problems("hpc:\n  enabled: true\n  cluster_id: c1\n  scheduler_type: slurm\n" + keys);
  };
  CHECK(slurm("  slurm: {job_poll_interval: 10ms}\n") ==
        "ved.yaml:5: hpc.slurm.job_poll_interval: expected duration (such as 15s or 1m30s) from "
        "1s to 24h, got 10ms\n");
  CHECK(slurm("  link: {poll_interval: 2s, poll_interval_min: 3s}\n") ==
        "ved.yaml:5: hpc.link.poll_interval_min: expected at most the poll interval, 2s, got 3s\n");
}

TEST_CASE("config: the first wait of a retry is no longer than the longest", "[runtime][config]") {
  const std::string id = "hpc:\n  enabled: true\n  cluster_id: c1\n  scheduler_type: local\n";
  CHECK(problems(id + "  retry: {initial_backoff: 31s}\n") ==
        "ved.yaml:5: hpc.retry.initial_backoff: expected at most max_backoff, 30s, got 31s\n");
  CHECK(load(id + "  retry: {initial_backoff: 30s}\n").ok());
  const std::string clusters = "hpc:\n  enabled: true\n  clusters:\n    - cluster_id: c1\n"
                               "      scheduler_type: local\n";
  CHECK(problems(clusters + "      retry: {max_backoff: 500ms}\n")
            .find("hpc.clusters[0].retry.initial_backoff: expected at most max_backoff, 500ms, "
                  "got 1s") != std::string::npos);
}

TEST_CASE("config: a state that would be forgotten is refused", "[runtime][config]") {
  const std::string id = "hpc:\n  enabled: true\n  cluster_id: c1\n  scheduler_type: local\n";
  CHECK(problems(id + "  job_service: {enable_state_recovery: false}\n")
            .starts_with("ved.yaml:5: hpc.job_service.enable_state_recovery: expected true, got "
                         "false: "));
  CHECK(load(id + "  job_service: {enable_state_recovery: true}\n").ok());
}

TEST_CASE("config: who gives the pause of early polls asks for them on clusters of any size",
          "[runtime][config]") {
  const auto nodes = [](const std::string& below) {
    const auto out = load("hpc:\n  enabled: true\n  cluster_id: c1\n  scheduler_type: slurm\n" +
                          below);
    return limits_of(out.value.clusters.empty() ? active_clusters(out.value).at(0)
                                                : out.value.clusters[0])
        .early_poll_nodes_max;
  };
  CHECK(nodes("") == 99);
  CHECK(nodes("  link: {poll_interval_min: 2s}\n") == 10'000'000);
  CHECK(nodes("  link: {poll_interval_min: 2s, early_poll_nodes_max: 0}\n") == 0);
}

TEST_CASE("config: the provider daemon's rules are quoted word for word", "[runtime][config]") {
  const auto check = [](const std::string& below, const std::string& expected) {
    const auto text = problems("hpc:\n  enabled: true\n" + below);
    INFO(text);
    CHECK(text.find(expected) != std::string::npos);
    if (expected != "invalid scheduler type") {
      // A disabled configuration always validates.
      CHECK(load("hpc:\n  enabled: false\n" + below).ok());
    }
  };
  const std::string id = "  cluster_id: c\n";
  check("  scheduler_type: local\n", "hpc.cluster_id: cluster_id is required when HPC is enabled");
  check(id + "  scheduler_type: pbs\n", "invalid scheduler type");
  check(id + "  job_service: {job_poll_interval: 999ms}\n",
        "job_poll_interval must be at least 1 second");
  check(id + "  job_service: {max_concurrent_jobs: 0}\n", "max_concurrent_jobs must be at least 1");
  check(id + "  usage_reporting: {report_interval: 59s}\n",
        "report_interval must be at least 1 minute");
  check(id + "  retry: {max_retries: -1}\n",
        "max_retries cannot be negative (expected integer from 0 to 1000, got -1)");
  check(id + "  retry: {backoff_multiplier: 0.9}\n", "backoff_multiplier must be at least 1.0");
  check(id + "  node_aggregator: {enabled: true, listen_addr: \"\"}\n",
        "node_aggregator.provider_address required");
  check(id + "  node_aggregator: {enabled: true, heartbeat_timeout: 9s}\n",
        "node_aggregator.heartbeat_timeout must be >= 10s");
  check(id + "  routing: {enforcement_mode: lax}\n",
        "expected one of strict, permissive, audit_only, got \"lax\"");
}

TEST_CASE("config: a switched-off section is not judged", "[runtime][config]") {
  CHECK(load("hpc:\n  enabled: true\n  cluster_id: c\n"
             "  usage_reporting: {enabled: false, report_interval: 1s}\n")
            .ok());
}

TEST_CASE("config: several clusters take the general retry policy and may change it",
          "[runtime][config]") {
  const auto out = load(R"(hpc:
  enabled: true
  clusters:
    - cluster_id: alpha
      scheduler_type: local
      local:
        cpus: 4
        queues:
          - {name: short}
          - {name: long}
    - cluster_id: beta
      scheduler_type: slurm
      retry: {max_retries: 9}
      link: {poll_interval: 20s, breaker_failures: 5}
  retry: {max_retries: 7, initial_backoff: 2s}
  job_service: {job_poll_interval: 30s}
)");
  INFO(out.problem_text());
  REQUIRE(out.ok());
  REQUIRE(out.value.clusters.size() == 2);
  const auto& alpha = out.value.clusters[0];
  const auto& beta = out.value.clusters[1];
  CHECK(alpha.retry.max_retries == 7);
  CHECK(alpha.poll_interval == milliseconds{500});
  const auto& queues = alpha.sections.of<local_config>().queues;
  REQUIRE(queues.size() == 2);
  CHECK(queues[1].name == "long");
  CHECK(beta.retry.max_retries == 9);
  CHECK(beta.retry.initial_backoff == seconds{2});
  CHECK(beta.poll_interval == seconds{20});
  CHECK(beta.breaker.failures == 5);
}

TEST_CASE("config: a list of clusters and the single form together are refused",
          "[runtime][config]") {
  const auto text = problems(
      "hpc:\n  enabled: true\n  slurm: {}\n  clusters:\n    - cluster_id: a\n"
      "      scheduler_type: local\n    - cluster_id: a\n");
  CHECK(text.find("ved.yaml:4: hpc.clusters: given together with the single form (line 3") !=
        std::string::npos);
  CHECK(text.find("ved.yaml:7: hpc.clusters[1].cluster_id: expected a unique name") !=
        std::string::npos);
}

TEST_CASE("config: a scheduler's own interval and retries go before the general ones",
          "[runtime][config]") {
  const auto first = [](const std::string& text) {
    const auto out = load("hpc:\n  enabled: true\n  cluster_id: c\n" + text);
    INFO(out.problem_text());
    REQUIRE(out.ok());
    return out.value.clusters.at(0);
  };
  CHECK(first("").poll_interval == seconds{10});
  CHECK(first("  job_service: {job_poll_interval: 7s}\n").poll_interval == seconds{7});
  CHECK(first("  job_service: {job_poll_interval: 7s}\n  slurm: {job_poll_interval: 8s}\n")
            .poll_interval == seconds{8});
  CHECK(first("  slurm: {max_retries: 6}\n").retry.max_retries == 6);
  CHECK(first("  slurm: {max_retries: 6}\n  retry: {max_retries: 2}\n").retry.max_retries == 2);
  CHECK(first("  slurm: {connection_timeout: 5s}\n").connection_timeout == seconds{5});
  const auto text = problems(
      "hpc:\n  enabled: true\n  cluster_id: c\n  link: {poll_interval: 100ms}\n");
  CHECK(text.find("job_poll_interval must be at least 1 second") != std::string::npos);
}

TEST_CASE("config: a secret in the file is refused without being shown", "[runtime][config]") {
  const auto text = problems(R"(hpc:
  slurm: {auth_token: hunter2}
  moab: {password: hunter2}
  ood: {oidc_client_secret: hunter2}
hooks:
  - {name: h, url: "https://h.example.com/x", secret: hunter2}
)");
  CHECK(text.find("hunter2") == std::string::npos);
  for (const auto* name : {"SLURM_JWT_TOKEN", "MOAB_PASSWORD", "OOD_OIDC_CLIENT_SECRET"}) {
    CHECK(text.find(name) != std::string::npos);
  }
  CHECK(text.find("hooks[0].secret: a secret does not belong into this file") !=
        std::string::npos);
}

TEST_CASE("config: secrets come from private files only", "[runtime][config]") {
  const ved::tests::temp_dir dir;
  const auto path = dir.path() / "token";
  std::ofstream(path) << "s3cret\n";
  const auto text = "hpc:\n  enabled: true\n  cluster_id: c\n  slurm:\n    auth_method: jwt\n"
                    "    auth_token_file: " +
                    path.string() + "\n";
  ::chmod(path.c_str(), 0644);
  const auto open = load(text);
  REQUIRE(open.problems.size() == 1);
  CHECK(open.problems[0].message.find("chmod 600") != std::string::npos);
  ::chmod(path.c_str(), 0600);
  const auto closed = load(text);
  REQUIRE(closed.ok());
  CHECK(closed.value.clusters[0].sections.of<slurm_config>().auth_token.reveal() == "s3cret");
  const auto dump = to_yaml(closed.value);
  CHECK(dump.find("s3cret") == std::string::npos);
  CHECK(dump.find("********") != std::string::npos);

  const auto missing =
      load("hpc:\n  enabled: true\n  cluster_id: c\n  slurm: {auth_method: jwt}\n");
  REQUIRE(missing.problems.size() == 1);
  CHECK(missing.problems[0].message.find("SLURM_JWT_TOKEN") != std::string::npos);
}

TEST_CASE("config: hooks have a name of their own and either a command or an address",
          "[runtime][config]") {
  const auto good = load(R"(hooks:
  - name: mail
    callbacks: [completed, failed]
    command: [/usr/local/bin/notify, --job]
  - name: post
    url: https://hooks.example.com/ved
    timeout: 3s
)");
  INFO(good.problem_text());
  REQUIRE(good.ok());
  REQUIRE(good.value.hooks.size() == 2);
  CHECK(good.value.hooks[0].callbacks == std::vector<std::string>{"completed", "failed"});
  CHECK(good.value.hooks[1].callbacks == callback_names());
  const auto text = problems(R"(hooks:
  - name: a
  - name: a
    command: [notify]
    callbacks: [ended]
  - url: ftp://x
    command: [/bin/true]
)");
  for (const auto* expected :
       {"hooks[0]: expected either command or url, got neither", "hooks[1].name: expected a unique",
        "hooks[1].command: expected an absolute path", "hooks[1].callbacks: expected list of",
        "hooks[2].name: name is required", "hooks[2]: expected either command or url, got both",
        "hooks[2].url: expected an http://"}) {
    INFO(text << " misses " << expected);
    CHECK(text.find(expected) != std::string::npos);
  }
}

TEST_CASE("config: a secret that stands where a file is to be named is not told",
          "[runtime][config]") {
  const std::string value =
      GENERATE("hunter2", "/hunter2", "/hunter2+/==", "/no-such-directory/hunter2", "~/hunter2",
               "\"hunter2\\nhunter2\"", "|\n            hunter2\n            more");
  const std::string cluster = "hpc:\n  enabled: true\n  clusters:\n    - cluster_id: c1\n"
                              "      scheduler_type: ";
  const auto told = [&](const std::string& before, const std::string& key) {
    const auto text = problems(before + key + ": " + value + "\n");
    INFO(text);
    CHECK(text.find("hunter2") == std::string::npos);
    return text.find(key) != std::string::npos;
  };
  CHECK(told("hooks:\n  - name: a\n    url: http://h.example/\n    ", "secret_file"));
  CHECK(told("security:\n  ", "signing_key_file"));
  CHECK(told(cluster + "moab\n      moab:\n        auth_method: password\n        username: u\n"
                       "        ",
             "password_file"));
  CHECK(told(cluster + "ood\n      ood:\n        ", "oidc_client_secret_file"));
  CHECK(told(cluster + "slurm\n      slurm:\n        auth_method: jwt\n        ",
             "auth_token_file"));
  // Read when the connection is made.
  for (const char* key : {"key_file", "passphrase_file", "identity_agent", "known_hosts_path"})
    told(cluster + "slurm\n      slurm:\n        ssh:\n          host: h\n          ", key);
  for (const char* key : {"conf_file", "bin_directory"})
    told(cluster + "slurm\n      slurm:\n        ", key);
  told("logging:\n  ", "file");
}

TEST_CASE("config: a file that is missing in a directory that is there is named",
          "[runtime][config]") {
  const ved::tests::temp_dir dir;
  const auto file = (dir.path() / "key").string();
  CHECK(problems("security:\n  signing_key_file: " + file + "\n").find(file + ": No such file") !=
        std::string::npos);
}

TEST_CASE("config: forms of single values are checked", "[runtime][config]") {
  CHECK(problems("http: {address: localhost}").find("an IP address") != std::string::npos);
  CHECK(problems("http: {trusted_networks: [10.0.0.0/33]}").find("a network") !=
        std::string::npos);
  CHECK(load("http: {address: \"::1\", trusted_networks: [10.0.0.0/8, \"fd00::/8\"]}").ok());
  CHECK(problems("state: {directory: here}").find("an absolute path") != std::string::npos);
  CHECK(problems("metrics: {enabled: true, path: metrics}").find("such as /metrics") !=
        std::string::npos);
  CHECK(problems("gateway: {port: 8080}").find("a port of its own") != std::string::npos);
  CHECK(problems("logging: {level: loud}").find("one of trace, debug") != std::string::npos);
  CHECK(problems("hpc: {enabled: maybe}").find("expected true or false, got \"maybe\"") !=
        std::string::npos);
  CHECK(problems("http: {port: }").find("got nothing") != std::string::npos);
  CHECK(problems("http: {port: [1]}").find("got a list") != std::string::npos);
  CHECK(problems("http: {port: 99999999999999999999}").find("expected integer") !=
        std::string::npos);
  CHECK(problems("http: {address: \"a\\x01b\"}").find("control characters") != std::string::npos);
  CHECK(problems("http: 5").find("expected a section") != std::string::npos);
  CHECK(problems("hooks: {}").find("expected a list") != std::string::npos);
  CHECK(problems("[1]: 2").find("name of a key") != std::string::npos);
  CHECK(problems("- 1").find("expected a section") != std::string::npos);
}

TEST_CASE("config: text that is not the accepted YAML is refused with its line",
          "[runtime][config]") {
  CHECK(problems("hpc:\n  a: [1\n").find("not valid YAML") != std::string::npos);
  CHECK(problems("a: 1\n\tb: 2\n").find("not valid YAML") != std::string::npos);
  CHECK(problems("--- {}\n--- {}\n").find("a second document") != std::string::npos);
  CHECK(problems(std::string("a: \0b", 5)).find("not UTF-8") != std::string::npos);
  CHECK(problems("\n\na: \xff\n") == "ved.yaml:3: not UTF-8 text\n");
  CHECK(problems("a: &x [*x]\n").find("alias") != std::string::npos);
  CHECK(problems(std::string(yaml_bytes_max + 1, ' ')).find("larger than 1 MiB") !=
        std::string::npos);
  CHECK(problems(std::string(yaml_depth_max + 1, '[')).find("nested deeper") != std::string::npos);
  CHECK(problems(std::string(200'000, '[')).find("nested deeper") != std::string::npos);
  CHECK(parse_yaml(std::string(yaml_depth_max, '[') + std::string(yaml_depth_max, ']')));
}

TEST_CASE("config: anchors work, and cannot blow up", "[runtime][config]") {
  const auto out = load("hpc:\n  retry: &r {max_retries: 5}\n  clusters:\n"
                        "    - {cluster_id: a, scheduler_type: local, retry: *r}\n");
  INFO(out.problem_text());
  CHECK(out.ok());
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    const auto before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int k = 0; k < 9; ++k) bomb += "," + before;
    bomb += "]\n";
  }
  CHECK(problems(bomb).find("more than 100000 values") != std::string::npos);
}

TEST_CASE("config: lists, texts and problems are bounded", "[runtime][config]") {
  std::string clusters = "hpc:\n  clusters:\n";
  for (int i = 0; i < 65; ++i) clusters += "    - {cluster_id: c" + std::to_string(i) + "}\n";
  CHECK(problems(clusters).find("expected at most 64 items, got 65") != std::string::npos);
  CHECK(problems("hpc:\n  provider_address: " + std::string(config_text_bytes_max + 1, 'a'))
            .find("longer than 4096 bytes") != std::string::npos);
  CHECK(load("hpc:\n  provider_address: " + std::string(config_text_bytes_max, 'a')).ok());
  std::string unknown;
  for (int i = 0; i < 500; ++i) unknown += "k" + std::to_string(i) + ": 1\n";
  CHECK(load(unknown).problems.size() == config_problems_max + 1);
}

TEST_CASE("config: what this version does not act upon is said", "[runtime][config]") {
  const auto out = load("hpc:\n  routing: {enabled: true}\n  job_service:\n"
                        "    job_timeout_default: 2h\n    max_concurrent_jobs: 5\n");
  REQUIRE(out.notices.size() == 1);
  CHECK(out.notices[0].starts_with("ved.yaml:2: accepted, not yet used: hpc.routing.enabled"));
  // What the guide's block names, and Slurm's own commands find elsewhere.
  const auto guide = load("hpc:\n  scheduler_type: slurm\n  cluster_id: c\n"
                          "  slurm: {controller_host: slurmctld.example.com}\n");
  REQUIRE(guide.notices.size() == 1);
  CHECK_THAT(guide.notices[0], Catch::Contains("controller_host") &&
                                   Catch::Contains("find it in slurm.conf"));
}

TEST_CASE("config: a file that cannot be read is a problem", "[runtime][config]") {
  const ved::tests::temp_dir dir;
  CHECK(load_config(dir.path() / "none.yaml").problem_text().find("cannot be read") !=
        std::string::npos);
  CHECK(load_config(dir.path()).problem_text().find("is a directory") != std::string::npos);
  std::ofstream(dir.path() / "c.yaml") << "http: {port: 0}\n";
  const auto out = load_config(dir.path() / "c.yaml");
  REQUIRE(out.ok());
  CHECK(out.value.http.port == 0);
}

TEST_CASE("config: the effective configuration loads to itself", "[runtime][config]") {
  CHECK(load(to_yaml(config{})).value == config{});
  const auto rich = load(R"(hpc:
  enabled: true
  retry: {max_retries: 4, retryable_errors: ["a \"b\" \\ c", "ü"]}
  clusters:
    - {cluster_id: a, scheduler_type: local, local: {queues: [{name: q}]}}
    - {cluster_id: b, slurm: {ssh: {host: login1}}}
logging: {level: warn, file: /var/log/ved.log, hooks: debug}
hooks:
  - {name: n, command: [/bin/true, "x y"]}
http: {body_bytes_max: 2MiB, trusted_networks: []}
)");
  INFO(rich.problem_text());
  REQUIRE(rich.ok());
  const auto text = to_yaml(rich.value);
  const auto again = load(text);
  INFO(text << again.problem_text());
  REQUIRE(again.ok());
  CHECK(again.value == rich.value);
}

TEST_CASE("config: every key is documented once and has a default or none on purpose",
          "[runtime][config]") {
  const auto keys = all_keys();
  CHECK(keys.size() > 200);
  std::set<std::string> paths;
  for (const auto& k : keys) {
    INFO(k.path);
    CHECK(paths.insert(k.path).second);
    CHECK_FALSE(k.doc.empty());
    CHECK(k.doc.ends_with('.'));
    CHECK_FALSE(k.expected.empty());
  }
  CHECK(paths.contains("hpc.clusters[].slurm.ssh.host"));
}

TEST_CASE("config: durations are Go's", "[runtime][config]") {
  const auto ms = [](const char* text) {
    const auto value = parse_duration(text);
    return value ? value->count() : -1;
  };
  CHECK(ms("15s") == 15'000);
  CHECK(ms("1m30s") == 90'000);
  CHECK(ms("500ms") == 500);
  CHECK(ms("24h") == 86'400'000);
  CHECK(ms("1.5h") == 5'400'000);
  CHECK(ms(".5s") == 500);
  CHECK(ms("1h0.001s") == 3'600'001);
  CHECK(ms("2000us") == 2);
  CHECK(ms("2000\xc2\xb5s") == 2);
  CHECK(ms("0") == 0);
  CHECK(ms("0s") == 0);
  for (const auto* bad : {"", "15", "s", "-1s", "+1s", "1 s", "1s ", "1d", "1.s.", ".s", "1us",
                          "0.0001s", "99999999999999999999h", "9223372036854775807s", "1e3s"}) {
    INFO(bad);
    CHECK(ms(bad) == -1);
  }
  for (const std::int64_t value : {0LL, 1LL, 999LL, 1'000LL, 90'000LL, 86'400'000LL, 3'723'004LL}) {
    CHECK(parse_duration(format_duration(milliseconds{value})) == milliseconds{value});
  }
  CHECK(format_duration(milliseconds{90'000}) == "1m30s");
}

TEST_CASE("config: sizes have binary units", "[runtime][config]") {
  CHECK(parse_size("256MiB") == 256LL << 20);
  CHECK(parse_size("17") == 17);
  CHECK(parse_size("0B") == 0);
  for (const auto* bad : {"", "MiB", "1MB", "-1", "1.5GiB", "9999999TiB", "1 MiB"}) {
    INFO(bad);
    CHECK_FALSE(parse_size(bad));
  }
  CHECK(format_size(256LL << 20) == "256MiB");
  CHECK(format_size(1'000) == "1000B");
}

TEST_CASE("config: where jobs lie is below the home or absolute, and no variable is expanded",
          "[runtime][config]") {
  const auto problem = [](const std::string& directory) {
    return problems("hpc:\n  enabled: true\n  scheduler_type: slurm\n  cluster_id: c\n"
                    "  slurm:\n    job_directory: '" + directory + "'\n");
  };
  for (const std::string good : {"jobs", "~/jobs", "$HOME/jobs", "${HOME}/a b", "/a%j/b c",
                                 "/it,s#", ".ved/jobs"})
    CHECK(problem(good) == "");
  CHECK(problem("").find("job_directory cannot be empty") != std::string::npos);
  for (const std::string bad : {"~", "~/", "~bob/jobs", "$SCRATCH/jobs", "/a/$USER/x",
                                "$HOME", "/a/b\\c", "/", "//", "..", "../..", "~/../x", "/a/../b",
                                "/a/.."}) {
    INFO(bad);
    CHECK(problem(bad).find("job_directory") != std::string::npos);
    CHECK(problem(bad).find("is not expanded") != std::string::npos);
  }
  CHECK(below_home("~/jobs") == "jobs");
  CHECK(below_home("$HOME//jobs") == "jobs");
  CHECK(below_home("${HOME}/jobs/a") == "jobs/a");
  CHECK(below_home("/x/~/y") == "/x/~/y");
}

TEST_CASE("config: logins of a domain, masks and memory options are what the sites have",
          "[runtime][config]") {
  const auto problem = [](const std::string& line) {
    return problems("hpc:\n  enabled: true\n  scheduler_type: slurm\n  cluster_id: c\n"
                    "  slurm:\n" + line + "\n");
  };
  for (const std::string user : {"DOM\\alice", "alice@example.org", "alice+hpc", "a.b-c_d", "al$"})
    CHECK(problem("    ssh: {user: '" + user + "'}") == "");
  for (const std::string user : {"-oProxyCommand=x", "al ice"})
    CHECK(problem("    ssh: {user: '" + user + "'}").find("login name") != std::string::npos);
  for (const std::string mask : {"022", "077", "002"})
    CHECK(problem("    umask: " + mask) == "");
  for (const std::string mask : {"'22'", "'0222'", "'088'", "rwx", "'777'", "'700'", "'100'"})
    CHECK(problem("    umask: " + mask).find("octal") != std::string::npos);
  CHECK(problem("    memory_option: mem_per_cpu") == "");
  CHECK(problem("    memory_option: some") != "");
  for (const std::string option : {"--exclusive=user", "--hint=nomultithread", "--hold",
                                   "--verbose", "--get-user-env=10", "--time-min=10"})
    CHECK(problem("    options: ['" + option + "']") == "");
  for (const std::string option : {"--help", "--he", "--usage", "--version", "--ver", "--wrap=x",
                                   "--uid=0", "--gid=0", "--export-file=x", "-n", "n", "--"}) {
    INFO(option);
    CHECK(problem("    options: ['" + option + "']").find("none that the daemon sets itself") !=
          std::string::npos);
  }
  CHECK(problem("    gpu_types: [{name: a, gres: x}, {name: b, gres: x}]") == "");
  CHECK(problem("    gpu_types: [{name: a, gres: x}, {name: a, gres: y}]")
            .find("gpu_types[1].name: expected a unique name") != std::string::npos);
}
