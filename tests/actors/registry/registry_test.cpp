#include "tests/actors/registry/jobs_fixture.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::registry;

TEST_CASE("registry: whose the limit of time is stands in the log", "[actors][registry]") {
  jobs_fixture f;
  f.start();
  REQUIRE(f.submit("j-1"));
  REQUIRE(f.ask(actors::submit_job{
      {"tester", {}}, std::make_shared<const pb::JobSpec>(sample_spec("j-2")), "hash", true}));
  const auto first = [&](const std::string& id) {
    return f.log->read_stream(core::job_stream(id), 0, 1).value().at(0).job().accepted();
  };
  CHECK_FALSE(first("j-1").limit_is_default());
  CHECK(first("j-2").limit_is_default());
}

TEST_CASE("registry: a live job in the log that has no actor gets one", "[actors][registry]") {
  jobs_fixture f;
  f.start();
  f.run();
  f.store_behind_the_registry("j-1");
  REQUIRE(f.wanted->empty());
  SECTION("by itself after a while") {
    f.pass(seconds{6});
  }
  SECTION("when its client repeats the submission") {
    const auto again = f.submit("j-1");
    REQUIRE(again);
    CHECK(again->already_known);
  }
  SECTION("when its cluster has news of it") {
    caf::anon_send(f.registry, actors::job_report{job_id{"j-1"}, core::job::advance{}});
    f.run();
  }
  CHECK((*f.wanted)["j-1"] > 0);
}

TEST_CASE("registry: what was given up is ended where its cluster is back, and counts for nothing",
          "[actors][registry]") {
  jobs_fixture f(1);
  const auto give_up = [&](store::event_log& in, const std::string& id, const char* cluster) {
    auto spec = sample_spec(id);
    spec.set_cluster_id(cluster);
    driver made(spec);
    made.submission(core::job::submission_result::accepted, "17");
    made.run(core::job::cancel_job{"alice", "sold", true});
    f.store(in, id, made);
  };
  give_up(*f.log, "back", "hpc-1");
  give_up(*f.other_log, "away", "hpc-2");
  f.start();
  f.run();
  CHECK((*f.wanted)["back"] > 0);
  REQUIRE(f.problems->all().size() == 1);
  CHECK(f.problems->all().front().text.find("job back was given up") == 0);
  f.pass(seconds{6});
  CHECK(f.wanted->count("away") == 0);
  CHECK(f.command("back", core::job::cancel_job{"bob", ""}, "")->record.state() ==
        pb::JOB_STATE_CANCELLED);
  const auto wanted_before = (*f.wanted)["back"];
  core::job::report_status end;
  end.id = scheduler_job_id{"17"};
  end.state = pb::JOB_STATE_CANCELLED;
  f.tell("back", end);
  CHECK((*f.wanted)["back"] == wanted_before + 1);  // nothing, from now on
  CHECK_FALSE(f.stored("back").abandoned());
  CHECK(f.problems->all().empty());
  CHECK(f.submit("new"));
}

TEST_CASE("registry: one principal leaves places for others, also after a restart",
          "[actors][registry]") {
  jobs_fixture f(4, 2);
  f.start();
  f.run();
  REQUIRE(f.submit("a-1", "alice"));
  REQUIRE(f.submit("a-2", "alice"));
  const auto refused = f.submit("a-3", "alice");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::overloaded);
  CHECK(refused.error().message.find("2 jobs of alice") != std::string::npos);
  CHECK(f.submit("a-2", "alice"));  // known already
  CHECK(f.submit("b-1", "bob"));
  f.start_registry();
  f.run();
  CHECK_FALSE(f.submit("a-4", "alice"));
  CHECK(f.submit("b-2", "bob"));
  CHECK(f.command("a-1", core::job::cancel_job{"alice", ""}, ""));
  f.run();
  CHECK(f.submit("a-5", "alice"));
  CHECK_FALSE(f.submit("a-6", "alice"));
}

