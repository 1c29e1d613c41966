#pragma once

#include <deque>
#include <list>
#include <memory>

#include "actors/shell/call_pool.hpp"
#include "adapters/scheduler.hpp"
#include "tools/ve_sim/timeline.hpp"

namespace ved::sim {

/// How often calls into a scheduler go wrong, per call.
struct call_faults {
  double slow = 0;     ///< it takes as long as it may; half of these run into their time-out
  double stuck = 0;    ///< it returns long after its deadline
  double no_way = 0;   ///< there is no connection: nothing was asked
};

/// The threads of a daemon that call one cluster's scheduler, on the timeline: a call begins, takes
/// effect at some moment, and is answered later. It dies with the daemon; the effect of a call that
/// had begun may come all the same.
class simulated_calls final : public actors::call_pool {
 public:
  simulated_calls(timeline& time, dice& luck, const call_faults& faults,
                  adapters::scheduler& port, microseconds timeout, std::size_t queue_max);
  ~simulated_calls() override;

  bool post(task work) override;
  /// The process ends now.
  void die();
  bool idle() const { return queue_.empty() && under_way_.empty(); }

 private:
  struct call {
    task work;
    telling tell;
    time_point effect_at;
    bool answer_lost = false;
    bool outlives = false;  ///< the daemon
  };
  struct waiting {
    task work;
    time_point until;
  };

  void run_next();
  void begin(waiting next);
  void make(call& which);

  timeline& time_;
  dice& luck_;
  const call_faults& faults_;
  adapters::scheduler& port_;
  const microseconds timeout_;
  const std::size_t queue_max_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::deque<waiting> queue_;
  std::list<std::shared_ptr<call>> under_way_;
};

}  // namespace ved::sim
