#include "adapters/local/told.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <limits>

#include "messages/job_state.hpp"
#include "tests/adapters/local/fixture.hpp"

/// What a job that runs as the daemon's own user writes in its supervisor's name.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

constexpr auto int64_max = std::numeric_limits<std::int64_t>::max();

const time_point begun = from_us(1'800'000'000'000'000);
const told_bounds known{
    2, 1024, 1, begun, {begun + std::chrono::hours{1}, std::chrono::hours{5}}, "this boot"};

pb::LocalJobStatus good_end() {
  pb::LocalJobStatus end;
  end.set_state(pb::JOB_STATE_COMPLETED);
  end.set_boot_id(known.boot_id);
  end.set_started_at_us(to_us(known.now.time - seconds{100}));
  end.set_finished_at_us(to_us(known.now.time));
  end.set_started_boot_us((known.now.boot - seconds{100}).count());
  end.set_finished_boot_us(known.now.boot.count());
  auto& usage = *end.mutable_usage();
  usage.set_wall_clock_seconds(100);
  usage.set_cpu_time_us(90'000'000);
  usage.set_memory_bytes_max(1 << 30);
  usage.set_memory_bytes_allocated(1 << 30);
  usage.set_nodes_used(1);
  usage.set_cpu_cores(2);
  usage.set_gpus(1);
  return end;
}

pb::LocalJobStatus good_status() {
  auto status = good_end();
  status.set_state(pb::JOB_STATE_RUNNING);
  return status;
}

}  // namespace

