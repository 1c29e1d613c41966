#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <optional>
#include <vector>

#include "adapters/local/job_cgroup.hpp"
#include "adapters/local/told.hpp"
#include "adapters/system/processes.hpp"
#include "tests/adapters/local/fixture.hpp"

/// Jobs whose supervisor was killed while no `ved` was there to see it.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

/// Ends the job with its supervisor while nobody looks.
void lose(local_fixture& fixture, const tracked_job& job) {
  fixture.close();
  fixture.kill_supervisor(job);
  for (int i = 0; i < 5000 && !processes_of_job(job.token.str(), std::nullopt).empty(); ++i)
    ::usleep(2000);
  REQUIRE(processes_of_job(job.token.str(), std::nullopt).empty());
}

void touch_all(const local_fixture& fixture, const tracked_job& job, seconds ahead) {
  timespec moment{};
  REQUIRE(::clock_gettime(CLOCK_REALTIME, &moment) == 0);
  moment.tv_sec += ahead.count();
  const timespec times[] = {moment, moment};
  for (const char* name : {"status", "stdout", "stderr"}) {
    const auto file = fixture.files().job_file(job.token, name);
    // A job is told as running before its first step has its files.
    for (int i = 0; i < 5000 && !std::filesystem::exists(file); ++i) ::usleep(2000);
    REQUIRE(::utimensat(AT_FDCWD, file.c_str(), times, 0) == 0);
  }
}

}  // namespace

TEST_CASE("local lost: what died while nobody looked is told to its last sign of life",
          "[adapters][local][lost]") {
  local_options options;
  if (GENERATE(false, true)) options.cgroup = own_cgroup();
  local_fixture fixture(options);
  time_point restarted;
  job_status end;
  time_point started;
  tracked_job job;
  const bool fresh = GENERATE(false, true);
  {
    conversation talk(fixture);
    const auto ready = fresh_path(fixture, "ready");
    job = talk.start(talk.shell_job(
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo x > '" + ready +
        "'; while :; do :; done"));
    started = talk.wait_for(job, pb::JOB_STATE_RUNNING).started_at;
    talk.wait_until("it worked", [&] { return std::filesystem::exists(ready); });
  }
  lose(fixture, job);
  // Its signs of life are as old as if an hour had passed, which is more than since its start.
  touch_all(fixture, job, fresh ? seconds{0} : seconds{-3600});
  restarted = system_anchor().time;
  fixture.open();
  conversation talk(fixture);
  end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.reason.find("its end is told as when it was seen last") != std::string::npos);
  CHECK(end.started_at == started);
  CHECK(end.finished_at >= started);
  if (fresh) CHECK(end.finished_at > started);
  else CHECK(end.finished_at < started + seconds{1});
  CHECK(end.finished_at <= restarted + milliseconds{10});
  CHECK(end.usage->wall_clock_seconds() < 60);
  if (!options.cgroup.empty()) CHECK(end.usage->cpu_time_us() > 0);
  talk.restart();
  CHECK(std::get<job_status>(talk.look(job)).finished_at == end.finished_at);
}

TEST_CASE("local lost: one whose processes lived on is told to their end",
          "[adapters][local][lost]") {
  local_fixture fixture;
  tracked_job job;
  const auto ready = fresh_path(fixture, "ready");
  {
    conversation talk(fixture);
    job = talk.start(talk.shell_job("(setsid sleep 1000 &); echo x > '" + ready +
                                    "'; sleep 1000"));
    talk.wait_until("it runs", [&] { return std::filesystem::exists(ready); });
  }
  fixture.close();
  fixture.kill_supervisor(job);
  for (int i = 0; i < 5000 && is_locked(fixture.files().supervisor_path(job.token)); ++i)
    ::usleep(2000);
  touch_all(fixture, job, seconds{-3600});
  const auto restarted = system_anchor().time;
  fixture.open();
  conversation talk(fixture);
  const auto end = talk.wait_for_end(job);
  CHECK(end.finished_at >= restarted);
  CHECK(end.reason.find("seen last") == std::string::npos);
}

TEST_CASE("local lost: a supervisor shows that it lives", "[adapters][local][lost]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto go = fresh_path(fixture, "go");
  const auto job =
      talk.start(talk.shell_job("while ! [ -e '" + go + "' ]; do sleep 0.02; done"));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  touch_all(fixture, job, seconds{-3600});
  struct stat before {};
  struct stat after {};
  const auto path = fixture.files().job_file(job.token, "status");
  REQUIRE(::stat(path.c_str(), &before) == 0);
  talk.wait_until("its file is of now", [&] {
    return ::stat(path.c_str(), &after) == 0 && after.st_mtim.tv_sec > before.st_mtim.tv_sec + 3000;
  });
  std::ofstream{go} << "x";
  talk.wait_for_end(job);
}

