#include "adapters/faulty/faulty_scheduler.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ved::adapters::faulty {

namespace {

using guard = std::lock_guard<std::mutex>;

/// A slow submission is handed over outside of any call that has a deadline.
constexpr seconds delivery_time_max{60};

bool is_live(pb::JobState state) {
  return state == pb::JOB_STATE_QUEUED || state == pb::JOB_STATE_STARTING ||
         state == pb::JOB_STATE_RUNNING || state == pb::JOB_STATE_SUSPENDED;
}

}  // namespace

fault_source::fault_source(fault_plan plan, clock now, pause wait)
    : plan_(std::move(plan)), now_(std::move(now)), wait_(std::move(wait)), dice_(plan_.seed) {}

void fault_source::change_plan(const fault_plan& plan) {
  const guard lock(mutex_);
  plan_ = plan;
}

fault_counts fault_source::counts() const {
  const guard lock(mutex_);
  return counts_;
}

bool fault_source::strikes(const char* name, double probability) {
  // No standard distribution: their results differ between libraries. Impossible faults throw no
  // dice, so a plan may grow without changing the runs of old seeds.
  if (probability <= 0) return false;
  const bool hit = static_cast<double>(dice_() >> 11) * 0x1.0p-53 < probability;
  if (hit) ++counts_[name];
  return hit;
}

std::size_t fault_source::below(std::size_t limit) {
  return dice_() % limit;
}

faulty_scheduler::faulty_scheduler(std::unique_ptr<scheduler> inner,
                                   std::shared_ptr<fault_source> faults)
    : inner_(std::move(inner)), faults_(std::move(faults)) {}

void faulty_scheduler::deliver_due() {
  std::vector<fault_source::delayed> due;
  {
    const guard lock(faults_->mutex_);
    const time_point now = faults_->now_();
    auto& delayed = faults_->delayed_;
    const auto rest = std::stable_partition(delayed.begin(), delayed.end(),
                                            [&](const auto& one) { return one.due <= now; });
    for (auto at = delayed.begin(); at != rest; ++at) due.push_back(std::move(*at));
    delayed.erase(delayed.begin(), rest);
  }
  for (const auto& one : due)
    pass_on(one.what, one.due, std::chrono::steady_clock::now() + delivery_time_max);
}

submit_outcome faulty_scheduler::pass_on(const submission& job, time_point arrived,
                                         deadline until) {
  std::vector<submit_outcome> outcomes = inner_->submit(std::span(&job, 1), until);
  const guard lock(faults_->mutex_);
  if (std::holds_alternative<accepted>(outcomes.front()) &&
      faults_->strikes("forget", faults_->plan_.forget)) {
    // From when it arrived, however long nobody called and made it so: the time is bounded.
    faults_->forgotten_[job.token.str()] = arrived + faults_->plan_.forget_for;
  }
  return std::move(outcomes.front());
}

submit_outcome faulty_scheduler::submit_one(const submission& job, deadline until, bool& cut) {
  bool lose = false;
  milliseconds late{0};
  {
    const guard lock(faults_->mutex_);
    const fault_plan& plan = faults_->plan_;
    if (faults_->strikes("reply_lost", plan.reply_lost)) {
      lose = true;
    } else if (faults_->strikes("slow", plan.slow)) {
      faults_->delayed_.push_back({faults_->now_() + plan.slow_by, job});
      return unknown_outcome{"timed out (injected)"};
    } else if (faults_->strikes("cut", plan.cut)) {
      cut = true;
      return unknown_outcome{"connection cut (injected)"};
    } else if (faults_->strikes("not_sent", plan.not_sent)) {
      return not_sent{"no connection (injected)"};
    } else if (faults_->strikes("refused_policy", plan.refused_policy)) {
      return refused{false, "a limit is reached (injected)"};
    } else if (faults_->strikes("refused_permanent", plan.refused_permanent)) {
      return refused{true, "invalid request (injected)"};
    } else if (faults_->strikes("late", plan.late)) {
      late = plan.late_by;
    }
  }
  // Compared before waiting: in virtual time the steady clock does not move.
  const auto left = std::chrono::ceil<milliseconds>(until - std::chrono::steady_clock::now());
  submit_outcome outcome = pass_on(job, faults_->now_(), until);
  if (late.count() > 0 && faults_->wait_) {
    faults_->wait_(std::clamp(late, milliseconds{0}, std::max(left, milliseconds{0})));
    if (late >= left) lose = true;
  }
  if (lose) return unknown_outcome{"no reply (injected)"};
  return outcome;
}

