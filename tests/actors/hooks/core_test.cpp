#include "actors/hooks/core.hpp"

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <algorithm>

#include "tests/support/job_fixture.hpp"

using namespace ved;
using namespace ved::core::hooks;
using tests::driver;
using tests::t0;
namespace job = ved::core::job;
using sub = job::submission_result;

namespace {

const std::set<std::string> every = {"submitted", "queued",  "started",   "completed", "failed",
                                     "cancelled", "timeout", "suspended", "resumed"};

/// All callbacks of a job's log: "submitted queued started ...".
std::string told(const driver& d) {
  std::string out;
  job::job state;
  pb::JobState shown = pb::JOB_STATE_PENDING;
  for (const auto& e : d.log) {
    const auto callbacks = callbacks_of(state, e);
    for (const auto& c : callbacks) {
      out += (out.empty() ? "" : " ") + c.callback();
      CHECK(c.job_id() == "j-1");
      CHECK(c.position() == e.position());
      CHECK(c.at_us() != 0);
      if (c.previous_state() != pb::JOB_STATE_STARTING) CHECK(c.previous_state() == shown);
      shown = c.state();
    }
    REQUIRE(job::apply(state, e).has_value());
  }
  return out;
}

pb::HookCallback callback(const std::string& name) {
  pb::HookCallback c;
  c.set_callback(name);
  c.set_job_id("j-1");
  return c;
}

}  // namespace

TEST_CASE("hooks: a job's life is told with the nine callbacks", "[actors][hooks]") {
  driver d;
  d.submission(sub::accepted, "17");
  d.status(pb::JOB_STATE_QUEUED, "Priority");
  d.status(pb::JOB_STATE_STARTING);
  d.status(pb::JOB_STATE_RUNNING);
  CHECK(told(d) == "submitted queued started");
  d.status(pb::JOB_STATE_SUSPENDED);
  d.status(pb::JOB_STATE_RUNNING);
  CHECK(told(d) == "submitted queued started suspended resumed");
  for (const auto& [end, name] :
       {std::pair{pb::JOB_STATE_COMPLETED, "completed"}, std::pair{pb::JOB_STATE_FAILED, "failed"},
        std::pair{pb::JOB_STATE_CANCELLED, "cancelled"},
        std::pair{pb::JOB_STATE_TIMEOUT, "timeout"}}) {
    driver ending = d;
    ending.status(end);
    CHECK(told(ending) == "submitted queued started suspended resumed " + std::string(name));
  }
}

TEST_CASE("hooks: a job held in the queue starts, it does not resume", "[actors][hooks]") {
  driver d = tests::in_phase("queued");
  d.status(pb::JOB_STATE_SUSPENDED, "held by user");
  d.status(pb::JOB_STATE_QUEUED);
  d.status(pb::JOB_STATE_SUSPENDED, "held by user");
  d.status(pb::JOB_STATE_RUNNING);
  CHECK(told(d) == "submitted queued suspended queued suspended started");
}

TEST_CASE("hooks: a job that is first seen suspended, with a start, has started",
          "[actors][hooks]") {
  driver d = tests::in_phase("queued");
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.started_at = t0;
  const bool prepares = GENERATE(false, true);
  if (prepares) {
    seen.state = pb::JOB_STATE_STARTING;
    d.run(seen);
  }
  seen.state = pb::JOB_STATE_SUSPENDED;
  d.run(seen);
  CHECK(told(d) == "submitted queued started suspended");
  seen.state = pb::JOB_STATE_RUNNING;
  d.run(seen);
  CHECK(told(d) == "submitted queued started suspended resumed");
}

TEST_CASE("hooks: a requeued job is queued and started again", "[actors][hooks]") {
  driver d = tests::in_phase("running");
  d.status(pb::JOB_STATE_QUEUED);
  d.pass(seconds{9}).status(pb::JOB_STATE_RUNNING);
  CHECK(told(d) == "submitted queued started queued started");
}

