#include <catch2/catch.hpp>
#include <optional>
#include <string>

#include "runtime/config/load.hpp"

// What the loader says: once, under the right key, in few lines, and without secrets.
using namespace ved::runtime;

namespace {

load_outcome load(const std::string& text) {
  const load_options options{
      [](const char*) -> std::optional<std::string> { return std::nullopt; }, true};
  return load_config_text(text, "ved.yaml", options);
}

std::string problems(const std::string& text) { return load(text).problem_text(); }

}  // namespace

TEST_CASE("config: unused keys of a section are one line", "[runtime][config]") {
  const auto out = load("hpc_provider:\n  settlement: {enabled: true, batch_size: 5}\n"
                        "  accounting: {batch_size: 5}\n"
                        "hooks: [{name: a, url: http://h/, max_attempts: 3}]\n");
  REQUIRE(out.notices.size() == 3);
  CHECK(out.notices[0].starts_with(
      "ved.yaml:2: accepted, not yet used: hpc_provider.settlement.enabled, batch_size ("));
  CHECK(out.notices[1].find("hpc_provider.accounting.batch_size") != std::string::npos);
  CHECK(out.notices[2].find("hooks[0].max_attempts (a callback is tried until") !=
        std::string::npos);
}

TEST_CASE("config: a variable that is set for nothing is said", "[runtime][config]") {
  const auto all = [](const char* name) -> std::optional<std::string> {
    return std::string(name) == "PROVIDER_SIGNING_KEY_PATH" ? std::optional<std::string>{} : "x";
  };
  const auto notices = [&](const std::string& text) {
    std::string out;
    for (const auto& one : load_config_text(text, "f", {all, true}).notices) out += one + "\n";
    return out;
  };
  CHECK(notices("http: {}").find("SLURM_JWT_TOKEN: is set, nothing here uses it") !=
        std::string::npos);
  CHECK(notices("hpc: {enabled: true, cluster_id: c, scheduler_type: slurm, "
                "slurm: {auth_method: jwt}}\n")
            .find("SLURM_JWT_TOKEN") == std::string::npos);
}

TEST_CASE("config: no message and no dump shows what URLs keep secret", "[runtime][config]") {
  for (const char* url :
       {"https://u:SECRET@h/", "https://SECRET@h/", "http://u:SECRET", "u:SECRET@h",
        "ftp://h/?SECRET",
        "http://[::1?SECRET", "http://h:99999/?SECRET", "http://h/#SECRET "}) {
    for (const char* shape :
         {"hooks: [{name: a, url: \"@\"}]\n", "http: {port: \"@\"}\n",
          "logging: {level: \"@\"}\n",
          "state: {directory: \"@\"}\n", "http: {trusted_networks: [\"@\"]}\n",
          "\"@\": 1\n", "hooks: \"@\"\n", "hooks: [{name: \"@\", url: http://h/}]\n",
          "hooks: [{name: a, command: [\"@\"]}]\n", "hooks: [{name: a, callbacks: [\"@\"]}]\n"}) {
      std::string text = shape;
      text.replace(text.find('@'), 1, url);
      INFO(text);
      const auto out = load(text);
      CHECK_FALSE(out.ok());
      CHECK(out.problem_text().find("SECRET") == std::string::npos);
    }
  }
  CHECK(problems("hooks: [{name: a, url: 'http://u:SEC RET@h/'}]\n").find("RET") ==
        std::string::npos);
  const auto good = load("hooks:\n"
                         "  - {name: a, url: 'https://h/services/T1/SECRETSECRETSECRETSECRET'}\n"
                         "  - {name: b, url: 'https://h/x?token=SECRET#SECRET'}\n"
                         "  - {name: c, command: [/bin/curl, 'https://u:SECRET@h/?SECRET']}\n");
  REQUIRE(good.ok());
  CHECK(to_yaml(good.value).find("SECRET") == std::string::npos);
  CHECK(to_yaml(good.value).find("https://h/x?***") != std::string::npos);
}

