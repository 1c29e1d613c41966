#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "actors/shell/commit_feed.hpp"

namespace ved::runtime::http {

/// Wakes those who follow a stream, or all streams, when a commit touched it: one subscription to
/// the feed for all of them. Safe from any thread.
class stream_watchers : public std::enable_shared_from_this<stream_watchers> {
 public:
  /// Ends the watch when destroyed.
  class watch {
   public:
    watch() = default;
    watch(std::weak_ptr<stream_watchers> owner, std::optional<std::string> stream,
          std::uint64_t key)
        : owner_(std::move(owner)), stream_(std::move(stream)), key_(key) {}
    watch(watch&& other) noexcept = default;
    watch& operator=(watch&& other) noexcept;
    ~watch() { end(); }

   private:
    void end();

    std::weak_ptr<stream_watchers> owner_;
    std::optional<std::string> stream_;
    std::uint64_t key_ = 0;
  };

  /// `wake` runs on the log writer's thread: it must only hand over. It may run once more while
  /// the watch ends on another thread.
  /// Without a stream: woken by every commit.
  watch add(std::optional<std::string> stream, std::function<void()> wake);
  void wake(const actors::commit_feed::commit& committed) const;

 private:
  using wakers = std::map<std::uint64_t, std::function<void()>>;

  void remove(const std::optional<std::string>& stream, std::uint64_t key);

  mutable std::mutex mutex_;
  std::uint64_t next_key_ = 1;
  std::unordered_map<std::string, wakers> streams_;
  wakers all_;
};

}  // namespace ved::runtime::http
