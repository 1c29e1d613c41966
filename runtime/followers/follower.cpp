#include "runtime/followers/follower.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace ved::runtime {

follower::follower(options how, std::uint64_t from, std::shared_ptr<committed_tail> tail,
                   const std::shared_ptr<actors::commit_feed>& feed,
                   std::shared_ptr<actors::log_sink> logs, std::unique_ptr<consumer> what)
    : how_(std::move(how)),
      tail_(std::move(tail)),
      logs_(std::move(logs)),
      consumer_(std::move(what)),
      taken_(from),
      stored_(from),
      backoff_(how_.backoff_initial) {
  // Subscribed before the first read, so that no commit falls between the two.
  subscription_ = feed->subscribe([this](const auto&) { nudge(); });
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

follower::~follower() {
  stop();
}

void follower::nudge() {
  // One wake-up is enough, however many commits come before the thread looks.
  if (news_.exchange(true)) return;
  const std::lock_guard lock(mutex_);
  wake_.notify_all();
}

void follower::request_stop() {
  thread_.request_stop();
}

void follower::stop() {
  subscription_ = {};
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void follower::run(const std::stop_token& stop) {
  if (!begin(stop)) return;
  while (!stop.stop_requested()) {
    const bool more = take_batch();
    const auto wake = consumer_->work(stop);
    tell_progress();
    settle(false);
    if (!more) sleep(stop, wake);
  }
  // Who stops the daemon and reads what it wrote finds all of it.
  const auto until = clock::now() + how_.last_reads_max;
  while (take_batch() && clock::now() < until) {
  }
  settle(true);
}

bool follower::begin(const std::stop_token& stop) {
  do {
    const auto begun = consumer_->begin();
    if (begun) {
      works("begin");
      backoff_ = how_.backoff_initial;
      return true;
    }
    failed("begin", begun.error());
    std::unique_lock lock(mutex_);
    wake_.wait_until(lock, stop, retry_at_, [] { return false; });
  } while (!stop.stop_requested());
  return false;
}

/// From what all followers share, or alone while that does not reach back so far.
result<committed_batch> follower::read() {
  if (auto shared = tail_->read(taken_, how_.batch_max)) {
    alone_.reset();
    return std::move(*shared);
  }
  auto events = tail_->log()->read(taken_, how_.batch_max);
  if (!events) return fail(events.error());
  if (!alone_) alone_ = std::make_unique<job_tracker>(*tail_->log());
  committed_batch out;
  for (auto& event : *events) {
    auto step = to_committed(std::move(event), *alone_);
    if (!step) return fail(step.error());
    out.push_back(std::make_shared<const committed>(std::move(*step)));
  }
  return out;
}

/// One event that a consumer stumbles over must not end the daemon at every start: this follower
/// stays behind, says so, and the others and the jobs go on.
result<void> follower::take(const committed_batch& batch) {
  try {
    return call("take", [&] { return consumer_->take(batch); });
  } catch (const std::exception& broken) {
    return fail(errc::internal, how_.name + ": " + broken.what());
  }
}

/// True when there may be more to read at once.
bool follower::take_batch() {
  if (clock::now() < retry_at_ || !consumer_->has_room()) return false;
  news_ = false;
  const auto batch = read();
  if (!batch) {
    failed("read", batch.error());
    return false;
  }
  works("read");
  if (batch->empty()) return false;
  if (auto done = take(*batch); !done) {
    failed("take", done.error());
    return false;
  }
  backoff_ = how_.backoff_initial;
  taken_ = batch->back()->event.position();
  works("take");
  return batch->size() == how_.batch_max;
}

void follower::works(const char* step) {
  if (how_.report) how_.report->works(step);
}

void follower::tell_progress() {
  if (how_.report) how_.report->done(consumer_->done(taken_));
}

void follower::failed(const char* step, const error& why) {
  if (how_.report) how_.report->failed(step, why.message);
  logs_->write(actors::log_severity::warn, "event_log", "follower_failed",
               {{"follower", how_.name},
                {"step", step},
                {"after_position", std::to_string(taken_)},
                {"error", why.message},
                {"retry_ms", std::to_string(backoff_.count())}});
  retry_at_ = clock::now() + backoff_;
  backoff_ = std::min(backoff_ * 2, how_.backoff_max);
  news_ = true;  // what was not taken is still there
}

void follower::settle(bool now) {
  if (!how_.durable) return;
  if (!now && clock::now() < settled_at_ + how_.settle_interval) return;
  const auto position = call("settle", [&] { return consumer_->settle(taken_); });
  settled_at_ = clock::now();
  if (position && *position == stored_) return;
  const auto written = position ? tail_->log()->set_cursor(how_.name, *position)
                                : result<void>(fail(position.error()));
  if (written) {
    works("settle");
    stored_ = *position;
    return;
  }
  if (how_.report) how_.report->failed("settle", written.error().message);
  // Nothing is lost: the events come again after a restart. The next interval tries once more.
  logs_->write(actors::log_severity::error, "event_log", "follower_cursor_failed",
               {{"follower", how_.name}, {"error", written.error().message}});
}

void follower::sleep(const std::stop_token& stop, std::optional<clock::time_point> wake) {
  const auto now = clock::now();
  if (wake && *wake <= now) return;
  std::unique_lock lock(mutex_);
  // However lively the log is: one batch per pace.
  wake_.wait_until(lock, stop, std::min(now + how_.pace, wake.value_or(clock::time_point::max())),
                   [] { return false; });
  const bool blocked = retry_at_ > now;
  const bool reads = !blocked && consumer_->has_room();
  auto until = wake.value_or(now + std::chrono::hours{1});
  if (blocked) until = std::min(until, retry_at_);
  if (how_.durable && taken_ != stored_)
    until = std::min(until, settled_at_ + how_.settle_interval);
  wake_.wait_until(lock, stop, until, [&] { return reads && news_.load(); });
}

}  // namespace ved::runtime
