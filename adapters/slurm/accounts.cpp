#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "adapters/slurm/watched.hpp"
#include "messages/job_state.hpp"

namespace ved::adapters::slurm {

std::string slurm_cluster::sacct_command(const std::string& selection,
                                         const std::vector<std::string>& fields) const {
  std::string names;
  for (const auto& field : fields) names += (names.empty() ? "" : ",") + field;
  return "sacct --noheader --parsable2 --noconvert --duplicates --delimiter=" +
         quote(std::string(1, column_end)) + " --user=\"$(id -un)\" " + selection +
         " --format=" + quote(names);
}

/// Sums up what accounting has of each job: one record per time that it was started.
void slurm_cluster::read_accounts(const std::vector<watched*>& jobs, const section& from,
                                  const std::vector<std::string>& fields, bool whole) const {
  const auto rows = parse_sacct(from.out, fields);
  // Half an answer is none: a requeue's last record may be what is missing.
  if (rows.damaged > 0) return;
  std::unordered_map<std::string_view, std::vector<watched*>> by_id;
  for (auto* job : jobs) {
    job->accounts_answer = whole;
    by_id[job->job->id.str()].push_back(job);
  }
  account* now = nullptr;
  for (const auto& row : rows.rows) {
    if (!row.step.empty()) {
      if (now == nullptr) continue;
      now->steps_open = now->steps_open || !is_ended(row.state);
      auto& usage = *now->status.usage;
      if (row.memory_bytes_max)
        usage.set_memory_bytes_max(std::max(usage.memory_bytes_max(), *row.memory_bytes_max));
      continue;
    }
    now = nullptr;
    const auto it = by_id.find(row.id.str());
    if (it == by_id.end()) continue;
    // Numbers wrap: accounting may hold an older job of the same number. A short job has neither
    // name nor line there until the controller tells of its start, seconds after its end; then, and
    // where jobs are renamed and sacct is older than 21.08, the moment of its submission names it.
    const auto ours = std::find_if(it->second.begin(), it->second.end(), [&](const watched* one) {
      const auto& token = one->job->token.str();
      return row.name == token || row.submit_line.find("ved:" + token) != std::string::npos ||
             (row.submit_line.empty() && is_set(one->kept->submitted_at) &&
              row.submitted_at == one->kept->submitted_at);
    });
    if (ours == it->second.end()) continue;
    watched& job = **ours;
    if (!job.accounted) {
      job.accounted.emplace();
      job.accounted->status.usage.emplace();
    }
    now = &*job.accounted;
    add_record(*now, row);
  }
  for (auto* job : jobs) {
    if (!job->accounted || !job->held) continue;
    auto& usage = *job->accounted->status.usage;
    usage.set_gpus(job->held->gpus());
    usage.set_memory_bytes_allocated(job->held->memory_bytes_allocated());
  }
}

void slurm_cluster::add_record(account& to, const account_row& row) {
  const auto meaning = parse_state(row.state);
  to.state = row.state;
  // A controller that reaches its database late tells of the start of a job with the state of now:
  // "FAILED" without an end and with exit code 0. The real record comes after it.
  to.final = meaning && is_terminal(meaning->state) && is_set(row.ended_at) && row.exit;
  auto& status = to.status;
  const auto exit = row.exit.value_or(exit_status{});
  status.state = meaning ? meaning->state : pb::JOB_STATE_UNSPECIFIED;
  status.exit_code = exit.code;
  status.exit_signal = exit.signal;
  status.reason = ending_reason(row.state, row.reason, exit, status.state);
  if (is_set(row.started_at)) status.started_at = row.started_at;
  status.finished_at = row.ended_at;
  auto& usage = *status.usage;
  usage.set_wall_clock_seconds(usage.wall_clock_seconds() + row.elapsed_seconds);
  if (row.cpu_time) usage.set_cpu_time_us(usage.cpu_time_us() + row.cpu_time->count());
  usage.set_nodes_used(std::max(1, row.nodes));
  usage.set_cpu_cores(row.allocated.cpus > 0 ? static_cast<int>(row.allocated.cpus) : row.cpus);
  usage.set_gpus(static_cast<int>(row.allocated.gpus));
  usage.set_memory_bytes_allocated(row.allocated.memory_bytes);
}

}  // namespace ved::adapters::slurm
