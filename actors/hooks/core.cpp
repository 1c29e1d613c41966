#include "actors/hooks/core.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "messages/job_state.hpp"

namespace ved::core::hooks {
namespace {

constexpr std::size_t callbacks_per_event_max = 2;

class teller {
 public:
  explicit teller(const job::job& before) : before_(before), shown_(job::public_state(before)) {}

  void tell(const std::string& callback, pb::JobState state, std::int64_t at_us) {
    auto& c = out_.emplace_back();
    c.set_callback(callback);
    c.set_job_id(before_.id.str());
    c.set_cluster_id(before_.cluster.str());
    c.set_customer_address(before_.customer);
    c.set_scheduler_job_id(before_.scheduler_id.str());
    c.set_previous_state(shown_);
    c.set_state(state);
    c.set_at_us(at_us);
    c.set_queue_name(before_.queue);
    c.set_max_runtime_seconds(before_.max_runtime_seconds);
    c.set_accepted_at_us(to_us(before_.accepted_at));
    c.set_submitted_at_us(to_us(before_.submitted_at));
    c.set_started_at_us(to_us(before_.started_at));
    shown_ = state;
  }

  pb::JobState shown() const { return shown_; }
  pb::HookCallback& last() { return out_.back(); }
  std::vector<pb::HookCallback>& all() { return out_; }

