#include <algorithm>
#include <functional>
#include <utility>

#include "actors/link/core.hpp"
#include "messages/job_state.hpp"

// When a link polls, and what of the answer is news to a job.
namespace ved::core::link {
namespace {

/// Jobs that ended in polls long ago, as they still count for the pace.
constexpr double forgotten = 0.5;
/// Polls that hints bring forward take at most a third of the scheduler's time for us.
constexpr int hint_rest = 3;
/// In intervals of an early poll, while submissions wait.
constexpr int hint_rest_of_filling = 4;
/// Between the polls for the last jobs, all of which have ended as hints say.
constexpr microseconds last_spacing = milliseconds{100};

}  // namespace

microseconds poll_pace::next(const limits& bounds, std::size_t ended, std::size_t left,
                             microseconds since) {
  const auto longest = static_cast<double>(bounds.poll_interval.count());
  const auto passed = std::min(static_cast<double>(since.count()), longest);
  // While none has ended, the time that passed tells nothing of how long the others take.
  if (ended_ < forgotten) ended_ = time_ = 0;
  ended_ = ended_ / 2 + static_cast<double>(ended);
  time_ = time_ / 2 + passed;
  double expected = left == 0 ? 0 : longest;
  if (ended_ > 0) expected = time_ / ended_ * static_cast<double>(left) / 2;
  if (ended == 0) expected = std::max(expected, passed * 1.5);
  const microseconds wait{static_cast<std::int64_t>(std::min(expected, longest))};
  return std::clamp(wait, std::min(bounds.poll_interval_min, bounds.poll_interval),
                    bounds.poll_interval);
}

time_point link::poll_due() const {
  const bool fills = submitting_ || !to_submit_.empty();
  const auto due = fills || !early_poll_ ? next_poll_ : std::min(next_poll_, *early_poll_);
  if (!hint_due_) return due;
  auto pause = bounds_.hint_spacing;
  if (is_large()) pause = std::max(pause, bounds_.poll_interval_min);
  // Whoever submits has most need of the scheduler's time.
  if (fills) pause = std::max(pause, hint_rest_of_filling * bounds_.poll_interval_min);
  pause = std::max(pause, hint_rest * last_poll_took_);
  // The last ones: nothing comes that a later poll would show, too.
  if (!fills && all_hinted_) pause = std::min(pause, std::max(last_spacing, 2 * last_poll_took_));
  return std::min(due, std::max(*hint_due_, poll_started_ + pause));
}

bool link::is_large() const {
  const auto& largest = bounds_.early_poll_nodes_max;
  return largest && (!nodes_ || *nodes_ > *largest);
}

/// What has ended may be requeued there for a while: with nothing to follow that is asked for now
/// and then, until an answer of after that time shows nothing of the kind.
bool link::looks_for_strays(time_point now) const {
  if (!followed_.empty() || polling_) return false;
  if (returns_within_ && no_strays_at_ >= left_at_ + *returns_within_) return false;
  const auto pause = suspects_strays_
                         ? bounds_.poll_interval
                         : std::max(bounds_.poll_interval, bounds_.stray_interval);
  return now >= std::max(full_poll_at_, left_at_) + pause;
}

void link::start_poll(outputs& out, time_point now) {
  if (polling_) return;
  if (!probe_wanted_ && (now < poll_due() || followed_.empty())) return;
  poll_order all;
  const bool early = !probe_wanted_ && now < full_poll_at_ + bounds_.poll_interval;
  // Half of a minute's queries is kept for lookups, inventories and the polls of the usual pace.
  if (early && query_rate_.left(now) < bounds_.queries_per_minute_max / 2.0) return;
  all.quick = early && !hints_due(now);
  if (!all.quick) full_poll_at_ = now;
  all.jobs.reserve(followed_.size());
  for (const auto* job : followed_) {
    const auto& f = *jobs_.at(*job).wanted.follow;
    all.jobs.push_back({*job, f.id, f.token, f.taken, f.started_at, f.waits,
                        f.enqueued_at, f.first_enqueued_at, f.run_before, f.note,
                        f.allocated, f.told_until});
  }
  polling_ = true;
  begin_hinted(now);
  probe_wanted_ = false;
  early_poll_.reset();
  next_poll_ = full_poll_at_ + bounds_.poll_interval;  // quick ones do not put off a full one
  poll_started_before_ = std::exchange(poll_started_, now);
  start(question::poll, out, now).what = std::move(all);
}

void link::on_poll(outputs& out, const poll_order& asked, const completion& answer,
                   time_point now) {
  // A slow answer is not followed by the next question at once.
  const auto soonest = now + (now - poll_started_) / 4;
  next_poll_ = std::max(next_poll_, soonest);
  const auto* done = std::get_if<poll_done>(&answer);
  if (done != nullptr && done->answers.size() != asked.jobs.size()) done = nullptr;
  settle_hinted(asked, done, now);
  if (done == nullptr) return;
  returns_within_ = done->returns_within;
  suspects_strays_ = done->suspects_strays;
  if (!suspects_strays_) no_strays_at_ = poll_started_;
  // Of a live job it is another copy, or is just being submitted.
  for (const auto& [job, stray] : done->strays)
    if (!jobs_.contains(job)) out.reports.emplace_back(job, stray);
  plan_poll(*done, soonest);
  for (std::size_t i = 0; i < asked.jobs.size(); ++i) {
    const auto& asked_job = asked.jobs[i];
    const auto it = jobs_.find(asked_job.job);
    if (it == jobs_.end() || !it->second.wanted.follow ||
        it->second.wanted.follow->id != asked_job.id)
      continue;
    if (!done->answers[i]) continue;
    entry& e = it->second;
    if (const auto* told = std::get_if<job::report_status>(&*done->answers[i])) {
      auto seen = *told;
      // Meanwhile it was told something else.
      if (e.wanted.follow->taken != asked_job.taken) seen.undone = pb::JOB_CONTROL_UNSPECIFIED;
      if (!is_news(e, seen, now)) continue;
      note_shown(e, seen, now);
      out.reports.emplace_back(asked_job.job, std::move(seen));
    } else if (now >= e.followed_since + bounds_.fresh_grace) {
      e.last.reset();
      out.reports.emplace_back(asked_job.job,
                               std::get<job::report_missing>(*done->answers[i]));
    }
  }
}

bool link::is_news(const entry& e, const job::report_status& seen, time_point now) const {
  if (seen.undone != pb::JOB_CONTROL_UNSPECIFIED) return true;
  if (!e.last || !e.last->same_but_reason(seen)) return true;
  if (e.last->reason == seen.reason) return false;
  const auto hash = std::hash<std::string>{}(seen.reason);
  std::size_t lately = 0;
  for (const auto& [reason, at] : e.last->told) {
    if (!is_set(at) || now >= at + bounds_.reasons_every) continue;
    if (reason == hash) return false;
    ++lately;
  }
  return lately < reasons_max;
}

void link::note_shown(entry& e, const job::report_status& seen, time_point now) {
  auto told = e.last && e.last->state == seen.state ? e.last->told : decltype(shown::told){};
  const auto oldest = std::min_element(
      told.begin(), told.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  *oldest = {std::hash<std::string>{}(seen.reason), now};
  if (!e.last) e.last = std::make_unique<shown>();
  *e.last = {seen.state,      seen.never_starts, seen.held,    seen.reason,
             seen.started_at, seen.enqueued_at,  seen.ends_by, seen.lost_claim_to,
             told};
}

void link::plan_poll(const poll_done& done, time_point soonest) {
  std::size_t ended = 0;
  for (const auto& answer : done.answers) {
    const auto* seen = answer ? std::get_if<job::report_status>(&*answer) : nullptr;
    ended += seen != nullptr && is_terminal(seen->state);
  }
  const auto left = done.answers.size() - ended;
  const auto settling = std::min(static_cast<std::size_t>(std::max(0, done.settling)), left);
  const auto settling_before = std::exchange(settling_, settling);
  if (left == 0) return;  // what came meanwhile has its time
  if (is_large()) return;
  const auto over = ended + settling;
  const auto pause = pace_.next(bounds_, over - std::min(over, settling_before), left - settling,
                                poll_started_ - poll_started_before_);
  early_poll_ = std::max(poll_started_ + pause, soonest);
}

}  // namespace ved::core::link
