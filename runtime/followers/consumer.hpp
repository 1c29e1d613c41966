#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>

#include "messages/error.hpp"
#include "runtime/followers/committed_tail.hpp"

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
  virtual result<std::uint64_t> make_durable(std::uint64_t taken) { return taken; }
  /// The position up to which its work is done, given that everything up to `taken` was taken.
  virtual std::uint64_t done(std::uint64_t taken) const { return taken; }
};

}  // namespace ved::runtime
