#include "actors/link/actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>

#include "actors/event_log/actor.hpp"
#include "actors/entities.hpp"
#include "actors/shell/io_pool.hpp"
#include "store/memory_kv.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using namespace ved::tests;

namespace {

/// A link whose pool has no worker: calls wait in it, or are refused when it takes none.
struct lone_link {
  time_point now = t0;
  std::shared_ptr<store::event_log> log;
  caf::actor_system_config config;
  caf::actor_system system;
  caf::scheduler::test_coordinator& scheduler;
  std::shared_ptr<actors::io_pool> pool;
  actors::event_log_actor writer;
  actors::link_actor link;

  lone_link(const core::link::limits& limits, std::size_t calls_max,
            store::projection folds = {
                [](auto, auto, const auto&) -> result<std::string> { return std::string{}; }, {}})
      : system(config.set("scheduler.policy", caf::atom("testing"))),
        scheduler(dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler())) {
    store::event_log::options how;
    how.fold = std::move(folds);
    log = std::move(
        store::event_log::open(store::open_memory(std::make_shared<store::memory_disk>()), how)
            .value());
    const auto clock = [this] { return now; };
    writer = system.spawn(
        actors::event_log, actors::event_log_deps{log, std::make_shared<actors::commit_feed>(),
                                                  clock, [](const std::string&) {}});
    actors::link_deps deps;
    deps.cluster = cluster_id{"hpc-1"};
    deps.scheduler_type = "slurm";
    deps.limits = limits;
    deps.log = {store::cluster_log_name("hpc-1"), log, writer, nullptr};
    deps.pool = deps.reads = pool = std::make_shared<actors::io_pool>(
        actors::io_pool::options{.name = "none", .workers = 0, .queue_max = calls_max},
        []() -> result<std::unique_ptr<adapters::scheduler>> {
          return fail(errc::unavailable, "none");
        });
    deps.logs = std::make_shared<actors::log_sink>();
    deps.clock = clock;
    deps.poll_took = [](microseconds) {};
    deps.crash_point = [](const char*) {};
    link = system.spawn(actors::scheduler_link, std::move(deps));
  }
  ~lone_link() {
    for (const auto& one :
         {caf::actor_cast<caf::actor>(link), caf::actor_cast<caf::actor>(writer)})
      caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
  }

  void run() {
    while (scheduler.try_run_once()) {
    }
  }
  /// The call that was ordered as the n-th returns.
  void complete(core::link::order_id n, actors::order_result how) {
    caf::anon_send(link, actors::link_completion{n, std::move(how)});
    run();
  }
};

}  // namespace

TEST_CASE("link: news of its cluster is recorded after what the link before it had under way",
          "[actors][link]") {
  core::link::limits limits;
  limits.breaker_failures = 1;  // the first poll opens it
  lone_link made(limits, 0);
  // Log and link begin: the stream is still empty.
  made.scheduler.run_once();
  made.scheduler.run_once();
  store::append_request earlier;
  earlier.stream = "cluster/hpc-1";
  earlier.events.emplace_back().mutable_cluster()->mutable_up()->set_cluster_id("hpc-1");
  REQUIRE(made.log->commit(std::vector{earlier}, t0)->front());
  core::link::desired wanted;
  wanted.follow = core::job::follow{scheduler_job_id{"1"}, submission_token{"t"},
                                    pb::JOB_STATE_QUEUED};
  caf::anon_send(made.link, actors::link_want{job_id{"j-1"}, wanted});
  made.run();
  const auto events = made.log->read_stream("cluster/hpc-1", 0, 10);
  REQUIRE(events);
  REQUIRE(events->size() == 2);
  CHECK(events->back().cluster().has_down());
}

