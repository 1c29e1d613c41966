#include <catch2/catch.hpp>

#include "tests/support/ended_job.hpp"

/// A job that has ended here, of a controller that has come back with an older state.
using namespace ved;
using tests::driver;
using tests::enqueued;
namespace job = ved::core::job;

TEST_CASE("returned: a wait whose end was told, and that a controller brings back, is ended",
          "[actors][job]") {
  driver d = tests::in_phase("queued");
  job::report_status over;
  over.id = d.state.scheduler_id;
  over.state = pb::JOB_STATE_CANCELLED;
  over.enqueued_at = enqueued;
  over.finished_at = tests::t0 + seconds{60};
  over.usage.emplace();
  d.run(over);
  REQUIRE(job::is_terminal(d.state));
  const bool twice = GENERATE(true, false);
  job::report_stray stray{d.state.token, d.state.scheduler_id, true, enqueued};
  if (twice) {
    REQUIRE(d.run(stray) == "returned");
    REQUIRE(d.run(over) == "abandoned_over");
    CHECK(std::get<job::finished>(d.state.now).finished_at == tests::t0 + seconds{60});
  }
  auto ended = stray;
  ended.is_live = false;
  CHECK(d.run(ended).empty());  // as it was told
  SECTION("it waits") {}
  SECTION("it runs") { stray.started_at = tests::t0 + seconds{90}; }
  SECTION("it ran, before anybody looked") {
    stray = ended;
    stray.started_at = tests::t0 + seconds{90};
  }
  REQUIRE(d.run(stray) == "returned");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_FAILED;
  end.enqueued_at = enqueued;
  end.started_at = tests::t0 + seconds{90};
  end.finished_at = tests::t0 + seconds{120};
  end.usage.emplace().set_wall_clock_seconds(30);
  CHECK(d.run(end) == "abandoned_over");
  const auto& told = std::get<job::finished>(d.state.now);
  CHECK(told.usage->wall_clock_seconds() == 30);
  CHECK(told.told_until == enqueued);
  stray.is_live = false;
  CHECK(d.run(stray).empty());
}

TEST_CASE("returned: of a controller's older state only the run that was told is no news",
          "[actors][job]") {
  driver d = tests::failed();
  job::report_stray stray{d.state.token, d.state.scheduler_id, true, enqueued};
  SECTION("that run, which it will find out to be over") {
    stray.started_at = tests::t0 + seconds{10};
    CHECK(d.run(stray).empty());
  }
  SECTION("it waits to be run once more") { CHECK(d.run(stray) == "returned"); }
  SECTION("it runs once more") {
    stray.started_at = tests::t0 + seconds{75};
    CHECK(d.run(stray) == "returned");
  }
}
