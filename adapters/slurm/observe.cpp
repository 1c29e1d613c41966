#include <algorithm>
#include <charconv>
#include <iterator>
#include <unordered_set>

#include "adapters/slurm/cluster_state.hpp"
#include "adapters/slurm/job_script.hpp"

namespace ved::adapters::slurm {
namespace {

/// Ids in one sacct: its argument stays far below the kernel's bound for one word.
constexpr std::size_t ids_max = 1'000;
/// Single jobs that the controller is asked for in one poll, where there is no accounting.
constexpr std::size_t details_max = 20;
/// A state that a requeue may still undo counts when it was seen for so long.
constexpr seconds return_grace{5};

std::string waiting_reason(const std::string& reason) {
  if (reason.empty() || reason == "None") return {};
  const auto more = explain_reason(reason);
  return more.empty() ? reason : reason + ": " + std::string(more);
}

/// Why it ended, in words.
std::string ending_reason(const std::string& state, const std::string& reason,
                          const exit_status& exit, pb::JobState as) {
  if (as == pb::JOB_STATE_COMPLETED) return {};
  std::string out = "Slurm: " + state;
  if (!reason.empty() && reason != "None" && reason != state) out += " (" + reason + ")";
  if (exit.signal != 0) out += ", signal " + std::to_string(exit.signal);
  else if (exit.code != 0) out += ", exit code " + std::to_string(exit.code);
  return out;
}

bool terminal(pb::JobState state) {
  return state == pb::JOB_STATE_COMPLETED || state == pb::JOB_STATE_FAILED ||
         state == pb::JOB_STATE_CANCELLED || state == pb::JOB_STATE_TIMEOUT;
}

/// What squeue alone tells of a job's use: no processor time, no memory.
pb::JobUsage usage_of(const queue_row& row) {
  pb::JobUsage out;
  if (is_set(row.started_at) && row.ended_at > row.started_at)
    out.set_wall_clock_seconds(
        std::chrono::duration_cast<seconds>(row.ended_at - row.started_at).count());
  out.set_nodes_used(std::max(1, row.nodes));
  out.set_cpu_cores(row.cpus);
  out.set_gpus(static_cast<int>(row.allocated.gpus));
  out.set_memory_bytes_allocated(row.allocated.memory_bytes);
  return out;
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

/// One job in the course of an observation.
struct slurm_cluster::watched {
  const tracked_job* job = nullptr;
  std::optional<job_status> status;  ///< not empty: squeue shows it alive
  bool completing = false;           ///< alive for squeue: its nodes are being cleaned up
  bool ended = false;                ///< squeue shows it ended
  bool may_return = false;
  bool strange = false;              ///< a state word that we do not know
  bool unseen = false;               ///< not in an answer that may lack rows
  std::string word;                  ///< Slurm's
  memory* kept = nullptr;
  std::optional<account> accounted;
  bool accounts_answer = false;
  bool traces_asked = false;
  bool traces_answer = false;
  traces left;
  bool controller_denies = false;    ///< scontrol does not know the id either
  bool settling = false;             ///< it has ended, and accounting does not tell yet
};

traces parse_end(std::string_view text) {
  traces out;
  // Written in one go, so a record without its last line end is one that was cut.
  std::size_t line_number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) break;
    const auto line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const auto rest = [&](std::string_view key) { return std::string(line.substr(key.size())); };
    if (line.starts_with("claim ")) {
      out.claim = rest("claim ");
      out.untouched = out.claim.empty();
    } else if (line == "began") {
      out.untouched = false;
    } else if (line.starts_with("at ")) {
      out.ended_at = parse_moment(rest("at ")).value_or(time_point{});
    } else if (line.starts_with("exit ")) {
      if (const auto code = parse_count(rest("exit "))) {
        out.exit_code = static_cast<int>(*code);
        out.ended = true;
      }
    } else if (line.starts_with("step ")) {
      out.step = rest("step ");
    } else if (line.starts_with("lost ")) {
      out.lost_to = rest("lost ");
      out.ended = true;
    } else if (line == "again") {
      out.again = out.ended = true;
    } else if (line == "noclaim") {
      out.no_claim = out.ended = true;
    } else if (line.find('m') != std::string_view::npos) {
      // `times`: the second line is of the ended children: "0m1.23s 0m0.45s".
      ++line_number;
      double total = 0;
      int values = 0;
      std::string_view left = line;
      while (!left.empty()) {
        const auto m = left.find('m');
        const auto s = left.find('s');
        if (m == std::string_view::npos || s == std::string_view::npos || s < m) break;
        double minutes = 0;
        double secs = 0;
        std::from_chars(left.data(), left.data() + m, minutes);
        std::from_chars(left.data() + m + 1, left.data() + s, secs);
        total += minutes * 60 + secs;
        ++values;
        left.remove_prefix(s + 1);
        while (!left.empty() && left.front() == ' ') left.remove_prefix(1);
      }
      if (line_number == 2 && values == 2 && total >= 0 && total < 1e12)
        out.cpu_time = microseconds{static_cast<std::int64_t>(total * 1e6)};
    }
  }
  return out;
}

std::string slurm_cluster::squeue_command() const {
  return "squeue --noheader --noconvert --states=all --user=\"$(id -un)\" -O " +
         quote(squeue_format());
}

std::string slurm_cluster::sacct_command(const std::string& selection) const {
  std::string fields;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& field : fields_) fields += (fields.empty() ? "" : ",") + field;
  }
  return "sacct --noheader --parsable2 --noconvert --duplicates --delimiter=" +
         quote(std::string(1, column_end)) + " --user=\"$(id -un)\" " + selection +
         " --format=" + quote(fields);
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
  if (!terminal(meaning->state)) {
    job.kept->ended_seen = {};
    job.kept->runaway_seen = {};
    job.kept->ended.reset();
    // While it waits, StartTime is only a plan.
    const bool began = status.state != pb::JOB_STATE_QUEUED;
    if (began) status.started_at = row.started_at;
    if (began) job.kept->allocated = usage_of(row);
    job.completing = row.state == "COMPLETING";
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
  status.started_at = row.started_at;
  status.finished_at = row.ended_at;
  status.usage = usage_of(row);
  job.kept->ended = status;
}

