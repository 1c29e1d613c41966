#include "actors/shell/commit_feed.hpp"

#include <utility>

namespace ved::actors {

commit_feed::subscription& commit_feed::subscription::operator=(subscription&& other) noexcept {
  if (this != &other) {
    if (auto feed = feed_.lock(); feed && key_ != 0) feed->unsubscribe(key_);
    feed_ = std::move(other.feed_);
    key_ = std::exchange(other.key_, 0);
  }
  return *this;
}

commit_feed::subscription::~subscription() {
  if (auto feed = feed_.lock(); feed && key_ != 0) feed->unsubscribe(key_);
}

commit_feed::subscription commit_feed::subscribe(listener on_commit) {
  const std::lock_guard lock(mutex_);
  const auto key = next_key_++;
  listeners_.emplace(key, std::move(on_commit));
  return {weak_from_this(), key};
}

void commit_feed::publish(const commit& what) {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, on_commit] : listeners_) on_commit(what);
}

void commit_feed::unsubscribe(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  listeners_.erase(key);
}

}  // namespace ved::actors
