#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "actors/shell/commit_feed.hpp"
#include "actors/shell/log_sink.hpp"
#include "messages/error.hpp"
#include "messages/event.pb.h"
#include "messages/time.hpp"
#include "runtime/followers/committed_tail.hpp"
#include "runtime/followers/follower_report.hpp"
#include "store/event_log.hpp"

namespace ved::runtime {

/// What a follower does with the events; every call comes on the follower's thread.
class consumer {
 public:
  using moment = std::chrono::steady_clock::time_point;

  virtual ~consumer() = default;

  /// Before the first event; called again, with backoff, until it succeeds.
  virtual result<void> begin() { return {}; }
  /// The next events, in order of position without gaps. After an error, and after an exception,
  /// the whole batch is offered again, with backoff.
  virtual result<void> take(const committed_batch& batch) = 0;
  /// False: it cannot take more now; the rest waits in the log.
  virtual bool has_room() const { return true; }
  /// Does one thing that is due besides taking events. May block, but must return soon after a stop
  /// was asked for. Returns when it wants to be called again; none: after the next events.
  virtual std::optional<moment> work(const std::stop_token& stop) {
    static_cast<void>(stop);
    return std::nullopt;
  }
  /// Makes durable what it did; returns the position up to which nothing needs to come again after
  /// a restart, given that everything up to `taken` was taken.
  virtual result<std::uint64_t> settle(std::uint64_t taken) { return taken; }
  /// The position up to which its work is done, given that everything up to `taken` was taken.
  virtual std::uint64_t done(std::uint64_t taken) const { return taken; }
};

/// Takes committed events in order of position on a thread of its own and hands them to a consumer.
/// It reads what is in the log already, so it can be as slow as it likes without slowing the
/// writer, and catches up after having been away.
class follower {
 public:
  struct options {
    std::string name;     ///< of the durable cursor, and in logs
    bool durable = true;  ///< false: nothing is kept, the next start begins elsewhere
    std::size_t batch_max = 500;
    milliseconds pace{
        20};  ///< at least between two reads, so that many small commits are one batch
    milliseconds settle_interval{1'000};  ///< the cursor is stored at most so often: it is a sync
    milliseconds last_reads_max{2'000};  ///< what is in the log at a stop is taken for so long
    milliseconds backoff_initial{100};
    milliseconds backoff_max{30'000};
    /// Where it tells how it fares; none: nobody asks.
    std::shared_ptr<follower_report> report;
  };

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
  std::uint64_t position() const noexcept { return taken_; }
  /// Any thread: calls work() soon.
  void nudge();

 private:
  using clock = std::chrono::steady_clock;

  void run(const std::stop_token& stop);
  bool begin(const std::stop_token& stop);
  bool take_batch();
  result<committed_batch> read();
  result<void> take(const committed_batch& batch);
  void settle(bool now);
  /// Calls the consumer, so that a call that hangs can be told.
  template <class Call>
  auto call(const char* step, const Call& what) {
    if (how_.report) how_.report->begins(step);
    auto out = what();
    if (how_.report) how_.report->returned();
    return out;
  }
  void failed(const char* step, const error& why);
  void works(const char* step);
  void tell_progress();
  void sleep(const std::stop_token& stop, std::optional<clock::time_point> wake);

  const options how_;
  const std::shared_ptr<committed_tail> tail_;
  const std::shared_ptr<actors::log_sink> logs_;
  const std::unique_ptr<consumer> consumer_;

  std::unique_ptr<job_tracker> alone_;  ///< while it is too far behind for the tail
  std::atomic<std::uint64_t> taken_;
  std::uint64_t stored_;  ///< cursor as on disk
  clock::time_point settled_at_{};
  clock::time_point retry_at_{};
  milliseconds backoff_;

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::atomic<bool> news_{true};

  actors::commit_feed::subscription subscription_;
  std::jthread thread_;
};

}  // namespace ved::runtime
