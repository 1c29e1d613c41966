#include "runtime/machine_checks.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "runtime/schedulers/local/config.hpp"
#include "runtime/schedulers/local/kind.hpp"
#include "runtime/schedulers/slurm/config.hpp"
#include "runtime/schedulers/slurm/kind.hpp"
#include "runtime/security/init.hpp"
#include "runtime/security/layout.hpp"
#include "runtime/security/pki.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::runtime;
namespace fs = std::filesystem;

namespace {

/// A machine on which a start has nothing to complain about.
struct machine {
  tests::temp_dir dir;
  config settings;
  fs::path supervisor = dir.path() / "supervisor";

  machine() {
    settings.hpc.enabled = true;
    settings.hpc.audit.log_path = dir.path() / "audit" / "audit.log";
    settings.logging.file = dir.path() / "ved.log";
    settings.state.directory = dir.path() / "state";
    settings.http.port = 0;
    settings.gateway.port = 0;
    settings.metrics.enabled = false;
    init_options how;
    how.directory = settings.state.directory;
    how.now = std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
    REQUIRE(initialise_state(how));
    program(supervisor, 0755);
  }

  static void program(const fs::path& file, mode_t mode) {
    std::ofstream(file) << "#!/bin/sh\n";
    REQUIRE(::chmod(file.c_str(), mode) == 0);
  }
  cluster_config& add(const scheduler_kind& kind) {
    auto& one = settings.clusters.emplace_back();
    one.cluster_id = cluster_id{"here"};
    one.kind = &kind;
    one.sections.of<local_config>().file_bytes_max = 1 << 20;
    return one;
  }
  /// What stands against a start, or what is only told.
  std::string found(bool refuses) const {
    std::string out;
    for (const auto& one : check_machine(settings, supervisor.string()))
      if (one.refuses == refuses) out += one.text + "\n";
    return out;
  }
};

}  // namespace

TEST_CASE("machine checks: what a start needs and does not find is refused with its place",
          "[runtime][config]") {
  machine here;
  here.add(local_kind);
  REQUIRE(here.found(true).empty());
  REQUIRE(here.found(false).empty());
  std::string words;
  SECTION("a hook's command") {
    auto& hook = here.settings.hooks.emplace_back();
    hook.name = "bill";
    hook.command = {(here.dir.path() / "bill").string(), "--now"};
    CHECK_THAT(here.found(true), Catch::Contains("hook bill: command") &&
                                     Catch::Contains("No such file"));
    here.program(hook.command[0], 0644);
    words = "chmod +x '" + hook.command[0] + "'";
  }
  SECTION("a place for the log file") {
    here.settings.logging.file = here.dir.path() / "a" / "b" / "ved.log";
    words = "logging.file: " + here.settings.logging.file + ": cannot be made";
  }
  SECTION("a log file that is none") {
    here.settings.logging.file = here.dir.path();
    words = "is a directory";
  }
  SECTION("the supervisor of local jobs") {
    fs::remove(here.supervisor);
    words = "local scheduler: supervisor " + here.supervisor.string();
  }
  SECTION("Slurm's commands, where they run on this machine") {
    auto& slurm = here.add(slurm_kind).sections.of<slurm_config>();
    slurm.bin_directory = here.dir.path();
    slurm.ssh.host = "login.example.org";
    CHECK(here.found(true).empty());
    slurm.ssh.host.clear();
    words = "slurm.bin_directory: " + here.dir.path().string() + "/sbatch";
  }
  SECTION("tokens") {
    std::ofstream(here.dir.path() / "state" / "tokens.json", std::ios::trunc) << "{";
    words = "tokens.json";
  }
  CHECK_THAT(here.found(true), Catch::Contains(words));
}

TEST_CASE("machine checks: a port in use, tokens in clear and a loose program are told only",
          "[runtime][config]") {
  machine here;
  std::string words;
  const int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  SECTION("a port in use may be the running daemon's") {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    REQUIRE(::bind(taken, reinterpret_cast<sockaddr*>(&where), size) == 0);
    REQUIRE(::listen(taken, 1) == 0);
    REQUIRE(::getsockname(taken, reinterpret_cast<sockaddr*>(&where), &size) == 0);
    here.settings.http.port = ntohs(where.sin_port);
    words = "port " + std::to_string(here.settings.http.port) + ": cannot listen";
  }
  SECTION("an address that others reach") {
    here.settings.http.address = "0.0.0.0";
    words = "tokens cross the network in clear text";
  }
  SECTION("an audit file that cannot be made, without which it serves") {
    const auto audit = here.dir.path() / "a" / "b" / "audit.log";
    here.settings.hpc.audit.log_path = GENERATE(true, false) ? audit : here.dir.path() / "link";
    fs::create_symlink(audit, here.dir.path() / "link");
    words = "hpc.audit.log_path: " + here.settings.hpc.audit.log_path + ": cannot be made";
  }
  SECTION("a program that everybody may change") {
    auto& hook = here.settings.hooks.emplace_back();
    hook.name = "bill";
    hook.command = {(here.dir.path() / "bill").string()};
    here.program(hook.command[0], 0757);
    words = "chmod go-w '" + hook.command[0] + "'";
  }
  CHECK(here.found(true).empty());
  CHECK_THAT(here.found(false), Catch::Contains(words));
  ::close(taken);
}

TEST_CASE("machine checks: jobs that may fill the disk of the state directory are told",
          "[runtime][config][local]") {
  machine here;
  auto& local = here.add(local_kind).sections.of<local_config>();
  local.work_directory = GENERATE("", "beside");
  if (!local.work_directory.empty())
    local.work_directory = here.dir.path() / "not" / "there" / "yet";
  CHECK(here.found(false).empty());
  local.file_bytes_max = 0;
  CHECK_THAT(here.found(false), Catch::Contains("cluster here: its jobs write without bound") &&
                                    Catch::Contains("local.work_directory") &&
                                    Catch::Contains("local.file_bytes_max"));
  CHECK(here.found(true).empty());
  local.work_directory = "/dev/shm/ved-jobs";
  CHECK(here.found(false).empty());
}

TEST_CASE("machine checks: certificates that are not valid now are told, and refuse no start",
          "[runtime][config]") {
  machine here;
  here.add(local_kind);
  fs::remove_all(here.settings.state.directory);
  init_options how;
  how.directory = here.settings.state.directory;
  how.now = std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
  std::string words;
  SECTION("they have ended") {
    how.now -= std::chrono::days{leaf_days + 1};
    words = "certificate has expired";
  }
  SECTION("the clock is wrong") {
    how.now += std::chrono::days{3};
    words = "not yet valid; is the system clock right?";
  }
  REQUIRE(initialise_state(how));
  CHECK(here.found(true).empty());
  CHECK_THAT(here.found(false), Catch::Contains(words) && Catch::Contains("ved starts"));
  // It has to be one, all the same.
  fs::remove(state_layout(how.directory).server_key);
  CHECK_THAT(here.found(true), Catch::Contains("server"));
}
