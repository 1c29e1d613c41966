#include "tests/actors/registry/jobs_fixture.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::registry;

TEST_CASE("registry: what has ended and is in its scheduler again is ended there",
          "[actors][registry]") {
  jobs_fixture f(1);
  driver made(sample_spec("back"));
  made.submission(core::job::submission_result::accepted, "17");
  core::job::report_status end;
  end.id = scheduler_job_id{"17"};
  end.state = pb::JOB_STATE_FAILED;
  end.usage.emplace().set_wall_clock_seconds(60);
  made.run(end);
  f.store(*f.log, "back", made);
  f.start();
  f.run();
  CHECK(f.wanted->count("back") == 0);
  core::job::report_stray stray{made.state.token, scheduler_job_id{"17"}, true, {},
                                cluster_id{"hpc-1"}};
  auto another = stray;
  another.token = submission_token{"vezzzzzzzzzzzz"};
  f.tell("back", another);
  f.tell("nobody", stray);
  auto elsewhere = stray;
  elsewhere.cluster = cluster_id{"hpc-2"};
  f.tell("back", elsewhere);
  CHECK(f.wanted->count("back") == 0);
  CHECK_FALSE(f.stored("back").has_returned());
  f.tell("back", stray);
  CHECK((*f.wanted)["back"] > 0);
  CHECK(f.stored("back").has_returned());
  CHECK(f.stored("back").state() == pb::JOB_STATE_FAILED);
  REQUIRE(f.problems->all().size() == 1);
  CHECK(f.problems->all().front().text.find("job back has ended here as failed") == 0);
  SECTION("it takes no place among the live ones") {
    CHECK(f.submit("new"));
    CHECK_FALSE(f.submit("more"));
  }
  SECTION("also after a restart") {
    const auto before = (*f.wanted)["back"];
    f.start_registry();
    f.run();
    CHECK((*f.wanted)["back"] > before);
  }
  end.state = pb::JOB_STATE_CANCELLED;
  end.enqueued_at = made.ctx.now + seconds{60};
  end.usage->set_wall_clock_seconds(5);
  f.tell("back", end);
  CHECK_FALSE(f.stored("back").abandoned());
  CHECK(f.stored("back").usage().wall_clock_seconds() == 65);
  CHECK(f.problems->all().empty());
}
