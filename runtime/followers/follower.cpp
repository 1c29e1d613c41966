#include "runtime/followers/follower.hpp"

#include <utility>

namespace ved::runtime {

follower::follower(options how, std::uint64_t from, std::shared_ptr<committed_tail> tail,
                   const std::shared_ptr<actors::commit_feed>& feed,
                   std::shared_ptr<actors::log_sink> logs, std::unique_ptr<consumer> what)
    : work_(std::move(how), from, std::move(tail), std::move(logs), std::move(what),
            [] { return std::chrono::steady_clock::now(); }) {
  // Subscribed before the first read, so that no commit falls between the two.
  subscription_ = feed->subscribe([this](const auto&) { nudge(); });
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

follower::~follower() {
  stop();
}

void follower::nudge() {
  // One wake-up is enough, however many commits come before the thread looks.
  if (!work_.note_news()) return;
  const std::lock_guard lock(mutex_);
  wake_.notify_all();
}

void follower::store_soon() {
  work_.store_soon();
  nudge();
}

void follower::request_stop() {
  thread_.request_stop();
}

void follower::stop() {
  subscription_ = {};
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void follower::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const auto rest = work_.step(stop);
    std::unique_lock lock(mutex_);
    wake_.wait_until(lock, stop, rest.least, [] { return false; });
    wake_.wait_until(lock, stop, rest.most,
                     [&] { return rest.news_counts && work_.has_news(); });
  }
  work_.finish();
}

}  // namespace ved::runtime
