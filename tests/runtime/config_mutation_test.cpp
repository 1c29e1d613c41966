#include <catch2/catch.hpp>

#include <rapidcheck.h>

#include <algorithm>

#include "messages/url_mask.hpp"
#include "runtime/config/load.hpp"
#include "runtime/config/quantity.hpp"

// Random edits of good configurations: the loader must always answer in its own words.
using namespace ved::runtime;

namespace {

const std::string& rich_config() {
  static const std::string text = R"(hpc: &h
  enabled: true
  job_service: {job_poll_interval: 15s, max_concurrent_jobs: 100}
  retry:
    max_retries: 3
    backoff_multiplier: 2.0
  clusters:
    - cluster_id: a
      scheduler_type: local
      local:
        cpus: 4
        queues:
          - {name: short}
          - {name: long}
    - cluster_id: b
      scheduler_type: slurm
      slurm:
        controller_port: 6817
        ssh: {host: login1, port: 22}
http: {port: 8080, trusted_networks: [10.0.0.0/8, "fd00::/8"], body_bytes_max: 1MiB}
logging:
  level: debug
  hpc_scheduler: trace
hooks:
  - name: n
    command: [/bin/true, "a b"]
    callbacks: [completed]
)";
  return text;
}

std::string mutated(const std::string& original) {
  static const std::vector<std::string> pieces{
      "\n", " ", "  ", "\t", ":", ": ", "- ", "-", "#", "[", "]", "{", "}", "\"", "'", "&a ", "*a",
      "*h", "!!int ", "|", ">", "%", "@", "---\n", "...\n", "<<: *h\n", "? ", "\\", "~", "null",
      "-1", "1e999", "99999999999999999999", ".nan", "true", "9999h", "-5s", "\xff", "\xc3", "\0x",
      "\xef\xbb\xbf", "hpc:\n", "x: 1\n", "enabled: yes\n", "local", "moab", "ood"};
  auto text = original;
  const auto edits = *rc::gen::inRange(1, 8);
  for (int i = 0; i < edits && !text.empty(); ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    const auto length = *rc::gen::inRange<std::size_t>(0, 24);
    switch (*rc::gen::inRange(0, 4)) {
      case 0: text.erase(at, length); break;
      case 1: text.insert(at, *rc::gen::elementOf(pieces)); break;
      case 2: text.replace(at, length, *rc::gen::elementOf(pieces)); break;
      default: text.insert(at, text.substr(*rc::gen::inRange<std::size_t>(0, text.size()), 60));
    }
  }
  return text;
}

void judge(const std::string& text) {
  const load_options options{[](const char* name) -> std::optional<std::string> {
                               // A key that does not exist is a problem: nothing would load.
                               if (std::string(name) == "PROVIDER_SIGNING_KEY_PATH") return {};
                               return "/env/" + std::string(name);
                             },
                             true};
  const auto out = load_config_text(text, "f", options);
  const auto lines = 1 + std::count(text.begin(), text.end(), '\n');
  int last = 0;
  for (const auto& problem : out.problems) {
    RC_ASSERT(problem.line >= 1);
    RC_ASSERT(problem.line <= lines + 1);
    RC_ASSERT(problem.line >= last);
    last = problem.line;
    RC_ASSERT(!problem.message.empty());
    for (const auto& part : {problem.key, problem.message}) {
      RC_ASSERT(std::none_of(part.begin(), part.end(), [](unsigned char c) { return c < 0x20; }));
    }
  }
  RC_ASSERT(out.problems.size() <= config_problems_max + 1);
  if (!out.ok()) return;
  const auto dumped = to_yaml(out.value);
  const auto again = load_config_text(dumped, "f", options);
  RC_ASSERT(again.problem_text() == "");
  // The guide's name of the state directory is dumped only where it is in force.
  auto expected = out.value;
  if (expected.hpc.job_service.state_store_path != expected.state.directory)
    expected.hpc.job_service.state_store_path = again.value.hpc.job_service.state_store_path;
  // What is secret in a URL is not dumped.
  if (dumped.find(ved::masked) == std::string::npos) RC_ASSERT(again.value == expected);
  RC_ASSERT(load_config_text(to_yaml(again.value), "f", options).value == again.value);
}

}  // namespace

TEST_CASE("config: random edits of a good file never break the loader",
          "[runtime][config][random]") {
  CHECK(rc::check("rich configuration", [] { judge(mutated(rich_config())); }));
  CHECK(rc::check("annotated configuration", [] { judge(mutated(annotated_yaml())); }));
  CHECK(rc::check("any text", [] { judge(*rc::gen::string<std::string>()); }));
}

TEST_CASE("config: every duration that is written is read back", "[runtime][config][random]") {
  CHECK(rc::check("durations", [] {
    const auto ms = *rc::gen::inRange<std::int64_t>(0, 1LL << 40);
    RC_ASSERT(parse_duration(format_duration(ved::milliseconds{ms})) == ved::milliseconds{ms});
  }));
  CHECK(rc::check("sizes", [] {
    const auto bytes = *rc::gen::inRange<std::int64_t>(0, 1LL << 50);
    RC_ASSERT(parse_size(format_size(bytes)) == bytes);
  }));
  CHECK(rc::check("any text", [] {
    const auto text = *rc::gen::string<std::string>();
    static_cast<void>(parse_duration(text));
    static_cast<void>(parse_size(text));
  }));
}
