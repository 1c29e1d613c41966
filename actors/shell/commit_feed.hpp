#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace ved::actors {

/// Tells listeners on other threads that events were committed; they then read them from the log.
/// Owned by the daemon's root; every call is safe from any thread.
class commit_feed : public std::enable_shared_from_this<commit_feed> {
 public:
  /// What a group commit touched.
  struct commit {
    std::uint64_t last_position = 0;
    std::vector<std::string> streams;
  };
  using listener = std::function<void(const commit&)>;

  /// Ends the subscription when destroyed; after that the listener is not called again.
  class subscription {
   public:
    subscription() = default;
    subscription(std::weak_ptr<commit_feed> feed, std::uint64_t key)
        : feed_(std::move(feed)), key_(key) {}
    subscription(subscription&& other) noexcept
        : feed_(std::move(other.feed_)), key_(std::exchange(other.key_, 0)) {}
    subscription& operator=(subscription&& other) noexcept;
    ~subscription();

   private:
    std::weak_ptr<commit_feed> feed_;
    std::uint64_t key_ = 0;
  };

  /// The listener runs on the log writer's thread: it must only hand over, never block.
  subscription subscribe(listener on_commit);
  void publish(const commit& what);

 private:
  void unsubscribe(std::uint64_t key);

  std::mutex mutex_;
  std::uint64_t next_key_ = 1;
  std::map<std::uint64_t, listener> listeners_;
};

}  // namespace ved::actors
