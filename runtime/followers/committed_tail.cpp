#include "runtime/followers/committed_tail.hpp"

#include <algorithm>
#include <utility>

#include "actors/job/stored.hpp"

namespace ved::runtime {
namespace {
constexpr std::size_t events_per_read = 500;
}

result<committed> to_committed(pb::Envelope event, job_tracker& tracker) {
  committed out{std::move(event), std::nullopt};
  if (core::job_of_stream(out.event.stream()).empty()) return out;
  auto step = tracker.follow(out.event);
  if (!step) return fail(step.error());
  out.job = std::move(*step);
  return out;
}

committed_tail::committed_tail(std::shared_ptr<store::event_log> log, std::size_t kept_max)
    : log_(std::move(log)),
      kept_max_(std::max(kept_max, events_per_read)),
      tracker_(*log_),
      end_(log_->last_position()) {}

std::optional<result<committed_batch>> committed_tail::read(std::uint64_t after,
                                                            std::size_t limit) {
  const std::lock_guard lock(mutex_);
  if (after < end_ - kept_.size()) return std::nullopt;
  // A batch that is not full is the log's end, also for who is behind another that read further.
  // No further than that: what was asked for must stay among what is kept.
  const auto target = after + std::min(limit, kept_max_);
  for (auto before = end_ + 1; end_ < target && before != end_;) {
    before = end_;
    // What came before the trouble is handed out first.
    auto done = fold_on(std::min<std::uint64_t>(target - end_, events_per_read));
    if (!done && after >= end_) return result<committed_batch>(fail(done.error()));
    if (!done) break;
  }
  committed_batch out;
  for (auto next = kept_.size() - (end_ - std::min(after, end_));
       next < kept_.size() && out.size() < limit; ++next)
    out.push_back(kept_[next]);
  return result<committed_batch>(std::move(out));
}

result<void> committed_tail::fold_on(std::size_t events_max) {
  auto events = log_->read(end_, events_max);
  if (!events) return fail(events.error());
  for (auto& event : *events) {
    const auto position = event.position();
    auto step = to_committed(std::move(event), tracker_);
    if (!step) return fail(step.error());
    kept_.push_back(std::make_shared<const committed>(std::move(*step)));
    end_ = position;
    if (kept_.size() > kept_max_) kept_.pop_front();
  }
  return {};
}

}  // namespace ved::runtime