TEST_CASE("link: a reason that the log refuses holds no later news back", "[actors][link]") {
  core::link::limits limits;
  limits.breaker_failures = 1;
  limits.queries_per_minute_max = 0;
  lone_link made(limits, 8);
  made.run();
  made.complete(1, {core::link::inventory_done{}, 3, nullptr, {}});
  core::link::desired follows;
  follows.follow = core::job::follow{scheduler_job_id{"7"}, submission_token{"ve7"},
                                     pb::JOB_STATE_RUNNING};
  caf::anon_send(made.link, actors::link_want{job_id{"j-7"}, follows});
  made.run();
  made.complete(2, {core::link::call_failed{"banner \xff"}, 1, nullptr, {}});
  const auto pass = [&](seconds span) {
    made.now += span;
    made.scheduler.advance_time(span);
    made.run();
  };
  pass(seconds{1});
  auto events = made.log->read_stream("cluster/hpc-1", 0, 10).value();
  REQUIRE(events.size() == 1);
  CHECK(events[0].cluster().down().reason() ==
        "the event log refuses its reason: stream cluster/hpc-1: an event is too large or has text "
        "that is not UTF-8");
  pass(seconds{31});  // the breaker's probe
  made.complete(3, {core::link::poll_done{{core::job::report_missing{}}}, 1, nullptr, {}});
  pass(seconds{1});
  events = made.log->read_stream("cluster/hpc-1", 0, 10).value();
  REQUIRE(events.size() == 2);
  CHECK(events[1].cluster().has_up());
}

TEST_CASE("link: a poll begins when it is planned, not at the next tick", "[actors][link]") {
  core::link::limits limits;
  limits.poll_interval = limits.poll_interval_min = milliseconds{60};
  limits.queries_per_minute_max = 0;
  lone_link made(limits, 8);
  made.run();
  made.complete(1, {core::link::inventory_done{}, 3, nullptr, {}});
  core::link::desired follows;
  follows.follow = core::job::follow{scheduler_job_id{"7"}, submission_token{"ve7"},
                                     pb::JOB_STATE_RUNNING};
  caf::anon_send(made.link, actors::link_want{job_id{"j-7"}, follows});
  made.run();
  core::link::order_id polls = 2;  // and the inventory
  const auto after = [&](milliseconds more) {
    REQUIRE(made.pool->waiting() == polls);
    core::job::report_status seen;
    seen.id = scheduler_job_id{"7"};
    seen.state = pb::JOB_STATE_RUNNING;
    made.complete(polls, {core::link::poll_done{{seen}}, 1, nullptr, {}});
    made.now += more;
    made.scheduler.advance_time(more);
    made.run();
    return made.pool->waiting() - polls;
  };
  CHECK(after(milliseconds{59}) == 0);
  CHECK(after(milliseconds{1}) == 1);
  ++polls;
  CHECK(after(milliseconds{59}) == 0);
  CHECK(after(milliseconds{1}) == 1);
}

namespace {

/// Asks links how their cluster is, and keeps what it hears.
struct health_asker {
  lone_link& made;
  caf::scoped_actor self{made.system};

  void ask() {
    self->send(made.link, actors::check_health_atom::value);
    made.run();
  }
  /// The answers that have come, in words.
  std::vector<std::string> told() {
    std::vector<std::string> out;
    bool more = true;
    while (more)
      self->receive(
          [&](const actors::health_reply& reply) {
            out.push_back(reply.outcome ? reply.outcome->authentication
                                        : reply.outcome.error().message);
          },
          caf::after(milliseconds{0}) >> [&] { more = false; });
    return out;
  }
};

actors::order_result healthy(const std::string& words) {
  return {core::link::health_done{}, 3, nullptr, adapters::health{"", words, ""}};
}

using words = std::vector<std::string>;

}  // namespace

TEST_CASE("link: all who ask how a cluster is share one answer for a while", "[actors][link]") {
  core::link::limits limits;
  limits.queries_per_minute_max = 60;
  lone_link made(limits, 64);
  made.run();
  health_asker asker{made};
  asker.ask();
  asker.ask();
  REQUIRE(made.pool->waiting() == 2);  // the inventory, and one check for both
  CHECK(asker.told().empty());
  made.complete(2, healthy("first"));
  CHECK(asker.told() == words{"first", "first"});
  asker.ask();
  CHECK(made.pool->waiting() == 2);
  CHECK(asker.told() == words{"first"});
  made.now += seconds{10};
  asker.ask();
  REQUIRE(made.pool->waiting() == 3);
  made.complete(3, healthy("second"));
  CHECK(asker.told() == words{"second"});
}

