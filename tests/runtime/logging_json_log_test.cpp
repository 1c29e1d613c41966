#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "runtime/logging/json_log.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved::runtime;
using ved::actors::log_severity;

namespace {

std::vector<nlohmann::json> lines_of(const std::filesystem::path& file) {
  std::ifstream input(file);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(input, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace

TEST_CASE("log: a line is one JSON object with fixed names first", "[runtime][logging]") {
  CHECK(log_line("2024-01-15T10:00:00.000001Z", log_severity::warn, "hpc_job", "job_held",
                 {{"job_id", "j-1"}, {"reason", "retries used up"}}) ==
        R"({"time":"2024-01-15T10:00:00.000001Z","level":"warn","component":"hpc_job",)"
        R"("event":"job_held","job_id":"j-1","reason":"retries used up"})");
}

TEST_CASE("log: hostile values cannot break or forge a line", "[runtime][logging]") {
  const auto line =
      log_line("t", log_severity::info, "hooks", "request_refused",
               {{"path", std::string("/a\n{\"level\":\"critical\"}\x1b[2J\x7f") + '\0' + "z"},
                {"user", "\xff\xfe"},
                {"level", "critical"},
                {"long", std::string(log_value_bytes_max + 10, 'x')}});
  CHECK(line.find('\n') == std::string::npos);
  CHECK(line.find('\x1b') == std::string::npos);
  CHECK(line.find('\x7f') == std::string::npos);
  const auto parsed = nlohmann::json::parse(line);
  CHECK(parsed["level"] == "info");
  CHECK(parsed["field_level"] == "critical");
  CHECK(parsed["long"].get<std::string>().size() == log_value_bytes_max + 3);
}

TEST_CASE("log: each component has its own level, and reload changes them", "[runtime][logging]") {
  const ved::tests::temp_dir dir;
  logging_config logging;
  logging.level = log_level::warn;
  logging.components["hpc_scheduler"] = log_level::trace;
  logging.components["hooks"] = log_level::off;
  logging.file = dir.path() / "ved.log";
  auto log = json_log::open(logging);
  REQUIRE(log);
  (*log)->write(log_severity::info, "hpc_job", "dropped", {});
  (*log)->write(log_severity::trace, "hpc_scheduler", "kept_trace", {});
  (*log)->write(log_severity::critical, "hooks", "dropped", {});
  (*log)->write(log_severity::warn, "something_else", "kept_warn", {});
  logging.level = log_level::info;
  logging.components.clear();
  (*log)->set_levels(logging);
  (*log)->write(log_severity::info, "hooks", "kept_info", {{"a", "b"}});
  (*log)->write(log_severity::debug, "hpc_scheduler", "dropped", {});
  const auto lines = lines_of(logging.file);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0]["event"] == "kept_trace");
  CHECK(lines[1]["event"] == "kept_warn");
  CHECK(lines[2]["event"] == "kept_info");
  CHECK(lines[2]["a"] == "b");
}

TEST_CASE("log: reopening follows a rotated file", "[runtime][logging]") {
  const ved::tests::temp_dir dir;
  logging_config logging;
  logging.file = dir.path() / "ved.log";
  auto log = json_log::open(logging);
  REQUIRE(log);
  (*log)->write(log_severity::info, "ved", "one", {});
  std::filesystem::rename(logging.file, dir.path() / "ved.log.1");
  (*log)->write(log_severity::info, "ved", "two", {});
  REQUIRE((*log)->reopen(logging));
  (*log)->write(log_severity::info, "ved", "three", {});
  CHECK(lines_of(dir.path() / "ved.log.1").size() == 2);
  REQUIRE(lines_of(logging.file).size() == 1);
  CHECK(lines_of(logging.file)[0]["event"] == "three");

  auto elsewhere = logging;
  elsewhere.file = "/proc/none/ved.log";
  const auto refused = (*log)->reopen(elsewhere);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ved::errc::unavailable);
  (*log)->write(log_severity::info, "ved", "four", {});
  CHECK(lines_of(logging.file).size() == 2);
  CHECK_FALSE(json_log::open(elsewhere));
}

TEST_CASE("log: lines of several threads do not mix", "[runtime][logging]") {
  const ved::tests::temp_dir dir;
  logging_config logging;
  logging.file = dir.path() / "ved.log";
  auto log = json_log::open(logging);
  REQUIRE(log);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        (*log)->write(log_severity::info, "hpc_job", "tick", {{"text", std::string(300, 'y')}});
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(lines_of(logging.file).size() == 800);
}
