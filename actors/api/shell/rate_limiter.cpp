#include "actors/api/shell/rate_limiter.hpp"

#include <algorithm>

namespace ved::actors {

double rate_limiter::filled(const bucket& at, moment now) const {
  const std::chrono::duration<double> passed = now - at.filled_at;
  return std::min(burst_, at.tokens + std::max(0.0, passed.count()) * rate_);
}

void rate_limiter::make_room(moment now) {
  // A full bucket says nothing that a new one would not say.
  std::erase_if(buckets_, [&](const auto& entry) { return filled(entry.second, now) >= burst_; });
  // Under an attack from more clients than the table holds, forgetting any one is fair.
  if (buckets_.size() >= clients_max) buckets_.erase(buckets_.begin());
}

bool rate_limiter::admit(const std::string& client, moment now, double tokens) {
  if (rate_ <= 0) return true;
  const std::lock_guard lock(mutex_);
  auto found = buckets_.find(client);
  if (found == buckets_.end()) {
    if (buckets_.size() >= clients_max) make_room(now);
    found = buckets_.emplace(client, bucket{burst_, now}).first;
  }
  auto& at = found->second;
  at.tokens = filled(at, now);
  at.filled_at = now;
  if (at.tokens < 1) return false;
  at.tokens -= tokens;
  return true;
}

std::size_t rate_limiter::clients() const {
  const std::lock_guard lock(mutex_);
  return buckets_.size();
}

}  // namespace ved::actors
