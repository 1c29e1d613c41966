#include "adapters/process/transport.hpp"

#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "messages/time.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::adapters;
using tests::temp_dir;

namespace {

using steady = std::chrono::steady_clock;

steady::time_point in(milliseconds from_now) {
  return steady::now() + from_now;
}

command_outcome run(const std::string& line, const std::string& input = "",
                    milliseconds within = milliseconds{60'000}) {
  return make_process_transport()->run({line, input}, in(within));
}

std::string read_text(const std::filesystem::path& file) {
  std::ifstream in_file(file, std::ios::binary);
  std::ostringstream out;
  out << in_file.rdbuf();  // unlike an iterator it does not throw when a process of /proc has gone
  return out.str();
}

/// Dead, or a zombie whose parent has not fetched it yet.
bool is_gone(pid_t pid) {
  for (int tries = 0; tries < 2'000; ++tries) {
    if (::kill(pid, 0) != 0) return true;
    const auto stat = read_text("/proc/" + std::to_string(pid) + "/stat");
    if (stat.find(") Z ") != std::string::npos) return true;
    std::this_thread::sleep_for(milliseconds{5});
  }
  return false;
}

}  // namespace

TEST_CASE("process transport: each command has a session of its own, as over ssh",
          "[adapters][process]") {
  const auto session = [] {
    const auto outcome = run("cut -d ' ' -f 6 /proc/$$/stat");
    return std::stoi(std::get<command_finished>(outcome).out);
  };
  const auto first = session();
  CHECK(first != ::getsid(0));
  CHECK(first != session());
}

TEST_CASE("process transport: a command's exit code and both outputs come back",
          "[adapters][process]") {
  const auto outcome = run("cat; echo problem >&2; exit 3", "from us\n");
  REQUIRE(std::holds_alternative<command_finished>(outcome));
  const auto& ended = std::get<command_finished>(outcome);
  CHECK(ended.exit_code == 3);
  CHECK(ended.signal == 0);
  CHECK(ended.out == "from us\n");
  CHECK(ended.err == "problem\n");
}

TEST_CASE("process transport: a signal that ended it is told", "[adapters][process]") {
  const auto outcome = run("kill -9 $$");
  REQUIRE(std::holds_alternative<command_finished>(outcome));
  CHECK(std::get<command_finished>(outcome).signal == SIGKILL);
}

TEST_CASE("process transport: ten megabytes go both ways", "[adapters][process]") {
  const std::string input(10u << 20, 'x');
  const auto outcome = run("tee /dev/stderr", input);
  REQUIRE(std::holds_alternative<command_finished>(outcome));
  CHECK(std::get<command_finished>(outcome).out == input);
  CHECK(std::get<command_finished>(outcome).err == input);
}

TEST_CASE("process transport: of the environment it passes on what a login has",
          "[adapters][process]") {
  ::setenv("VED_TEST_SECRET", "do not pass on", 1);
  ::setenv("SLURM_CONF", "/somewhere/slurm.conf", 1);
  const auto direct = make_process_transport();
  process_transport_options options;
  options.environment = {{"SLURM_CONF", "/elsewhere/slurm.conf"}};
  const auto other = make_process_transport(options);
  ::unsetenv("VED_TEST_SECRET");
  ::unsetenv("SLURM_CONF");
  const auto first = std::get<command_finished>(direct->run({"env", ""}, in(milliseconds{60'000})));
  CHECK(first.out.find("do not pass on") == std::string::npos);
  CHECK(first.out.find("LANG=C.UTF-8\n") != std::string::npos);
  CHECK(first.out.find("SLURM_CONF=/somewhere/slurm.conf\n") != std::string::npos);
  CHECK(first.out.find("PATH=") != std::string::npos);
  const auto second = std::get<command_finished>(other->run({"env", ""}, in(milliseconds{60'000})));
  CHECK(second.out.find("SLURM_CONF=/elsewhere/slurm.conf\n") != std::string::npos);
  CHECK(second.out.find("/somewhere/") == std::string::npos);
}

TEST_CASE("process transport: at the deadline the whole process group is killed",
          "[adapters][process]") {
  temp_dir dir;
  const auto file = (dir.path() / "pids").string();
  const auto outcome = run("trap '' TERM HUP; sleep 600 & echo $! > " + file + "; echo $$ >> " +
                               file + "; echo begun; wait; wait",
                           "", milliseconds{1'000});
  REQUIRE(std::holds_alternative<command_interrupted>(outcome));
  CHECK(std::get<command_interrupted>(outcome).out == "begun\n");
  CHECK(std::get<command_interrupted>(outcome).reason ==
        "this machine: the command had not ended at its deadline: killed");
  std::ifstream pids(file);
  pid_t pid = 0;
  int count = 0;
  while (pids >> pid) {
    ++count;
    CHECK(is_gone(pid));
  }
  CHECK(count == 2);
}

TEST_CASE("process transport: too much output ends the command", "[adapters][process]") {
  remote_command flood{"yes", "", 1'000};
  const auto outcome = make_process_transport()->run(flood, in(milliseconds{60'000}));
  REQUIRE(std::holds_alternative<command_interrupted>(outcome));
  CHECK(std::get<command_interrupted>(outcome).out.size() == 1'000);
  flood.line = "head -c 1000 /dev/zero";
  CHECK(std::holds_alternative<command_finished>(
      make_process_transport()->run(flood, in(milliseconds{60'000}))));
}

TEST_CASE("process transport: after its deadline nothing is started", "[adapters][process]") {
  CHECK(std::holds_alternative<command_not_started>(run("true", "", milliseconds{0})));
}

TEST_CASE("process transport: a command that ends leaves its background children alone",
          "[adapters][process]") {
  const auto outcome = run("sleep 600 & echo $!");
  REQUIRE(std::holds_alternative<command_finished>(outcome));
  const auto pid = static_cast<pid_t>(std::stol(std::get<command_finished>(outcome).out));
  CHECK(::kill(pid, SIGKILL) == 0);
}
