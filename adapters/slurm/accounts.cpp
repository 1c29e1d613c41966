#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "adapters/slurm/watched.hpp"
#include "messages/job_state.hpp"
#include "messages/usage.hpp"

namespace ved::adapters::slurm {

std::string slurm_cluster::sacct_command(const std::string& selection,
                                         const std::vector<std::string>& fields,
                                         const std::string& separator) {
  std::string names;
  for (const auto& field : fields) names += (names.empty() ? "" : ",") + field;
  return "sacct --parsable2 --noconvert --duplicates --delimiter=" + quote(separator) +
         " --user=\"$(id -un)\" " + selection + " --format=" + quote(names);
}

/// At `end` it was over, however long the record counts on.
void slurm_cluster::end_record(account_record& record, time_point end) {
  record.finished_at = std::max(end, record.run.started_at);
  const auto most = std::chrono::duration_cast<seconds>(record.finished_at - record.run.started_at);
  record.usage.set_wall_clock_seconds(
      std::min<std::int64_t>(record.usage.wall_clock_seconds(), most.count()));
}

run_key slurm_cluster::run_of(const account_record& record) {
  return {record.run.enqueued_at, record.run.started_at, record.finished_at};
}

/// One that is told longer, or never ended, was over then.
void slurm_cluster::bound_record(account_record& record, time_point over) {
  const bool ends_before = is_set(record.finished_at) && record.finished_at <= over;
  if (!ends_before && is_set(record.run.started_at)) end_record(record, over);
}

/// The run that follows a requeue ends the one before it, also where slurmdbd never heard of that,
/// and counts on; so does the last end that is told.
void slurm_cluster::bound_records(std::vector<account_record>& all) {
  time_point last;
  for (const auto& record : all) last = std::max(last, record.finished_at);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto over = i + 1 < all.size() ? all[i + 1].run.enqueued_at : last;
    if (over >= all[i].run.started_at) bound_record(all[i], over);
  }
}

/// A job whose size was changed has one record for each size, "submitted" when that was. They all
/// begin with the run, and tell how long it had taken (sacct 22.05), or each where the one before
/// ends. A requeue may take the start out of the last one.
static bool is_rest_of_run(const account_row& before, const account_row& row) {
  if (before.id != row.id || before.state != "RESIZING") return false;
  if (!is_set(row.started_at)) return row.submitted_at == before.ended_at;
  return row.started_at == before.started_at || row.started_at == before.ended_at;
}

/// Sums up what accounting has of each job: one record per time that it was started.
void slurm_cluster::read_accounts(const std::vector<watched*>& jobs, const section& from,
                                  const std::vector<std::string>& fields,
                                  const std::string& separator, bool whole) const {
  auto rows = parse_sacct(from.out, fields, separator);
  // Records come in the order of their submissions: those of one job may lie between others'.
  std::stable_sort(rows.rows.begin(), rows.rows.end(), [](const auto& one, const auto& other) {
    return one.id.str() < other.id.str();
  });
  std::unordered_map<std::string, std::vector<watched*>> by_id;
  for (auto* job : jobs) {
    const auto number = number_of(job->job->id).number;
    // Of a requeued job the last record may be the one that cannot be read.
    if (rows.may_be(number, job->job->token.str())) continue;
    job->accounts_answer = whole && rows.is_told();
    by_id[number].push_back(job);
  }
  account* now = nullptr;
  scheduler_job_id now_id;
  struct {
    const account_row* row = nullptr;
    watched* owner = nullptr;
  } last;  // record of a job; without an owner it is left out
  // What is printed twice was used once.
  using run = std::tuple<std::string, std::string, std::string, std::int64_t>;
  std::set<run> read;
  for (const auto& row : rows.rows) {
    if (!read.emplace(row.id.str(), row.step, row.times, row.elapsed_seconds).second) continue;
    if (!row.step.empty()) {
      if (now == nullptr || row.id != now_id) continue;
      if (row.state == "OUT_OF_MEMORY" && row.step != "batch" && row.step != "extern")
        now->out_of_memory = row.step;
      now->steps_open = now->steps_open || !is_ended(row.state);
      if (row.step == "batch") now->batch_used = row.cpu_time || row.memory_bytes_max;
      if (now->batch_used) now->records.back().swept = false;
      auto& record = now->records.back();
      // A requeue of what had ended makes its moment the record's end; the step keeps the true one.
      const bool within = row.step == "batch" && row.has_ended &&
                          row.started_at >= record.run.started_at &&
                          row.ended_at < record.finished_at;
      if (within && now->state == "REQUEUED") {
        end_record(record, row.ended_at);
        // Less, where it stood suspended.
        record.usage.set_wall_clock_seconds(
            std::min<std::int64_t>(record.usage.wall_clock_seconds(), row.elapsed_seconds));
      }
      auto& usage = record.usage;
      if (row.memory_bytes_max)
        usage.set_memory_bytes_max(std::max(usage.memory_bytes_max(), *row.memory_bytes_max));
      continue;
    }
    now = nullptr;
    const bool resized = last.row != nullptr && is_rest_of_run(*last.row, row);
    last.row = &row;
    if (resized) {
      if (last.owner == nullptr) continue;
      now = &*last.owner->accounted;
      add_record(*now, row, true);
      continue;
    }
    last.owner = nullptr;
    const auto it = by_id.find(row.id.str());
    if (it == by_id.end()) continue;
    // Numbers wrap: accounting may hold an older job of the same number. A short job has no name
    // there until the controller tells of its start, seconds after its end, and others are renamed:
    // the moment of its submission names it, too.
    const auto ours = std::find_if(it->second.begin(), it->second.end(), [&](const watched* one) {
      return row.name == one->job->token.str() ||
             one->kept->was_submitted_at(row.submitted_at);
    });
    if (ours == it->second.end()) {
      for (auto* one : it->second) {
        one->unnamed_accounts = !is_set(one->kept->submitted_at);
        one->unnamed_later = one->unnamed_later || row.submitted_at > one->kept->last_submission;
      }
      continue;
    }
    watched& job = **ours;
    if (is_set(job.job->told_until) && row.submitted_at <= job.job->told_until) continue;
    if (row.state == "REVOKED") continue;  // a federation's origin's, of what its sibling ran
    now = job.accounted ? &*job.accounted : &job.accounted.emplace();
    now_id = row.id;
    last.owner = &job;
    add_record(*now, row, false);
  }
  for (auto* job : jobs) {
    if (!job->accounted) continue;
    auto& told = job->accounted->status;
    told.counted.clear();
    told.usage.emplace();
    bound_records(job->accounted->records);
    for (const auto& record : job->accounted->records) {
      if (record.swept && &record != &job->accounted->records.back()) continue;
      pb::add_usage(*told.usage, record.usage);
      told.counted.push_back(run_of(record));
    }
    add_held(*told.usage, *job);
  }
}

