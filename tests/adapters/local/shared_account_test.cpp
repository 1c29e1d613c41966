#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "adapters/local/step.hpp"
#include "messages/job_state.hpp"
#include "tests/adapters/local/fixture.hpp"

/// Jobs of many customers share one account and one machine.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

/// As it is, but for the soft limit of one resource: of this process and who it starts meanwhile.
class lower_limit {
 public:
  lower_limit(int resource, rlim_t limit) : resource_(resource) {
    ::getrlimit(static_cast<__rlimit_resource>(resource_), &before_);
    rlimit lower = before_;
    lower.rlim_cur = limit;
    ::setrlimit(static_cast<__rlimit_resource>(resource_), &lower);
  }
  ~lower_limit() { ::setrlimit(static_cast<__rlimit_resource>(resource_), &before_); }
  const rlimit& before() const { return before_; }

 private:
  int resource_;
  rlimit before_{};
};

/// Of a process and of the children that it has waited for.
milliseconds cpu_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(in, text);
  std::istringstream words(text.substr(text.rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) words >> skipped;
  std::int64_t ticks = 0;
  for (std::int64_t value = 0, i = 0; i < 4 && words >> value; ++i) ticks += value;
  return milliseconds{ticks * 1000 / ::sysconf(_SC_CLK_TCK)};
}

}  // namespace

TEST_CASE("shared account: a job for whose process there is no room waits for it",
          "[adapters][local][shared]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  local_options options;
  options.run_as = "nobody";
  if (GENERATE(false, true)) options.cgroup = own_cgroup();
  int limit = 0;
  bool cancelled = false;
  bool given_up = false;
  SECTION("with room it runs, and pays for no time that it waited") {}
  SECTION("that counts against no time limit") { limit = 2; }
  SECTION("its cancel arrives at once") { cancelled = true; }
  SECTION("not for ever, and of one that never ran nothing is counted") {
    given_up = true;
    limit = 600;
    options.start_patience = seconds{3};
  }
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto other = talk.start(talk.shell_job("sleep 1000"));
  talk.wait_for(other, pb::JOB_STATE_RUNNING);
  auto spec = talk.shell_job("exit 0");
  spec.spec.set_max_runtime_seconds(limit);
  tracked_job job;
  rlimit wide{};
  pid_t supervisor = 0;
  {
    // Root has none; from exec(2) on it binds the account, which has one process already.
    const lower_limit none(RLIMIT_NPROC, 0);
    wide = none.before();
    job = talk.start(spec);
    talk.wait_until("it waits", [&] {
      const auto seen = std::get<job_status>(talk.look(job));
      return seen.reason.find("Resource temporarily unavailable") != std::string::npos;
    });
    supervisor = fixture.files().read_supervisor(job.token)->pid();
  }
  const auto waits = std::get<job_status>(talk.look(job));
  CHECK_FALSE(is_terminal(waits.state));
  // Who watches the limit from outside hears how far it is put off.
  CHECK(is_set(waits.ends_by) == (limit > 0));
  if (limit > 0)
    CHECK(waits.ends_by >= waits.started_at + seconds{limit} + options.start_patience);
  if (given_up) {
    const auto end = talk.wait_for_end(job);
    CHECK(end.state == pb::JOB_STATE_FAILED);
    CHECK_THAT(end.reason, Catch::Contains("temporarily unavailable for 3 s: nothing of the job "
                                           "was run"));
    REQUIRE(end.usage);
    CHECK(end.usage->wall_clock_seconds() == 0);
    CHECK(end.usage->cpu_time_us() == 0);
    CHECK(end.usage->memory_bytes_max() == 0);
    return;
  }
  if (cancelled) {
    talk.control(job, pb::JOB_CONTROL_CANCEL);
    CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
    return;
  }
  const auto before = cpu_of(supervisor);
  ::usleep(3'000'000);
  CHECK(cpu_of(supervisor) - before < milliseconds{1000});
  REQUIRE(::prlimit(supervisor, RLIMIT_NPROC, &wide, nullptr) == 0);
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(end.reason.empty());
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() <= 1);  // that it needs to start, beside others
  CHECK(end.usage->cpu_time_us() < 400'000);
}

