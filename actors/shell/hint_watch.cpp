#include "actors/shell/hint_watch.hpp"

#include <pthread.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "messages/plain_text.hpp"

namespace ved::actors {
namespace {

using steady = std::chrono::steady_clock;

/// A watcher that lived so long did not fail at once.
constexpr seconds stable{60};
constexpr int doublings_max = 20;
constexpr std::size_t words_bytes_max = 512;

}  // namespace

hint_watch::hint_watch(std::shared_ptr<adapters::job_watcher> by, options how)
    : by_(std::move(by)), how_(std::move(how)), thread_([this] { work(); }) {
  pthread_setname_np(thread_.native_handle(), ("watch " + how_.name).substr(0, 15).c_str());
}

void hint_watch::stop() {
  stop_.request_stop();
  {
    // Whoever is about to wait has seen the stop, or hears of it.
    const std::lock_guard lock(mutex_);
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void hint_watch::need(bool any) {
  const std::lock_guard lock(mutex_);
  if (needed_ == any) return;
  needed_ = any;
  if (any) changed_.notify_all();
  else needed_until_ = steady::now();
}

bool hint_watch::is_needed() const {
  const std::lock_guard lock(mutex_);
  return needed_ || steady::now() < needed_until_ + how_.linger;
}

std::string hint_watch::note() const {
  const std::lock_guard lock(mutex_);
  if (problem_.empty()) return {};
  return "ends of jobs before the next poll: " + problem_;
}

void hint_watch::tell_state(const std::string& problem) {
  {
    const std::lock_guard lock(mutex_);
    const bool same = problem.empty() ? watching_ : !watching_ && problem == problem_;
    watching_ = problem.empty();
    problem_ = problem;
    if (same) return;
  }
  how_.changed(problem);
}

/// False: it is to stop.
bool hint_watch::pause(milliseconds time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return stop_.stop_requested(); });
  return !stop_.stop_requested();
}

adapters::watch_end hint_watch::watch_once() {
  try {
    return by_->watch(
        [this](const std::vector<adapters::job_hint>& seen) {
          tell_state({});
          std::vector<core::link::hint> hints;
          hints.reserve(seen.size());
          for (const auto& one : seen)
            hints.push_back(
                {one.job, one.token, one.seems == adapters::job_hint::what::ended});
          if (!hints.empty()) how_.tell(std::move(hints));
          return is_needed();
        },
        stop_.get_token());
  } catch (const std::exception& broken) {
    return {false, std::string("the watcher failed: ") + broken.what(), false};
  }
}

void hint_watch::work() {
  int failures = 0;
  while (!stop_.stop_requested()) {
    if (!is_needed()) {
      std::unique_lock lock(mutex_);
      problem_.clear();
      changed_.wait(lock, [this] { return needed_ || stop_.stop_requested(); });
    }
    if (stop_.stop_requested()) return;
    const auto begun = steady::now();
    const auto end = watch_once();
    if (stop_.stop_requested()) return;
    if (end.problem.empty() || end.waits || steady::now() - begun >= stable) failures = 0;
    auto wait = how_.pause_min;
    if (!end.problem.empty() && !end.waits) {
      wait *= std::int64_t{1} << std::min(failures, doublings_max);
      wait = std::min(wait, how_.pause_max);
      ++failures;
      tell_state(plain_text(end.problem, words_bytes_max));
    }
    if (!pause(wait)) return;
  }
}

}  // namespace ved::actors