 private:
  const job::job& before_;
  pb::JobState shown_;
  std::vector<pb::HookCallback> out_;
};

void tell_observed(teller& t, const job::job& before, const pb::JobObserved& e,
                   std::int64_t at_us) {
  const auto was = t.shown();
  if (e.state() == was) return;
  if (e.state() == pb::JOB_STATE_QUEUED) {
    t.tell("queued", e.state(), at_us);
  } else if (e.state() == pb::JOB_STATE_SUSPENDED) {
    // Held in the queue it has no start.
    if (e.started_at_us() != 0 && was != pb::JOB_STATE_RUNNING) {
      t.tell("started", pb::JOB_STATE_RUNNING, e.started_at_us());
      t.last().set_started_at_us(e.started_at_us());
    }
    t.tell("suspended", e.state(), at_us);
  } else if (e.state() == pb::JOB_STATE_RUNNING) {
    // A job that was held in the queue shows as suspended too, and has not run yet.
    const bool again = was == pb::JOB_STATE_SUSPENDED && is_set(before.started_at);
    t.tell(again ? "resumed" : "started", e.state(), at_us);
  } else {
    return;
  }
  t.last().set_reason(e.reason());
  if (e.started_at_us() != 0) t.last().set_started_at_us(e.started_at_us());
}

/// The end of a job, or of a run; its use is not in it.
template <class Ended>
void tell_end(teller& t, pb::JobState state, const Ended& e, const std::string& reason,
              std::int64_t at_us) {
  t.tell(std::string(state_name(state)), state,
         e.finished_at_us() != 0 ? e.finished_at_us() : at_us);
  auto& c = t.last();
  c.set_reason(reason);
  c.set_exit_code(e.exit_code());
  c.set_exit_signal(e.exit_signal());
  c.set_finished_at_us(c.at_us());
  if (e.started_at_us() != 0) c.set_started_at_us(e.started_at_us());
}

void tell_finished(teller& t, const job::job& before, const pb::JobFinished& e,
                   std::int64_t at_us) {
  const bool ran = e.started_at_us() != 0;
  // One that was suspended while it ran has been told as started; one whose nodes were being made
  // ready (STARTING) has not.
  const bool told = t.shown() == pb::JOB_STATE_RUNNING ||
                    (t.shown() == pb::JOB_STATE_SUSPENDED && is_set(before.started_at));
  if (ran && !told) {
    t.tell("started", pb::JOB_STATE_RUNNING, e.started_at_us());
    t.last().set_started_at_us(e.started_at_us());
  }
  tell_end(t, e.state(), e, e.reason(), at_us);
  if (ran && e.has_usage()) *t.last().mutable_usage() = e.usage();
}

/// How a job that was given up ended is told once more when the end of its run is known: what it
/// used until then is to be billed.
void tell_over(teller& t, const job::job& before, const pb::JobAbandonedOver& e,
               std::int64_t at_us) {
  // One that came back and was ended while it waited has changed nothing.
  const bool ran = e.run().started_at_us() != 0 || e.run().usage().wall_clock_seconds() > 0;
  if (std::get<job::finished>(before.now).returned && !ran) return;
  tell_end(t, t.shown(), e.run(), e.reason(), at_us);
  // What came back of a job changes neither how it ended nor when it began.
  if (const auto& end = std::get<job::finished>(before.now); end.returned) {
    t.last().set_exit_code(end.exit_code);
    t.last().set_exit_signal(end.exit_signal);
    if (is_set(before.started_at)) t.last().set_started_at_us(to_us(before.started_at));
  }
  if (auto used = job::used_in_all(before, e.run())) *t.last().mutable_usage() = std::move(*used);
}

}  // namespace

std::vector<pb::HookCallback> callbacks_of(const job::job& before, const pb::Envelope& what) {
  teller t(before);
  if (what.job().has_submitted()) {
    const auto& e = what.job().submitted();
    // The state shown changes with the second one only: pending, pending, queued.
    t.tell("submitted", t.shown(), what.at_us());
    t.tell("queued", pb::JOB_STATE_QUEUED, what.at_us());
    for (auto& c : t.all()) {
      c.set_scheduler_job_id(e.scheduler_job_id());
      c.set_submitted_at_us(what.at_us());
    }
  } else if (what.job().has_observed()) {
    tell_observed(t, before, what.job().observed(), what.at_us());
  } else if (what.job().has_finished()) {
    tell_finished(t, before, what.job().finished(), what.at_us());
  } else if (what.job().abandoned_over().has_run()) {
    tell_over(t, before, what.job().abandoned_over(), what.at_us());
  }
  for (auto& c : t.all()) c.set_position(what.position());
  return std::move(t.all());
}

outbox::outbox(std::string hook, std::set<std::string> callbacks, outbox_limits limits,
               std::uint64_t cursor)
    : hook_(std::move(hook)),
      callbacks_(std::move(callbacks)),
      limits_(limits),
      offered_(cursor) {}

bool outbox::has_room() const {
  return waiting_.size() + callbacks_per_event_max <= limits_.waiting_max;
}

void outbox::offer(std::uint64_t position, std::vector<pb::HookCallback> callbacks) {
  if (position <= offered_) return;
  offered_ = position;
  for (auto& c : callbacks) {
    if (!callbacks_.contains(c.callback())) continue;
    // Made of what a repetition sees again, so that it gets the same id; and of what happened, so
    // that nothing else does at this position of a log that was set back or begun anew.
    c.set_delivery_id(hook_ + ":" + c.cluster_id() + ":" + c.job_id() + ":" +
                      std::to_string(position) + ":" + std::to_string(c.at_us()) + ":" +
                      c.callback());
    c.set_position(position);
    waiting_.push_back(item{std::move(c), 0, {}});
  }
}

std::optional<attempt> outbox::next(time_point now) {
  if (step_ != step::idle || waiting_.empty() || waiting_.front().due > now) return std::nullopt;
  item& first = waiting_.front();
  ++first.attempts;
  step_ = step::in_flight;
  return attempt{first.what, first.attempts};
}

time_point outbox::wake_at() const {
  if (step_ != step::idle || waiting_.empty()) return {};
  // Due at once is the smallest moment that is set.
  return std::max(waiting_.front().due, from_us(1));
}

std::optional<pb::HookDelivered> outbox::done(bool delivered, const std::string& detail,
                                              std::uint64_t draw, time_point now) {
  if (step_ != step::in_flight) return std::nullopt;
  item& first = waiting_.front();
  if (!delivered) {
    const double raw = static_cast<double>(limits_.backoff_initial.count()) *
                       std::pow(limits_.backoff_multiplier, std::min(first.attempts - 1, 64));
    const double capped = std::min(raw, static_cast<double>(limits_.backoff_max.count()));
    // Only ever shorter, so that the cap is one.
    const double spread = 0.75 + 0.25 * static_cast<double>(draw >> 11) / 9007199254740992.0;
    first.due = now + microseconds{static_cast<std::int64_t>(capped * spread)};
    step_ = step::idle;
    return std::nullopt;
  }
  pb::HookDelivered out;
  out.set_hook(hook_);
  out.set_job_id(first.what.job_id());
  out.set_callback(first.what.callback());
  out.set_position(first.what.position());
  out.set_attempts(first.attempts);
  out.set_delivered(true);
  out.set_detail(detail);
  step_ = step::recording;
  return out;
}

void outbox::recorded() {
  if (step_ != step::recording) return;
  waiting_.pop_front();
  step_ = step::idle;
}

std::uint64_t outbox::cursor() const noexcept {
  // Both callbacks of one event must be over before the event is.
  return waiting_.empty() ? offered_ : waiting_.front().what.position() - 1;
}

}  // namespace ved::core::hooks
