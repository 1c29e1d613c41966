#pragma once

#include <catch2/catch.hpp>

#include "tests/support/job_fixture.hpp"

/// A job that has ended, for tests of what its scheduler makes of it afterwards.
namespace ved::tests {

inline const time_point enqueued = t0 + seconds{5};

/// It ran for a minute, and failed.
inline driver failed() {
  driver d = in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_FAILED;
  end.enqueued_at = enqueued;
  end.started_at = t0 + seconds{10};
  end.finished_at = t0 + seconds{70};
  end.usage.emplace().set_wall_clock_seconds(60);
  d.run(end);
  REQUIRE(d.shown() == pb::JOB_STATE_FAILED);
  REQUIRE(std::get<job::finished>(d.state.now).told_until == enqueued);
  return d;
}

}  // namespace ved::tests
