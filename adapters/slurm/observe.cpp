#include <algorithm>
#include <iterator>
#include <map>
#include <unordered_set>

#include "adapters/slurm/watched.hpp"
#include "messages/job_state.hpp"

namespace ved::adapters::slurm {
namespace {

/// Ids in one sacct: its argument stays far below the kernel's bound for one word.
constexpr std::size_t ids_max = 1'000;
/// Single jobs that the controller is asked for in one poll, where there is no accounting.
constexpr std::size_t details_max = 20;

std::string waiting_reason(const std::string& reason) {
  if (reason.empty() || reason == "None") return {};
  const auto more = explain_reason(reason);
  return more.empty() ? reason : reason + ": " + std::string(more);
}

/// What squeue alone tells of a job's use: no processor time, no memory.
pb::JobUsage usage_of(const queue_row& row) {
  pb::JobUsage out;
  // One that never had nodes did not run, whatever StartTime says.
  if (!row.node_list.empty() && is_set(row.started_at) && row.ended_at > row.started_at)
    out.set_wall_clock_seconds(
        std::chrono::duration_cast<seconds>(row.ended_at - row.started_at).count());
  out.set_nodes_used(std::max(1, row.nodes));
  out.set_cpu_cores(row.cpus);
  out.set_gpus(static_cast<int>(row.allocated.gpus));
  out.set_memory_bytes_allocated(row.allocated.memory_bytes);
  return out;
}

/// What an ended job held; nullopt: not told. One that never had nodes is shown with what it asked
/// for.
std::optional<pb::JobUsage> held_of(const queue_row& row) {
  if (row.node_list.empty() || row.allocated.cpus <= 0) return std::nullopt;
  return usage_of(row);
}

/// Cuts the answers of `look` apart, by Slurm job id; those of one id in the order asked.
std::multimap<std::string, std::string_view> split_traces(const std::string& mark,
                                                          std::string_view text) {
  std::multimap<std::string, std::string_view> out;
  for (auto at = text.find(mark); at != std::string_view::npos;) {
    const auto end = text.find('\n', at);
    if (end == std::string_view::npos) break;
    const auto next = text.find(mark, end);
    const auto id = text.substr(at + mark.size(), end - at - mark.size());
    out.emplace(id, text.substr(end + 1, next == std::string_view::npos ? next : next - end - 1));
    at = next;
  }
  return out;
}

}  // namespace

std::string slurm_cluster::squeue_command() const {
  return "squeue --noheader --noconvert --states=all --user=\"$(id -un)\" -O " +
         quote(squeue_format());
}

bool slurm_cluster::is_ours(const tracked_job& job, const queue_row& row) const {
  const auto& token = job.token.str();
  return row.name == token || row.comment.find("ved:" + token) != std::string::npos ||
         row.output_path.find("/" + token + ".") != std::string::npos;
}

void slurm_cluster::see_in_queue(watched& job, const queue_row& row, time_point now) {
  job.word = row.state;
  job.kept->submitted_at = row.submitted_at;
  const auto meaning = parse_state(row.state);
  if (!meaning) {
    job.strange = true;
    return;
  }
  job_status status;
  status.state = meaning->state;
  if (!is_terminal(meaning->state)) {
    job.kept->ended_seen = {};
    job.kept->accounts_due = {};
    job.kept->runaway_seen = {};
    job.kept->ended.reset();
    // While it waits, StartTime is only a plan.
    const bool began = status.state != pb::JOB_STATE_QUEUED;
    if (began) status.started_at = row.started_at;
    if (began) job.kept->allocated = usage_of(row);
    job.completing = row.state == "COMPLETING";
    if (job.completing) job.held = held_of(row);
    status.reason = waiting_reason(row.reason);
    status.never_starts = !began && is_for_ever(row.reason);
    job.kept->waited = !began && !row.reason.starts_with("JobHeld");
    job.status = status;
    return;
  }
  job.ended = true;
  job.may_return = meaning->may_return;
  if (!is_set(job.kept->ended_seen)) job.kept->ended_seen = now;
  const auto exit = row.exit.value_or(exit_status{});
  status.exit_code = exit.code;
  status.exit_signal = exit.signal;
  status.reason = ending_reason(row.state, row.reason, exit, status.state);
  if (!row.node_list.empty()) status.started_at = row.started_at;
  status.finished_at = row.ended_at;
  status.usage = usage_of(row);
  job.held = held_of(row);
  job.kept->ended = status;
}

result<poll_result> slurm_cluster::observe(std::span<const tracked_job> jobs, poll_kind kind,
                                           call at) {
  // A poll that was given up may still run: two at once would confuse what we remember.
  const std::unique_lock alone(observing_, at.until);
  if (!alone) return fail(errc::unavailable, "squeue: the poll before this one still runs");
  poll_result out;
  auto made = begin();
  made.add_section("squeue", squeue_command());
  const auto got = run(std::move(made), at, {{"squeue"}});
  const auto& queue = got.of("squeue");
  if (!queue.complete)
    return fail(errc::unavailable, "squeue: " + (got.problem.empty() ? "no answer" : got.problem));
  std::unordered_set<std::string_view> ids;
  for (const auto& job : jobs) ids.insert(job.id.str());
  const auto wanted = [&](std::string_view id) { return ids.contains(id); };
  const auto rows = parse_squeue(queue.out, wanted);
  const auto says = judge_failure(queue.exit_code, queue.err);
  // An account without any job is an empty list, but an error never is one. Rows beside a
  // complaint, or beside a line that cannot be read, still say what they say.
  const bool partial = says != failure::none || rows.damaged > 0;
  if (queue.exit_code != 0 || (partial && rows.rows.empty()))
    return fail(errc::unavailable, "squeue: " + (says != failure::none
                                                     ? words_of(queue.err)
                                                     : "cannot read '" + rows.first_damaged + "'"));

  std::unordered_map<std::string_view, std::vector<const queue_row*>> by_id;
  int queued = 0;
  int running = 0;
  for (const auto& row : rows.rows) {
    if (wanted(row.id.str())) by_id[row.id.str()].push_back(&row);
    if (const auto meaning = parse_state(row.state)) {
      queued += meaning->state == pb::JOB_STATE_QUEUED;
      running += meaning->state == pb::JOB_STATE_RUNNING;
    }
  }
  const auto now = options_.clock();
  std::vector<watched> all(jobs.size());
  {
    const std::lock_guard lock(mutex_);
    queued_ = queued;
    running_ = running;
    // What is not followed any more is forgotten; nodes of the map stay where they are.
    std::unordered_map<std::string, memory> kept;
    for (const auto& job : jobs) {
      auto node = seen_.extract(key(job));
      if (node) kept.insert(std::move(node));
      else kept.try_emplace(key(job));
    }
    seen_ = std::move(kept);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      all[i].job = &jobs[i];
      all[i].kept = &seen_.at(key(jobs[i]));
    }
  }
  std::vector<watched*> unclear;
  for (auto& job : all) {
    const auto it = by_id.find(job.job->id.str());
    if (it != by_id.end())
      for (const auto* row : it->second) {
        // Another job under the same number: numbers wrap.
        if (!is_ours(*job.job, *row)) continue;
        if (row->name != job.job->token.str()) {
          const std::lock_guard lock(mutex_);
          renames_ = true;
        }
        see_in_queue(job, *row, now);
      }
    job.unseen = partial && it == by_id.end();
    // Accounting knows how a job ended before its nodes are clean again.
    const bool ending = job.completing && asks_accounting();
    if ((!job.status && !job.strange) || ending) unclear.push_back(&job);
  }
  // Accounting costs a site more than the queue does: not for those that have ended while others
  // are waited for.
  const bool others_live = std::any_of(all.begin(), all.end(), [](const watched& one) {
    return one.status && !one.completing;
  });
  if (kind == poll_kind::quick && others_live && asks_accounting())
    std::erase_if(unclear, [](watched* one) {
      one->put_off = one->ended || one->completing;
      return one->put_off;
    });
  if (!unclear.empty()) ask_second_source(unclear, at);
  out.observations.reserve(all.size());
  for (auto& job : all) {
    out.observations.push_back(conclude(job, now));
    out.settling += job.settling;
  }
  return out;
}