/// What squeue showed that it held, where it shows more than accounting tells.
void slurm_cluster::add_held(pb::JobUsage& usage, const watched& job) {
  if (!job.held) return;
  usage.set_gpus(job.held->gpus());
  if (job.held->has_memory_bytes_allocated())
    usage.set_memory_bytes_allocated(job.held->memory_bytes_allocated());
}

bool slurm_cluster::knows_submissions() const {
  const std::lock_guard lock(mutex_);
  return std::find(fields_.begin(), fields_.end(), submission_field) != fields_.end();
}

/// Where a plugin renames jobs, the line of the submission still names the token: it tells when the
/// job was submitted, and when again, as far as squeue has not shown that.
void slurm_cluster::learn_submissions(const std::vector<watched*>& jobs, call at) {
  auto made = begin();
  const auto separator = made.separator();
  const std::vector<std::string> fields{"JobIDRaw", "State", "Submit",
                                        std::string(submission_field), "JobIDRaw"};
  std::string ids;
  for (const auto* job : jobs)
    ids += (ids.empty() ? "" : ",") + number_of(job->job->id).number;
  made.add_section("names", sacct_command(clusters_option({}) + " -X -j " + quote(ids),
                                          fields, separator));
  const auto got = run(std::move(made), at, {{"sacct"}});
  const auto& names = got.of("names");
  const auto rows = parse_sacct(names.out, fields, separator);
  const bool whole = names.complete && rows.damaged == 0 && rows.is_told() &&
                     judge_failure(names.exit_code, names.err) == failure::none;
  for (const auto& row : rows.rows)
    for (auto* job : jobs) {
      if (row.id.str() != number_of(job->job->id).number) continue;
      // Where no line of a whole answer names ours, they are another job's, of the same number.
      if (whole) job->unnamed_accounts = false;
      if (row.submit_line.find("ved:" + job->job->token.str()) != std::string::npos)
        job->kept->note_submission(row.submitted_at);
    }
}

void slurm_cluster::add_record(account& to, const account_row& row, bool goes_on) {
  const auto meaning = parse_state(row.state);
  const bool from_start = goes_on && to.records.back().run.started_at == row.started_at;
  // What it stood suspended until then is left out of the record before alone.
  std::int64_t told_before = from_start ? to.elapsed_seconds : 0;
  if (from_start && to.records.back().finished_at > row.started_at)
    told_before = std::chrono::duration_cast<seconds>(to.records.back().finished_at -
                                                      row.started_at).count();
  to.state = row.state;
  // A controller that reaches its database late tells of the start of a job with the state of now:
  // "FAILED" without an end and with exit code 0. The real record comes after it.
  to.final = meaning && is_terminal(meaning->state) && row.has_ended && row.exit;
  to.by_nobody = meaning && meaning->state == pb::JOB_STATE_CANCELLED && !meaning->cancelled_by;
  to.has_started = row.has_started;
  to.batch_used = false;
  auto& status = to.status;
  to.exit = row.exit;
  to.reason = row.reason;
  status.state = meaning ? meaning->state : pb::JOB_STATE_UNSPECIFIED;
  status.finished_at = row.ended_at;
  auto& record = goes_on ? to.records.back() : to.records.emplace_back();
  if (!goes_on) {
    record.run = {row.submitted_at, row.started_at};
    to.out_of_memory.clear();
    to.steps_open = false;
  }
  status.enqueued_at = record.run.enqueued_at;
  status.started_at = record.run.started_at;
  record.finished_at = row.ended_at;
  record.resized = goes_on;
  pb::JobUsage usage;
  usage.set_wall_clock_seconds(
      std::max<std::int64_t>(0, row.elapsed_seconds - told_before));
  if (row.cpu_time) usage.set_cpu_time_us(row.cpu_time->count());
  usage.set_nodes_used(std::max(1, row.nodes));
  usage.set_cpu_cores(row.allocated.cpus > 0 ? static_cast<int>(row.allocated.cpus) : row.cpus);
  usage.set_gpus(static_cast<int>(row.allocated.gpus));
  if (row.allocated.memory_bytes > 0)
    usage.set_memory_bytes_allocated(row.allocated.memory_bytes);
  pb::add_usage(record.usage, usage);
  to.elapsed_seconds = record.usage.wall_clock_seconds();
  record.swept = status.state == pb::JOB_STATE_COMPLETED && to.elapsed_seconds == 0;
}

}  // namespace ved::adapters::slurm