TEST_CASE("registry: who has the name of a token that is revoked has a part of his own",
          "[actors][registry]") {
  jobs_fixture f(8, 2);
  f.start();
  f.run();
  REQUIRE(f.submit("a-1", "alice", "first"));
  REQUIRE(f.submit("a-2", "alice", "first"));
  CHECK(f.stored("a-1").submitted_by_token() == "first");
  CHECK_FALSE(f.submit("a-3", "alice", "first"));
  CHECK(f.submit("a-4", "alice", "second"));
  f.start_registry();
  f.run();
  CHECK_FALSE(f.submit("a-5", "alice", "first"));
  CHECK(f.submit("a-6", "alice", "second"));
  CHECK_FALSE(f.submit("a-7", "alice", "second"));
}

TEST_CASE("registry: jobs of a log that comes later are taken up with its cluster",
          "[actors][registry]") {
  jobs_fixture f(2);
  f.start();
  f.run();
  const auto late = memory_log();
  for (const auto* id : {"late-1", "late-2"}) {
    auto spec = sample_spec(id);
    spec.set_cluster_id("hpc-3");
    f.store(*late, id, driver(spec));
  }
  f.open("hpc-3", late);
  caf::anon_send(f.registry, actors::cluster_restarted{cluster_id{"hpc-3"}});
  f.run();
  const auto view = f.ask_view();
  CHECK(view.live_jobs == 2);
  CHECK(view.recovered);
  const auto refused = f.submit("one-more");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::overloaded);
  // Once: a link that starts anew brings nothing new.
  caf::anon_send(f.registry, actors::cluster_restarted{cluster_id{"hpc-3"}});
  f.run();
  CHECK(f.ask_view().live_jobs == 2);
}

TEST_CASE("registry: jobs of a log that comes later count once, also those that have an actor",
          "[actors][registry]") {
  jobs_fixture f(3);
  f.start();
  f.run();
  const auto late = memory_log();
  for (const auto* id : {"late-1", "late-2"}) {
    auto spec = sample_spec(id);
    spec.set_cluster_id("hpc-3");
    f.store(*late, id, driver(spec));
  }
  f.open("hpc-3", late);
  for (const auto* id : {"late-1", "late-2"}) REQUIRE(f.submit(id));  // known already
  REQUIRE(f.ask_view().live_jobs == 2);
  caf::anon_send(f.registry, actors::cluster_restarted{cluster_id{"hpc-3"}});
  CHECK(f.submit("one-more"));  // before the log is taken up
  CHECK_FALSE(f.submit("too-many"));
}

TEST_CASE("registry: nobody gets more than his part while jobs are recovered",
          "[actors][registry]") {
  constexpr std::size_t part = 1'100;  // more than are recovered at once
  jobs_fixture f(2 * part, part);
  for (std::size_t i = 0; i < part; ++i)
    f.store_behind_the_registry("j-" + std::to_string(i));
  f.start();
  SECTION("whose jobs they are") {
    const auto more = f.submit("more", "alice");
    REQUIRE_FALSE(more);
    CHECK(more.error().code == errc::overloaded);
    CHECK_THAT(more.error().message, Catch::Contains("1100 jobs of alice"));
  }
  SECTION("and others get theirs") { CHECK(f.submit("other", "bob")); }
}

TEST_CASE("registry: jobs not recovered yet count for the limit", "[actors][registry]") {
  jobs_fixture f(2);
  f.store_behind_the_registry("j-1");
  f.store_behind_the_registry("j-2");
  f.start();
  // Sent before the registry has had its first turn.
  const auto more = f.submit("j-3");
  REQUIRE_FALSE(more);
  CHECK(more.error().code == errc::overloaded);
  CHECK(f.submit("j-1"));
}

