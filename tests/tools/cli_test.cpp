#include "tools/vectl/cli.hpp"

#include <catch2/catch.hpp>

using namespace vectl;

namespace {

const ved::time_point noon = ved::from_us(1'768'478'400'000'000);  // 2026-01-15T12:00:00Z

invocation parsed(const std::vector<std::string>& arguments) {
  auto got = parse_command_line(arguments, noon);
  if (const auto* text = std::get_if<answer>(&got)) FAIL(text->text);
  return std::get<invocation>(std::move(got));
}

template <class Command>
Command command_of(const std::vector<std::string>& arguments) {
  auto got = parsed(arguments);
  REQUIRE(std::holds_alternative<Command>(got.what));
  return std::get<Command>(std::move(got.what));
}

answer refused(const std::vector<std::string>& arguments) {
  auto got = parse_command_line(arguments, noon);
  REQUIRE(std::holds_alternative<answer>(got));
  return std::get<answer>(std::move(got));
}

}  // namespace

TEST_CASE("vectl arguments: global options stand before or behind the command", "[tools][vectl]") {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"-o", "json", "--timeout", "2s", "--config-dir", "/c", "job",
                                 "show", "j-1"},
        std::vector<std::string>{"job", "show", "j-1", "-o", "json", "--timeout", "2s",
                                 "--config-dir", "/c"}}) {
    const auto got = parsed(arguments);
    CHECK(got.global.json);
    CHECK(got.global.timeout == ved::seconds{2});
    CHECK(got.global.config_dir == "/c");
    REQUIRE(std::holds_alternative<job_show>(got.what));
    CHECK(std::get<job_show>(got.what).id == "j-1");
  }
}

