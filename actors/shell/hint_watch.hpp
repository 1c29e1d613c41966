#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "actors/link/core.hpp"
#include "adapters/watcher.hpp"

namespace ved::actors {

/// The thread that keeps one cluster's watcher going while a job is to be watched, and for a while
/// at the start, so that it is there before the first job: it starts it anew when it ends, after
/// pauses that grow with its failures. Nothing depends on it: without it the link learns the same
/// from its polls.
class hint_watch {
 public:
  struct options {
    std::string name;  ///< for the thread's name
    std::function<void(std::vector<core::link::hint>)> tell;  ///< any thread; must not block
    /// It watches (empty), or why it does not any more; told when that changes. Any thread.
    std::function<void(const std::string& problem)> changed = [](const std::string&) {};
    milliseconds pause_min{1'000};  ///< after a failure; doubles
    milliseconds pause_max{300'000};
    milliseconds linger{60'000};    ///< nobody needs it for so long: it ends
  };

  hint_watch(std::shared_ptr<adapters::job_watcher> by, options how);
  ~hint_watch() { stop(); }
  hint_watch(const hint_watch&) = delete;
  hint_watch& operator=(const hint_watch&) = delete;

  /// Ends the watcher and waits for it; nothing is told any more. By its owner.
  void stop();
  /// Some job is to be watched, or none any more. Any thread.
  void need(bool any);
  /// Why nobody watches; empty: somebody does, will in a moment, or is not needed.
  std::string note() const;

 private:
  void work();
  adapters::watch_end watch_once();
  bool is_needed() const;
  void tell_state(const std::string& problem);
  bool pause(milliseconds time);

  const std::shared_ptr<adapters::job_watcher> by_;
  const options how_;
  std::stop_source stop_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool needed_ = false;
  /// When it was not needed any more.
  std::chrono::steady_clock::time_point needed_until_ = std::chrono::steady_clock::now();
  std::string problem_;
  bool watching_ = false;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace ved::actors
