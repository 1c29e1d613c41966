#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/shell/log_writers.hpp"
#include "runtime/followers/following.hpp"
#include "runtime/followers/hooks.hpp"
#include "tools/ve_sim/timeline.hpp"

namespace ved::sim {

/// What the site's receiver of callbacks was told, in order, by whichever daemon.
struct heard_callback {
  std::string log;
  std::string id;  ///< of the delivery
  job_id job;
  std::string callback;
  std::uint64_t position = 0;
};

/// How often it fails, per delivery.
struct hook_faults {
  double refused = 0;
  double answer_lost = 0;  ///< it heard, and the daemon does not know
};

/// The follower of one log that tells a hook, on the timeline instead of a thread of its own.
class simulated_hook {
 public:
  struct surroundings {
    timeline& time;
    dice& luck;
    const hook_faults& faults;
    std::vector<heard_callback>& heard;
    std::shared_ptr<actors::log_sink> logs;
    runtime::append_function append;
    /// The process may be killed while it delivers; true: it was.
    std::function<bool()> dies;
  };

  simulated_hook(surroundings where, const actors::open_log& log, runtime::hook_start start);
  ~simulated_hook();
  simulated_hook(const simulated_hook&) = delete;
  simulated_hook& operator=(const simulated_hook&) = delete;

 private:
  using moment = runtime::consumer::moment;

  moment now() const { return moment{where_.time.now().time_since_epoch()}; }
  void plan(moment when, void (simulated_hook::*what)());
  void step();
  void rest_on();
  void hear_news();
  adapters::hooks::delivery_outcome deliver(const adapters::hooks::delivery& what);

  const surroundings where_;
  const std::string log_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<runtime::following> work_;
  runtime::following::rest rest_{};
  bool rests_on_ = false;
  std::uint64_t planned_ = 0;  ///< what was planned before is void
  std::stop_source stop_;
  actors::commit_feed::subscription news_;
};

/// The name under which the daemons of a run know it.
inline constexpr auto hook_name = "site";

}  // namespace ved::sim