TEST_CASE("registry: a request id answers for the one request that it was used for",
          "[actors][registry]") {
  jobs_fixture f;
  f.start();
  REQUIRE(f.submit("j-1"));
  REQUIRE(f.submit("j-2"));
  const auto cancel = core::job::cancel_job{"tester", "enough"};
  const auto first = f.command("j-1", cancel, "tester/r-1");
  REQUIRE(first);
  CHECK_FALSE(first->already_known);
  const auto repeated = f.command("j-1", cancel, "tester/r-1");
  REQUIRE(repeated);
  CHECK(repeated->already_known);

  const auto other_job = f.command("j-2", cancel, "tester/r-1");
  REQUIRE_FALSE(other_job);
  CHECK(other_job.error().code == errc::conflict);
  const auto other_operation = f.command("j-1", core::job::release_job{"tester", ""}, "tester/r-1");
  REQUIRE_FALSE(other_operation);
  CHECK(other_operation.error().code == errc::conflict);
  CHECK(f.command("j-2", cancel, "tester/r-2"));
  // Whichever cluster it was used for.
  f.store(*f.other_log, "j-3", driver(sample_spec("j-3")));
  const auto other_cluster = f.command("j-3", cancel, "tester/r-1");
  REQUIRE_FALSE(other_cluster);
  CHECK(other_cluster.error().code == errc::conflict);
}

TEST_CASE("registry: who asks an actor that the log has overtaken is told to ask again",
          "[actors][registry]") {
  jobs_fixture f;
  f.start();
  REQUIRE(f.submit("j-1"));
  // An actor of an earlier registry had one more event on its way.
  auto stored = f.log->state("job/j-1").value().value();
  store::append_request request;
  request.stream = "job/j-1";
  request.expected_version = stored.version;
  request.state = stored.state;
  request.events.emplace_back().mutable_job()->mutable_duplicate_found()->set_kept("1");
  REQUIRE(f.log->commit(std::vector{request}, f.now)->front());
  const auto cancel = core::job::cancel_job{"tester", "enough"};
  const auto refused = f.command("j-1", cancel, "");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::unavailable);
  CHECK(f.command("j-1", cancel, ""));
}

TEST_CASE("registry: a job that learns nothing from an answer repeats what it needs",
          "[actors][registry]") {
  jobs_fixture f;
  f.start();
  const auto accepted = f.submit("j-1");
  REQUIRE(accepted);
  const auto send = [&](core::job::command what) {
    caf::anon_send(f.registry, actors::job_report{job_id{"j-1"}, std::move(what)});
    f.run();
  };
  send(core::job::recover{"the link was started anew"});
  const auto wanted = (*f.wanted)["j-1"];
  send(core::job::report_submission{submission_token{accepted->record.token()},
                                    core::job::submission_result::not_sent,
                                    {},
                                    "no route"});
  CHECK((*f.wanted)["j-1"] == wanted + 1);
}

TEST_CASE("event log: the end of its actor ends the process", "[actors][event_log]") {
  jobs_fixture f;
  f.start();
  f.run();
  SECTION("whatever the cause") {
    caf::anon_send_exit(f.log_actor, caf::exit_reason::unhandled_exception);
    f.run();
    CHECK(f.fatals == 1);
  }
  SECTION("but not when the daemon stops") {
    caf::anon_send_exit(f.log_actor, caf::exit_reason::user_shutdown);
    f.run();
    CHECK(f.fatals == 0);
  }
}

