#include "runtime/followers/follower_report.hpp"

#include <algorithm>
#include <utility>

#include "store/event_logs.hpp"

namespace ved::runtime {

follower_report::follower_report(std::string name, std::string log, clock now)
    : name_(std::move(name)), log_(std::move(log)), now_(std::move(now)) {}

void follower_report::failed(std::string_view step, std::string why) {
  const std::lock_guard lock(mutex_);
  auto at = failures_.find(step);
  if (at == failures_.end())
    at = failures_.emplace(std::string(step), failure{now_(), 0, {}}).first;
  ++at->second.times;
  at->second.why = std::move(why);
}

void follower_report::works(std::string_view step) {
  const std::lock_guard lock(mutex_);
  if (const auto at = failures_.find(step); at != failures_.end()) failures_.erase(at);
}

void follower_report::begins(std::string_view step) {
  const std::lock_guard lock(mutex_);
  under_way_ = step;
  under_way_since_ = now_();
}

void follower_report::returned() {
  const std::lock_guard lock(mutex_);
  under_way_.clear();
}

void follower_report::done(std::uint64_t position) {
  const std::lock_guard lock(mutex_);
  position_ = position;
}

void follower_report::waits(std::size_t callbacks, time_point oldest) {
  const std::lock_guard lock(mutex_);
  waiting_ = callbacks;
  oldest_ = oldest;
}

pb::Follower follower_report::seen(std::uint64_t last_position) const {
  const std::lock_guard lock(mutex_);
  pb::Follower out;
  out.set_name(name_);
  out.set_log(log_);
  out.set_position(position_);
  out.set_behind(last_position - std::min(last_position, position_));
  out.set_waiting(waiting_);
  out.set_oldest_at_us(to_us(oldest_));
  const auto worst = std::min_element(
      failures_.begin(), failures_.end(),
      [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
  if (worst != failures_.end()) {
    out.set_failing_since_us(to_us(worst->second.since));
    out.set_failures(worst->second.times);
    out.set_error(worst->second.why);
  } else if (!under_way_.empty() && now_() - under_way_since_ >= follower_patience) {
    out.set_failing_since_us(to_us(under_way_since_));
    out.set_error("its step '" + under_way_ + "' does not return: does a disk hang?");
  }
  return out;
}

std::optional<actors::problem> follower_report::problem(std::uint64_t last_position) const {
  const auto now = seen(last_position);
  const auto since = from_us(now.failing_since_us());
  if (!is_set(since) || now_() - since < follower_patience) return std::nullopt;
  const auto of = log_ == store::own_log_name ? std::string{} : " of " + log_;
  std::string text = name_ + of + ": " + now.error();
  if (now.failures() > 0)
    text += "; tried " + std::to_string(now.failures()) + " times, is tried again";
  text += "; " + std::to_string(now.behind()) + " events behind";
  if (now.waiting() > 0) text += ", " + std::to_string(now.waiting()) + " callbacks wait";
  return actors::problem{std::move(text), actors::problem::weight::degraded, since};
}

}  // namespace ved::runtime
