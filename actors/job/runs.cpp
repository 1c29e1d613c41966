#include <algorithm>
#include <memory>

#include "actors/job/phases.hpp"
#include "messages/usage.hpp"

/// What a job's runs used, those before its last one too.
namespace ved::core::job {
namespace {

void add_words(pb::JobFinished& end, const std::string& words) {
  end.set_reason(end.reason() + (end.reason().empty() ? "" : "; ") + words);
}

}  // namespace

void set_run(pb::JobRun& run, const report_status& what) {
  run.set_scheduler_job_id(what.id.str());
  run.set_exit_code(what.exit_code);
  run.set_exit_signal(what.exit_signal);
  run.set_started_at_us(to_us(what.started_at));
  run.set_finished_at_us(to_us(what.finished_at));
  if (what.usage) *run.mutable_usage() = *what.usage;
  run.set_all_runs(what.counts_all_runs);
}

rare<pb::JobUsage> used_in_all(const job& state, const pb::JobRun& run) {
  const auto& before = std::get<finished>(state.now).usage;
  if (!run.has_usage()) return before;
  auto used = run.usage();
  if (before) pb::add_usage(used, *before);
  return used;
}

void remember(std::shared_ptr<const pb::JobRun>& all, const pb::JobRun& run) {
  auto more = std::make_shared<pb::JobRun>(run);
  if (all) {
    if (all->started_at_us() != 0) more->set_started_at_us(all->started_at_us());
    if (all->has_usage()) pb::add_usage(*more->mutable_usage(), all->usage());
  }
  all = std::move(more);
}

bool is_requeued(const job& state, const report_status& what) {
  return what.run_before && is_set(state.started_at) && what.started_at != state.started_at &&
         what.run_before->started_at_us() == to_us(state.started_at);
}

bool goes_on(const job& state, std::int64_t started_at_us) {
  return state.requeued && started_at_us != 0 &&
         state.requeued->started_at_us() == started_at_us;
}

void add_requeued(pb::JobFinished& end, const pb::JobRun& run) {
  add_words(end, "it had run before it was requeued; its use is counted in");
  if (run.started_at_us() != 0) end.set_started_at_us(run.started_at_us());
  if (run.has_usage()) pb::add_usage(*end.mutable_usage(), run.usage());
}

void add_gave_way(pb::JobFinished& end, const job& state) {
  if (!state.gave_way) return;
  const auto& run = *state.gave_way;
  const bool own = end.has_usage() || end.started_at_us() != 0;
  add_words(end, "scheduler job " + run.scheduler_job_id() + " had run, and gave way to " +
                     (own ? "this copy; its use is counted in"
                          : "a copy that told no use of its own"));
  if (!own) {
    end.set_exit_code(run.exit_code());
    end.set_exit_signal(run.exit_signal());
    if (run.finished_at_us() != 0) end.set_finished_at_us(run.finished_at_us());
  }
  if (run.started_at_us() != 0) end.set_started_at_us(run.started_at_us());
  if (run.has_usage()) pb::add_usage(*end.mutable_usage(), run.usage());
}

}  // namespace ved::core::job
