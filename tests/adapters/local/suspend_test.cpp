#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "adapters/system/processes.hpp"
#include "tests/adapters/local/fixture.hpp"

/// A suspended job stands, and what it keeps from others it keeps for a bounded time.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

submission limited(const conversation& talk, const std::string& script, int limit_seconds) {
  submission job = talk.shell_job(script);
  job.spec.set_max_runtime_seconds(limit_seconds);
  return job;
}

/// Beats, and has timers that continue it: one whose signal a stop has swept away fires no more.
std::string defiant(const std::string& beat) {
  return "cat > c.py <<'E'\n"
         "import ctypes, signal, sys, time\n"
         "c = ctypes.CDLL(None)\n"
         "class event(ctypes.Structure):\n"
         "    _fields_ = [('value', ctypes.c_void_p), ('signal', ctypes.c_int),\n"
         "                ('how', ctypes.c_int), ('rest', ctypes.c_char * 48)]\n"
         "signal.signal(signal.SIGCONT, lambda *_: None)\n"
         "for i in range(40):\n"
         "    t, span = ctypes.c_void_p(), 100000000 + i * 7000000\n"
         "    assert c.timer_create(1, ctypes.byref(event(None, signal.SIGCONT, 0, b'')),\n"
         "                          ctypes.byref(t)) == 0\n"
         "    assert c.timer_settime(t, 0, (ctypes.c_long * 4)(0, span, 0, span), None) == 0\n"
         "while True:\n"
         "    open(sys.argv[1], 'a').write('x')\n"
         "    time.sleep(0.02)\n"
         "E\nexec python3 c.py '" + beat + "'";
}

std::uintmax_t size_of(const std::string& path) {
  std::error_code none;
  const auto size = std::filesystem::file_size(path, none);
  return none ? 0 : size;
}

/// As others of its account can.
void wake_up(const local_fixture& fixture, const tracked_job& job) {
  const auto supervisor = fixture.files().read_supervisor(job.token);
  REQUIRE(supervisor);
  for (const auto& process : descendants(supervisor->pid())) ::kill(process.pid, SIGCONT);
}

/// None of its commands is on its way: a parent in vfork(2) shows no stop.
bool stands(const local_fixture& fixture, const tracked_job& job) {
  const auto supervisor = fixture.files().read_supervisor(job.token);
  if (!supervisor) return false;
  const auto all = descendants(supervisor->pid());
  for (const auto& process : all)
    if (process.state != 'T') return false;
  return !all.empty();
}

void suspend(conversation& talk, const tracked_job& job) {
  talk.control(job, pb::JOB_CONTROL_SUSPEND);
  talk.wait_for(job, pb::JOB_STATE_SUSPENDED);
}

}  // namespace

TEST_CASE("suspended local job: what somebody continues of it is stopped again",
          "[adapters][local][suspend]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string ready = fresh_path(fixture, "ready");
  const auto job = talk.start(talk.shell_job("setsid sleep 600 & echo x > '" + ready +
                                             "'; while :; do :; done"));
  talk.wait_until("it is ready", [&] { return size_of(ready) > 0; });
  suspend(talk, job);
  talk.wait_until("it stands", [&] { return stands(fixture, job); });
  for (int i = 0; i < 2; ++i) {
    wake_up(fixture, job);
    talk.wait_until("it stands again", [&] { return stands(fixture, job); });
  }
  talk.control(job, pb::JOB_CONTROL_RESUME);
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  talk.wait_until("it runs", [&] { return !stands(fixture, job); });
  talk.control(job, pb::JOB_CONTROL_CANCEL);
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
}

TEST_CASE("suspended local job: while it continues itself its limit goes on",
          "[adapters][local][suspend]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string beat = fresh_path(fixture, "beat");
  const auto job = talk.start(limited(talk, defiant(beat), 3));
  talk.wait_until("it beats", [&] { return size_of(beat) > 0; });
  suspend(talk, job);
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_TIMEOUT);
  CHECK(end.reason ==
        "time limit of 3 s reached: it ran on though it was suspended");
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() >= 3);
  CHECK(end.usage->wall_clock_seconds() < 6);
}

