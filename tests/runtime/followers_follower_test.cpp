#include <catch2/catch.hpp>
#include <set>
#include <stdexcept>

#include "runtime/followers/follower.hpp"
#include "runtime/followers/job_tracker.hpp"
#include "tests/runtime/followers_support.hpp"
#include "tests/support/golden_events.hpp"

using namespace ved;
using namespace ved::runtime;
using tests::completed_job;
using tests::test_log;

namespace {

struct seen {
  std::vector<std::uint64_t> positions;
  std::size_t calls = 0;
  std::size_t batch_max = 0;
};

class recorder final : public consumer {
 public:
  explicit recorder(tests::watched<seen>& out, std::size_t failures = 0)
      : out_(out), failures_(failures) {}
  result<void> take(const committed_batch& batch) override {
    const bool bad = failures_ > 0;
    if (bad) --failures_;
    out_.change([&](seen& s) {
      ++s.calls;
      s.batch_max = std::max(s.batch_max, batch.size());
      if (bad) return;
      for (const auto& one : batch) s.positions.push_back(one->event.position());
    });
    // Every second failure is one that the consumer did not foresee.
    if (bad && failures_ % 2 == 1) throw std::runtime_error("an event that nobody foresaw");
    if (bad) return fail(errc::unavailable, "not now");
    return {};
  }

 private:
  tests::watched<seen>& out_;
  std::size_t failures_;
};

follower::options quick(const std::string& name) {
  follower::options how;
  how.name = name;
  how.pace = milliseconds{1};
  how.backoff_initial = milliseconds{1};
  return how;
}

std::vector<std::uint64_t> up_to(std::uint64_t last) {
  std::vector<std::uint64_t> out;
  for (std::uint64_t i = 1; i <= last; ++i) out.push_back(i);
  return out;
}

}  // namespace

TEST_CASE("follower: it hands over what was there and what comes, in order and once",
          "[runtime][followers]") {
  test_log world;
  tests::watched<seen> out;
  world.add(completed_job("j-1"));
  auto how = quick("f");
  how.batch_max = 3;
  follower f(how, 0, world.tail, world.feed, world.logs, std::make_unique<recorder>(out));
  for (int i = 2; i <= 20; ++i) world.add(completed_job("j-" + std::to_string(i)));
  const auto last = world.log->last_position();
  REQUIRE(out.wait([&](const seen& s) { return s.positions.size() >= last; }));
  f.stop();
  CHECK(out.get().positions == up_to(last));
  CHECK(out.get().batch_max <= 3);
  CHECK(f.position() == last);
  CHECK(*world.log->cursor("f") == last);
}

TEST_CASE("follower: a batch that is not full is the log's end, whoever has read what before",
          "[runtime][followers]") {
  test_log world;
  const auto before = world.log->last_position();
  world.add(completed_job("j-1"));
  const auto seen = world.log->last_position();
  REQUIRE(world.tail->read(before, 500)->value().size() == seen - before);  // by another one
  world.add(completed_job("j-2"));
  const auto last = world.log->last_position();
  CHECK(world.tail->read(seen - 1, 500)->value().size() == last - seen + 1);
  CHECK(world.tail->read(seen - 1, 2)->value().size() == 2);
  CHECK(world.tail->read(last, 500)->value().empty());
}

TEST_CASE("follower: a stop takes what was committed before it, whatever the pace",
          "[runtime][followers]") {
  test_log world;
  tests::watched<seen> out;
  world.add(completed_job("j-1"));
  auto how = quick("f");
  how.pace = milliseconds{3'600'000};
  how.batch_max = 2;
  follower f(how, world.log->last_position(), world.tail, world.feed, world.logs,
             std::make_unique<recorder>(out));
  const auto before = world.log->last_position();
  for (int i = 2; i <= 5; ++i) world.add(completed_job("j-" + std::to_string(i)));
  f.stop();
  const auto last = world.log->last_position();
  REQUIRE(out.get().positions.size() == last - before);
  CHECK(out.get().positions.front() == before + 1);
  CHECK(out.get().positions.back() == last);
  CHECK(*world.log->cursor("f") == last);
}