TEST_CASE("link: a check of health that fails is told as such, its late answer to nobody",
          "[actors][link]") {
  core::link::limits limits;
  limits.queries_per_minute_max = 60;
  limits.inventory_interval = seconds{3'600};
  lone_link made(limits, 64);
  made.run();
  made.complete(1, {core::link::inventory_done{}, 3, nullptr, {}});
  health_asker asker{made};
  asker.ask();
  made.now += seconds{9};
  caf::anon_send(made.link, actors::pump_atom::value);
  made.run();
  CHECK(asker.told() == words{"not checked"});
  made.now += seconds{1};
  asker.ask();
  REQUIRE(made.pool->waiting() == 3);
  made.complete(2, healthy("late"));
  CHECK(asker.told().empty());
  made.complete(3, healthy("next"));
  CHECK(asker.told() == words{"next"});
}

TEST_CASE("link: a check of health that no worker takes is answered at once", "[actors][link]") {
  lone_link made({}, 0);
  made.run();
  health_asker asker{made};
  asker.ask();
  CHECK(asker.told() == words{"not checked"});
}

TEST_CASE("link: how many may wait for a check of health is bounded", "[actors][link]") {
  lone_link made({}, 64);
  made.run();
  health_asker asker{made};
  for (int i = 0; i < 256; ++i) asker.ask();
  CHECK(asker.told().empty());
  asker.ask();
  CHECK(asker.told() == words{"too many ask for its health"});
  made.complete(2, healthy("well"));
  CHECK(asker.told().size() == 256);
}

TEST_CASE("link: figures bear the time of their inventory, however long nobody answers",
          "[actors][link]") {
  core::link::limits limits;
  limits.queries_per_minute_max = 0;
  lone_link made(limits, 8, {core::fold, core::index_keys, ""});
  made.run();
  const auto seen = [&] {
    caf::scoped_actor self{made.system, true};
    pb::Cluster out;
    auto handle = self->request(made.link, seconds{100}, actors::describe_atom::value);
    made.run();
    handle.receive([&](const actors::cluster_reply& told) { out = told.cluster; },
                   [](const caf::error&) {});
    return out;
  };
  CHECK(seen().inventory_at_us() == 0);
  adapters::inventory told;
  told.cpus_total = 8;
  made.complete(1, {core::link::inventory_done{}, 3,
                    std::make_shared<const adapters::inventory>(std::move(told)), {}});
  made.run();
  made.now += std::chrono::hours{1};
  CHECK(seen().inventory_at_us() == to_us(t0));
  CHECK(seen().cpus_total() == 8);
}

TEST_CASE("link: which scheduler its cluster is is recorded when it is met and when it changes",
          "[actors][link]") {
  core::link::limits limits;
  limits.queries_per_minute_max = 0;
  lone_link made(limits, 8, {core::fold, core::index_keys, ""});
  made.run();
  const auto answer = [&](core::link::order_id n, const char* name) {
    adapters::inventory told;
    told.cluster_name = name;
    made.complete(n, {core::link::inventory_done{}, 3,
                      std::make_shared<const adapters::inventory>(std::move(told)), {}});
    made.now += limits.inventory_interval + seconds{1};
    made.scheduler.advance_time(seconds{1});
    made.run();
  };
  const auto events = [&] { return made.log->read_stream("cluster/hpc-1", 0, 10).value(); };
  answer(1, "");
  REQUIRE(events().size() == 1);
  CHECK(events()[0].cluster().identified().scheduler_type() == "slurm");
  answer(2, "west");
  answer(3, "west");
  answer(4, "");  // it does not tell its name now: no news
  REQUIRE(events().size() == 2);
  CHECK(events()[1].cluster().identified().name() == "west");
  const auto known = [&] {
    pb::ClusterRecord record;
    CHECK(record.ParseFromString(made.log->state("cluster/hpc-1").value()->state));
    return record.name();
  };
  CHECK(known() == "west");
  // An outage is no other scheduler.
  core::link::desired follows;
  follows.follow = core::job::follow{scheduler_job_id{"7"}, submission_token{"ve7"},
                                     pb::JOB_STATE_RUNNING};
  caf::anon_send(made.link, actors::link_want{job_id{"j-7"}, follows});
  made.run();
  for (core::link::order_id n = 5; n < 9 && events().size() == 2; ++n) {
    made.complete(n, {core::link::call_failed{"no route"}, 1, nullptr, {}});
    made.now += seconds{40};
    made.scheduler.advance_time(seconds{1});
    made.run();
  }
  REQUIRE(events().size() == 3);
  CHECK(events()[2].cluster().has_down());
  CHECK(known() == "west");
}