result<poll_result> slurm_cluster::observe(std::span<const tracked_job> jobs, deadline until) {
  // A poll that was given up may still run: two at once would confuse what we remember.
  const std::unique_lock alone(observing_, until);
  if (!alone) return fail(errc::unavailable, "squeue: the poll before this one still runs");
  poll_result out;
  auto made = begin();
  made.add_section("squeue", squeue_command());
  const auto got = run(std::move(made), until);
  count("squeue");
  out.queries = 1;
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
  if (!unclear.empty()) ask_second_source(unclear, out.queries, until);
  out.observations.reserve(all.size());
  for (auto& job : all) {
    out.observations.push_back(conclude(job, now));
    out.settling += job.settling;
  }
  return out;
}

/// Asks accounting, and where that does not tell, the jobs' own directories.
void slurm_cluster::ask_second_source(const std::vector<watched*>& jobs, int& queries,
                                      deadline until) {
  const bool accounting = asks_accounting() && !learn_fields(until).empty();
  auto made = begin();
  int parts = 0;
  if (accounting)
    for (std::size_t from = 0; from < jobs.size(); from += ids_max, ++parts) {
      std::string ids;
      for (std::size_t i = from; i < std::min(jobs.size(), from + ids_max); ++i)
        ids += (i == from ? "" : ",") + jobs[i]->job->id.str();
      made.add_section("sacct" + std::to_string(parts), sacct_command("-j " + quote(ids)));
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
  const auto got = run(std::move(made), until);
  queries += parts + static_cast<int>(asked_controller);
  if (parts > 0) count("sacct", parts);
  if (asked_controller > 0) count("scontrol", static_cast<int>(asked_controller));

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
    read_accounts(asked, from, whole);
  }
  const auto& traces_text = got.of("traces");
  const bool traces_answer = traces_text.complete && traces_text.exit_code == 0;
  auto texts = split_traces(mark, traces_text.out);
  for (auto* job : jobs) {
    const auto& id = job->job->id.str();
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

/// Sums up what accounting has of each job: one record per time that it was started.
void slurm_cluster::read_accounts(const std::vector<watched*>& jobs, const section& from,
                                  bool whole) const {
  std::vector<std::string> fields;
  {
    const std::lock_guard lock(mutex_);
    fields = fields_;
  }
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
      const auto step = parse_state(row.state);
      now->steps_open = now->steps_open || !step || !terminal(step->state);
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
}

void slurm_cluster::add_record(account& to, const account_row& row) {
  const auto meaning = parse_state(row.state);
  to.state = row.state;
  // A controller that reaches its database late tells of the start of a job with the state of now:
  // "FAILED" without an end and with exit code 0. The real record comes after it.
  to.final = meaning && terminal(meaning->state) && is_set(row.ended_at) && row.exit;
  auto& status = to.status;
  const auto exit = row.exit.value_or(exit_status{});
  status.state = meaning ? meaning->state : pb::JOB_STATE_UNSPECIFIED;
  status.exit_code = exit.code;
  status.exit_signal = exit.signal;
  status.reason = ending_reason(row.state, row.reason, exit, status.state);
  if (is_set(row.started_at)) status.started_at = row.started_at;
  status.finished_at = row.ended_at;
  auto& usage = *status.usage;
  usage.set_wall_clock_seconds(usage.wall_clock_seconds() + row.elapsed_seconds -
                               row.suspended_seconds);
  if (row.cpu_time) usage.set_cpu_time_us(usage.cpu_time_us() + row.cpu_time->count());
  usage.set_nodes_used(std::max(1, row.nodes));
  usage.set_cpu_cores(row.allocated.cpus > 0 ? static_cast<int>(row.allocated.cpus) : row.cpus);
  usage.set_gpus(static_cast<int>(row.allocated.gpus));
  usage.set_memory_bytes_allocated(row.allocated.memory_bytes);
}

observation slurm_cluster::conclude(watched& job, time_point now) const {
  auto& kept = *job.kept;
  if (job.strange) {
    // A newer Slurm's word: nothing is known, so nothing changes.
    if (kept.last) return *kept.last;
    return missing{false, "squeue shows a state that is not known here: " + job.word};
  }
  const bool told = (job.accounted && job.accounted->final) || job.left.ended;
  if (job.unseen && !told) {
    if (kept.last) return *kept.last;
    return missing{false, "squeue gave only a part of its answer"};
  }
  // A completed job that is still being cleaned up does not return; one that failed may, requeued.
  // Its use is whole when all its steps have ended.
  const bool completed = job.completing && job.accounted && job.accounted->final &&
                         !job.accounted->steps_open &&
                         job.accounted->status.state == pb::JOB_STATE_COMPLETED;
  if (job.status && !completed) {
    kept.last = job.status;
    job.settling = job.completing && asks_accounting();
    return *job.status;
  }
  const auto me = job.job->token.str() + ":" + job.job->id.str();
  const auto exit = job.accounted ? job.accounted->status.exit_code
                    : kept.ended  ? kept.ended->exit_code
                                  : 0;
  auto lost_to = job.left.lost_to;
  if (lost_to.empty() && exit == lost_claim_exit && !job.left.claim.empty() &&
      job.left.claim != me && !job.left.claim.starts_with(me + ":"))
    lost_to = job.left.claim;
  if (!lost_to.empty()) {
    job_status status = kept.ended.value_or(job_status{});
    status.usage.reset();
    if (lost_to.starts_with("cancelled:")) {
      status.state = pb::JOB_STATE_CANCELLED;
      status.reason = "it was cancelled before it could start";
      return status;
    }
    status.state = pb::JOB_STATE_FAILED;
    status.reason = "another copy had claimed the job: " + lost_to;
    status.lost_claim_to = submission_token{lost_to.substr(0, lost_to.find(':'))};
    return status;
  }
  auto end = job.accounted && job.accounted->final ? job.accounted->status : job_status{};
  if (!job.accounted || !job.accounted->final) {
    const auto without = conclude_without_accounting(job, now);
    if (!std::holds_alternative<job_status>(without)) return without;
    end = std::get<job_status>(without);
    if (!terminal(end.state)) return end;
  } else if (job.may_return && now < kept.ended_seen + return_grace) {
    return still_ending(job);
  }
  if (end.state == pb::JOB_STATE_FAILED && !job.left.step.empty())
    end.reason += (end.reason.empty() ? "" : "; ") + ("in step " + job.left.step);
  if (const auto own = job.left.exit_code; own && end.state != pb::JOB_STATE_COMPLETED &&
                                           *own != end.exit_code && *own - 128 != end.exit_signal)
    end.reason += "; its own record says exit code " + std::to_string(*own);
  if (job.left.again)
    end.reason += "; Slurm lost its state and started it a second time, the first run left no end";
  if (job.left.no_claim) end.reason += "; it could not make its claim in the job directory";
  if (end.usage && end.usage->cpu_time_us() == 0 && job.left.cpu_time)
    end.usage->set_cpu_time_us(job.left.cpu_time->count());
  return end;
}

/// It ended in squeue, but the whole story is not there yet.
observation slurm_cluster::still_ending(watched& job) const {
  if (job.kept->last && job.kept->last->state == pb::JOB_STATE_RUNNING) return *job.kept->last;
  job_status status;
  status.state = pb::JOB_STATE_RUNNING;
  if (job.kept->ended) status.started_at = job.kept->ended->started_at;
  return status;
}

observation slurm_cluster::conclude_without_accounting(watched& job, time_point now) const {
  auto& kept = *job.kept;
  const bool accounting = asks_accounting();
  if (kept.ended) {
    // Accounting is the better witness of use: it is waited for, but not for ever.
    job.settling = accounting && now < kept.ended_seen + options_.accounting_grace;
    if (job.settling || (job.may_return && now < kept.ended_seen + return_grace))
      return still_ending(job);
    auto end = *kept.ended;
    if (accounting)
      end.reason += std::string(end.reason.empty() ? "" : "; ") +
                    "accounting has no final record: its use is what squeue told";
    return end;
  }
  if (job.left.ended && job.left.exit_code) {
    job_status end;
    const int code = *job.left.exit_code;
    end.state = code == 0 ? pb::JOB_STATE_COMPLETED : pb::JOB_STATE_FAILED;
    if (code > 128 && code <= 192) end.exit_signal = code - 128;
    else end.exit_code = code;
    end.reason = "its own record, Slurm does not know it any more";
    if (code != 0) end.reason += ": exit code " + std::to_string(code);
    end.finished_at = job.left.ended_at;
    if (kept.last) end.started_at = kept.last->started_at;
    // Nothing measured it but the job itself; what it held is known if squeue ever showed it.
    end.usage = kept.allocated;
    end.usage->set_wall_clock_seconds(0);
    if (is_set(end.started_at) && end.finished_at > end.started_at)
      end.usage->set_wall_clock_seconds(
          std::chrono::duration_cast<seconds>(end.finished_at - end.started_at).count());
    return end;
  }
  // Who holds or cancels a job must not see it come back: it was last seen waiting by itself.
  const bool never_ran =
      kept.waited && job.traces_answer && !job.left.ended && job.left.untouched;
  if (job.accounted) {
    // Accounting calls it alive, the controller does not know it: the record may be late, or the
    // controller lost the job (a "runaway job", sacctmgr(1)).
    if (!is_set(kept.runaway_seen)) kept.runaway_seen = now;
    const bool only_waits = never_ran && job.accounted->state == "PENDING";
    if (only_waits) {
      const std::lock_guard lock(mutex_);
      accounted_only_[job.job->token.str()] = kept.runaway_seen;
    }
    return missing{now >= kept.runaway_seen + options_.runaway_after,
                   "squeue does not know it, accounting says " + job.accounted->state,
                   only_waits};
  }
  // Accounting hears of every job, also of one that is cancelled while it waits.
  if (job.accounts_answer) return missing{true, "neither squeue nor sacct know it", never_ran};
  if (!accounting && job.traces_answer && job.controller_denies)
    return missing{true, "neither squeue nor scontrol know it, and it left no end record"};
  return missing{false, accounting ? "squeue does not know it, accounting does not answer"
                                   : "squeue does not know it; no second source answers"};
}

}  // namespace ved::adapters::slurm
