#include "tools/ve_sim/calls.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace ved::sim {
namespace {

constexpr std::size_t workers = 2;

using adapters::control_outcome;
using adapters::control_request;
using adapters::find_outcome;
using adapters::health;
using adapters::inventory;
using adapters::lookup;
using adapters::output_chunk;
using adapters::output_request;
using adapters::poll_kind;
using adapters::poll_result;
using adapters::submission;
using adapters::submit_outcome;
using adapters::tracked_job;

/// What a call throws that has run into its time-out: a worker then knows nothing of its outcome.
[[noreturn]] void time_out() { throw std::runtime_error("timed out"); }

/// Everything is done, and no answer comes.
class mute_port final : public adapters::scheduler {
 public:
  explicit mute_port(adapters::scheduler& real) : real_(real) {}

  std::vector<submit_outcome> submit(std::span<const submission> jobs, deadline until) override {
    real_.submit(jobs, until);
    time_out();
  }
  std::vector<find_outcome> find(std::span<const lookup> what, deadline until) override {
    real_.find(what, until);
    time_out();
  }
  result<poll_result> observe(std::span<const tracked_job> jobs, poll_kind kind,
                              deadline until) override {
    static_cast<void>(real_.observe(jobs, kind, until));
    time_out();
  }
  std::vector<control_outcome> control(std::span<const control_request> requests,
                                       deadline until) override {
    real_.control(requests, until);
    time_out();
  }
  result<inventory> take_inventory(deadline) override { time_out(); }
  health check_health(deadline) override { time_out(); }
  result<output_chunk> read_output(const output_request&, deadline) override { time_out(); }
  std::int64_t queries() const override { return real_.queries(); }

 private:
  adapters::scheduler& real_;
};

/// What was asked is on its way and arrives at its moment, when nobody waits any more.
class late_port final : public adapters::scheduler {
 public:
  late_port(adapters::scheduler& real, timeline& time, time_point when)
      : real_(real), time_(time), when_(when) {}

  std::vector<submit_outcome> submit(std::span<const submission> jobs, deadline until) override {
    time_.at(when_, [&real = real_, all = std::vector<submission>(jobs.begin(), jobs.end()),
                     until] { real.submit(all, until); });
    time_out();
  }
  std::vector<control_outcome> control(std::span<const control_request> requests,
                                       deadline until) override {
    time_.at(when_, [&real = real_,
                     all = std::vector<control_request>(requests.begin(), requests.end()),
                     until] { real.control(all, until); });
    time_out();
  }
  std::vector<find_outcome> find(std::span<const lookup>, deadline) override { time_out(); }
  result<poll_result> observe(std::span<const tracked_job>, poll_kind, deadline) override {
    time_out();
  }
  result<inventory> take_inventory(deadline) override { time_out(); }
  health check_health(deadline) override { time_out(); }
  result<output_chunk> read_output(const output_request&, deadline) override { time_out(); }
  std::int64_t queries() const override { return real_.queries(); }

 private:
  adapters::scheduler& real_;
  timeline& time_;
  const time_point when_;
};

/// As a worker of io_pool does it.
actors::call_pool::telling call_through(const actors::call_pool::task& work,
                                        adapters::scheduler& port) {
  try {
    return work(&port);
  } catch (const std::exception& broken) {
    return work(fail(errc::unknown_outcome, std::string("the adapter failed: ") + broken.what()));
  }
}

}  // namespace

simulated_calls::simulated_calls(timeline& time, dice& luck, const call_faults& faults,
                                 adapters::scheduler& port, microseconds timeout,
                                 std::size_t queue_max)
    : time_(time),
      luck_(luck),
      faults_(faults),
      port_(port),
      timeout_(timeout),
      queue_max_(queue_max) {}

simulated_calls::~simulated_calls() { *alive_ = false; }

bool simulated_calls::post(task work) {
  if (!*alive_ || queue_.size() >= queue_max_) return false;
  queue_.push_back({std::move(work), time_.now() + timeout_});
  run_next();
  return true;
}

void simulated_calls::run_next() {
  while (under_way_.size() < workers && !queue_.empty()) {
    auto next = std::move(queue_.front());
    queue_.pop_front();
    begin(std::move(next));
  }
}

void simulated_calls::begin(waiting next) {
  const auto left = std::max(next.until - time_.now(), microseconds{1000});
  const bool stuck = luck_.chance(faults_.stuck);
  const bool slow = stuck || luck_.chance(faults_.slow);
  const auto takes = slow ? left : luck_.between(milliseconds{1}, milliseconds{300});
  const auto which = std::make_shared<call>();
  which->work = std::move(next.work);
  which->effect_at = time_.now() + luck_.between(microseconds{0}, takes);
  // At the deadline our own time-out strikes. Half of the slow calls just make it.
  which->answer_lost = stuck || (slow && luck_.chance(0.5));
  which->outlives = luck_.chance(0.5);
  under_way_.push_back(which);
  time_.at(which->effect_at, [this, alive = alive_, which] {
    if (*alive) make(*which);
  });
  time_.in(stuck ? left * 2 : takes, [this, alive = alive_, which] {
    if (!*alive) return;
    under_way_.remove(which);
    which->tell();
    run_next();
  });
}

void simulated_calls::make(call& which) {
  const auto work = std::exchange(which.work, nullptr);
  if (luck_.chance(faults_.no_way)) {
    which.tell = work(fail(errc::unavailable, "no route to the login node"));
  } else if (which.answer_lost) {
    mute_port mute(port_);
    which.tell = call_through(work, mute);
  } else {
    which.tell = call_through(work, port_);
  }
}

void simulated_calls::die() {
  *alive_ = false;
  queue_.clear();
  for (const auto& which : under_way_) {
    if (!which->work || !which->outlives) continue;
    late_port late(port_, time_, which->effect_at);
    call_through(which->work, late);
  }
  under_way_.clear();
}

}  // namespace ved::sim