TEST_CASE("follower: a failing consumer gets the same batch again", "[runtime][followers]") {
  test_log world;
  tests::watched<seen> out;
  world.add(completed_job("j-1"));
  follower f(quick("f"), 0, world.tail, world.feed, world.logs, std::make_unique<recorder>(out, 3));
  const auto last = world.log->last_position();
  REQUIRE(out.wait([&](const seen& s) { return s.positions.size() >= last; }));
  f.stop();
  CHECK(out.get().positions == up_to(last));
  CHECK(out.get().calls == 4);
}

TEST_CASE("follower: the next start goes on after the cursor", "[runtime][followers]") {
  test_log world;
  tests::watched<seen> out;
  world.add(completed_job("j-1"));
  const auto first = world.log->last_position();
  {
    follower f(quick("f"), 0, world.tail, world.feed, world.logs, std::make_unique<recorder>(out));
    REQUIRE(out.wait([&](const seen& s) { return s.positions.size() >= first; }));
  }
  world.add(completed_job("j-2"));
  const auto cursor = *world.log->cursor("f");
  CHECK(cursor == first);
  follower f(quick("f"), cursor, world.tail, world.feed, world.logs,
             std::make_unique<recorder>(out));
  const auto last = world.log->last_position();
  REQUIRE(out.wait([&](const seen& s) { return s.positions.size() >= last; }));
  f.stop();
  CHECK(out.get().positions == up_to(last));
}

TEST_CASE("follower: many batches cost few cursor writes", "[runtime][followers]") {
  test_log world;
  tests::watched<seen> out;
  auto how = quick("f");
  how.store_interval = std::chrono::hours{1};
  follower f(how, 0, world.tail, world.feed, world.logs, std::make_unique<recorder>(out));
  const auto before = world.disk->syncs();
  constexpr std::uint64_t jobs = 50;
  for (std::uint64_t i = 0; i < jobs; ++i) {
    world.add(completed_job("j-" + std::to_string(i)));
    const auto last = world.log->last_position();
    REQUIRE(out.wait([&](const seen& s) { return s.positions.size() >= last; }));
  }
  f.stop();
  // One sync per commit; the cursor's at the start (if events were there by then) and at the stop.
  CHECK(world.disk->syncs() - before <= jobs + 2);
  CHECK(*world.log->cursor("f") == world.log->last_position());
}

TEST_CASE("follower: a consumer that is stuck does not hold up the writer",
          "[runtime][followers]") {
  class stuck final : public consumer {
   public:
    explicit stuck(tests::watched<bool>& open) : open_(open) {}
    result<void> take(const committed_batch&) override {
      open_.wait([](const bool& open) { return open; });
      return {};
    }

   private:
    tests::watched<bool>& open_;
  };
  test_log world;
  tests::watched<bool> gate;
  tests::watched<time_point> now;
  auto how = quick("f");
  how.report = std::make_shared<follower_report>("f", "daemon", [&] { return now.get(); });
  now.change([](time_point& t) { t = tests::t0; });
  follower f(how, 0, world.tail, world.feed, world.logs, std::make_unique<stuck>(gate));
  for (int i = 0; i < 200; ++i) world.add(completed_job("j-" + std::to_string(i)));
  CHECK(f.position() == 0);
  CHECK_FALSE(how.report->problem(200));
  const auto late = std::chrono::steady_clock::now() + tests::patience;
  // It gives no error, and is a problem all the same.
  for (bool told = false; !told && std::chrono::steady_clock::now() < late;) {
    now.change([](time_point& t) { t += seconds{1}; });
    const auto problem = how.report->problem(200);
    told = problem && problem->text.find("'take' does not return") != std::string::npos;
  }
  CHECK(how.report->problem(200));
  gate.change([](bool& open) { open = true; });
  f.stop();
}

