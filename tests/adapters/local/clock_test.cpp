#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <memory>

#include "adapters/local/moments.hpp"
#include "tests/adapters/local/fixture.hpp"

/// Times of local jobs, when `ved` keeps another time than the system's clock.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

using std::chrono::hours;

/// The clock of `ved`, so far ahead of the system's.
class set_clock {
 public:
  explicit set_clock(microseconds ahead) { set(ahead); }
  void set(microseconds ahead) { *ahead_us_ = ahead.count(); }
  time_point operator()() const { return system_anchor().time + microseconds{*ahead_us_}; }

 private:
  std::shared_ptr<std::atomic<std::int64_t>> ahead_us_ =
      std::make_shared<std::atomic<std::int64_t>>();
};

local_options with(const set_clock& clock) {
  local_options options;
  options.clock = clock;
  return options;
}

constexpr seconds soon{60};

/// Runs until the file is there.
submission waiting_job(const conversation& talk, const std::string& go) {
  return talk.shell_job("while ! [ -e '" + go + "' ]; do sleep 0.02; done");
}

}  // namespace

TEST_CASE("local clock: every time of a job is told by the clock that is given",
          "[adapters][local][clock]") {
  const set_clock clock(hours{9'000});
  local_fixture fixture(with(clock));
  conversation talk(fixture);
  const auto before = clock();
  const std::string go = fresh_path(fixture, "go");
  submission what = waiting_job(talk, go);
  what.spec.mutable_resources()->set_cpu_cores_per_node(3);
  const auto job = talk.start(what);
  const auto running = talk.wait_for(job, pb::JOB_STATE_RUNNING);
  const auto fits = [&](time_point t) { return t >= before && t <= clock(); };
  CHECK(fits(running.started_at));
  CHECK(fits(from_us(fixture.files().read_job(job.token)->submitted_at_us())));
  SECTION("of one that ends by itself") {
    std::ofstream{go} << "x";
    const auto end = talk.wait_for_end(job);
    CHECK(end.started_at == running.started_at);
    CHECK(fits(end.finished_at));
    CHECK(end.usage->wall_clock_seconds() < soon.count());
  }
  SECTION("of one that is cancelled while it waits") {
    const auto waits = talk.start(talk.shell_job("exit 0"));
    talk.control(waits, pb::JOB_CONTROL_CANCEL);
    CHECK(fits(talk.wait_for_end(waits).finished_at));
    std::ofstream{go} << "x";
  }
  SECTION("of one whose supervisor is killed") {
    fixture.kill_supervisor(job);
    const auto end = talk.wait_for_end(job);
    CHECK(end.started_at == running.started_at);
    CHECK(fits(end.finished_at));
  }
  SECTION("of one whose status file is gone") {
    std::filesystem::remove(fixture.files().job_file(job.token, "status"));
    std::filesystem::create_directory(fixture.files().job_file(job.token, "status"));
    talk.wait_until("it is told as running",
                    [&] { return std::get<job_status>(talk.look(job)).reason.size() > 0; });
    const auto status = std::get<job_status>(talk.look(job));
    CHECK(status.state == pb::JOB_STATE_RUNNING);
    CHECK(status.started_at >= before - milliseconds{20});  // the kernel counts ticks
    CHECK(status.started_at <= clock());
    std::ofstream{go} << "x";
  }
  SECTION("of a copy that finds the claim taken") {
    std::ofstream{go} << "x";
    talk.wait_for_end(job);
    auto copy = what;
    copy.token = submission_token(what.token.str() + "x");
    const auto end = talk.wait_for_end(talk.start(copy));
    CHECK(end.lost_claim_to == what.token);
    CHECK(fits(end.finished_at));
  }
}

TEST_CASE("local clock: set by hours between two starts of ved it makes no job long or negative",
          "[adapters][local][clock]") {
  const auto step = GENERATE(hours{-6}, hours{6}, hours{-24 * 365});
  set_clock clock(hours{24});
  local_fixture fixture(with(clock));
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const auto job = talk.start(waiting_job(talk, go));
  const auto first = talk.wait_for(job, pb::JOB_STATE_RUNNING);
  const auto in_between = [&](time_point t) { return t >= clock() - soon && t <= clock(); };
  SECTION("while it runs") {
    clock.set(hours{24} + step);
    talk.restart();
    const auto again = talk.wait_for(job, pb::JOB_STATE_RUNNING);
    CHECK(again.started_at != first.started_at);
    CHECK(in_between(again.started_at));
    CHECK(std::get<job_status>(talk.look(job)).started_at == again.started_at);
    std::ofstream{go} << "x";
  }
  SECTION("and it ended in between") {
    fixture.close();
    std::ofstream{go} << "x";
    talk.wait_until("it has ended",
                    [&] { return !is_locked(fixture.files().supervisor_path(job.token)); });
    clock.set(hours{24} + step);
    talk.restart();
  }
  const auto end = talk.wait_for_end(job);
  CHECK(in_between(end.started_at));
  CHECK(in_between(end.finished_at));
  CHECK(end.started_at <= end.finished_at);
  CHECK(end.usage->wall_clock_seconds() < soon.count());
}

TEST_CASE("local clock: drawn by less than a tenth it changes no start that was told",
          "[adapters][local][clock]") {
  set_clock clock(hours{24});
  local_fixture fixture(with(clock));
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const auto job = talk.start(waiting_job(talk, go));
  const auto first = talk.wait_for(job, pb::JOB_STATE_RUNNING);
  clock.set(hours{24} + milliseconds{900});
  talk.restart();
  CHECK(talk.wait_for(job, pb::JOB_STATE_RUNNING).started_at == first.started_at);
  std::ofstream{go} << "x";
  const auto end = talk.wait_for_end(job);
  CHECK(end.started_at == first.started_at);
  CHECK(end.started_at <= end.finished_at);
}

TEST_CASE("local clock: a correction is what no slow drawing explains",
          "[adapters][local][clock]") {
  const clock_anchor now{from_us(1'800'000'000'000'000), hours{10}};
  const auto right = now.time - hours{5};
  CHECK(correction(right, hours{5}, now) == microseconds{0});
  CHECK(correction(right - std::chrono::minutes{30}, hours{5}, now) == microseconds{0});
  CHECK(correction(right + std::chrono::minutes{31}, hours{5}, now) == -std::chrono::minutes{31});
  CHECK(correction(right - hours{24}, hours{5}, now) == hours{24});
  CHECK(correction(now.time - seconds{2}, now.boot, now) == microseconds{0});
}
