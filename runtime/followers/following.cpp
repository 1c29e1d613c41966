#include "runtime/followers/following.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace ved::runtime {
namespace {

/// Without news and without anything that is due.
constexpr std::chrono::hours rest_max{1};

}  // namespace

following::following(follower_options how, std::uint64_t from,
                     std::shared_ptr<committed_tail> tail,
                     std::shared_ptr<actors::log_sink> logs, std::unique_ptr<consumer> what,
                     std::function<moment()> clock)
    : how_(std::move(how)),
      tail_(std::move(tail)),
      logs_(std::move(logs)),
      consumer_(std::move(what)),
      clock_(std::move(clock)),
      taken_(from),
      stored_(from),
      backoff_(how_.backoff_initial) {}

following::rest following::step(const std::stop_token& stop) {
  if (!begun_ && !begin()) return {retry_at_, retry_at_, false};
  const bool more = take_batch();
  const auto wake = consumer_->work(stop);
  if (how_.report) how_.report->done(consumer_->done(taken_));
  store_cursor(store_now_.exchange(false));
  const auto now = clock_();
  return more ? rest{now, now, false} : rest_until(wake);
}

void following::finish() {
  if (!begun_ && !begin()) return;
  // Who stops the daemon and reads what it wrote finds all of it.
  const auto until = clock_() + how_.last_reads_max;
  while (take_batch() && clock_() < until) {
  }
  store_cursor(true);
}

bool following::begin() {
  if (auto begun = consumer_->begin(); !begun) {
    failed("begin", begun.error());
    return false;
  }
  works("begin");
  backoff_ = how_.backoff_initial;
  begun_ = true;
  return true;
}

/// From what all followers share, or alone while that does not reach back so far.
result<committed_batch> following::read() {
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
result<void> following::take(const committed_batch& batch) {
  try {
    return call("take", [&] { return consumer_->take(batch); });
  } catch (const std::exception& broken) {
    return fail(errc::internal, how_.name + ": " + broken.what());
  }
}

/// True when there may be more to read at once.
bool following::take_batch() {
  if (clock_() < retry_at_ || !consumer_->has_room()) return false;
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

void following::works(const char* step) {
  if (how_.report) how_.report->works(step);
}

void following::failed(const char* step, const error& why) {
  if (how_.report) how_.report->failed(step, why.message);
  logs_->write(actors::log_severity::warn, "event_log", "follower_failed",
               {{"follower", how_.name},
                {"step", step},
                {"after_position", std::to_string(taken_)},
                {"error", why.message},
                {"retry_ms", std::to_string(backoff_.count())}});
  retry_at_ = clock_() + backoff_;
  backoff_ = std::min(backoff_ * 2, how_.backoff_max);
  news_ = true;  // what was not taken is still there
}

void following::store_cursor(bool now) {
  if (!how_.durable) return;
  if (!now && clock_() < cursor_stored_at_ + how_.store_interval) return;
  const auto position = call("store", [&] { return consumer_->make_durable(taken_); });
  cursor_stored_at_ = clock_();
  if (position && *position == stored_) return;
  const auto written = position ? tail_->log()->set_cursor(how_.name, *position)
                                : result<void>(fail(position.error()));
  if (written) {
    works("store");
    stored_ = *position;
    return;
  }
  if (how_.report) how_.report->failed("store", written.error().message);
  // Nothing is lost: the events come again after a restart. The next interval tries once more.
  logs_->write(actors::log_severity::error, "event_log", "follower_cursor_failed",
               {{"follower", how_.name}, {"error", written.error().message}});
}

following::rest following::rest_until(std::optional<moment> wake) {
  const auto now = clock_();
  if (wake && *wake <= now) return {now, now, false};
  const bool blocked = retry_at_ > now;
  auto most = wake.value_or(now + rest_max);
  if (blocked) most = std::min(most, retry_at_);
  if (how_.durable && taken_ != stored_)
    most = std::min(most, cursor_stored_at_ + how_.store_interval);
  // However lively the log is: one batch per pace.
  return {std::min(now + how_.pace, wake.value_or(moment::max())), most,
          !blocked && consumer_->has_room()};
}

}  // namespace ved::runtime
