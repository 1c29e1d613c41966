#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "actors/shell/commit_feed.hpp"
#include "runtime/followers/following.hpp"

namespace ved::runtime {

/// Takes committed events in order of position on a thread of its own and hands them to a consumer.
class follower {
 public:
  using options = follower_options;

  /// Begins after position `from`.
  follower(options how, std::uint64_t from, std::shared_ptr<committed_tail> tail,
           const std::shared_ptr<actors::commit_feed>& feed, std::shared_ptr<actors::log_sink> logs,
           std::unique_ptr<consumer> what);
  /// Stops.
  ~follower();
  follower(const follower&) = delete;
  follower& operator=(const follower&) = delete;

  /// Asks the thread to end without waiting for it.
  void request_stop();
  /// Takes what is in the log, ends the thread and stores the cursor. Takes no longer than
  /// `last_reads_max` and the consumer's longest call after a stop. Safe to repeat.
  void stop();

  /// Any thread: up to here events were taken.
  std::uint64_t position() const noexcept { return work_.position(); }
  /// Any thread: calls work() soon.
  void nudge();
  /// Any thread: stores the cursor soon.
  void store_soon();

 private:
  void run(const std::stop_token& stop);

  following work_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  actors::commit_feed::subscription subscription_;
  std::jthread thread_;
};

}  // namespace ved::runtime
