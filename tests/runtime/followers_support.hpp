#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "actors/shell/commit_feed.hpp"
#include "actors/shell/log_sink.hpp"
#include "runtime/followers/committed_tail.hpp"
#include "runtime/followers/followers.hpp"
#include "store/event_log.hpp"
#include "store/memory_kv.hpp"
#include "tests/support/job_fixture.hpp"

/// A real log in memory with its feed, for tests of what reads along behind it.
namespace ved::tests {

/// How long a test waits for what must happen; only a failing test takes so long.
constexpr std::chrono::seconds patience{20};

class test_log {
 public:
  explicit test_log(std::shared_ptr<store::memory_disk> on = std::make_shared<store::memory_disk>())
      : disk(std::move(on)), feed(std::make_shared<actors::commit_feed>()) {
    store::event_log::options how;
    how.fold = {core::fold, core::index_keys};
    auto opened = store::event_log::open(store::open_memory(disk), std::move(how));
    if (!opened) throw std::runtime_error(opened.error().message);
    log = std::move(*opened);
    tail = std::make_shared<runtime::committed_tail>(log);
  }

  /// As the log's writer does it.
  result<store::append_ack> append(store::append_request request) {
    const std::lock_guard lock(writer_);
    now_ += seconds{1};
    const auto done = log->commit(std::span(&request, 1), now_);
    if (!done) return fail(done.error());
    feed->publish({log->last_position(), {request.stream}});
    { const std::lock_guard news(mutex_); }
    changed_.notify_all();
    return done->front();
  }

  /// Appends what happened to the job since the last call.
  void add(const driver& d) {
    const auto stream = core::job_stream(d.state.id.str());
    const auto head = log->state(stream);
    const auto version = *head ? (*head)->version : 0;
    store::append_request request;
    request.stream = stream;
    request.expected_version = version;
    for (auto i = static_cast<std::size_t>(version); i < d.log.size(); ++i) {
      auto e = d.log[i];
      e.clear_position();
      e.clear_version();
      request.events.push_back(std::move(e));
    }
    if (request.events.empty()) return;
    request.state = job::to_record(d.state).SerializeAsString();
    if (auto done = append(std::move(request)); !done)
      throw std::runtime_error(done.error().message);
  }

  /// An event of another stream.
  void add(const std::string& stream, const std::function<void(pb::Envelope&)>& fill) {
    const auto head = log->state(stream);
    store::append_request request;
    request.stream = stream;
    request.expected_version = *head ? (*head)->version : 0;
    fill(request.events.emplace_back());
    if (auto done = append(std::move(request)); !done)
      throw std::runtime_error(done.error().message);
  }

  /// What was an event of some stream, as the next one of this.
  void add_again(const std::string& stream, const pb::Envelope& event) {
    add(stream, [&](pb::Envelope& e) {
      e = event;
      e.clear_position();
      e.clear_version();
      e.clear_stream();
    });
  }

  /// The daemon's start, so that the log is not empty.
  void begin() {
    add("daemon", [](auto& e) { e.mutable_daemon()->mutable_started()->set_ved_version("1"); });
  }

  /// Waits for a commit after which `reached` holds.
  bool wait(const std::function<bool()>& reached) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, reached);
  }

  std::vector<pb::HookDelivered> records(const std::string& hook) const {
    std::vector<pb::HookDelivered> out;
    const auto stream = log->read_stream("hook/" + hook, 0, 1000);
    for (const auto& e : stream.value())
      if (e.hook().has_delivered()) out.push_back(e.hook().delivered());
    return out;
  }

  /// As a cluster's.
  runtime::followed_log followed() {
    return {{"cluster/hpc-1", log},
            feed,
            appending()};
  }

  runtime::append_function appending() {
    return [this](store::append_request request) { return append(std::move(request)); };
  }

  std::vector<pb::Envelope> events() const { return log->read(0, 10'000).value(); }

  std::shared_ptr<store::memory_disk> disk;
  std::shared_ptr<store::event_log> log;
  std::shared_ptr<runtime::committed_tail> tail;
  std::shared_ptr<actors::commit_feed> feed;
  std::shared_ptr<actors::log_sink> logs = std::make_shared<actors::log_sink>();

 private:
  std::mutex writer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  time_point now_ = t0;
};

/// A value that threads change and tests wait for.
template <class T>
class watched {
 public:
  void change(const std::function<void(T&)>& how) {
    const std::lock_guard lock(mutex_);
    how(value_);
    changed_.notify_all();
  }
  bool wait(const std::function<bool(const T&)>& reached) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return reached(value_); });
  }
  T get() {
    const std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

/// A job that ran to its end: pending, queued, running, completed.
inline driver completed_job(const std::string& id) {
  driver d(sample_spec(id));
  d.pass(seconds{1}).submission(job::submission_result::accepted, "17");
  d.pass(seconds{1}).status(pb::JOB_STATE_RUNNING);
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_COMPLETED;
  end.usage.emplace().set_wall_clock_seconds(1);
  d.pass(seconds{1}).run(end);
  return d;
}

}  // namespace ved::tests
