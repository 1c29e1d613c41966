#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "actors/shell/problem_board.hpp"
#include "messages/api.pb.h"
#include "messages/time.hpp"

namespace ved::runtime {

/// A follower that has failed for so long is a problem of the daemon's; before, it is a retry.
inline constexpr seconds follower_patience{10};

/// How one follower of the log fares, for /health and the metrics. Its thread writes, any reads.
class follower_report {
 public:
  using clock = std::function<time_point()>;

  /// `log`: the name of the one that it follows.
  follower_report(std::string name, std::string log, clock now);

  /// The step ("take", "deliver") failed once more; the moment of its first failure is kept.
  void failed(std::string_view step, std::string why);
  /// The step works, or works again.
  void works(std::string_view step);
  /// The step is called, and has returned: one that hangs gives no error.
  void begins(std::string_view step);
  void returned();
  /// Everything up to this position of the log is done.
  void done(std::uint64_t position);
  /// Callbacks that are read and not delivered, and when the oldest of them happened.
  void waits(std::size_t callbacks, time_point oldest);

  pb::Follower seen(std::uint64_t last_position) const;
  /// Once it has failed for follower_patience: cause, and how much waits for it.
  std::optional<actors::problem> problem(std::uint64_t last_position) const;

 private:
  struct failure {
    time_point since;
    std::uint64_t times = 0;
    std::string why;
  };

  const std::string name_;
  const std::string log_;
  const clock now_;
  mutable std::mutex mutex_;
  std::map<std::string, failure, std::less<>> failures_;  ///< by step; the steps are few
  std::string under_way_;  ///< the step that has not returned; empty: none
  time_point under_way_since_;
  std::uint64_t position_ = 0;
  std::size_t waiting_ = 0;
  time_point oldest_;
};

}  // namespace ved::runtime