TEST_CASE("hooks: a job that ended between two polls is told as started first",
          "[actors][hooks]") {
  driver d = tests::in_phase("queued");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_COMPLETED;
  end.started_at = t0;
  end.finished_at = t0 + seconds{1};
  d.run(end);
  CHECK(told(d) == "submitted queued started completed");
}

TEST_CASE("hooks: a job that was last seen while its nodes were made ready is told as started",
          "[actors][hooks]") {
  driver d = tests::in_phase("queued");
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.started_at = t0;
  bool suspended = false;
  SECTION("for the first time") { seen.state = pb::JOB_STATE_STARTING; }
  SECTION("and one that was suspended is not told so again") {
    seen.state = pb::JOB_STATE_RUNNING;
    suspended = true;
  }
  d.run(seen);
  if (suspended) d.status(pb::JOB_STATE_SUSPENDED);
  seen.state = pb::JOB_STATE_COMPLETED;
  seen.finished_at = t0 + seconds{1};
  d.run(seen);
  CHECK(told(d) == (suspended ? "submitted queued started suspended completed"
                              : "submitted queued started completed"));
}

TEST_CASE("hooks: a job that never reached the scheduler tells only its end", "[actors][hooks]") {
  driver d;
  d.submission(sub::refused_permanent, "invalid partition");
  CHECK(told(d) == "failed");
  driver held = tests::in_phase("held");
  CHECK(told(held).empty());
}

TEST_CASE("hooks: deliveries go out one at a time, in order, only those wanted",
          "[actors][hooks]") {
  outbox box("pager", {"completed", "failed"}, {}, 10);
  box.offer(11, {callback("submitted"), callback("queued")});
  CHECK(box.cursor() == 11);
  CHECK_FALSE(box.next(t0));
  box.offer(12, {callback("failed")});
  box.offer(13, {callback("completed")});
  box.offer(14, {});
  const auto first = box.next(t0);
  REQUIRE(first);
  CHECK(first->what.delivery_id() == "pager::j-1:12:0:failed");
  CHECK_FALSE(box.next(t0));
  CHECK(box.cursor() == 11);
  const auto record = box.done(true, "200 OK", 0, t0);
  REQUIRE(record);
  CHECK(record->delivered());
  CHECK(record->position() == 12);
  CHECK(box.cursor() == 11);  // not before the record is durable
  CHECK_FALSE(box.next(t0));
  box.recorded();
  CHECK(box.cursor() == 12);
  REQUIRE(box.next(t0));
  box.done(true, "", 0, t0);
  box.recorded();
  CHECK(box.cursor() == 14);
}

