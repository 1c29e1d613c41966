#include <algorithm>
#include <string>
#include <utility>

#include "actors/link/core.hpp"

// What follows the answer to a hold, release, suspend, resume or cancel.
namespace ved::core::link {

void link::on_control(outputs& out, const control_order& asked, const completion& answer,
                      time_point now) {
  const auto* done = std::get_if<control_done>(&answer);
  if (done == nullptr) return;
  bool repeats = true;
  for (std::size_t i = 0; i < asked.items.size() && i < done->answers.size(); ++i) {
    const auto& a = done->answers[i];
    const auto control = asked.items[i].control;
    if (!a.known) {
      repeats = false;
      continue;
    }
    // A cancel is over when the job is: its answer says nothing that the next poll does not.
    if (control == pb::JOB_CONTROL_CANCEL) {
      repeats = false;
      const auto& item = asked.items[i].job;
      // Of the cancel that is wanted now: meanwhile the job may have been found under an id.
      const auto it = jobs_.find(item.job);
      if (it == jobs_.end() || !it->second.wanted.control ||
          it->second.wanted.control->id != item.id)
        continue;
      const auto& follow = it->second.wanted.follow;
      // Or it was requeued meanwhile.
      const bool same_run = !follow || !is_set(item.enqueued_at) ||
                            follow->enqueued_at == item.enqueued_at;
      it->second.control_not_before = now + (!same_run   ? bounds_.control_interval
                                             : a.refused ? bounds_.refused_again_after
                                                         : bounds_.cancel_again_after);
      continue;
    }
    out.reports.emplace_back(asked.items[i].job.job,
                             job::report_control{control, a.refused, a.reason});
    if (a.refused || on_control_taken(out, asked.items[i], now) <= 1) repeats = false;
  }
  // What was ordered shows in the next poll: do not let the operator wait a whole interval.
  if (repeats) return;
  next_poll_ = std::min(next_poll_, next_control_);
  full_poll_at_ = {};
}

int link::on_control_taken(outputs& out, const control_order::item& item, time_point now) {
  const auto it = jobs_.find(item.job.job);
  if (it == jobs_.end()) return 0;
  entry& e = it->second;
  if (!e.wanted.control || e.wanted.control->control != item.control ||
      e.wanted.control->id != item.job.id)
    return 0;
  auto pause = bounds_.control_interval;
  for (int i = 0; i < e.control_times && pause < bounds_.cancel_again_after; ++i) pause *= 2;
  e.control_not_before = now + std::min(pause, std::max(bounds_.cancel_again_after,
                                                        bounds_.control_interval));
  if (++e.control_times < bounds_.control_times_max) return e.control_times;
  out.reports.emplace_back(
      item.job.job,
      job::report_control{item.control, true,
                          "the scheduler took it " + std::to_string(e.control_times) +
                              " times, and nothing that it shows has changed"});
  return std::exchange(e.control_times, 0);
}

}  // namespace ved::core::link
