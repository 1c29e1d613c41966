#include "actors/shell/hint_watch.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stdexcept>

using namespace ved;

namespace {

/// A watcher that does what the test says, one step for each call.
class scripted_watcher final : public adapters::job_watcher {
 public:
  using step = std::function<adapters::watch_end(const listener&, std::stop_token)>;

  adapters::watch_end watch(const listener& tell, std::stop_token stop) override {
    step now;
    {
      std::unique_lock lock(mutex_);
      ++calls_;
      changed_.notify_all();
      changed_.wait(lock, stop, [this] { return !steps_.empty(); });
      if (steps_.empty()) return {};
      now = std::move(steps_.front());
      steps_.pop_front();
    }
    return now(tell, stop);
  }

  void add(step next) {
    const std::lock_guard lock(mutex_);
    steps_.push_back(std::move(next));
    changed_.notify_all();
  }
  int calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  void await_calls(int count) {
    std::unique_lock lock(mutex_);
    REQUIRE(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return calls_ >= count; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<step> steps_;
  int calls_ = 0;
};

/// Collects what is told.
struct listener {
  std::mutex mutex;
  std::vector<core::link::hint> hints;
  std::vector<std::string> changes;

  actors::hint_watch::options options() {
    actors::hint_watch::options out;
    out.name = "c";
    out.tell = [this](std::vector<core::link::hint> more) {
      const std::lock_guard lock(mutex);
      hints.insert(hints.end(), more.begin(), more.end());
    };
    out.changed = [this](const std::string& problem) {
      const std::lock_guard lock(mutex);
      changes.push_back(problem);
    };
    out.pause_min = milliseconds{1};
    out.pause_max = milliseconds{4};
    out.linger = milliseconds{0};
    return out;
  }
};

const adapters::watch_end refused{false, "no such directory\x1b[2J", false};

}  // namespace

TEST_CASE("hint watch: it watches when a job needs it, and not before", "[actors]") {
  auto by = std::make_shared<scripted_watcher>();
  listener heard;
  actors::hint_watch watch(by, heard.options());
  CHECK(by->calls() == 0);
  CHECK(watch.note().empty());
  std::atomic<bool> wanted{true};
  by->add([&](const auto& tell, const auto&) {
    wanted = tell({{job_id{"j"}, submission_token{"t"}, adapters::job_hint::what::started},
                   {job_id{"j"}, submission_token{"t"}, adapters::job_hint::what::ended}});
    watch.need(false);
    wanted = wanted && !tell({});
    return adapters::watch_end{true, "", false};
  });
  watch.need(true);
  by->await_calls(1);
  watch.stop();
  CHECK(wanted);
  REQUIRE(heard.hints.size() == 2);
  CHECK_FALSE(heard.hints[0].ended);
  CHECK(heard.hints[1].ended);
  CHECK(heard.hints[1].token.str() == "t");
  CHECK(heard.changes == std::vector<std::string>{""});
}

TEST_CASE("hint watch: one that cannot watch is tried again, and its note says why", "[actors]") {
  auto by = std::make_shared<scripted_watcher>();
  listener heard;
  actors::hint_watch watch(by, heard.options());
  std::string note;
  by->add([](const auto&, const auto&) { return refused; });
  by->add([](const auto&, const auto&) { return refused; });
  by->add([&](const auto&, const auto&) -> adapters::watch_end {
    note = watch.note();
    throw std::runtime_error("it is broken");
  });
  watch.need(true);
  by->await_calls(4);
  CHECK(note == "ends of jobs before the next poll: no such directory [2J");
  CHECK(watch.note() == "ends of jobs before the next poll: the watcher failed: it is broken");
  by->add([](const auto& tell, const auto&) {
    tell({});
    return adapters::watch_end{true, "", false};
  });
  by->await_calls(5);
  CHECK(watch.note().empty());
  watch.stop();
  CHECK(heard.changes.size() == 3);  // the same reason is told once
}

TEST_CASE("hint watch: a connection that is not there yet is no problem", "[actors]") {
  auto by = std::make_shared<scripted_watcher>();
  listener heard;
  actors::hint_watch watch(by, heard.options());
  for (int i = 0; i < 10; ++i)
    by->add([](const auto&, const auto&) {
      return adapters::watch_end{false, "there is no connection now", true};
    });
  watch.need(true);
  by->await_calls(11);
  CHECK(watch.note().empty());
  watch.stop();
  CHECK(heard.changes.empty());
}

TEST_CASE("hint watch: it is there before the first job", "[actors]") {
  auto by = std::make_shared<scripted_watcher>();
  listener heard;
  auto how = heard.options();
  how.linger = seconds{60};
  actors::hint_watch watch(by, how);
  by->await_calls(1);
}

TEST_CASE("hint watch: a stop ends what watches", "[actors]") {
  auto by = std::make_shared<scripted_watcher>();
  listener heard;
  {
    actors::hint_watch watch(by, heard.options());
    watch.need(true);
    by->await_calls(1);  // it blocks until it is stopped
  }
  CHECK(by->calls() == 1);
}