TEST_CASE("suspended local job: in a cgroup nothing continues it", "[adapters][local][cgroup]") {
  const auto options = options_with_cgroup();
  if (!options) return;
  local_fixture fixture(*options);
  conversation talk(fixture);
  const std::string beat = fresh_path(fixture, "beat");
  const auto job = talk.start(limited(talk, defiant(beat), 600));
  talk.wait_until("it beats", [&] { return size_of(beat) > 0; });
  suspend(talk, job);
  const auto before = size_of(beat);
  // Long enough for several beats of a job that goes on.
  CHECK(talk.wait_for_end(talk.start(talk.shell_job("sleep 0.4"))).state ==
        pb::JOB_STATE_COMPLETED);
  CHECK(size_of(beat) == before);
  SECTION("it goes on when it is resumed") {
    talk.control(job, pb::JOB_CONTROL_RESUME);
    talk.wait_until("it beats again", [&] { return size_of(beat) > before; });
    talk.control(job, pb::JOB_CONTROL_CANCEL);
    CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
  }
  SECTION("it can be cancelled") {
    talk.control(job, pb::JOB_CONTROL_CANCEL);
    CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
  }
  SECTION("it ends with its supervisor") {
    fixture.kill_supervisor(job);
    CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_FAILED);
  }
}

TEST_CASE("suspended local job: it ends when it has kept its cores for twice its limit",
          "[adapters][local][suspend]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto job = talk.start(limited(talk, "sleep 600", 1));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  suspend(talk, job);
  SECTION("ved runs on") {}
  SECTION("ved is started anew") { talk.restart(); }
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_TIMEOUT);
  CHECK(end.reason ==
        "ran longer than its limit: it was suspended for 2 s, longer than its limit of 1 s allows");
  INFO("what it kept from others is its wall clock");
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 2);
}

TEST_CASE("suspended local job: resumed, it has the rest of its run time",
          "[adapters][local][suspend]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const auto job = talk.start(
      limited(talk, "while ! [ -e '" + go + "' ]; do sleep 0.02; done; sleep 1", 3));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  suspend(talk, job);
  std::ofstream{go} << "x";
  CHECK(talk.wait_for_end(talk.start(talk.shell_job("sleep 2.2"))).state ==
        pb::JOB_STATE_COMPLETED);
  talk.control(job, pb::JOB_CONTROL_RESUME);
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() >= 3);
}

TEST_CASE("suspended local job: who waits for what it keeps is told so",
          "[adapters][local][suspend]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto start_wide = [&] {
    auto wide = talk.shell_job("sleep 600");
    wide.spec.mutable_resources()->set_cpu_cores_per_node(2);
    return talk.start(wide);
  };
  const auto keeps = start_wide();
  talk.wait_for(keeps, pb::JOB_STATE_RUNNING);
  const auto waits = start_wide();
  const auto behind = start_wide();
  const auto reason = [&](const tracked_job& job) {
    const auto seen = talk.look(job);
    const auto* status = std::get_if<job_status>(&seen);
    return status == nullptr ? std::string() : status->reason;
  };
  CHECK(reason(waits) == "waits for resources: not enough cores");
  suspend(talk, keeps);
  CHECK(reason(waits) ==
        "waits for resources: not enough cores; 2 cores are kept by 1 suspended job");
  CHECK(reason(behind) == "waits for its turn in the queue");
  talk.control(keeps, pb::JOB_CONTROL_RESUME);
  talk.wait_for(keeps, pb::JOB_STATE_RUNNING);
  CHECK(reason(waits) == "waits for resources: not enough cores");
  for (const auto& job : {behind, waits, keeps}) talk.control(job, pb::JOB_CONTROL_CANCEL);
  for (const auto& job : {behind, waits, keeps}) talk.wait_for_end(job);
}