TEST_CASE("job tracker: it tells every step, whatever it has forgotten meanwhile",
          "[runtime][followers]") {
  test_log world;
  // Interleaved, so that a tracker that keeps one job forgets at every event.
  auto streams = tests::golden_streams();
  for (std::size_t i = 0; i < 100; ++i) {
    for (auto& [name, d] : streams) {
      if (i >= d.log.size()) continue;
      world.add_again("job/" + name, d.log[i]);
    }
  }
  const auto kept = GENERATE(std::size_t{1}, std::size_t{100});
  job_tracker tracker(*world.log, kept);
  std::map<std::string, std::string> records;
  for (const auto& e : world.events()) {
    const int times = e.position() % 3 == 0 ? 2 : 1;  // a batch that came again
    for (int i = 0; i < times; ++i) {
      const auto step = tracker.follow(e);
      REQUIRE(step);
      auto before = tests::job::to_record(step->before).SerializeAsString();
      if (e.version() > 1) CHECK(before == records[e.stream()]);
      if (i + 1 == times)
        records[e.stream()] = tests::job::to_record(step->after).SerializeAsString();
    }
  }
  CHECK(records.size() == streams.size());
  for (const auto& [name, d] : streams)
    CHECK(records["job/" + name] == tests::job::to_record(d.state).SerializeAsString());
}

TEST_CASE("follower: near the end all share one fold, far behind each reads alone",
          "[runtime][followers]") {
  test_log world;
  for (int i = 0; i < 3; ++i) world.add(completed_job("early-" + std::to_string(i)));
  committed_tail tail(world.log, 500);
  const auto began = world.log->last_position();
  CHECK_FALSE(tail.read(began - 1, 10));
  REQUIRE(tail.read(began, 10));
  CHECK((*tail.read(began, 10))->empty());
  world.add(completed_job("j-1"));
  const auto last = world.log->last_position();
  const auto first_reader = **tail.read(began, 1'000);
  const auto second_reader = **tail.read(began, 1'000);
  REQUIRE(first_reader.size() == last - began);
  CHECK(first_reader == second_reader);  // the very same steps, not equal ones
  CHECK((*tail.read(last - 1, 10))->size() == 1);
  CHECK((*tail.read(began, 2))->back()->event.position() == began + 2);
  for (const auto& one : first_reader) {
    REQUIRE(one->job);
    CHECK(one->job->after.id.str() == "j-1");
    CHECK(one->job->before.id.empty() == (one->event.version() == 1));
  }
  SECTION("who asks from beyond its end gets what comes after that") {
    committed_tail late(world.log, 500);
    for (int i = 0; i < 120; ++i) world.add(completed_job("k-" + std::to_string(i)));
    const auto from = world.log->last_position();
    REQUIRE(from > last + 500);
    CHECK((*late.read(from, 10))->empty());
    world.add(completed_job("l-1"));
    CHECK((*late.read(from, 10))->front()->event.position() == from + 1);
  }
  SECTION("what is kept is bounded") {
    for (int i = 0; i < 150; ++i) world.add(completed_job("m-" + std::to_string(i)));
    auto at = last;
    while (at < world.log->last_position()) at = (*tail.read(at, 1'000))->back()->event.position();
    CHECK_FALSE(tail.read(began, 10));
    CHECK((*tail.read(at - 499, 1'000))->size() == 499);
  }
}

TEST_CASE("follower: one that was far behind comes to the shared steps without a gap",
          "[runtime][followers]") {
  test_log world;
  tests::watched<seen> out;
  for (int i = 0; i < 10; ++i) world.add(completed_job("j-" + std::to_string(i)));
  world.tail = std::make_shared<committed_tail>(world.log, 500);
  follower f(quick("f"), 0, world.tail, world.feed, world.logs, std::make_unique<recorder>(out));
  for (int i = 10; i < 40; ++i) world.add(completed_job("j-" + std::to_string(i)));
  const auto last = world.log->last_position();
  REQUIRE(out.wait([&](const seen& s) { return s.positions.size() >= last; }));
  f.stop();
  CHECK(out.get().positions == up_to(last));
}

TEST_CASE("follower: steps that cannot be folded stop nobody before them",
          "[runtime][followers]") {
  test_log world;
  const auto began = world.log->last_position();
  world.add(completed_job("j-1"));
  const auto good = world.log->last_position();
  world.add("job/broken", [](auto& e) { e.mutable_job()->mutable_observed(); });
  CHECK_FALSE(**world.tail->read(began, 100) == committed_batch{});
  CHECK((*world.tail->read(began, 100))->size() == good - began);
  const auto stuck = world.tail->read(good, 100);
  REQUIRE(stuck);
  CHECK(stuck->error().code == errc::corrupt);
}