TEST_CASE("config: what is appended to lies outside of the state directory", "[runtime][config]") {
  const std::string state = "state: {directory: /nowhere/state}\n";
  const auto audit = [&](const std::string& path) {
    return problems(state + "hpc: {audit: {enabled: true, log_path: " + path + "}}\n");
  };
  for (const auto* path : {"/nowhere/state/log/CURRENT", "/nowhere/x/../state/tokens.json",
                           "/nowhere/state"})
    CHECK(audit(path).find("expected a file outside of the state directory") != std::string::npos);
  CHECK(audit("/nowhere/state.log").empty());
  CHECK(problems(state + "logging: {file: /nowhere/state/pki/ca.pem}\n")
            .find("logging.file") != std::string::npos);
  CHECK(problems(state + "logging: {file: /nowhere/a}\nhpc: {audit: {enabled: true, log_path: "
                         "/nowhere/a}}\n")
            .find("expected another file") != std::string::npos);
}

TEST_CASE("config: addresses that nobody can be reached at are refused", "[runtime][config]") {
  const auto accepted = [](const std::string& url) {
    return load("hooks: [{name: a, url: '" + url + "'}]\n").ok();
  };
  for (const char* bad :
       {"http://[::1", "http://x:99999/", "http://x:0/", "http://x:/", "http://x:8o/", "http:///p",
        "http://", "https://?x", "http://a b/", "http://[::g]/", "http://[::1]x/", "http://-x/",
        "http://u@x/", "//x/", "gopher://x/", "http://x:80:80/", "http://[127.0.0.1]/"})
    CHECK_FALSE(accepted(bad));
  for (const char* good : {"http://x", "http://x:1/", "http://x:65535/a?b#c", "https://[::1]:8443/",
                           "https://a-b.example.com/p/q", "http://127.0.0.1:80"})
    CHECK(accepted(good));
}

TEST_CASE("config: a cluster that no job could name is refused", "[runtime][config]") {
  for (const char* id : {"-x", "--", ".a", "a b", "a/b"})
    CHECK_FALSE(load("hpc: {enabled: true, clusters: [{cluster_id: '" + std::string(id) +
                     "', scheduler_type: local}]}\n")
                    .ok());
}

TEST_CASE("config: a wrong value is told once, under the key that it was given to",
          "[runtime][config]") {
  const auto told = [](const std::string& text) {
    const auto out = load(text);
    REQUIRE(out.problems.size() == 1);
    return out.problems[0].key;
  };
  CHECK(told("hpc: {enabled: true, cluster_id: c, scheduler_type: slurm, "
             "job_service: {job_poll_interval: 100ms}}\n") == "hpc.job_service.job_poll_interval");
  CHECK(told("hpc: {enabled: true, cluster_id: c, scheduler_type: slurm, "
             "slurm: {job_poll_interval: 100ms}}\n") == "hpc.slurm.job_poll_interval");
  CHECK(told("hpc: {enabled: true, cluster_id: c, scheduler_type: slurm, "
             "link: {poll_interval: 100ms}}\n") == "hpc.link.poll_interval");
  CHECK(told("hpc: {job_service: {state_store_path: relative/path}}\n") ==
        "hpc.job_service.state_store_path");
}

TEST_CASE("config: the dump names one state directory, the one in force", "[runtime][config]") {
  const auto shown = [](const std::string& text) { return to_yaml(load(text).value); };
  const std::string guide = "hpc: {job_service: {state_store_path: /of/guide}}\n";
  CHECK(shown("").find("state_store_path") == std::string::npos);
  const auto both = shown(guide + "state: {directory: /in/force}\n");
  CHECK(both.find("directory: \"/in/force\"") != std::string::npos);
  CHECK(both.find("/of/guide") == std::string::npos);
  const auto only = shown(guide);
  CHECK(only.find("directory: \"/of/guide\"") != std::string::npos);
  CHECK(only.find("state_store_path: \"/of/guide\"") != std::string::npos);
}