TEST_CASE("local lost: of a supervisor that was watched the end is told as when it was noticed",
          "[adapters][local][lost]") {
  local_options options;
  if (GENERATE(false, true)) options.cgroup = own_cgroup();
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto ready = fresh_path(fixture, "ready");
  const bool lives_on = GENERATE(false, true);
  const auto job = talk.start(talk.shell_job((lives_on ? "(setsid sleep 1000 &); " : "") +
                                             ("echo x > '" + ready + "'; exec sleep 1000")));
  talk.wait_until("it runs", [&] { return std::filesystem::exists(ready); });
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  talk.wait_until("it is watched", [&] { return fixture.watches(job); });
  ::usleep(300'000);
  // What a job may write tells nothing against what was seen of its supervisor.
  touch_all(fixture, job, seconds{-3600});
  const auto before = system_anchor().time;
  fixture.kill_supervisor(job);
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.finished_at >= before - fixture.options().check_interval - milliseconds{100});
  CHECK(end.finished_at <= before + seconds{1});
  // What dies with its supervisor may be met in its last moment.
  if (lives_on) CHECK(end.reason.find("seen last") == std::string::npos);
  CHECK(end.reason.find("while nobody watched") == std::string::npos);
}

TEST_CASE("local lost: of many at once none pays for the others, nor does a stop wait for them",
          "[adapters][local][lost]") {
  constexpr int count = 40;
  local_options options;
  options.cpus = count + 1;
  local_fixture fixture(options);
  std::optional<conversation> talk(fixture);
  std::vector<tracked_job> jobs;
  for (int i = 0; i < count; ++i) jobs.push_back(talk->start(talk->shell_job("exec sleep 1000")));
  for (const auto& job : jobs) {
    talk->wait_for(job, pb::JOB_STATE_RUNNING);
    talk->wait_until("it is watched", [&] { return fixture.watches(job); });
  }
  const bool stops = GENERATE(false, true);
  for (const auto& job : jobs) fixture.kill_supervisor(job);
  const auto killed = system_anchor();
  if (stops) {
    ::usleep(100'000);  // it has begun
    talk.reset();
    fixture.close();
    CHECK(since_boot() - killed.boot < seconds{2});
    fixture.open();
    talk.emplace(fixture);
  } else {
    CHECK(talk->wait_for_end(talk->start(talk->shell_job("true"))).state ==
          pb::JOB_STATE_COMPLETED);
    CHECK(since_boot() - killed.boot < seconds{3});
  }
  for (const auto& job : jobs) {
    const auto end = talk->wait_for_end(job);
    CHECK(end.state == pb::JOB_STATE_FAILED);
    CHECK(end.finished_at < killed.time + seconds{1});
  }
}

TEST_CASE("local lost: nobody pays for more than the job's time limit, whatever it did meanwhile",
          "[adapters][local][lost]") {
  local_fixture fixture;
  tracked_job job;
  const bool stands = GENERATE(false, true);
  const bool lives_on = GENERATE(false, true);
  {
    conversation talk(fixture);
    auto spec = talk.shell_job(lives_on ? "(setsid sleep 1000 &); sleep 1000" : "exec sleep 1000");
    spec.spec.set_max_runtime_seconds(1);
    job = talk.start(spec);
    talk.wait_for(job, pb::JOB_STATE_RUNNING);
    if (stands) {
      talk.control(job, pb::JOB_CONTROL_SUSPEND);
      talk.wait_for(job, pb::JOB_STATE_SUSPENDED);
    }
  }
  fixture.close();
  fixture.kill_supervisor(job);
  ::usleep(5'500'000);
  for (const char* name : {"stdout", "stderr"}) {
    const auto file = fixture.files().job_file(job.token, name);
    REQUIRE(::utimensat(AT_FDCWD, file.c_str(), nullptr, 0) == 0);
  }
  fixture.open();
  conversation talk(fixture);
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK_THAT(end.reason,
             Catch::EndsWith(std::string("its end is told as the latest that its time limit of "
                                         "1 s allows") +
                             (stands ? " one that was suspended" : "")));
  const auto most = seconds{stands ? 2 : 1} + fixture.options().kill_wait;
  CHECK(end.finished_at - end.started_at >= most - milliseconds{100});
  CHECK(end.finished_at - end.started_at <= most + milliseconds{100});
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() <= most.count());
}

TEST_CASE("local lost: the GPUs that it held are paid for, however many there are by then",
          "[adapters][local][lost]") {
  local_options options;
  options.gpus = 3;
  options.cpus = 4;
  local_fixture fixture(options);
  tracked_job job;
  {
    conversation talk(fixture);
    auto spec = talk.shell_job("exec sleep 1000");
    spec.spec.mutable_resources()->set_gpus_per_node(2);
    spec.spec.mutable_resources()->set_cpu_cores_per_node(4);
    job = talk.start(spec);
    talk.wait_for(job, pb::JOB_STATE_RUNNING);
  }
  const bool told = GENERATE(true, false);
  lose(fixture, job);
  if (!told) REQUIRE(::truncate(fixture.files().supervisor_path(job.token).c_str(), 0) == 0);
  fixture.options().gpus = 1;
  fixture.options().cpus = 1;
  fixture.open();
  conversation talk(fixture);
  const auto end = talk.wait_for_end(job);
  REQUIRE(end.usage);
  CHECK(end.usage->gpus() == 2);
  CHECK(end.usage->cpu_cores() == 4);
}
