#pragma once

#include <string>
#include <vector>

#include "actors/link/core.hpp"

/// What jobs want of a link, and a link to want it of.
namespace ved::tests {

namespace job = core::job;
namespace link = core::link;

inline constexpr time_point start{seconds{1'000'000}};

inline link::limits test_limits() {
  link::limits out;
  out.poll_interval = out.poll_interval_min = seconds{10};
  out.lookup_interval = seconds{5};
  out.control_interval = seconds{5};
  out.inventory_interval = seconds{3600};
  out.call_timeout = seconds{8};
  out.fresh_grace = seconds{20};
  out.breaker_failures = 3;
  out.breaker_open_for = seconds{30};
  out.batch_max = 4;
  out.queries_per_minute_max = 0;
  out.stray_interval = seconds{86'400};
  return out;
}

inline job_id id(int n) { return job_id{"j" + std::to_string(n)}; }
inline submission_token token(int n) { return submission_token{"t" + std::to_string(n)}; }
inline scheduler_job_id at(int n) { return scheduler_job_id{std::to_string(n)}; }

inline link::desired submits(int n, bool withdraw = false) {
  link::desired out;
  out.submit = job::run_submission{token(n), 1, withdraw};
  return out;
}
inline link::desired looks_up(int n) {
  link::desired out;
  out.lookup = job::run_lookup{token(n), {}};
  return out;
}
inline link::desired follows(int n, pb::JobState state = pb::JOB_STATE_QUEUED) {
  link::desired out;
  out.follow = job::follow{at(n), token(n), state};
  return out;
}
inline link::desired cancels(int n) {
  link::desired out;
  out.control = job::run_control{at(n), token(n), pb::JOB_CONTROL_CANCEL};
  return out;
}

template <class Order>
std::vector<link::order> orders(const link::outputs& out) {
  std::vector<link::order> found;
  for (const auto& one : out.orders)
    if (std::holds_alternative<Order>(one.what)) found.push_back(one);
  return found;
}

inline job::report_status running(int n) {
  job::report_status out;
  out.id = at(n);
  out.state = pb::JOB_STATE_RUNNING;
  return out;
}

/// A link that has taken its first inventory, so that tests see their own orders only.
inline link::link quiet_link(link::limits limits = test_limits()) {
  link::link made(limits, start);
  const auto first = made.tick(start);
  made.complete(first.orders.at(0).id, link::inventory_done{}, 1, start);
  return made;
}

}  // namespace ved::tests
