#include <algorithm>

#include "adapters/slurm/states.hpp"
#include "adapters/slurm/watched.hpp"
#include "messages/run_note.hpp"
#include "messages/usage.hpp"

// Which of a job's runs a row of squeue or a record of accounting is of. A requeue submits a job
// anew: the time of its submission tells its runs apart, whatever the clocks of others say.
namespace ved::adapters::slurm {
namespace {

/// So long squeue may show what was before a requeue without being believed.
constexpr seconds old_list_max{5};

}  // namespace

pb::JobUsage usage_of(const queue_row& row) {
  pb::JobUsage out;
  // One that never had nodes did not run, whatever StartTime says.
  if (!row.node_list.empty() && is_set(row.started_at) && row.ended_at > row.started_at) {
    const auto span = std::chrono::duration_cast<seconds>(row.ended_at - row.started_at);
    out.set_wall_clock_seconds(std::min(span, row.time_used.value_or(span)).count());
  }
  out.set_nodes_used(std::max(1, row.nodes));
  out.set_cpu_cores(row.cpus);
  out.set_gpus(static_cast<int>(row.allocated.gpus));
  if (row.allocated.memory_bytes > 0)
    out.set_memory_bytes_allocated(row.allocated.memory_bytes);
  return out;
}

/// A job may give nodes back while it runs, scontrol(1): it counts with the most that it held, else
/// it could hold them for nothing.
void slurm_cluster::note_allocation(memory& kept, const queue_row& row, time_point start) {
  auto held = usage_of(row);
  held.clear_wall_clock_seconds();
  if (start != kept.allocated_since || !kept.allocated.has_cpu_cores()) {
    kept.allocated = held;
    kept.allocated_since = start;
    kept.resized = false;
    return;
  }
  // While nodes are cleaned up, only those are shown that are not clean yet.
  if (row.state != "COMPLETING" && !is_ended(row.state))
    kept.resized = kept.resized || held.nodes_used() != kept.allocated.nodes_used() ||
                   held.cpu_cores() != kept.allocated.cpu_cores();
  pb::add_usage(kept.allocated, held);
}

/// Squeue tells of what runs how long it has run without the time that it stood suspended, by its
/// own clock, and of what stands suspended by the controller's, which may be another one.
void slurm_cluster::note_suspension(memory& kept, const queue_row& row, time_point start,
                                    time_point site_now) {
  if (start != kept.stood_since) {
    kept.stood_since = start;
    kept.stood.reset();
  }
  if (!kept.stood && row.state == "SUSPENDED") kept.stood.emplace();
  if (!kept.stood || !row.time_used) return;
  const auto stood = std::max(
      seconds{0}, std::chrono::duration_cast<seconds>(site_now - start) - *row.time_used);
  if (row.state == "SUSPENDED") kept.stood = std::max(*kept.stood, stood);
  else if (row.state == "RUNNING") kept.stood = stood;
}

void slurm_cluster::leave_out_suspension(pb::JobUsage& used, const memory& kept,
                                         time_point start) {
  if (!kept.stood || start != kept.stood_since || !used.has_wall_clock_seconds()) return;
  used.set_wall_clock_seconds(
      std::max<std::int64_t>(0, used.wall_clock_seconds() - kept.stood->count()));
}

/// Or the one that bore its marks before: while it waits, who owns it may change them all.
bool slurm_cluster::is_followed(const watched& job, const queue_row& row) {
  return is_ours(*job.job, row) || job.kept->was_submitted_at(row.submitted_at) ||
         is_run_on(job, row);
}

/// The job that was alive under this number, requeued since: Slurm counts that, and keeps whose
/// session submitted it. A controller that came back from an older state gives numbers out again.
bool slurm_cluster::is_run_on(const watched& job, const queue_row& row) {
  const auto& kept = *job.kept;
  const auto submitted = kept.submitted_at.load();
  return !kept.ended && !job.shares_number && is_set(submitted) && row.submitted_at > submitted &&
         row.restarts > kept.restarts && kept.session != 0 && row.session == kept.session;
}

/// Of the run that was told last, by squeue or the log.
time_point slurm_cluster::known_start(const watched& job) {
  const auto& last = job.kept->last;
  return last && is_set(last->started_at) ? last->started_at : job.job->started_at;
}

/// Squeue shows the job as it was before a requeue: one such list is old. If it stays so the
/// controller has lost the requeue with its state, or its clock was set back.
bool slurm_cluster::is_old(watched& job, const queue_row& row, time_point now) {
  auto& kept = *job.kept;
  const auto known = kept.submitted_at.load();
  const bool older = is_set(row.submitted_at) && row.submitted_at < known;
  if (!older) kept.older_since = {};
  else if (!is_set(kept.older_since)) kept.older_since = now;
  return older && now < kept.older_since + old_list_max;
}

/// What squeue alone shows of a run that a requeue has put an end to is not shown again. A requeue
/// submits the job anew.
void slurm_cluster::note_requeue(watched& job, const queue_row& row, bool began,
                                 const known_before& before) {
  auto& kept = *job.kept;
  const auto start = known_start(job);
  if (!is_set(start)) return;
  const bool known = kept.run_before && kept.run_before->started_at_us() == to_us(start);
  if (known && row.started_at == start) kept.run_before.reset();  // an old list said otherwise
  if (known || row.started_at == start) return;
  // All these are whole seconds.
  const bool anew = row.submitted_at > start ||
                    (row.submitted_at == start && before.session == row.session &&
                     row.session != 0 && row.restarts > before.restarts);
  if (began && (!anew || row.started_at <= start)) return;
  auto& run = kept.run_before.emplace();
  auto ended = anew ? row.submitted_at : std::max(start, job.site_now);
  // It is submitted anew when the nodes are clean.
  if (kept.completing_at > start) ended = std::min(ended, kept.completing_at);
  // Or had ended by itself, and waited for its accounts.
  if (kept.ended && kept.ended->started_at == start && kept.ended->finished_at >= start)
    ended = std::min(ended, kept.ended->finished_at);
  // Of two requeues since the last look only the second one's moment is told.
  const bool unseen = before.session != 0 && row.restarts > before.restarts + 1;
  if (unseen) ended = kept.ran_at > start ? std::min(ended, kept.ran_at) : time_point{};
  if (before.enqueued_at < row.submitted_at) run.set_enqueued_at_us(to_us(before.enqueued_at));
  run.set_started_at_us(to_us(start));
  run.set_finished_at_us(to_us(ended));
  // Where it is not known what it held: it asks for the same again.
  *run.mutable_usage() = kept.allocated.has_cpu_cores() ? kept.allocated : usage_of(row);
  auto& used = *run.mutable_usage();
  used.clear_wall_clock_seconds();
  if (is_set(ended))
    used.set_wall_clock_seconds(std::chrono::duration_cast<seconds>(ended - start).count());
  leave_out_suspension(used, kept, start);
}

/// The last run that a requeue put an end to, by squeue or the log.
run_key slurm_cluster::last_requeued(const watched& job) {
  const auto& seen = job.kept->run_before;
  if (!seen) return job.job->run_before;
  return {from_us(seen->enqueued_at_us()), from_us(seen->started_at_us())};
}

void slurm_cluster::memory::note_submission(time_point at) {
  if (!is_set(at)) return;
  submitted_at = at;
  first_submission = is_set(first_submission) ? std::min(first_submission, at) : at;
  last_submission = std::max(last_submission, at);
}

bool slurm_cluster::memory::was_submitted_at(time_point at) const {
  return is_set(at) && is_set(first_submission) && first_submission <= at && at <= last_submission;
}

std::uint64_t slurm_cluster::note_of(const memory& kept) {
  return run_note{kept.session, kept.restarts}.bits();
}

/// What the log knows, as long as squeue has not shown more.
void slurm_cluster::remember_told(memory& to, const tracked_job& job) {
  to.job = job.job;
  to.id = job.id;
  to.token = job.token;
  to.waited = job.waits;
  to.note_submission(job.first_enqueued_at);
  to.note_submission(job.enqueued_at);
  const auto note = run_note::of(job.note);
  to.session = note.session;
  to.restarts = note.requeues;
  if (job.allocated) to.allocated = *job.allocated;
  to.allocated_since = job.started_at;
}

/// The record is of a run before the one that is known. All these times are the controller's.
bool slurm_cluster::is_before(const watched& job, const account_record& record) {
  const auto& kept = *job.kept;
  // A requeue submits it anew: batch_requeue_fini() in Slurm's job_mgr.c.
  const run_key& run = record.run;
  if (is_set(run.enqueued_at) && run.enqueued_at < kept.submitted_at.load()) return true;
  if (!is_set(run.started_at) || !is_set(record.finished_at)) return false;
  const auto is_over_by = [&](time_point start) {
    return is_set(start) && run.started_at < start && record.finished_at <= start;
  };
  return (kept.ended && is_over_by(kept.ended->started_at)) ||
         (kept.last && is_over_by(kept.last->started_at)) || is_over_by(job.job->started_at);
}

/// Accounting hears late of a run that follows another, as after a requeue: what it has last is
/// then the record of the one before.
bool slurm_cluster::is_of_run_before(const watched& job) {
  // Of a wait that was cancelled the last record has no start; what is there is another's.
  return job.accounted->has_started && is_before(job, job.accounted->records.back());
}

/// The same, where clocks are too near to tell: nothing showed that the job began after it was seen
/// waiting.
bool slurm_cluster::may_be_of_run_before(const watched& job) {
  const auto& kept = *job.kept;
  if (job.status || kept.ended || !job.accounted->has_started) return false;
  const bool waited = kept.last ? !is_set(kept.last->started_at) : job.job->waits;
  const bool after = is_set(kept.waited_at) &&
                     job.accounted->status.started_at >= kept.waited_at + controller_slack;
  return waited && !after;
}

/// What a run that was told before the job came back left of its end, which tells nothing of this
/// one.
void slurm_cluster::forget_told_record(watched& job) {
  const auto until = job.job->told_until;
  if (!is_set(until)) return;
  const auto claim = parse_claim(job.left.claim);
  const bool later = job.kept->submitted_at.load() > until && claim &&
                     claim->restart >= job.kept->restarts_at_least();
  if (later && !job.left.kept) return;
  traces left;
  left.claim = job.left.claim;
  left.untouched = job.left.untouched;
  left.there = job.left.there;
  left.shut = job.left.shut;
  job.left = std::move(left);
}

/// The claim tells more requeues than accounting has records for.
bool slurm_cluster::lags(const watched& job) {
  const auto claim = parse_claim(job.left.claim);
  return claimed_itself(job) && claim->restart > 0 &&
         static_cast<std::size_t>(claim->restart) >= job.accounted->records.size();
}

bool slurm_cluster::account::was_resized() const {
  return std::any_of(records.begin(), records.end(), [](const auto& one) { return one.resized; });
}

/// A job that had changed its size and is requeued keeps a record that begins with one run and ends
/// with another, loses starts, and has some that are never closed (sacct 22.05).
bool slurm_cluster::mixes_runs(const watched& job) {
  if (!job.accounted || !job.accounted->was_resized()) return false;
  const auto& all = job.accounted->records;
  const bool earlier =
      std::any_of(all.begin(), all.end() - 1, [](const auto& one) { return one.resized; });
  if (earlier || is_set(job.job->told_until)) return earlier;
  return static_cast<std::size_t>(job.kept->restarts_at_least()) >= all.size();
}

/// What accounting knows of the runs before, where another source tells the end of the last one.
void slurm_cluster::count_runs_before(job_status& end, const watched& job) {
  if (!job.accounted || mixes_runs(job)) return;
  for (const auto& record : job.accounted->records) {
    if (record.swept || !is_before(job, record)) continue;
    auto before = record;
    // It was over when the job was submitted anew, also where slurmdbd never heard of that.
    const auto anew = job.kept->submitted_at.load();
    if (record.run.enqueued_at < anew) bound_record(before, anew);
    pb::add_usage(end.usage ? *end.usage : end.usage.emplace(), before.usage);
    end.counted.push_back(run_of(before));
  }
}

}  // namespace ved::adapters::slurm