TEST_CASE("hooks: a failed delivery is tried without end, with pauses that grow up to a cap",
          "[actors][hooks]") {
  outbox_limits limits;
  limits.backoff_max = seconds{300};
  outbox box("pager", every, limits, 0);
  box.offer(1, {callback("failed")});
  box.offer(2, {callback("completed")});
  time_point now = t0;
  microseconds longest{0};
  const std::uint64_t draws[] = {0, std::uint64_t{1} << 63U, ~std::uint64_t{0}};
  for (int i = 1; i <= 10'000; ++i) {
    const auto tried = box.next(now);
    REQUIRE(tried);
    REQUIRE(tried->number == i);
    REQUIRE(tried->what.callback() == "failed");
    REQUIRE_FALSE(box.done(false, "connection refused", draws[i % 3], now));
    const auto pause = box.wake_at() - now;
    REQUIRE(pause <= limits.backoff_max);
    REQUIRE(pause >= microseconds{750'000});
    longest = std::max<microseconds>(longest, pause);
    REQUIRE_FALSE(box.next(now));
    REQUIRE(box.cursor() == 0);
    now = box.wake_at();
  }
  CHECK(longest > seconds{299});
  REQUIRE(box.next(now));
  const auto record = box.done(true, "HTTP 200", 0, now);
  REQUIRE(record);
  CHECK(record->attempts() == 10'001);
  box.recorded();
  CHECK(box.next(now)->what.callback() == "completed");
}

TEST_CASE("hooks: the end of a job carries what is needed to bill it", "[actors][hooks]") {
  driver d = tests::in_phase("queued");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_COMPLETED;
  end.started_at = t0 + seconds{5};
  end.finished_at = t0 + seconds{65};
  end.usage.emplace().set_cpu_time_us(59'000'000);
  const auto before = d.state;
  d.run(end);
  const auto told = callbacks_of(before, d.log.back());
  REQUIRE(told.size() == 2);
  CHECK(told[0].callback() == "started");
  CHECK_FALSE(told[0].has_usage());
  CHECK(told[0].finished_at_us() == 0);
  const auto& c = told[1];
  CHECK(c.usage().cpu_time_us() == 59'000'000);
  CHECK(c.accepted_at_us() == to_us(before.accepted_at));
  CHECK(c.submitted_at_us() == to_us(before.submitted_at));
  CHECK(c.started_at_us() == to_us(t0 + seconds{5}));
  CHECK(c.finished_at_us() == to_us(t0 + seconds{65}));
  CHECK(c.queue_name() == "batch");
  CHECK(c.max_runtime_seconds() == 3600);
}

TEST_CASE("hooks: what came back of a job changes neither its end nor its start",
          "[actors][hooks]") {
  driver d = tests::in_phase("running");
  core::job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_FAILED;
  end.exit_code = 3;
  end.enqueued_at = tests::t0;
  end.usage.emplace().set_wall_clock_seconds(60);
  d.run(end);
  const auto began = d.state.started_at;
  REQUIRE(d.run(core::job::report_stray{d.state.token, end.id, true, tests::t0 + seconds{100}}) ==
          "returned");
  const auto before = d.state;
  end.state = pb::JOB_STATE_CANCELLED;
  end.exit_code = 0;
  end.exit_signal = 15;
  end.enqueued_at = tests::t0 + seconds{100};
  end.started_at = tests::t0 + seconds{200};
  end.finished_at = tests::t0 + seconds{205};
  end.usage->set_wall_clock_seconds(5);
  REQUIRE(d.run(end) == "abandoned_over");
  const auto told = core::hooks::callbacks_of(before, d.log.back());
  REQUIRE(told.size() == 1);
  CHECK(told[0].state() == pb::JOB_STATE_FAILED);
  CHECK(told[0].exit_code() == 3);
  CHECK(told[0].exit_signal() == 0);
  CHECK(told[0].started_at_us() == to_us(began));
  CHECK(told[0].usage().wall_clock_seconds() == 65);
  // One that was ended while it waited says nothing new.
  REQUIRE(d.run(core::job::report_stray{d.state.token, end.id, true, tests::t0 + seconds{300}}) ==
          "returned");
  const auto waited = d.state;
  end.enqueued_at = tests::t0 + seconds{300};
  end.started_at = {};
  end.finished_at = tests::t0 + seconds{310};
  end.usage.emplace();
  REQUIRE(d.run(end) == "abandoned_over");
  CHECK(core::hooks::callbacks_of(waited, d.log.back()).empty());
}

TEST_CASE("hooks: what a job that was given up used is told when it is known", "[actors][hooks]") {
  driver d = tests::in_phase("running");
  d.run(job::cancel_job{"alice", "sold", true});
  const auto before = d.state;
  SECTION("nothing is known of its run") {
    d.pass(seconds{3600}).state.watched_since = t0;
    d.missing(true);
    REQUIRE(d.log.back().job().has_abandoned_over());
    CHECK(callbacks_of(before, d.log.back()).empty());
  }
  SECTION("its run ended") {
    job::report_status end;
    end.id = d.state.scheduler_id;
    end.state = pb::JOB_STATE_FAILED;
    end.started_at = t0 + seconds{5};
    end.finished_at = t0 + seconds{9'005};
    end.exit_signal = 9;
    end.usage.emplace().set_cpu_time_us(8'000'000'000);
    d.run(end);
    const auto told = callbacks_of(before, d.log.back());
    REQUIRE(told.size() == 1);
    const auto& c = told[0];
    CHECK(c.callback() == "cancelled");
    CHECK(c.previous_state() == pb::JOB_STATE_CANCELLED);
    CHECK(c.state() == pb::JOB_STATE_CANCELLED);
    CHECK(c.usage().cpu_time_us() == 8'000'000'000);
    CHECK(c.started_at_us() == to_us(t0 + seconds{5}));
    CHECK(c.finished_at_us() == to_us(t0 + seconds{9'005}));
    CHECK(c.exit_signal() == 9);
    CHECK(std::get<job::finished>(d.state.now).finished_at == t0 + seconds{9'005});
  }
}

TEST_CASE("hooks: the outbox is bounded, the rest waits in the log", "[actors][hooks]") {
  outbox_limits limits;
  limits.waiting_max = 8;
  outbox box("pager", every, limits, 0);
  std::uint64_t position = 0;
  while (box.has_room()) box.offer(++position, {callback("submitted"), callback("queued")});
  CHECK(box.waiting() == 8);
  CHECK(position == 4);
}

TEST_CASE("hooks: what happens at the position of a log that was set back has an id of its own",
          "[actors][hooks]") {
  const auto id_of = [](const std::string& job, std::int64_t at_us) {
    outbox box("pager", {"completed"}, {}, 11);
    auto ended = callback("completed");
    ended.set_job_id(job);
    ended.set_at_us(at_us);
    box.offer(12, {ended});
    return box.next(t0)->what.delivery_id();
  };
  CHECK(id_of("j-1", 5) == id_of("j-1", 5));
  CHECK(id_of("j-1", 5) != id_of("j-2", 5));
  CHECK(id_of("j-1", 5) != id_of("j-1", 6));
}

TEST_CASE("hooks: crashes repeat deliveries under their ids and lose none",
          "[actors][hooks][laws]") {
  REQUIRE(rc::check([](const std::vector<std::uint8_t>& faults) {
    constexpr std::uint64_t events = 12;
    std::uint64_t stored = 0;
    std::vector<std::string> received;
    std::size_t step = 0;
    const auto fault = [&] { return step < faults.size() ? faults[step++] % 6 : 5; };
    time_point now = t0;
    for (int life = 0; stored < events && life < 1000; ++life) {
      outbox box("h", every, {}, stored);
      for (std::uint64_t p = stored + 1; p <= events; ++p)
        box.offer(p, {callback("submitted"), callback("queued")});
      bool alive = true;
      while (alive && box.cursor() < events) {
        now += seconds{600};
        const auto tried = box.next(now);
        RC_ASSERT(tried.has_value());
        const auto f = fault();
        if (f == 0) break;  // crash before it left
        if (f != 1) received.push_back(tried->what.delivery_id());
        if (f == 2) break;  // crash before the record
        const auto record = box.done(f != 1, "", 7, now);
        if (!record) continue;
        if (f == 3) break;  // crash after the record, before the cursor
        box.recorded();
        stored = box.cursor();
        alive = f != 4;
      }
    }
    RC_ASSERT(stored == events);
    // First receptions come in order and are complete.
    std::vector<std::string> first;
    std::set<std::string> seen;
    for (const auto& id : received)
      if (seen.insert(id).second) first.push_back(id);
    std::vector<std::string> expected;
    for (std::uint64_t p = 1; p <= events; ++p)
      for (const char* c : {"submitted", "queued"})
        expected.push_back("h::j-1:" + std::to_string(p) + ":0:" + c);
    RC_ASSERT(first == expected);
  }));
}
