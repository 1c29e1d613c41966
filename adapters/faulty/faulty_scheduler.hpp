#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "adapters/scheduler.hpp"

/// A port that misbehaves as real schedulers and networks do, from a seed: the same seed and the
/// same calls give the same faults. It stays within what the port allows: it never says "accepted",
/// "refused", "not sent" or a terminal state when that is not so. It does claim, for a bounded
/// time, that fresh jobs do not exist, and shows live jobs in a wrong live state.
namespace ved::adapters::faulty {

/// How often each fault strikes: 0 never .. 1 always. Submission faults exclude each other, in
/// the order listed; so do those of the other groups.
struct fault_plan {
  std::uint64_t seed = 1;

  // Per submission.
  double reply_lost = 0;      ///< accepted, but the answer does not arrive
  double slow = 0;            ///< times out now, is really accepted `slow_by` later
  double cut = 0;             ///< the call breaks here: this and later jobs of it never arrive,
                              ///< and nobody knows which did
  double not_sent = 0;        ///< no connection: surely not seen
  double refused_policy = 0;  ///< a limit that may pass
  double refused_permanent = 0;
  double late = 0;  ///< the true answer, but `late_by` later (through `pause`)

  // Fresh jobs: accepted less than `forget_for` ago.
  double forget = 0;  ///< per job: find says absent, observe says missing, until `forget_for`

  // Per call or per job of observe.
  double query_error = 0;  ///< per call of find, observe, inventory, health, output
  double empty_list = 0;   ///< per call of observe: no error, and no job either
  double lie = 0;          ///< per live job: another live state

  // Per control request.
  double control_lost = 0;      ///< done, but the answer does not arrive
  double control_not_done = 0;  ///< not done, and the answer does not arrive
  double control_refused = 0;

  milliseconds slow_by{5000};
  milliseconds late_by{1000};
  milliseconds forget_for{10'000};
};

/// Faults that struck so far, by the name of their field in the plan.
using fault_counts = std::map<std::string, std::uint64_t>;

/// What the port objects of one faulty cluster share: the plan, its dice, and submissions that
/// are still under way. Thread-safe; deterministic when the calls come in a fixed order.
class fault_source {
 public:
  using clock = std::function<time_point()>;
  /// Lets time pass while an answer is late; virtual time moves its clock here. Unset: no wait.
  using pause = std::function<void(milliseconds)>;

  fault_source(fault_plan plan, clock now, pause wait = {});

  void change_plan(const fault_plan& plan);  ///< keeps the dice where they are
  fault_counts counts() const;

 private:
  friend class faulty_scheduler;

  struct delayed {
    time_point due;
    submission what;
  };

  bool strikes(const char* name, double probability);
  std::size_t below(std::size_t limit);

  mutable std::mutex mutex_;
  fault_plan plan_;
  const clock now_;
  const pause wait_;
  std::mt19937_64 dice_;
  fault_counts counts_;
  std::vector<delayed> delayed_;                 ///< oldest first
  std::map<std::string, time_point> forgotten_;  ///< token: until when
};

/// Decorates any port.
class faulty_scheduler final : public scheduler {
 public:
  faulty_scheduler(std::unique_ptr<scheduler> inner, std::shared_ptr<fault_source> faults);

  std::vector<submit_outcome> submit(std::span<const submission> jobs, deadline until) override;
  std::vector<find_outcome> find(std::span<const lookup> what, deadline until) override;
  result<poll_result> observe(std::span<const tracked_job> jobs, poll_kind kind,
                              deadline until) override;
  std::vector<control_outcome> control(std::span<const control_request> requests,
                                       deadline until) override;
  result<inventory> take_inventory(deadline until) override;
  health check_health(deadline until) override;
  std::int64_t queries() const override { return inner_->queries(); }
  result<output_chunk> read_output(const output_request& request, deadline until) override;

  /// Hands over the slow submissions that are due by now. Every other call does so first.
  void deliver_due();

 private:
  submit_outcome submit_one(const submission& job, deadline until, bool& cut);
  submit_outcome pass_on(const submission& job, time_point arrived, deadline until);
  bool query_fails();
  bool is_forgotten(const submission_token& token);
  void distort(job_status& status);

  std::unique_ptr<scheduler> inner_;
  std::shared_ptr<fault_source> faults_;
};

/// A factory of decorated ports that share one source of faults.
scheduler_factory make_faulty_factory(scheduler_factory inner,
                                      std::shared_ptr<fault_source> faults);

}  // namespace ved::adapters::faulty
