#include "actors/supervisor/restart_policy.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ved::core::supervisor {

restart_policy::restart_policy(strategy how, restart_limits limits,
                               std::vector<std::string> children)
    : how_(how), limits_(limits) {
  children_.reserve(children.size());
  for (auto& name : children) add(std::move(name));
}

void restart_policy::started(std::size_t child, time_point now) {
  children_.at(child).started_at = now;
}

microseconds restart_policy::backoff(int crashes) const {
  // The first restart is at once: most crashes are one-offs, and callers wait for the child.
  if (crashes <= 1) return microseconds{0};
  const double raw = static_cast<double>(limits_.backoff_initial.count()) *
                     std::pow(limits_.backoff_multiplier, std::min(crashes - 2, 64));
  const double capped = std::min(raw, static_cast<double>(limits_.backoff_max.count()));
  return microseconds{static_cast<std::int64_t>(capped)};
}

decision restart_policy::ended(std::size_t child, ending how, const std::string& reason,
                               time_point now) {
  decision out;
  child_record& failed = children_.at(child);
  if (how == ending::normal) return out;
  // A clock that jumped back must not make old restarts look like future ones.
  while (!recent_.empty() && (recent_.front() <= now - limits_.window || recent_.front() > now))
    recent_.pop_front();
  if (static_cast<int>(recent_.size()) >= limits_.restarts_max) {
    out.escalate = true;
    out.reason = failed.name + " ended (" + reason + ") after " +
                 std::to_string(recent_.size()) + " restarts within " +
                 std::to_string(limits_.window.count() / 1'000'000) + " s";
    out.stop = stop_order();
    out.stop.erase(std::remove(out.stop.begin(), out.stop.end(), child), out.stop.end());
    return out;
  }
  recent_.push_back(now);
  if (is_set(failed.started_at) && now - failed.started_at >= limits_.healthy_after)
    failed.crashes = 0;
  ++failed.crashes;
  ++failed.restarts;
  out.start_at = now + backoff(failed.crashes);
  out.start.push_back(child);
  if (how_ == strategy::rest_for_one) {
    for (std::size_t later = child + 1; later < children_.size(); ++later) {
      out.stop.insert(out.stop.begin(), later);
      out.start.push_back(later);
    }
  }
  return out;
}

std::vector<std::size_t> restart_policy::stop_order() const {
  std::vector<std::size_t> out(children_.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = out.size() - 1 - i;
  return out;
}

}  // namespace ved::core::supervisor