TEST_CASE("registry: news that the log refuses for its words is told in part, and others go on",
          "[actors][registry]") {
  jobs_fixture f;
  f.start();
  REQUIRE(f.submit("j-1"));
  REQUIRE(f.submit("j-2"));
  f.run_on_cluster("j-1", "17");
  f.run_on_cluster("j-2", "18");
  core::job::report_status running;
  running.id = scheduler_job_id{"17"};
  running.state = pb::JOB_STATE_RUNNING;
  running.reason = "node \xff went away";
  f.tell("j-1", running);
  auto stored = f.stored("j-1");
  CHECK(stored.state() == pb::JOB_STATE_RUNNING);
  CHECK(stored.reason().find("went away; told in part, for the event log refuses the whole: "
                             "stream job/j-1: an event is too large or has text that is not "
                             "UTF-8") != std::string::npos);
  running.id = scheduler_job_id{"18"};
  running.reason.clear();
  f.tell("j-2", running);
  CHECK(f.stored("j-2").state() == pb::JOB_STATE_RUNNING);
  CHECK(f.logs->lines["job_actor_failed"] == 0);
  CHECK(f.problems->all().empty());
}

TEST_CASE("registry: news that the log never takes is dropped, shown, and not tried again",
          "[actors][registry]") {
  jobs_fixture f;
  f.start();
  REQUIRE(f.submit("j-1"));
  f.run_on_cluster("j-1", "17");
  core::job::report_status lost;
  lost.id = scheduler_job_id{"17"};
  lost.state = pb::JOB_STATE_FAILED;
  lost.lost_claim_to = submission_token{"\xff"};
  lost.lost_to_same_job = true;
  f.tell("j-1", lost);
  CHECK(f.stored("j-1").state() == pb::JOB_STATE_QUEUED);
  const auto shown = f.problems->all();
  REQUIRE(shown.size() == 1);
  CHECK(shown[0].text.starts_with(
      "job j-1: the event log refuses what cluster hpc-1 reports of it (stream job/j-1: an event "
      "is too large or has text that is not UTF-8): it stays queued here"));
  f.pass(seconds{600});
  CHECK(f.logs->lines["news_not_storable"] == 1);
  CHECK(f.logs->lines["job_actor_failed"] == 0);
  // Other news is heard, and mends it.
  core::job::report_status running;
  running.id = scheduler_job_id{"17"};
  running.state = pb::JOB_STATE_RUNNING;
  f.tell("j-1", running);
  CHECK(f.stored("j-1").state() == pb::JOB_STATE_RUNNING);
  CHECK(f.problems->all().empty());
}

TEST_CASE("registry: a submission whose outcome cannot be stored is looked up",
          "[actors][registry]") {
  jobs_fixture f;
  f.start();
  REQUIRE(f.submit("j-1"));
  f.run_on_cluster("j-1", "\xff");
  const auto stored = f.stored("j-1");
  CHECK(stored.phase() == pb::JOB_PHASE_UNRESOLVED);
  CHECK(stored.reason().starts_with("its outcome could not be stored: stream job/j-1: an event"));
  CHECK(f.logs->lines["job_actor_failed"] == 0);
}

TEST_CASE("registry: each job lies in its cluster's log, and an id names one job over all of them",
          "[actors][registry]") {
  jobs_fixture f;
  f.start();
  f.run();
  const auto submit_to = [&](const std::string& id, const std::string& cluster) {
    auto spec = sample_spec(id);
    spec.set_cluster_id(cluster);
    return f.ask(actors::submit_job{
        {"tester", {}}, std::make_shared<const pb::JobSpec>(spec), "hash of " + cluster});
  };
  REQUIRE(submit_to("one", "hpc-1"));
  REQUIRE(submit_to("two", "hpc-2"));
  CHECK(f.log->state("job/one").value().has_value());
  CHECK_FALSE(f.log->state("job/two").value().has_value());
  CHECK(f.other_log->state("job/two").value().has_value());
  CHECK(submit_to("one", "hpc-2").error().code == errc::conflict);
  // Also once its actor is gone.
  REQUIRE(f.command("two", core::job::cancel_job{"tester", ""}, ""));
  f.run();
  CHECK(submit_to("two", "hpc-1").error().code == errc::conflict);
  CHECK(submit_to("two", "hpc-2")->already_known);
  // A cluster without a log takes nothing.
  CHECK(submit_to("three", "hpc-3").error().code == errc::unavailable);
}
