#include <algorithm>
#include <memory>

#include "actors/job/phases.hpp"
#include "messages/run_note.hpp"
#include "messages/usage.hpp"

/// What a job's runs used, those before its last one too.
namespace ved::core::job {
namespace {

void add_words(pb::JobFinished& end, const std::string& words) {
  end.set_reason(end.reason() + (end.reason().empty() ? "" : "; ") + words);
}

/// Of a job that is requeued again and again.
constexpr std::size_t requeued_max = 64;

bool is_same_run(const pb::JobRun& a, const pb::JobRun& b) {
  const bool same_queueing = a.enqueued_at_us() == 0 || b.enqueued_at_us() == 0 ||
                             a.enqueued_at_us() == b.enqueued_at_us();
  return same_queueing && a.started_at_us() == b.started_at_us();
}

/// A requeue enqueues a run anew: that alone tells, where it is known.
bool is_same_run(const pb::JobRun& a, const run_key& b) {
  if (a.enqueued_at_us() != 0 && is_set(b.enqueued_at))
    return a.enqueued_at_us() == to_us(b.enqueued_at);
  return a.started_at_us() != 0 && a.started_at_us() == to_us(b.started_at);
}

template <class Whole>
std::int64_t first(const pb::JobRun& run, const Whole& all) {
  return all.started_at_us() == 0 ? run.started_at_us()
                                  : std::min(run.started_at_us(), all.started_at_us());
}

/// The run is part of the whole: its start, if it was the first one, and its use.
template <class Whole>
void count_in(Whole& all, const pb::JobRun& run) {
  if (run.started_at_us() != 0) all.set_started_at_us(first(run, all));
  if (run.has_usage()) pb::add_usage(*all.mutable_usage(), run.usage());
}

/// Those that a requeue put an end to, as far as their use is not part of the report's.
std::vector<pb::JobRun> runs_before(const job& state, const report_status* what) {
  auto all = state.requeued;
  if (what == nullptr) return all;
  if (is_requeued(state, *what)) remember(all, *what->run_before);
  const run_key own{what->enqueued_at, what->started_at};
  std::erase_if(all, [&](const pb::JobRun& run) {
    // Another start under the same queueing is another run.
    if (is_set(own.started_at) && run.started_at_us() == to_us(own.started_at) &&
        is_same_run(run, own))
      return true;
    return std::any_of(what->counted.begin(), what->counted.end(),
                       [&](const auto& key) { return is_same_run(run, key); });
  });
  return all;
}

/// The run was over before the one that the report is of, as far as that is certain.
bool is_before(const run_key& run, const report_status& what) {
  if (!is_set(run.started_at)) return false;
  if (is_set(what.enqueued_at))
    return is_set(run.enqueued_at) && run.enqueued_at < what.enqueued_at;
  return is_set(run.finished_at) && run.finished_at <= what.started_at;
}

/// Those before it whose use is part of the report's.
std::vector<run_key> counted_before(const report_status* what) {
  std::vector<run_key> out;
  if (what == nullptr) return out;
  for (const auto& run : what->counted)
    if (is_before(run, *what)) out.push_back(run);
  return out;
}

template <class Whole>
void begin_with(Whole& all, const run_key& run) {
  const auto at = to_us(run.started_at);
  if (all.started_at_us() == 0 || at < all.started_at_us()) all.set_started_at_us(at);
}

}  // namespace

void set_run(pb::JobRun& run, const job& state, const report_status& what) {
  run.set_scheduler_job_id(what.id.str());
  run.set_exit_code(what.exit_code);
  run.set_exit_signal(what.exit_signal);
  run.set_started_at_us(to_us(what.started_at));
  run.set_finished_at_us(to_us(what.finished_at));
  run.set_enqueued_at_us(to_us(what.enqueued_at));
  if (what.usage) *run.mutable_usage() = *what.usage;
  std::int64_t last_end = 0;
  for (const auto& before : runs_before(state, &what)) {
    count_in(run, before);
    last_end = std::max(last_end, before.finished_at_us());
  }
  for (const auto& before : counted_before(&what)) {
    begin_with(run, before);
    last_end = std::max(last_end, to_us(before.finished_at));
  }
  // Of a wait that is over the runs before it tell when it used what it used.
  if (!is_set(what.started_at) && last_end != 0) run.set_finished_at_us(last_end);
  run.set_all_runs(true);
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

void remember(std::vector<pb::JobRun>& all, const pb::JobRun& run) {
  const auto known = std::find_if(all.begin(), all.end(),
                                  [&](const auto& one) { return is_same_run(one, run); });
  if (known != all.end()) {
    *known = run;
    return;
  }
  all.push_back(run);
  if (all.size() <= requeued_max) return;
  // What is long over will not be told of again.
  auto& oldest = all[0];
  if (all[1].has_usage()) pb::add_usage(*oldest.mutable_usage(), all[1].usage());
  oldest.set_finished_at_us(all[1].finished_at_us());
  all.erase(all.begin() + 1);
}

bool is_requeued(const job& state, const report_status& what) {
  if (!what.run_before) return false;
  const auto began = from_us(what.run_before->started_at_us());
  const auto enqueued = from_us(what.run_before->enqueued_at_us());
  const auto* end = std::get_if<finished>(&state.now);
  if (end == nullptr)
    return is_set(state.started_at) && what.started_at != state.started_at &&
           began == state.started_at;
  if (what.started_at == began) return false;
  // Of what came back only runs of after the end; and numbers cannot be forged.
  if (end->returned)
    return end->returned->id == state.scheduler_id && enqueued > end->returned->told_until;
  // So it is with what was given up; the run that went on then need not tell its queueing.
  const auto told =
      is_set(end->told_until) ? end->told_until : told_until(state.enqueued_at, false);
  return is_set(told) && is_set(enqueued) ? enqueued > told
                                          : is_set(began) && began == end->run_started_at;
}

bool is_remembered(const job& state, const pb::JobRun& run) {
  return std::any_of(state.requeued.begin(), state.requeued.end(),
                     [&](const auto& one) { return is_same_run(one, run); });
}

int runs_untold(const job& state, const report_status& what) {
  const auto note = run_note::of(what.note);
  const int since = note.requeues_since(run_note::of(state.scheduler_note));
  const run_key own{what.enqueued_at, what.started_at};
  const auto counted = std::count_if(what.counted.begin(), what.counted.end(), [&](const auto& a) {
    return a.enqueued_at != own.enqueued_at;
  });
  auto all = state.requeued;
  if (is_requeued(state, what)) remember(all, *what.run_before);
  const auto known = std::count_if(all.begin(), all.end(), [](const pb::JobRun& run) {
    return run.usage().has_wall_clock_seconds();
  });
  // What had ended is back by one of them.
  const int back = returned(state) != nullptr ? 1 : 0;
  return since - back - static_cast<int>(std::max(counted, known));
}

namespace {

/// Of as many requeues as the scheduler counts nothing shows what was before them: runs that came
/// and went while nobody looked. Of what had ended and came back that is told otherwise.
int runs_unseen(const job& state, const report_status& what) {
  const auto note = run_note::of(what.note);
  const auto before = run_note::of(state.scheduler_note);
  if (note.session == 0 || (before.session != 0 && before.session != note.session)) return 0;
  if (is_set(told_apart(state)) || state.requeued.size() >= requeued_max) return 0;
  // What its own record tells may be the end of a run before the last requeue.
  if (what.leftover || !is_set(what.enqueued_at)) return 0;
  const auto counted = std::count_if(what.counted.begin(), what.counted.end(), [&](const auto& a) {
    return a.enqueued_at != what.enqueued_at || a.started_at != what.started_at;
  });
  return note.requeues - static_cast<int>(runs_before(state, &what).size() + counted);
}

}  // namespace

void set_requeued(pb::JobAbandonedOver& over, const job& state) {
  if (state.requeued.empty()) return;
  auto& run = *over.mutable_run();
  run.set_scheduler_job_id(state.scheduler_id.str());
  run.set_all_runs(true);
  for (const auto& before : state.requeued) {
    count_in(run, before);
    run.set_finished_at_us(std::max(run.finished_at_us(), before.finished_at_us()));
  }
}

bool goes_on(const pb::JobRun& run, const pb::JobObserved& shown) {
  if (shown.started_at_us() == 0 || run.started_at_us() != shown.started_at_us()) return false;
  return run.enqueued_at_us() == 0 || shown.enqueued_at_us() == 0 ||
         run.enqueued_at_us() == shown.enqueued_at_us();
}

void add_runs_before(pb::JobFinished& end, const job& state, const report_status* what) {
  const auto all = runs_before(state, what);
  const auto counted = counted_before(what);
  for (const auto& run : counted) begin_with(end, run);
  const auto unknown = [](const pb::JobRun& run) {
    return !run.usage().has_wall_clock_seconds();
  };
  const int unseen = what != nullptr ? runs_unseen(state, *what) : 0;
  if (unseen > 0 && std::none_of(all.begin(), all.end(), unknown))
    add_words(end, unseen == 1 && run_note::of(what->note).requeues == 1
                       ? "it was requeued, and what it used before that is not known, and not "
                         "counted in"
                       : "it was requeued " +
                             std::to_string(run_note::of(what->note).requeues) +
                             " times, and what it used before " + std::to_string(unseen) +
                             " of these is not known, and not counted in");
  if (all.empty() && counted.empty()) return;
  // Without its end a run counts until its requeue: from when to when can be seen.
  if (counted.empty() && all.size() == 1 && !unknown(all[0]) && all[0].finished_at_us() != 0)
    add_words(end, "it had run before it was requeued, from " +
                       to_rfc3339(from_us(all[0].started_at_us())) + " to " +
                       to_rfc3339(from_us(all[0].finished_at_us())) + "; its use is counted in");
  else if (!counted.empty() || !std::all_of(all.begin(), all.end(), unknown))
    add_words(end, "it had run before it was requeued; its use is counted in");
  for (const auto& run : all) {
    if (unknown(run))
      add_words(end, "it was requeued more than once between two looks: how long its run that "
                     "began at " + to_rfc3339(from_us(run.started_at_us())) +
                     " took, and any between, is not known, and not counted in");
    count_in(end, run);
  }
}

run_key last_requeued(const job& state) {
  if (state.requeued.empty()) return {};
  const auto& run = state.requeued.back();
  return {from_us(run.enqueued_at_us()), from_us(run.started_at_us())};
}

time_point if_longer(time_point ends_by, const job& state) {
  const bool longer = state.max_runtime_seconds > 0 && is_set(ends_by) &&
                      ends_by > state.started_at + seconds{state.max_runtime_seconds};
  return longer ? ends_by : time_point{};
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
  count_in(end, run);
}

}  // namespace ved::core::job
