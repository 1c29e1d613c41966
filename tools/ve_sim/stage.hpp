#pragma once

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <optional>

#include "messages/time.hpp"

namespace ved::sim {

/// CAF's own runtime with its scheduler for tests: one thread, one message at a time, in the order
/// that the caller chooses, on a clock that stands until it is moved. One stage serves many runs.
class stage {
 public:
  stage();

  caf::actor_system& system() noexcept { return system_; }

  /// Actors that have a message to take.
  std::size_t ready() const { return scheduler_.jobs.size(); }
  /// Lets one of them take one message.
  void run(std::size_t which);
  /// Lets this one take one message; false: it has none.
  template <class Handle>
  bool run(const Handle& which) {
    if (!scheduler_.prioritize(which)) return false;
    scheduler_.run_once();
    return true;
  }
  /// Sets one of them aside until it is put back.
  caf::resumable* take(std::size_t which);
  void put_back(caf::resumable* one) { scheduler_.jobs.push_back(one); }

  /// When the next delayed message or time-out of a request is due.
  std::optional<time_point> wake_at() const;
  /// It is `now`; what is due is delivered.
  void move_to(time_point now);

  /// Kills an actor, and lets all happen that can without time.
  void kill(const caf::actor& one);
  /// Lets all happen that is still planned, at once: nobody may be left who goes on for ever.
  void finish();

 private:
  using clock_time = caf::actor_clock::time_point;

  static clock_time to_clock(time_point t) {
    return clock_time{std::chrono::duration_cast<clock_time::duration>(t.time_since_epoch())};
  }
  void run_all();

  struct config : caf::actor_system_config {
    config();
  };

  config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
};

}  // namespace ved::sim