TEST_CASE("local files: an end is one that can be", "[adapters][local][told]") {
  auto end = good_end();
  CHECK_FALSE(problem_of_end(end, known));
  SECTION("whose state is final") {
    for (int state = 0; state < pb::JobState_ARRAYSIZE; ++state) {
      end.set_state(static_cast<pb::JobState>(state));
      CHECK(problem_of_end(end, known).has_value() != is_terminal(end.state()));
    }
  }
  SECTION("whose times are") {
    const auto time =
        GENERATE(std::int64_t{-1}, int64_max, -int64_max - 1, 253'402'300'800'000'000);
    if (GENERATE(false, true)) end.set_started_at_us(time);
    else end.set_finished_at_us(time);
    CHECK(problem_of_end(end, known));
  }
  SECTION("that used what it can have used") {
    auto& usage = *end.mutable_usage();
    SECTION("no longer than it ran") { usage.set_wall_clock_seconds(103); }
    SECTION("not less than nothing") { usage.set_wall_clock_seconds(-1); }
    SECTION("no such CPU time") { usage.set_cpu_time_us(GENERATE(std::int64_t{-5}, int64_max)); }
    SECTION("no such memory") { usage.set_memory_bytes_max(GENERATE(std::int64_t{-1}, int64_max)); }
    SECTION("no more memory than it was given") {
      usage.set_memory_bytes_allocated((1 << 30) + 1);
    }
    SECTION("no more nodes") { usage.set_nodes_used(2); }
    SECTION("no more cores") { usage.set_cpu_cores(GENERATE(3, -1)); }
    SECTION("no more GPUs") { usage.set_gpus(2); }
    SECTION("also where the boot's clock is made up") {
      end.set_finished_boot_us(int64_max);
      usage.set_wall_clock_seconds(int64_max);
    }
    SECTION("also of another boot") {
      end.set_boot_id("another");
      usage.set_wall_clock_seconds(3600 + 24 * 3600 + 1);
    }
    CHECK(problem_of_end(end, known));
  }
  SECTION("that exited so") {
    if (GENERATE(false, true)) end.set_exit_code(GENERATE(256, -1));
    else end.set_exit_signal(GENERATE(65, -1));
    CHECK(problem_of_end(end, known));
  }
  SECTION("with a reason that somebody reads") {
    end.set_reason(std::string((16 << 10) + 1, 'x'));
    CHECK(problem_of_end(end, known));
  }
  SECTION("that lost to a job") {
    end.set_lost_claim_to("../x");
    CHECK(problem_of_end(end, known));
  }
  SECTION("whatever became of the clock") {
    auto later = known;
    later.now.time = known.submitted - std::chrono::hours{24 * 365};
    CHECK_FALSE(problem_of_end(end, later));
    end.set_boot_id("another");
    CHECK_FALSE(problem_of_end(end, later));
  }
}

TEST_CASE("local files: a status is of a job that runs", "[adapters][local][told]") {
  auto status = good_status();
  CHECK_FALSE(problem_of_running(status, known));
  SECTION("by its state") { status.set_state(pb::JOB_STATE_COMPLETED); }
  SECTION("by its start") { status.set_started_at_us(GENERATE(std::int64_t{-1}, int64_max)); }
  SECTION("by its start on this boot") { status.set_started_boot_us(int64_max); }
  SECTION("by a start that a clock can tell") {
    status.set_boot_id(GENERATE("", "another"));
    CHECK_FALSE(problem_of_running(status, known));
    status.set_started_at_us(to_us(known.now.time + std::chrono::hours{25}));
  }
  CHECK(problem_of_running(status, known));
}

TEST_CASE("local files: a supervisor has GPUs that there are", "[adapters][local][told]") {
  pb::LocalSupervisor supervisor;
  for (const int gpu : {-1, 3, 3, 99, 0, 2}) supervisor.add_gpus(gpu);
  CHECK(possible_gpus(supervisor, 2, 4) == std::vector{3, 0});
  CHECK(possible_gpus(supervisor, 9, 4) == std::vector{3, 0, 2});
  CHECK(possible_gpus(supervisor, 0, 4).empty());
}

TEST_CASE("local files: an id stands for one job, whatever another job wrote",
          "[adapters][local][told]") {
  local_fixture fixture;
  {
    conversation talk(fixture);
    talk.wait_for_end(talk.start(talk.shell_job("exit 0")));
  }
  const auto name = fixture.files().list(fixture.files().jobs_directory())->at(0);
  auto job = fixture.files().read_job(submission_token(name)).value();
  fixture.close();
  job.set_token("vecopy");
  if (GENERATE(false, true)) job.set_id(std::numeric_limits<std::uint64_t>::max());
  std::filesystem::create_directory(fixture.files().job_directory(submission_token("vecopy")));
  std::ofstream(fixture.files().job_file(submission_token("vecopy"), "spec"))
      << job.SerializeAsString();
  fixture.open();
  conversation talk(fixture);
  // Which of two has the right to the id nobody can tell: one is named as damaged.
  CHECK(talk.port().check_health(talk.until()).queue_access.find("1 damaged job") == 0);
  const auto next = talk.start(talk.shell_job("exit 0"));
  CHECK(std::stoull(next.id.str()) < 10'000);
  CHECK(talk.wait_for_end(next).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("hostile job: what it wrote as its end ends it, whatever that says",
          "[adapters][local][hostile][told]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto text = GENERATE(
      as<std::string>{}, "state: JOB_STATE_RUNNING started_at_us: 1 finished_at_us: 5",
      "state: JOB_STATE_QUEUED", "state: JOB_STATE_SUSPENDED", "state: JOB_STATE_PENDING",
      "reason: \"x\"",
      "state: JOB_STATE_COMPLETED finished_at_us: 9223372036854775807 started_at_us: -5",
      "state: JOB_STATE_COMPLETED usage { wall_clock_seconds: 9223372036854775807 }",
      "state: JOB_STATE_COMPLETED usage { cpu_time_us: -5 memory_bytes_max: -1 }");
  // Also one that an earlier release took as it was.
  const bool restarted = GENERATE(false, true);
  INFO(text << (restarted ? ", restarted" : ""));
  const auto begin = fresh_path(fixture, "begin");
  const auto job = talk.start(talk.shell_job(
      "while ! [ -e '" + begin + "' ]; do sleep 0.02; done; printf '" + text +
      "' > ../exit.x; mv ../exit.x ../exit; kill -9 $PPID; sleep 1000"));
  talk.wait_until("it is watched", [&] { return fixture.watches(job); });
  std::ofstream{begin} << "x";
  if (restarted) {
    talk.wait_until("it is alone",
                    [&] { return !is_locked(fixture.files().supervisor_path(job.token)); });
    talk.wait_for_end(job);
    // As it was stored by a release that took everything for an end.
    std::ofstream(fixture.files().job_file(job.token, "exit")) << text;
    talk.restart();
  }
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.reason.find("supervisor lost") == 0);
  CHECK(end.reason.find("not in the expected form") != std::string::npos);
  CHECK(end.finished_at <= system_anchor().time);
  CHECK(end.usage->wall_clock_seconds() < 60);
  CHECK(talk.port().take_inventory(talk.until())->cpus_allocated == 0);
  talk.restart();
  CHECK(std::get<job_status>(talk.look(job)).state == pb::JOB_STATE_FAILED);
}