TEST_CASE("suspended local job: one whose main thread has ended is stopped, ended and limited, too",
          "[adapters][local][suspend]") {
  const auto with_cgroup = options_with_cgroup();
  local_options options;
  if (GENERATE(true, false) && with_cgroup) options = *with_cgroup;
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto beat = fixture.shared_directory() + "/beat";
  const auto beats = [&] {
    std::error_code none;
    const auto size = std::filesystem::file_size(beat, none);
    return none ? std::uintmax_t{0} : size;
  };
  const auto goes_on = [&] {
    const auto before = beats();
    ::usleep(300'000);
    return beats() != before;
  };
  const std::string program =
      "cat > z.py <<'E'\n"
      "import ctypes, os, signal, threading, time\n"
      "libc = ctypes.CDLL(None)\n"
      "libc.prctl(1, 0, 0, 0, 0)\n"
      "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
      "def work():\n"
      "    while True:\n"
      "        open('" + beat + "', 'a').write('x')\n"
      "        time.sleep(.01)\n"
      "threading.Thread(target=work).start()\n"
      "libc.syscall(60 if os.uname().machine == 'x86_64' else 93, 0)\n"
      "E\n";
  SECTION("suspended and cancelled") {
    const auto job = talk.start(talk.shell_job(program + "exec python3 z.py"));
    talk.wait_until("it beats", [&] { return beats() > 3; });
    suspend(talk, job);
    CHECK_FALSE(goes_on());
    talk.control(job, pb::JOB_CONTROL_RESUME);
    talk.wait_until("it goes on", goes_on);
    talk.control(job, pb::JOB_CONTROL_CANCEL);
    const auto end = talk.wait_for_end(job);
    CHECK(end.state == pb::JOB_STATE_CANCELLED);
    CHECK(end.reason == "cancelled on request");
    CHECK_FALSE(goes_on());
  }
  SECTION("at its limit") {
    const auto end =
        talk.wait_for_end(talk.start(limited(talk, program + "exec python3 z.py", 1)));
    CHECK(end.state == pb::JOB_STATE_TIMEOUT);
    CHECK(end.reason == "time limit of 1 s reached");
    CHECK_FALSE(goes_on());
  }
  SECTION("left behind by its job") {
    const auto end = talk.wait_for_end(
        talk.start(talk.shell_job(program + "python3 z.py & while ! [ -s " + beat +
                                  " ]; do sleep .05; done; exit 0")));
    CHECK(end.state == pb::JOB_STATE_COMPLETED);
    CHECK_FALSE(goes_on());
  }
  SECTION("left behind by its supervisor") {
    const auto job = talk.start(talk.shell_job(program + "exec python3 z.py"));
    talk.wait_until("it beats", [&] { return beats() > 3; });
    fixture.kill_supervisor(job);
    CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_FAILED);
    CHECK_FALSE(goes_on());
  }
}

TEST_CASE("suspended local job: a step is not started before it is resumed",
          "[adapters][local][suspend]") {
  local_fixture fixture;
  conversation talk(fixture);
  auto all = talk.shell_job("");
  auto& workload = *all.spec.mutable_workload_spec();
  workload.clear_command();
  workload.clear_arguments();
  const auto add = [&](const std::string& name, const std::string& script) {
    auto& step = *workload.add_steps();
    step.set_name(name);
    step.set_command("/bin/sh");
    step.add_arguments("-c");
    step.add_arguments(script);
  };
  // The hold comes while the first one ends.
  const std::string ready = fresh_path(fixture, "ready");
  const std::string go = fresh_path(fixture, "go");
  add("first", "echo x > '" + ready + "'; while ! [ -e '" + go +
                   "' ]; do sleep 0.02; done; : > \"" + fixture.options().directory +
                   "/jobs/$VED_TOKEN/suspend\"");
  const std::string beat = fresh_path(fixture, "beat");
  add("second", "echo x > '" + beat + "'");
  const auto job = talk.start(all);
  talk.wait_until("the first step runs", [&] { return size_of(ready) > 0; });
  std::ofstream{go} << "x";
  talk.wait_for(job, pb::JOB_STATE_SUSPENDED);
  ::usleep(300'000);
  CHECK(size_of(beat) == 0);
  talk.control(job, pb::JOB_CONTROL_RESUME);
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
  CHECK(size_of(beat) > 0);
}