TEST_CASE("vectl arguments: a quick job takes everything behind the dashes as its command",
          "[tools][vectl]") {
  const auto got = command_of<job_submit>(
      {"job",   "submit", "--name", "j",      "--cpus", "2",     "--memory-gb",
       "3",     "--gpus", "1",      "--time", "2h30m",  "--env", "A=1",
       "--env", "B=x=y",  "--wait", "--",     "sh",     "-c",    "echo --help"});
  CHECK(got.command == std::vector<std::string>{"sh", "-c", "echo --help"});
  CHECK(got.name == "j");
  CHECK(got.cpus == 2);
  CHECK(got.memory_gb == 3);
  CHECK(got.gpus == 1);
  CHECK(got.time == ved::seconds{9'000});
  CHECK(got.environment == std::vector<std::string>{"A=1", "B=x=y"});
  CHECK(got.wait);
  CHECK(got.file.empty());
}

TEST_CASE("vectl arguments: a spec comes from a file or standard input", "[tools][vectl]") {
  CHECK(command_of<job_submit>({"job", "submit", "spec.json"}).file == "spec.json");
  CHECK(command_of<job_submit>({"job", "submit", "-", "--wait"}).file == "-");
}

TEST_CASE("vectl arguments: every command is reached with its options", "[tools][vectl]") {
  const auto list = command_of<job_list>({"job", "list", "--state", "running", "--cluster", "c",
                                          "--customer", "ve1a", "--since", "2h", "--limit", "5"});
  CHECK(list.state == "running");
  CHECK(list.cluster == "c");
  CHECK(list.customer == "ve1a");
  CHECK(list.since_us == ved::to_us(noon - ved::seconds{7'200}));
  CHECK(list.limit == 5);
  CHECK(command_of<job_watch>({"job", "watch", "j"}).id == "j");
  CHECK(command_of<job_events>({"job", "events", "--follow", "j"}).follow);
  CHECK(command_of<job_explain>({"job", "explain", "j", "--at", "2026-01-15T11:00:00Z"}).at_us ==
        ved::to_us(noon - ved::seconds{3'600}));
  const auto output = command_of<job_output>({"job", "output", "j", "--stderr", "-f"});
  CHECK(output.standard_error);
  CHECK(output.follow);
  CHECK(command_of<job_cancel>({"job", "cancel", "j", "--reason", "too late"}).reason ==
        "too late");
  CHECK(command_of<job_hold>({"job", "hold", "j"}).id == "j");
  CHECK(command_of<job_release>({"job", "release", "j"}).id == "j");
  command_of<cluster_list>({"cluster", "list"});
  CHECK(command_of<cluster_show>({"cluster", "show", "c"}).id == "c");
  CHECK(command_of<health_check>({"hpc", "health-check"}).cluster.empty());
  command_of<log_verify>({"log", "verify"});
  const auto dump =
      command_of<log_dump>({"log", "dump", "--log", "daemon", "--after", "7", "--limit", "3"});
  CHECK(dump.after == 7);
  CHECK(dump.log == "daemon");
  const auto events =
      command_of<log_events>({"log", "events", "--after", "latest", "--cluster", "c", "-f"});
  CHECK(events.after == "latest");
  CHECK(events.cluster == "c");
  CHECK(events.follow);
  command_of<log_rebuild>({"--state", "/s", "log", "rebuild"});
  command_of<log_stats>({"log", "stats"});
  CHECK(command_of<log_backup>({"log", "backup", "/b"}).directory == "/b");
  CHECK(command_of<log_restore>({"log", "restore", "/b", "--force"}).force);
  CHECK_FALSE(command_of<log_restore>({"log", "restore", "/b"}).incomplete);
  CHECK(command_of<log_restore>({"log", "restore", "/b", "--incomplete"}).incomplete);
  CHECK(command_of<config_show>({"config", "show", "--config", "f"}).file == "f");
  command_of<status>({"status"});
}

TEST_CASE("vectl arguments: what is wrong is a usage error that names it", "[tools][vectl]") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{}, "subcommand"},
      {{"job"}, "subcommand"},
      {{"job", "show"}, "JOB"},
      {{"job", "show", "../etc"}, "not a job id"},
      {{"job", "show", "a\x1b[2J"}, "not a job id"},
      {{"job", "show", "j", "extra"}, "extra"},
      {{"job", "show", "j", "--", "x"}, "x"},
      {{"job", "list", "--state", "sleeping"}, "sleeping"},
      {{"job", "list", "--since", "yesterday-ish"}, "not a time"},
      {{"job", "list", "--limit", "0"}, "--limit"},
      {{"job", "submit"}, "FILE"},
      {{"job", "submit", "f", "--", "ls"}, "FILE"},
      {{"job", "submit", "f", "--cpus", "2"}, "--cpus"},
      {{"job", "submit", "--time", "5s", "--", "ls"}, "--time"},
      {{"job", "submit", "--env", "=x", "--", "ls"}, "NAME=VALUE"},
      {{"-o", "xml", "status"}, "xml"},
      {{"--timeout", "0", "status"}, "--timeout"},
      {{"no-such-command"}, "no-such-command"},
      {{"completion", "tcsh"}, "tcsh"}};
  for (const auto& [arguments, word] : cases) {
    const auto got = refused(arguments);
    CHECK(got.code == exit_code::usage);
    CHECK_THAT(got.text, Catch::Contains(word));
  }
}

TEST_CASE("vectl arguments: help lists the exit codes and asks no daemon", "[tools][vectl]") {
  const auto help = refused({"--help"});
  CHECK(help.code == exit_code::ok);
  CHECK_THAT(help.text, Catch::Contains("  3  the daemon cannot be reached"));
  CHECK_THAT(refused({"--version"}).text, Catch::StartsWith("vectl "));
  CHECK_THAT(refused({"job", "submit", "--help"}).text, Catch::Contains("--memory-gb"));
}

TEST_CASE("vectl completion: every shell's script knows commands, options and job ids",
          "[tools][vectl]") {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = refused({"completion", shell});
    CHECK(script.code == exit_code::ok);
    for (const char* word : {"health-check", "explain", "restore", "memory-gb", "job list --ids"})
      CHECK_THAT(script.text, Catch::Contains(word));
  }
}
