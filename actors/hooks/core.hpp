#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "actors/job/core.hpp"
#include "messages/api.pb.h"
#include "messages/event.pb.h"
#include "messages/time.hpp"

/// Callbacks to configured hooks as pure logic: what an event of a job is called, and an outbox per
/// hook that delivers in order of log position, at least once: it tries without end, with bounded
/// pauses, and what waits for longer than memory lasts waits in the log.
///
///   log ──► callbacks_of ──► outbox.offer ──► next ──► (command or webhook) ──► done ──► record
///    ▲                                                                                    │
///    └───── HookDelivered, then the cursor ◄──────────────────────────────────────────────┘
namespace ved::core::hooks {

/// The callbacks that `what` causes for a job that was `before` it, in order. An end that shows
/// that the job ran, though it was never seen running, is told as `started` first.
/// `delivery_id` is still empty, and so is what only the job's first event knows (`resources`).
std::vector<pb::HookCallback> callbacks_of(const job::job& before, const pb::Envelope& what);

struct outbox_limits {
  microseconds backoff_initial = seconds{1};
  microseconds backoff_max = seconds{300};  ///< jitter included
  double backoff_multiplier = 2.0;
  std::size_t waiting_max = 1024;  ///< deliveries in memory; the rest waits in the log
};

/// One try to make now.
struct attempt {
  pb::HookCallback what;
  int number = 1;  ///< from 1, anew with each start of the daemon
};

/// Owned by the one actor that serves a hook. The cursor is the position up to which nothing needs
/// to be delivered any more; it may be stored only after the records before it are in the log, so
/// that a crash repeats a delivery (under the same id) and never loses one.
class outbox {
 public:
  /// `callbacks`: those that the hook wants. `cursor`: as stored before; events up to it are done.
  outbox(std::string hook, std::set<std::string> callbacks, outbox_limits limits,
         std::uint64_t cursor);

  /// Room for the callbacks of one more event? If not, read on in the log later.
  bool has_room() const;
  /// The next position of the log with its callbacks, often none; positions must grow.
  void offer(std::uint64_t position, std::vector<pb::HookCallback> callbacks);

  /// The try that is due, if any; it stays in flight until `done`. One at a time, in order.
  std::optional<attempt> next(time_point now);
  /// When `next` will have something; unset when nothing waits or a try is in flight.
  time_point wake_at() const;

  /// The end of the try in flight. A record is returned when it was delivered; append it to the
  /// stream hook/<name>, then call `recorded`. Else the same delivery is due again after a pause.
  std::optional<pb::HookDelivered> done(bool delivered, const std::string& detail,
                                        std::uint64_t draw, time_point now);
  /// The record is durable: the next delivery may begin.
  void recorded();

  /// What may be stored as the durable cursor now.
  std::uint64_t cursor() const noexcept;
  std::size_t waiting() const noexcept { return waiting_.size(); }
  /// When the oldest callback that waits happened; unset: none waits.
  time_point oldest() const noexcept {
    return waiting_.empty() ? time_point{} : from_us(waiting_.front().what.at_us());
  }

 private:
  enum class step { idle, in_flight, recording };
  struct item {
    pb::HookCallback what;
    int attempts = 0;
    time_point due;
  };

  std::string hook_;
  std::set<std::string> callbacks_;
  outbox_limits limits_;
  std::uint64_t offered_;  ///< last position offered
  std::deque<item> waiting_;
  step step_ = step::idle;
};

}  // namespace ved::core::hooks