TEST_CASE("shared account: a job that waits for room can be held",
          "[adapters][local][shared][suspend]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  local_options options;
  options.run_as = "nobody";
  options.start_patience = seconds{3};
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto other = talk.start(talk.shell_job("sleep 1000"));
  talk.wait_for(other, pb::JOB_STATE_RUNNING);
  tracked_job job;
  const auto waits = [&] {
    const auto seen = std::get<job_status>(talk.look(job));
    return seen.reason.find("Resource temporarily unavailable") != std::string::npos;
  };
  pid_t supervisor = 0;
  rlimit wide{};
  {
    const lower_limit none(RLIMIT_NPROC, 0);
    wide = none.before();
    auto spec = talk.shell_job("echo ran");
    spec.spec.set_max_runtime_seconds(600);
    job = talk.start(spec);
    talk.wait_until("it waits", waits);
    supervisor = fixture.files().read_supervisor(job.token)->pid();
  }
  talk.control(job, pb::JOB_CONTROL_SUSPEND);
  const auto held = talk.wait_for(job, pb::JOB_STATE_SUSPENDED);
  CHECK(held.reason == "suspended");
  const auto give_room = [&] {
    REQUIRE(::prlimit(supervisor, RLIMIT_NPROC, &wide, nullptr) == 0);
  };
  SECTION("it is not started when there is room, nor given up, and its hold is paid for") {
    give_room();
    ::usleep(4'000'000);
    CHECK(std::get<job_status>(talk.look(job)).state == pb::JOB_STATE_SUSPENDED);
    CHECK(talk.output(job).empty());
    talk.control(job, pb::JOB_CONTROL_RESUME);
    const auto end = talk.wait_for_end(job);
    CHECK(end.state == pb::JOB_STATE_COMPLETED);
    CHECK(talk.output(job) == "ran\n");
    REQUIRE(end.usage);
    CHECK(end.usage->wall_clock_seconds() >= 3);
  }
  SECTION("released it goes on waiting, as long as it would have") {
    ::usleep(4'000'000);
    talk.control(job, pb::JOB_CONTROL_RESUME);
    talk.wait_until("it waits again", waits);
    CHECK(std::get<job_status>(talk.look(job)).state == pb::JOB_STATE_RUNNING);
    give_room();
    CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
  }
  SECTION("it can be cancelled") {
    talk.control(job, pb::JOB_CONTROL_CANCEL);
    const auto end = talk.wait_for_end(job);
    CHECK(end.state == pb::JOB_STATE_CANCELLED);
    CHECK(talk.output(job).empty());
  }
}

TEST_CASE("shared account: a job that was lost pays for no wait for room that is known",
          "[adapters][local][shared][lost]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  local_options options;
  options.run_as = "nobody";
  local_fixture fixture(options);
  std::optional<conversation> talk(fixture);
  const auto other = talk->start(talk->shell_job("sleep 1000"));
  talk->wait_for(other, pb::JOB_STATE_RUNNING);
  tracked_job job;
  const auto waits = [&] {
    const auto seen = std::get<job_status>(talk->look(job));
    return seen.reason.find("Resource temporarily unavailable") != std::string::npos;
  };
  rlimit wide{};
  {
    const lower_limit none(RLIMIT_NPROC, 0);
    wide = none.before();
    auto spec = talk->shell_job("exec sleep 1000");
    spec.spec.set_max_runtime_seconds(600);
    job = talk->start(spec);
    talk->wait_until("it waits", waits);
  }
  ::usleep(2'500'000);
  const bool watched = GENERATE(true, false);
  const bool ran = GENERATE(true, false);
  if (ran) {
    const auto supervisor = fixture.files().read_supervisor(job.token)->pid();
    REQUIRE(::prlimit(supervisor, RLIMIT_NPROC, &wide, nullptr) == 0);
    talk->wait_until("it runs", [&] { return !waits(); });
  }
  if (!watched) {
    talk.reset();
    fixture.close();
  }
  fixture.kill_supervisor(job);
  if (!watched) {
    fixture.open();
    talk.emplace(fixture);
  }
  const auto end = talk->wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() <= (ran ? 1 : 0));
}

