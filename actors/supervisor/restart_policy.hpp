#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "messages/time.hpp"

/// What a supervisor does when a child ends, as pure logic (OTP's rules): no clock, no actor.
/// The shell asks, does what the decision says, and comes back with what happened.
namespace ved::core::supervisor {

enum class strategy {
  one_for_one,   ///< restart the child that ended
  rest_for_one,  ///< and all that were started after it, which may hold handles to it
};

enum class ending {
  normal,   ///< it had finished its work and said so
  failure,  ///< a crash, a lost append, a kill
};

struct restart_limits {
  int restarts_max = 5;              ///< within `window`, per supervisor; one more escalates
  microseconds window = seconds{30};
  microseconds backoff_initial = milliseconds{10};  ///< pause before a child's second restart
  microseconds backoff_max = seconds{5};
  double backoff_multiplier = 2.0;
  /// A child that ran this long without a crash has a clean record again.
  microseconds healthy_after = seconds{30};
};

/// Either escalate (stop all children, end oneself), or: stop `stop` in that order, wait until
/// `start_at`, start `start` in that order. All empty: nothing to do.
struct decision {
  bool escalate = false;
  std::string reason;               ///< of an escalation, for the log
  std::vector<std::size_t> stop;    ///< indices of children, last started first
  std::vector<std::size_t> start;   ///< indices of children, first started first
  time_point start_at;
};

/// Owned by one supervisor. Children are numbered in the order of their start.
class restart_policy {
 public:
  restart_policy(strategy how, restart_limits limits, std::vector<std::string> children);

  /// One more child, behind all others.
  void add(std::string child) { children_.push_back(child_record{std::move(child), {}, 0, 0}); }
  /// The shell has started that child (for the first time or again).
  void started(std::size_t child, time_point now);
  /// That child ended by itself. Children that the supervisor stopped are not reported here.
  decision ended(std::size_t child, ending how, const std::string& reason, time_point now);
  /// All children in the order in which a clean stop ends them: last started first.
  std::vector<std::size_t> stop_order() const;

  /// Restarts of one child since the beginning; for metrics.
  std::uint64_t restarts(std::size_t child) const { return children_.at(child).restarts; }
  const std::string& name(std::size_t child) const { return children_.at(child).name; }

 private:
  struct child_record {
    std::string name;
    time_point started_at;
    int crashes = 0;  ///< in a row, without a healthy stretch between them
    std::uint64_t restarts = 0;
  };

  microseconds backoff(int crashes) const;

  strategy how_;
  restart_limits limits_;
  std::vector<child_record> children_;
  std::deque<time_point> recent_;  ///< restarts within the window, oldest first
};

}  // namespace ved::core::supervisor
