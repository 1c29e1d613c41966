#include "runtime/http/watchers.hpp"

#include <utility>

namespace ved::runtime::http {

stream_watchers::watch& stream_watchers::watch::operator=(watch&& other) noexcept {
  if (this != &other) {
    end();
    owner_ = std::move(other.owner_);
    stream_ = std::move(other.stream_);
    key_ = std::exchange(other.key_, 0);
  }
  return *this;
}

void stream_watchers::watch::end() {
  if (const auto owner = owner_.lock(); owner && key_ != 0) owner->remove(stream_, key_);
  owner_.reset();
  key_ = 0;
}

stream_watchers::watch stream_watchers::add(std::optional<std::string> stream,
                                             std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  const auto key = next_key_++;
  (stream ? streams_[*stream] : all_).emplace(key, std::move(wake));
  return {weak_from_this(), std::move(stream), key};
}

void stream_watchers::wake(const actors::commit_feed::commit& committed) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, wake_one] : all_) wake_one();
  if (streams_.empty()) return;
  for (const auto& stream : committed.streams) {
    const auto found = streams_.find(stream);
    if (found == streams_.end()) continue;
    for (const auto& [key, wake_one] : found->second) wake_one();
  }
}

void stream_watchers::remove(const std::optional<std::string>& stream, std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  if (!stream) {
    all_.erase(key);
    return;
  }
  const auto found = streams_.find(*stream);
  if (found == streams_.end()) return;
  found->second.erase(key);
  if (found->second.empty()) streams_.erase(found);
}

}  // namespace ved::runtime::http