std::vector<submit_outcome> faulty_scheduler::submit(std::span<const submission> jobs,
                                                     deadline until) {
  deliver_due();
  std::vector<submit_outcome> outcomes;
  outcomes.reserve(jobs.size());
  bool cut = false;
  for (const submission& job : jobs) {
    if (cut) {
      outcomes.push_back(unknown_outcome{"connection cut (injected)"});
    } else {
      outcomes.push_back(submit_one(job, until, cut));
    }
  }
  if (cut) {
    // One connection carried them all: the replies to the earlier ones are gone with it.
    for (submit_outcome& outcome : outcomes) {
      if (std::holds_alternative<accepted>(outcome)) {
        outcome = unknown_outcome{"connection cut (injected)"};
      }
    }
  }
  return outcomes;
}

bool faulty_scheduler::query_fails() {
  const guard lock(faults_->mutex_);
  return faults_->strikes("query_error", faults_->plan_.query_error);
}

bool faulty_scheduler::is_forgotten(const submission_token& token) {
  const guard lock(faults_->mutex_);
  const auto at = faults_->forgotten_.find(token.str());
  if (at == faults_->forgotten_.end()) return false;
  if (faults_->now_() < at->second) return true;
  faults_->forgotten_.erase(at);
  return false;
}

std::vector<find_outcome> faulty_scheduler::find(std::span<const lookup> what, deadline until) {
  deliver_due();
  if (query_fails()) {
    return std::vector<find_outcome>(what.size(), not_known{"query failed (injected)"});
  }
  std::vector<find_outcome> outcomes = inner_->find(what, until);
  for (std::size_t i = 0; i < what.size(); ++i) {
    if (is_forgotten(what[i].token)) outcomes[i] = absent{"injected"};
  }
  return outcomes;
}

void faulty_scheduler::distort(job_status& status) {
  constexpr std::array live{pb::JOB_STATE_QUEUED, pb::JOB_STATE_STARTING, pb::JOB_STATE_RUNNING,
                            pb::JOB_STATE_SUSPENDED};
  if (!is_live(status.state)) return;
  const guard lock(faults_->mutex_);
  if (!faults_->strikes("lie", faults_->plan_.lie)) return;
  const auto true_state = status.state;
  status = {};
  status.reason = "injected";
  do {
    status.state = live[faults_->below(live.size())];
  } while (status.state == true_state);
}

result<poll_result> faulty_scheduler::observe(std::span<const tracked_job> jobs, poll_kind kind,
                                              deadline until) {
  deliver_due();
  if (query_fails()) return fail(errc::unavailable, "query failed (injected)");
  auto polled = inner_->observe(jobs, kind, until);
  if (!polled) return polled;
  bool empty = false;
  {
    const guard lock(faults_->mutex_);
    empty = faults_->strikes("empty_list", faults_->plan_.empty_list);
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    observation& one = polled->observations[i];
    if (empty || is_forgotten(jobs[i].token)) {
      one = missing{false, "not in the list (injected)"};
    } else if (auto* status = std::get_if<job_status>(&one)) {
      distort(*status);
    }
  }
  return polled;
}

std::vector<control_outcome> faulty_scheduler::control(std::span<const control_request> requests,
                                                       deadline until) {
  deliver_due();
  std::vector<control_outcome> outcomes;
  outcomes.reserve(requests.size());
  for (const control_request& request : requests) {
    bool lose = false;
    {
      const guard lock(faults_->mutex_);
      const fault_plan& plan = faults_->plan_;
      if (faults_->strikes("control_lost", plan.control_lost)) {
        lose = true;
      } else if (faults_->strikes("control_not_done", plan.control_not_done)) {
        outcomes.push_back(control_unknown{"timed out (injected)"});
        continue;
      } else if (faults_->strikes("control_refused", plan.control_refused)) {
        outcomes.push_back(control_refused{"not now (injected)"});
        continue;
      }
    }
    control_outcome outcome = std::move(inner_->control(std::span(&request, 1), until).front());
    if (lose) outcome = control_unknown{"no reply (injected)"};
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

result<inventory> faulty_scheduler::take_inventory(deadline until) {
  deliver_due();
  if (query_fails()) return fail(errc::unavailable, "query failed (injected)");
  return inner_->take_inventory(until);
}

health faulty_scheduler::check_health(deadline until) {
  deliver_due();
  if (query_fails())
    return {.connection = "query failed (injected)",
            .authentication = {},
            .queue_access = {},
            .notes = {}};
  return inner_->check_health(until);
}

result<output_chunk> faulty_scheduler::read_output(const output_request& request, deadline until) {
  deliver_due();
  if (query_fails()) return fail(errc::unavailable, "query failed (injected)");
  return inner_->read_output(request, until);
}

scheduler_factory make_faulty_factory(scheduler_factory inner,
                                      std::shared_ptr<fault_source> faults) {
  return [inner = std::move(inner),
          faults = std::move(faults)]() -> result<std::unique_ptr<scheduler>> {
    auto made = inner();
    if (!made) return fail(made.error());
    return std::unique_ptr<scheduler>(std::make_unique<faulty_scheduler>(std::move(*made), faults));
  };
}

}  // namespace ved::adapters::faulty
