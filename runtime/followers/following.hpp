#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "actors/shell/log_sink.hpp"
#include "messages/error.hpp"
#include "messages/time.hpp"
#include "runtime/followers/committed_tail.hpp"
#include "runtime/followers/consumer.hpp"
#include "runtime/followers/follower_report.hpp"

namespace ved::runtime {

struct follower_options {
  std::string name;     ///< of the durable cursor, and in logs
  bool durable = true;  ///< false: nothing is kept, the next start begins elsewhere
  std::size_t batch_max = 500;
  milliseconds pace{20};  ///< at least between two reads, so that many small commits are one batch
  milliseconds store_interval{1'000};  ///< the cursor is stored at most so often: it is a sync
  milliseconds last_reads_max{2'000};   ///< what is in the log at a stop is taken for so long
  milliseconds backoff_initial{100};
  milliseconds backoff_max{30'000};
  /// Where it tells how it fares; none: nobody asks.
  std::shared_ptr<follower_report> report;
};

/// How a consumer is led through a log, step by step, on whatever thread and clock its driver has
/// (see follower). It reads what is in the log already, so it can be as slow as it likes without
/// slowing the writer, and catches up after having been away.
class following {
 public:
  using moment = consumer::moment;

  /// How long to rest before the next step: until `least` whatever comes, and then until `most`, or
  /// until there is news if that counts.
  struct rest {
    moment least;
    moment most;
    bool news_counts = false;
  };

  /// Begins after position `from`.
  following(follower_options how, std::uint64_t from, std::shared_ptr<committed_tail> tail,
            std::shared_ptr<actors::log_sink> logs, std::unique_ptr<consumer> what,
            std::function<moment()> clock);

  /// Takes the next events, if there are any, and lets the consumer do one thing that is due.
  rest step(const std::stop_token& stop);
  /// The last step: takes what is in the log, and stores the cursor.
  void finish();

  /// Any thread: something was committed, or the consumer has work. True: that was not known.
  bool note_news() noexcept { return !news_.exchange(true); }
  bool has_news() const noexcept { return news_; }
  /// Any thread: the cursor is to be stored with the next step, however short ago it was.
  void store_soon() noexcept { store_now_ = true; }
  /// Any thread: up to here events were taken.
  std::uint64_t position() const noexcept { return taken_; }

 private:
  bool begin();
  bool take_batch();
  result<committed_batch> read();
  result<void> take(const committed_batch& batch);
  void store_cursor(bool now);
  rest rest_until(std::optional<moment> wake);
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

  const follower_options how_;
  const std::shared_ptr<committed_tail> tail_;
  const std::shared_ptr<actors::log_sink> logs_;
  const std::unique_ptr<consumer> consumer_;
  const std::function<moment()> clock_;

  std::unique_ptr<job_tracker> alone_;  ///< while it is too far behind for the tail
  std::atomic<std::uint64_t> taken_;
  std::uint64_t stored_;  ///< cursor as on disk
  bool begun_ = false;
  moment cursor_stored_at_{};
  moment retry_at_{};
  milliseconds backoff_;
  std::atomic<bool> news_{true};
  std::atomic<bool> store_now_{false};
};

}  // namespace ved::runtime
