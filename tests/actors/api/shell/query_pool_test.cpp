#include "actors/api/shell/query_pool.hpp"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace ved::actors;
using kind = query_pool::kind;

namespace {

/// A door that is opened once.
class gate {
 public:
  void open() { opened_.set_value(); }
  void wait() const { open_.wait(); }

 private:
  std::promise<void> opened_;
  std::shared_future<void> open_ = opened_.get_future().share();
};

/// One worker that is kept at work until all have asked; then what ran, in its order.
class queue_of_one {
 public:
  queue_of_one() {
    std::promise<void> begun;
    pool_.post("first", kind::many, [&] {
      begun.set_value();
      door_.wait();
    });
    begun.get_future().wait();
  }

  void ask(const std::string& who, kind what, const std::string& name) {
    REQUIRE(pool_.post(who, what, [this, name] { ran_.push_back(name); }));
    ++asked_;
  }

  std::vector<std::string> run() {
    door_.open();
    std::promise<void> last;
    pool_.post("last", kind::many, [&] { last.set_value(); });
    last.get_future().wait();
    // Everybody else may still have more: ask again until all has run.
    for (std::size_t seen = 0; seen < asked_;) {
      std::promise<void> turn;
      pool_.post("last", kind::many, [&] {
        seen = ran_.size();
        turn.set_value();
      });
      turn.get_future().wait();
    }
    return ran_;
  }

 private:
  gate door_;
  std::vector<std::string> ran_;  // by the one worker
  std::size_t asked_ = 0;
  query_pool pool_{{.workers = 1, .running_per_asker_max = 1}};
};

std::size_t place_of(const std::vector<std::string>& all, const std::string& name) {
  return static_cast<std::size_t>(std::find(all.begin(), all.end(), name) - all.begin());
}

}  // namespace

TEST_CASE("query pool: askers take turns, however many queries of one wait", "[actors][api]") {
  queue_of_one queue;
  for (int i = 0; i < 100; ++i) queue.ask("greedy", kind::many, "greedy");
  queue.ask("modest", kind::many, "modest 1");
  queue.ask("modest", kind::many, "modest 2");
  queue.ask("late", kind::one_job, "late");
  const auto ran = queue.run();
  REQUIRE(ran.size() == 103);
  CHECK(place_of(ran, "modest 1") == 1);
  CHECK(place_of(ran, "late") == 2);
  CHECK(place_of(ran, "modest 2") == 4);
}

TEST_CASE("query pool: one job is not shown behind all lists of the same asker",
          "[actors][api]") {
  queue_of_one queue;
  for (int i = 0; i < 50; ++i) queue.ask("both", kind::many, "list");
  queue.ask("both", kind::one_job, "job 1");
  queue.ask("both", kind::one_job, "job 2");
  const auto ran = queue.run();
  REQUIRE(ran.size() == 52);
  CHECK(place_of(ran, "job 1") <= 1);
  CHECK(place_of(ran, "job 2") <= 3);
  CHECK(ran[1] == "list");  // nor the lists behind all jobs
}

TEST_CASE("query pool: an asker whose queries never end leaves a thread to others",
          "[actors][api]") {
  gate door;
  std::atomic<int> begun{0};
  std::future<void> ran;
  std::promise<void> modest;
  ran = modest.get_future();
  {
    query_pool pool({.workers = 3, .running_per_asker_max = 2});
    for (int i = 0; i < 10; ++i)
      REQUIRE(pool.post("greedy", i % 2 == 0 ? kind::many : kind::one_job, [&] {
        ++begun;
        door.wait();
      }));
    REQUIRE(pool.post("modest", kind::many, [&] { modest.set_value(); }));
    CHECK(ran.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
    CHECK(begun <= 2);
    door.open();
  }
}

TEST_CASE("query pool: what waits is bounded, in all and for each asker", "[actors][api]") {
  gate door;
  std::atomic<int> ran{0};
  {
    query_pool pool(
        {.workers = 1, .running_per_asker_max = 1, .waiting_max = 6, .per_asker_max = 4});
    const auto post = [&](const std::string& asker) {
      return pool.post(asker, kind::many, [&] {
        door.wait();
        ++ran;
      });
    };
    int taken = 0;
    for (int i = 0; i < 10; ++i) taken += post("greedy") ? 1 : 0;
    CHECK(taken == 4);
    CHECK(post("modest"));
    CHECK(post("another"));
    int more = 0;
    for (int i = 0; i < 10; ++i) more += post("asker-" + std::to_string(i)) ? 1 : 0;
    CHECK(more <= 1);  // the one that runs waits no more
    door.open();
    std::promise<void> last;
    while (!pool.post("greedy", kind::many, [&] { last.set_value(); }))
      std::this_thread::yield();
    last.get_future().wait();
    CHECK(ran.load() >= 4);  // all of the same asker before it
  }
}
