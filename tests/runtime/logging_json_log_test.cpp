#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "runtime/logging/json_log.hpp"
#include "tests/support/access_list.hpp"
#include "tests/support/small_disk.hpp"
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

TEST_CASE("log: standard error that nobody reads costs lines, and says how many",
          "[runtime][logging]") {
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  const int before = ::dup(STDERR_FILENO);
  REQUIRE(::dup2(pipe[1], STDERR_FILENO) == STDERR_FILENO);
  const auto restore = [&] {
    ::dup2(before, STDERR_FILENO);
    ::close(before);
    ::close(pipe[1]);
  };
  std::string told;
  const auto read_all = [&] {
    char part[65'536];
    pollfd ready{pipe[0], POLLIN, 0};
    while (::poll(&ready, 1, 0) == 1) {
      const auto n = ::read(pipe[0], part, sizeof part);
      if (n <= 0) break;
      told.append(part, static_cast<std::size_t>(n));
    }
  };
  constexpr int written = 500;
  {
    auto log = json_log::open({});
    if (!log) restore();
    REQUIRE(log);
    // Half a megabyte; a pipe holds an eighth of it.
    for (int n = 0; n < written; ++n)
      (*log)->write(log_severity::info, "ved", "line", {{"n", std::string(1'000, 'x')}});
    read_all();
    (*log)->write(log_severity::info, "ved", "last", {});
    read_all();
  }
  restore();
  ::close(pipe[0]);
  int whole = 0, lost = -1, last = 0;
  std::istringstream lines(told);
  for (std::string line; std::getline(lines, line);) {
    const auto one = nlohmann::json::parse(line, nullptr, false);
    if (one.is_discarded()) continue;  // the one that was cut
    if (one["event"] == "line") ++whole;
    if (one["event"] == "last") ++last;
    if (one["event"] == "log_lines_lost") {
      const auto reason = one["reason"].get<std::string>();
      lost = std::stoi(reason.substr(reason.rfind(' ')));
    }
  }
  CHECK(whole > 10);
  CHECK(lost > 100);
  CHECK(whole + lost == written);
  CHECK(last == 1);
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

TEST_CASE("log: no line is written into what others may change", "[runtime][logging]") {
  const ved::tests::temp_dir dir;
  logging_config logging;
  logging.file = dir.path() / "made" / "ved.log";
  auto log = json_log::open(logging);
  REQUIRE(log);
  std::filesystem::rename(logging.file, dir.path() / "ved.log.1");
  std::ofstream{logging.file} << "";
  REQUIRE(::chmod(logging.file.c_str(), 0666) == 0);
  if (::geteuid() == 0 && GENERATE(true, false)) {
    REQUIRE(::chmod(logging.file.c_str(), 0644) == 0);
    REQUIRE(::chown(logging.file.c_str(), 65'534, 0) == 0);
  }
  const auto refused = (*log)->reopen(logging);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("nothing is written to it; run: ch") != std::string::npos);
  CHECK_FALSE(json_log::open(logging));
  (*log)->write(log_severity::info, "ved", "one", {});
  CHECK(lines_of(logging.file).empty());
  CHECK(lines_of(dir.path() / "ved.log.1").size() == 1);
  logging.file = dir.path() / "no" / "such" / "ved.log";
  CHECK_FALSE((*log)->reopen(logging));
}

TEST_CASE("log: a file that takes no line is a problem until it does, and tells what it cost",
          "[runtime][logging]") {
  const ved::tests::temp_dir dir;
  logging_config logging;
  logging.file = "/dev/full";
  const auto log = json_log::open(logging).value();
  CHECK(log->problems().empty());
  for (int i = 0; i < 3; ++i) log->write(log_severity::info, "ved", "one", {});
  REQUIRE(log->problems().size() == 1);
  const auto text = log->problems()[0].text;
  CHECK(text.find("lines lost: 3") != std::string::npos);
  CHECK(text.find("No space left on device") != std::string::npos);
  logging.file = dir.path() / "ved.log";
  REQUIRE(log->reopen(logging));
  log->write(log_severity::info, "ved", "two", {});
  CHECK(log->problems().empty());
  const auto lines = lines_of(logging.file);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["event"] == "two");
  CHECK(lines[1]["event"] == "log_lines_lost");
  CHECK(lines[1]["reason"].get<std::string>().ends_with("lines lost: 3"));
}

TEST_CASE("log: a line that a full disk cut spoils none that follow", "[runtime][logging]") {
  const ved::tests::temp_dir dir;
  const ved::tests::small_disk disk(dir.path() / "disk", "size=1m");
  if (!disk.mounted()) return;
  logging_config logging;
  logging.file = disk.path() / "ved.log";
  const auto log = json_log::open(logging).value();
  log->write(log_severity::info, "ved", "first", {});
  disk.fill();
  // The last page has some room.
  log->write(log_severity::info, "ved", "cut", {{"text", std::string(10'000, 'x')}});
  CHECK(log->problems().size() == 1);
  disk.empty();
  log->write(log_severity::info, "ved", "next", {});
  std::ifstream input(logging.file);
  std::vector<std::string> events;
  int torn = 0;
  for (std::string line; std::getline(input, line);) {
    const auto read = nlohmann::json::parse(line, nullptr, false);
    if (read.is_discarded()) ++torn;
    else events.push_back(read["event"]);
  }
  CHECK(torn == 1);
  CHECK(events == std::vector<std::string>{"first", "next", "log_lines_lost"});
}

TEST_CASE("log: a line that was cut before it was opened spoils none that follow",
          "[runtime][logging]") {
  const ved::tests::temp_dir dir;
  logging_config logging;
  logging.file = dir.path() / "ved.log";
  const std::string before = GENERATE("", "{\"a\":1}\n", "{\"a\":1}\n{\"torn");
  std::ofstream{logging.file} << before;
  const auto log = json_log::open(logging).value();
  log->write(log_severity::info, "ved", "next", {});
  std::ifstream input(logging.file);
  std::string last;
  int lines = 0;
  for (std::string line; std::getline(input, line); ++lines) last = line;
  CHECK(nlohmann::json::parse(last)["event"] == "next");
  CHECK(lines == (before.empty() ? 1 : before.ends_with("\n") ? 2 : 3));
}

TEST_CASE("log: standard error that is a full disk's file has whole lines again after that",
          "[runtime][logging]") {
  const ved::tests::temp_dir dir;
  const ved::tests::small_disk disk(dir.path() / "disk", "size=1m");
  if (!disk.mounted()) return;
  const auto path = disk.path() / "err";
  const int before = ::dup(STDERR_FILENO);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  REQUIRE(file >= 0);
  REQUIRE(::dup2(file, STDERR_FILENO) == STDERR_FILENO);
  {
    const auto log = json_log::open({}).value();
    log->write(log_severity::info, "ved", "first", {});
    disk.fill();  // but for the rest of that page
    const std::string long_text(3'000, 'x');
    for (int i = 0; i < 5; ++i) log->write(log_severity::info, "ved", "cut", {{"t", long_text}});
    const auto lost = log->problems().size();
    disk.empty();
    for (int i = 0; i < 2; ++i) log->write(log_severity::info, "ved", "next", {});
    ::dup2(before, STDERR_FILENO);
    CHECK(lost == 1);
    CHECK(log->problems().empty());
  }
  ::close(before);
  ::close(file);
  std::ifstream input(path);
  std::vector<std::string> events;
  int torn = 0;
  for (std::string line; std::getline(input, line);) {
    const auto read = nlohmann::json::parse(line, nullptr, false);
    if (read.is_discarded()) ++torn;
    else if (read["event"] != "cut") events.push_back(read["event"]);
  }
  CHECK(torn == 1);
  CHECK(events == std::vector<std::string>{"first", "next", "log_lines_lost", "next"});
}

TEST_CASE("log: a list that new files inherit gives nobody a hand in the log",
          "[runtime][logging]") {
  const ved::tests::temp_dir dir;
  const ved::tests::access_list list{.id = ::geteuid() + 7, .named = 6, .group = 4, .other = 4};
  if (!list.put_on(dir.path(), "system.posix_acl_default")) return;
  logging_config logging;
  logging.file = dir.path() / "ved.log";
  REQUIRE(json_log::open(logging));
  struct stat about {};
  REQUIRE(::stat(logging.file.c_str(), &about) == 0);
  CHECK((about.st_mode & 0022) == 0);
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