TEST_CASE("shared account: what a job does wrong itself is told at once",
          "[adapters][local][shared]") {
  for (const int number : {EAGAIN, ENOMEM, EMFILE, ENFILE}) CHECK(may_pass(number));
  for (const int number : {ENOENT, EACCES, ENOEXEC, E2BIG, ENOTDIR, EPERM, ELOOP, 0})
    CHECK_FALSE(may_pass(number));
}

TEST_CASE("shared account: children that no one waits for are paid for where there is a cgroup",
          "[adapters][local][shared][cgroup]") {
  const auto options = options_with_cgroup();
  if (!options) return;
  local_fixture fixture(*options);
  conversation talk(fixture);
  const auto end = talk.wait_for_end(talk.start(talk.shell_job(
      "exec python3 -c 'import os, signal, time\n"
      "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
      "if os.fork() == 0:\n"
      "  while time.process_time() < 0.7: pass\n"
      "  os._exit(0)\n"
      "try: os.wait()\n"
      "except ChildProcessError: pass'")));
  REQUIRE(end.usage);
  CHECK(end.usage->cpu_time_us() >= 600'000);
}

TEST_CASE("shared account: a job has the soft limit of open files that the daemon was given",
          "[adapters][local][shared]") {
  local_options options;
  options.open_files = 321;
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto job = talk.start(talk.shell_job("ulimit -Sn; ulimit -Hn"));
  talk.wait_for_end(job);
  rlimit own{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &own) == 0);
  CHECK(talk.output(job) == "321\n" + std::to_string(own.rlim_max) + "\n");
}

TEST_CASE("shared account: no file of a job grows beyond the operator's bound, nor does its output",
          "[adapters][local][shared]") {
  local_options options;
  options.file_bytes_max = 100'000;
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto loud = talk.start(talk.shell_job("exec cat /dev/zero"));
  const auto end = talk.wait_for_end(loud);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK_THAT(end.reason, Catch::Contains("SIGXFSZ") &&
                             Catch::EndsWith("more than 100000 bytes, which local.file_bytes_max "
                                             "forbids"));
  const auto own = talk.start(talk.shell_job(
      "head -c 100000 /dev/zero > fits; head -c 100001 /dev/zero > long; wc -c fits long"));
  talk.wait_for_end(own);
  CHECK_THAT(talk.output(own), Catch::Contains("100000 fits") && Catch::Contains("100000 long"));
}

TEST_CASE("shared account: a job is told what it waits for, or behind whom",
          "[adapters][local][shared]") {
  local_options options;
  options.gpus = 1;
  options.cpus = 2;
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto gpu_job = [&] {
    auto job = talk.shell_job("sleep 600");
    job.spec.mutable_resources()->set_gpus_per_node(1);
    return talk.start(job);
  };
  const auto reason = [&](const tracked_job& job) {
    const auto seen = talk.look(job);
    const auto* status = std::get_if<job_status>(&seen);
    return status == nullptr ? std::string() : status->reason;
  };
  const auto runs = gpu_job();
  talk.wait_for(runs, pb::JOB_STATE_RUNNING);
  const auto waits = gpu_job();
  const auto third = gpu_job();
  const auto fits = talk.start(talk.shell_job("true"));
  CHECK(reason(waits) == "waits for resources: not enough GPUs");
  CHECK(reason(third) == "waits for its turn in the queue");
  CHECK_THAT(reason(fits),
             Catch::StartsWith("waits for its turn: job ") &&
                 Catch::EndsWith(" is before it and waits for GPUs"));
  auto wide = talk.shell_job("true");
  wide.spec.mutable_resources()->set_cpu_cores_per_node(2);
  for (const auto& job : {third, fits}) talk.control(job, pb::JOB_CONTROL_CANCEL);
  const auto last = talk.start(wide);
  CHECK(reason(last) == "waits for its turn in the queue");
  talk.control(waits, pb::JOB_CONTROL_CANCEL);
  CHECK(reason(last) == "waits for resources: not enough cores");
  talk.control(runs, pb::JOB_CONTROL_CANCEL);
  CHECK(talk.wait_for_end(last).state == pb::JOB_STATE_COMPLETED);
}
