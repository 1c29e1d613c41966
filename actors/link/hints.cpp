#include <algorithm>
#include <array>

#include "actors/link/core.hpp"
#include "messages/job_state.hpp"

// What follows a hint: when the jobs that it names are asked for, and how often.
namespace ved::core::link {
namespace {

/// Before each poll for a job that has ended, as a hint says: its node tells the controller a
/// moment after the job, and that tells the accounts.
constexpr std::array<milliseconds, 5> end_pauses{milliseconds{100}, milliseconds{300},
                                                 milliseconds{500}, milliseconds{1'000},
                                                 milliseconds{2'000}};
/// A start hurries less: the end of a short job comes first.
constexpr std::array<milliseconds, 2> start_pauses{milliseconds{1'000}, milliseconds{2'000}};

std::optional<microseconds> pause_before(bool ended, std::size_t asked) {
  if (ended && asked < end_pauses.size()) return end_pauses[asked];
  if (!ended && asked < start_pauses.size()) return start_pauses[asked];
  return std::nullopt;
}

bool has_started(pb::JobState state) {
  return state == pb::JOB_STATE_RUNNING || state == pb::JOB_STATE_SUSPENDED || is_terminal(state);
}

}  // namespace

std::size_t link::hear(std::span<const hint> hints, time_point now) {
  std::size_t news = 0;
  for (const auto& one : hints) {
    const auto it = jobs_.find(one.job);
    if (it == jobs_.end() || it->second.wanted.empty()) continue;
    const entry& e = it->second;
    // One that is being submitted may have ended before that is known.
    if ((e.wanted.follow ? e.wanted.follow->token : e.sent) != one.token) continue;
    if (!one.ended && e.wanted.follow && has_started(e.wanted.follow->state)) continue;
    const auto [place, fresh] = hinted_.try_emplace(one.job, hinted{one.token, one.ended});
    hinted& h = place->second;
    const bool is_more = one.ended && !h.ended;
    const bool is_less = !one.ended && h.ended;
    const bool is_busy = h.due || h.asking || now < h.deaf_until;
    if (!fresh && !is_more && (is_less || is_busy)) continue;
    h.ended = one.ended;
    h.asked = 0;
    h.asking = false;
    h.due = now + *pause_before(h.ended, 0);
    ++news;
  }
  hints_changed_ = hints_changed_ || news > 0;
  return news;
}

void link::forget_hint(const job_id& job, const entry& e) {
  const auto it = hinted_.find(job);
  if (it == hinted_.end()) return;
  if (it->second.token != (e.wanted.follow ? e.wanted.follow->token : e.sent)) hinted_.erase(it);
}

void link::plan_hints() {
  if (!hints_changed_) return;
  hints_changed_ = false;
  hint_due_.reset();
  std::size_t ended = 0;
  for (const auto& [job, h] : hinted_) {
    if (!h.due || !followed_.contains(&job)) continue;
    ended += h.ended;
    if (!hint_due_ || *h.due < *hint_due_) hint_due_ = h.due;
  }
  all_hinted_ = ended == followed_.size();
}

/// A poll of all followed jobs begins.
void link::begin_hinted(time_point now) {
  for (auto& [job, h] : hinted_) {
    if (!h.due || now < *h.due || !followed_.contains(&job)) continue;
    h.asking = true;
    h.due.reset();
    ++h.asked;
    hints_changed_ = true;
  }
  plan_hints();
}

/// It ended. `done` null: nothing was learned, and it counts all the same.
void link::settle_hinted(const poll_order& asked, const poll_done* done, time_point now) {
  if (hinted_.empty()) return;
  for (std::size_t i = 0; i < asked.jobs.size(); ++i) {
    const auto it = hinted_.find(asked.jobs[i].job);
    if (it == hinted_.end()) continue;
    hints_changed_ = true;
    hinted& h = it->second;
    const auto* seen = done != nullptr && done->answers[i]
                           ? std::get_if<job::report_status>(&*done->answers[i])
                           : nullptr;
    const bool is_so = seen != nullptr && h.token == asked.jobs[i].token &&
                       (h.ended ? is_terminal(seen->state) : has_started(seen->state));
    if (is_so) {
      hinted_.erase(it);
    } else if (h.asking) {
      h.asking = false;
      h.deaf_until = now + bounds_.poll_interval;
      if (const auto pause = pause_before(h.ended, h.asked)) h.due = now + *pause;
    }
  }
}

}  // namespace ved::core::link