/// Asks accounting, and where that does not tell, the jobs' own directories.
void slurm_cluster::ask_second_source(const std::vector<watched*>& jobs, call at) {
  auto fields = asks_accounting() ? learn_fields(at) : std::vector<std::string>{};
  const bool accounting = !fields.empty();
  // One question for all: a job that squeue does not show is rare, and costs the others 90 ms.
  if (std::all_of(jobs.begin(), jobs.end(), [](const auto* one) { return one->held.has_value(); }))
    fields = without_allocation(std::move(fields));
  auto made = begin();
  int parts = 0;
  if (accounting)
    for (std::size_t from = 0; from < jobs.size(); from += ids_max, ++parts) {
      std::string ids;
      for (std::size_t i = from; i < std::min(jobs.size(), from + ids_max); ++i)
        ids += (i == from ? "" : ",") + jobs[i]->job->id.str();
      made.add_section("sacct" + std::to_string(parts),
                       sacct_command("-j " + quote(ids), fields));
    }
  std::string look;
  std::size_t asked_controller = 0;
  for (auto* job : jobs) {
    const auto& id = job->job->id.str();
    const auto& ended = job->kept->ended;
    // A job that Slurm calls completed held its claim; of the others the directory knows more.
    if (accounting && ended && ended->state == pb::JOB_STATE_COMPLETED) continue;
    if (job->completing) continue;
    job->traces_asked = true;
    look += "look " + quote(id) + " " + quote(job->job->job.str() + "/") + " " +
            quote(job->job->token.str()) + "\n";
    if (!accounting && !job->ended && asked_controller < details_max) ++asked_controller;
  }
  const auto mark = made.nonce() + " j ";
  if (!look.empty()) {
    made.add("look() { echo '" + mark + "'\"$1\"; "
             "[ -d \"$2\" ] && printf 'claim %s\\n' \"$(readlink \"$2claim\")\"; "
             "[ -e \"$2$3.$1.out\" ] && echo began; "
             "ved_f=$2$3.$1.end; [ -e \"$ved_f\" ] && stat -c 'at %Y' \"$ved_f\" && "
             "cat \"$ved_f\"; }\n");
    made.add_section("traces", "if cd \"$ved_jobs\"; then\n" + look + "true; else false; fi");
  }
  // Last: each of these may wait for a slow controller, and the directories must answer first.
  for (std::size_t i = 0, asked = 0; i < jobs.size() && asked < asked_controller; ++i) {
    if (jobs[i]->ended || jobs[i]->completing) continue;
    ++asked;
    const auto& id = jobs[i]->job->id.str();
    made.add_section("job" + id, "scontrol show job -o " + quote(id));
  }
  const auto got = run(std::move(made), at,
                       {{"sacct", parts}, {"scontrol", static_cast<int>(asked_controller)}});

  for (int part = 0; part < parts; ++part) {
    const auto& from = got.of("sacct" + std::to_string(part));
    const auto says = from.complete ? judge_failure(from.exit_code, from.err)
                                    : failure::unreachable;
    if (from.complete) note_accounting(says);
    // Rows beside a complaint still say what they say; that a job is not among them says nothing.
    const bool whole = says == failure::none;
    if (!whole && !(says == failure::other && from.exit_code == 0)) continue;
    const auto begins = static_cast<std::size_t>(part) * ids_max;
    const auto ends = std::min(jobs.size(), begins + ids_max);
    const std::vector<watched*> asked(jobs.begin() + static_cast<std::ptrdiff_t>(begins),
                                      jobs.begin() + static_cast<std::ptrdiff_t>(ends));
    read_accounts(asked, from, fields, whole);
  }
  const auto& traces_text = got.of("traces");
  const bool traces_answer = traces_text.complete && traces_text.exit_code == 0;
  auto texts = split_traces(mark, traces_text.out);
  for (auto* job : jobs) {
    const auto& id = job->job->id.str();
    job->traces_cut = job->traces_asked && !traces_text.complete;
    // lower_bound: the first of an id.
    const auto it = job->traces_asked && traces_answer ? texts.lower_bound(id) : texts.end();
    if (it != texts.end() && it->first == id) {
      job->traces_answer = true;
      job->left = parse_end(it->second);
      texts.erase(it);
    }
    if (const auto& one = got.of("job" + id); one.complete) {
      const auto says = judge_failure(one.exit_code, one.err);
      // The number may be another job's by now.
      job->controller_denies =
          says == failure::no_such_job ||
          (says == failure::none && one.out.find(job->job->token.str()) == std::string::npos);
    }
  }
}

}  // namespace ved::adapters::slurm
