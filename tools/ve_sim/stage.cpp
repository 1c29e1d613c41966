#include "tools/ve_sim/stage.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <stdexcept>
#include <utility>

namespace ved::sim {
namespace {

/// More than any end takes; beyond, somebody goes on for ever.
constexpr int end_rounds_max = 1'000'000;

}  // namespace

stage::config::config() {
  set("scheduler.policy", caf::atom("testing"));
  set("logger.inline-output", true);
}

stage::stage()
    : system_(config_),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {
  system_.await_actors_before_shutdown(false);
  run_all();
}

void stage::run(std::size_t which) {
  auto& jobs = scheduler_.jobs;
  if (which != 0) std::swap(jobs.front(), jobs[which]);
  scheduler_.run_once();
}

caf::resumable* stage::take(std::size_t which) {
  auto& jobs = scheduler_.jobs;
  auto* out = jobs[which];
  jobs.erase(jobs.begin() + static_cast<std::ptrdiff_t>(which));
  return out;
}

std::optional<time_point> stage::wake_at() const {
  const auto& all = const_cast<caf::scheduler::test_coordinator&>(scheduler_).clock().schedule();
  if (all.empty()) return std::nullopt;
  // Rounded up: a moment that has come must not be waited for again.
  return time_point{std::chrono::ceil<microseconds>(all.begin()->first.time_since_epoch())};
}

void stage::move_to(time_point now) {
  auto& clock = scheduler_.clock();
  clock.current_time = to_clock(now);
  clock.trigger_expired_timeouts();
}

void stage::run_all() {
  for (int rounds = 0; scheduler_.try_run_once(); ++rounds)
    if (rounds > end_rounds_max) throw std::logic_error("the actors do not come to an end");
}

void stage::kill(const caf::actor& one) {
  if (one) caf::anon_send_exit(one, caf::exit_reason::kill);
  run_all();
}

void stage::finish() {
  // Who awaits an answer hears nothing, not even an exit, until its time-out.
  auto& clock = scheduler_.clock();
  const auto now = clock.current_time;
  run_all();
  for (int rounds = 0; clock.has_pending_timeout(); ++rounds) {
    if (rounds > end_rounds_max) throw std::logic_error("the actors' clock does not stand still");
    clock.trigger_timeouts();
    run_all();
  }
  clock.current_time = now;
}

}  // namespace ved::sim
