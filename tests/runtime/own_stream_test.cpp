#include "runtime/own_stream.hpp"

#include <catch2/catch.hpp>

#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "tests/runtime/followers_support.hpp"
#include "tests/support/memory_logs.hpp"

using namespace ved;
using namespace ved::runtime;

namespace {
constexpr time_point t0{seconds{1'700'000'000}};
}  // namespace

TEST_CASE("own stream: each start is recorded after what the daemon said before", "[runtime]") {
  const auto log = tests::memory_log();
  REQUIRE(record_start(store::event_logs(log), "first", t0));
  pb::Envelope stopped;
  stopped.mutable_daemon()->mutable_stopped()->set_reason("told to");
  const auto request = of_daemon(*log, stopped);
  REQUIRE(request);
  REQUIRE(log->commit(std::span(&*request, 1), t0 + seconds{1})->front());
  REQUIRE(record_start(store::event_logs(log), "second", t0 + seconds{2}));
  const auto events = log->read_stream("daemon", 0, 10);
  REQUIRE(events);
  REQUIRE(events->size() == 3);
  CHECK(events->at(0).daemon().started().boot_id() == "first");
  CHECK(events->at(1).daemon().stopped().reason() == "told to");
  CHECK(events->at(2).daemon().started().boot_id() == "second");
  CHECK(events->at(2).at_us() == to_us(t0 + seconds{2}));
  CHECK(events->at(2).principal() == "ved");
}

TEST_CASE("own stream: a start tells how many jobs are still to be followed", "[runtime]") {
  tests::test_log log;
  REQUIRE(record_start(store::event_logs(log.log), "empty", t0));
  log.add(tests::completed_job("ended"));
  for (const auto* id : {"waits", "also-waits"}) log.add(tests::driver(tests::sample_spec(id)));
  REQUIRE(record_start(store::event_logs(log.log), "later", t0));
  const auto events = log.log->read_stream("daemon", 0, 10);
  REQUIRE(events);
  CHECK(events->at(0).daemon().started().live_jobs() == 0);
  CHECK(events->at(1).daemon().started().live_jobs() == 2);
}

TEST_CASE("own stream: a log has one name for ever, and another log another", "[runtime]") {
  const auto disk = std::make_shared<store::memory_disk>();
  std::string name;
  {
    const auto log = tests::memory_log(disk);
    CHECK(instance_of(*log).error().code == errc::internal);  // nothing was written yet
    REQUIRE(record_start(store::event_logs(log), "first", t0));
    name = instance_of(*log).value();
  }
  CHECK(name.size() == 16);
  CHECK(name.find_first_not_of("0123456789abcdef") == std::string::npos);
  const auto again = tests::memory_log(disk);
  REQUIRE(record_start(store::event_logs(again), "second", t0 + seconds{1}));
  CHECK(instance_of(*again).value() == name);
  const auto other = tests::memory_log();
  REQUIRE(record_start(store::event_logs(other), "third", t0));
  CHECK(instance_of(*other).value() != name);
  CHECK(make_boot_id() != make_boot_id());
  CHECK(make_boot_id().size() == 16);
}

TEST_CASE("own stream: jobs that were sent are counted by cluster, what waits here is not",
          "[runtime]") {
  tests::test_log log;
  log.add(tests::completed_job("ended"));
  auto sent = tests::driver(tests::sample_spec("sent"));
  log.add(sent);
  const auto logs = tests::logs_with({{"hpc-1", log.log}});
  const auto known = remembering(*logs, "given-up");
  CHECK(known(cluster_id{"hpc-1"})->sent_jobs == 1);
  CHECK(known(cluster_id{"hpc-1"})->scheduler.scheduler_type().empty());  // never met
  CHECK(known(cluster_id{"another"})->sent_jobs == 0);
  CHECK(remembering(*logs, "hpc-1")(cluster_id{"hpc-1"})->sent_jobs == 0);
}

TEST_CASE("own stream: a job that waits binds its cluster where an attempt may have arrived",
          "[runtime]") {
  using sub = core::job::submission_result;
  tests::test_log log;
  tests::driver waits;
  const bool doubt = GENERATE(false, true);
  if (doubt) {
    waits.submission(sub::unknown, "timed out");
    for (int i = 0; i < 5 && waits.phase() != "waiting"; ++i)
      waits.pass(seconds{60}).lookup(core::job::lookup_result::absent);
  } else {
    waits.submission(sub::not_sent, "connection refused");
  }
  REQUIRE(waits.phase() == "waiting");
  log.add(waits);
  const auto logs = tests::logs_with({{"hpc-1", log.log}});
  CHECK(remembering(*logs, "")(cluster_id{"hpc-1"})->sent_jobs == (doubt ? 1 : 0));
}

TEST_CASE("own stream: what was given up, and may run on, is remembered as sent", "[runtime]") {
  using adapters::remembered;
  tests::test_log log;
  const auto phase = GENERATE("queued", "running");
  auto left = tests::in_phase(phase);
  left.run(core::job::cancel_job{"alice", "sold", true});
  log.add(left);
  const auto logs = tests::logs_with({{"hpc-1", log.log}});
  CHECK(remembering(*logs, "")(cluster_id{"hpc-1"})->sent_jobs == 1);
  CHECK(remembering(*logs, "hpc-1")(cluster_id{"hpc-1"})->sent_jobs == 0);
  // One that had not begun must not begin: as far as this side knows it has ended.
  const bool ran = is_set(left.state.started_at);
  CHECK(life_in(*logs)(left.state.id, left.state.token) ==
        (ran ? remembered::began : remembered::ended));
  CHECK(life_in(*logs)(left.state.id, submission_token{"vebbbbbbbbbbbb"}) == remembered::ended);
  core::job::report_status end;
  end.id = left.state.scheduler_id;
  end.state = pb::JOB_STATE_CANCELLED;
  left.run(end);
  log.add(left);
  CHECK(remembering(*logs, "")(cluster_id{"hpc-1"})->sent_jobs == 0);
  CHECK(life_in(*logs)(left.state.id, left.state.token) == remembered::ended);
}

TEST_CASE("own stream: a cluster's scheduler is remembered as it was met last", "[runtime]") {
  tests::test_log log;
  const auto meet = [&](const std::string& cluster, std::uint64_t version, const char* name) {
    store::append_request request;
    request.stream = "cluster/" + cluster;
    request.expected_version = version;
    auto& event = request.events.emplace_back();
    event.mutable_cluster()->mutable_identified()->set_scheduler_type("slurm");
    event.mutable_cluster()->mutable_identified()->set_name(name);
    request.state = core::fold(request.stream, "", event).value();
    REQUIRE(log.log->commit(std::span(&request, 1), t0)->front());
  };
  meet("hpc-1", 0, "west");
  meet("hpc-1", 1, "east");
  log.add(tests::driver(tests::sample_spec("sent")));
  const auto logs = tests::logs_with({{"hpc-1", log.log}});
  const auto known = remembering(*logs, "");
  CHECK(known(cluster_id{"hpc-1"})->scheduler.scheduler_type() == "slurm");
  CHECK(known(cluster_id{"hpc-1"})->scheduler.name() == "east");
}

TEST_CASE("own stream: nothing is bound to the scheduler of a cluster that has no job there",
          "[runtime]") {
  tests::test_log log;
  store::append_request request;
  request.stream = "cluster/idle";
  auto& event = request.events.emplace_back();
  event.mutable_cluster()->mutable_identified()->set_name("north");
  request.state = core::fold(request.stream, "", event).value();
  REQUIRE(log.log->commit(std::span(&request, 1), t0)->front());
  const auto logs = tests::logs_with({{"idle", log.log}});
  CHECK(remembering(*logs, "")(cluster_id{"idle"})->scheduler.name().empty());
  // Who asks for what was met gets it all the same.
  const auto met = met_in(logs);
  CHECK(met(cluster_id{"idle"})->name() == "north");
  CHECK_FALSE(met(cluster_id{"unknown"}));
}

TEST_CASE("own stream: the clusters that had a log are remembered, each once", "[runtime]") {
  const auto own = tests::memory_log();
  CHECK(clusters_with_logs(*own)->empty());
  REQUIRE(record_start(store::event_logs(own), "first", t0));
  for (const auto* id : {"b", "a", "b"}) REQUIRE(record_cluster_log(*own, cluster_id{id}, t0));
  REQUIRE(record_start(store::event_logs(own), "second", t0));
  CHECK(clusters_with_logs(*own).value() == std::set<std::string>{"a", "b"});
  CHECK(own->verify()->ok);
}

TEST_CASE("own stream: what became of a job is known wherever it lies", "[runtime]") {
  using adapters::remembered;
  tests::test_log log;
  log.add(tests::completed_job("ended"));
  const auto runs = tests::in_phase("running");
  log.add(runs);
  log.add(tests::driver(tests::sample_spec("waits")));
  const auto logs = tests::logs_with({{"hpc-0", tests::memory_log()}, {"hpc-1", log.log}});
  const auto life = life_in(*logs);
  const auto token = runs.state.token;
  CHECK(life(job_id{"ended"}, token) == remembered::ended);
  CHECK(life(runs.state.id, token) == remembered::began);
  CHECK(life(runs.state.id, submission_token{"vebbbbbbbbbbbb"}) == remembered::nothing);
  CHECK(life(job_id{"unknown"}, token) == remembered::nothing);
}

TEST_CASE("own stream: a job that waits is known under its token", "[runtime]") {
  using adapters::remembered;
  tests::test_log log;
  const auto queued = tests::in_phase("queued");
  log.add(queued);
  const auto logs = tests::logs_with({{"hpc-1", log.log}});
  const auto life = life_in(*logs);
  CHECK(life(queued.state.id, queued.state.token) == remembered::waits);
  CHECK(life(queued.state.id, submission_token{"vebbbbbbbbbbbb"}) == remembered::nothing);
}
