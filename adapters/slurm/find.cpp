#include <algorithm>
#include <set>

#include "adapters/slurm/cluster_state.hpp"

namespace ved::adapters::slurm {
namespace {

/// How far back accounting is searched for a token: longer than any daemon stays away.
constexpr seconds search_back{30 * 86'400};
/// What is remembered of jobs that only accounting knows, beyond the time that decides.
constexpr seconds forgotten_after{3'600};

bool by_number(const scheduler_job_id& a, const scheduler_job_id& b) {
  return a.str().size() != b.str().size() ? a.str().size() < b.str().size() : a.str() < b.str();
}

}  // namespace

/// Of a job that only accounting calls waiting: it is lost once that has lasted.
find_outcome slurm_cluster::judge_waiting(const std::string& token, const scheduler_job_id& id,
                                          bool others_deny, time_point now) const {
  const std::lock_guard lock(mutex_);
  std::erase_if(accounted_only_, [&](const auto& one) {
    return one.second + options_.runaway_after + forgotten_after < now;
  });
  const auto said = "accounting calls " + id.str() + " PENDING";
  if (!others_deny) return not_known{said + ", and no whole answer contradicts it"};
  const auto since = accounted_only_.try_emplace(token, now).first->second;
  if (now < since + options_.runaway_after)
    return not_known{said + ", squeue does not know it since " + to_rfc3339(since)};
  return absent{"squeue and the job directory; " + said + " since long"};
}

std::vector<find_outcome> slurm_cluster::find(std::span<const lookup> what, call at) {
  const auto fields = asks_accounting() ? without_allocation(learn_fields(at))
                                        : std::vector<std::string>{};
  const bool accounting = !fields.empty();
  bool renames = false;
  {
    const std::lock_guard lock(mutex_);
    renames = renames_;
  }
  auto made = begin();
  made.add_section("squeue", squeue_command());
  if (accounting) {
    std::string names;
    for (const auto& one : what) names += (names.empty() ? "" : ",") + one.token.str();
    // A date is what sacct of every version reads; the zone of the login node hardly matters.
    const auto since = to_rfc3339(options_.clock() - search_back).substr(0, 10);
    // Where a plugin renames jobs, the whole submission line is what still names the token.
    made.add_section("sacct", sacct_command(
                                "-X -S " + since + (renames ? "" : " --name=" + quote(names)),
                                fields));
  }
  // A job that started left its output file, whatever Slurm remembers of it.
  std::string look = "cd \"$ved_jobs\" 2>/dev/null";
  for (const auto& one : what)
    look += "\nfor f in " + quote(one.job.str()) + "/" + quote(one.token.str()) +
            ".*.out; do [ -e \"$f\" ] && echo \"$f\"; done\nreadlink " +
            quote(one.job.str() + "/claim");
  made.add_section("files", look + "\n[ -d \"$ved_jobs\" ]");
  const auto got = run(std::move(made), at, {{"squeue"}, {"sacct", accounting ? 1 : 0}});

  const auto& queue = got.of("squeue");
  const auto& files = got.of("files");
  const auto failure_of = [](const section& part) {
    return part.complete ? judge_failure(part.exit_code, part.err) : failure::unreachable;
  };
  const auto queue_says = failure_of(queue);
  const auto accounts_say = accounting ? failure_of(got.of("sacct")) : failure::no_accounting;
  if (accounting && got.of("sacct").complete) note_accounting(accounts_say);
  const auto rows = parse_squeue(queue.out);
  const auto accounts = parse_sacct(got.of("sacct").out, fields);
  const bool queue_answers = queue_says == failure::none && rows.damaged == 0;
  const bool accounts_answer = accounts_say == failure::none && accounts.damaged == 0;
  const bool files_answer = files.complete && files.exit_code == 0;

  const auto now = options_.clock();
  std::vector<find_outcome> out;
  for (const auto& one : what) {
    const auto& token = one.token.str();
    std::set<scheduler_job_id, decltype(&by_number)> ids(&by_number);
    for (const auto& row : rows.rows)
      if (is_ours({row.id, one.token, one.job}, row)) ids.insert(row.id);
    std::map<scheduler_job_id, std::string> states;  // of each id the last record's
    for (const auto& row : accounts.rows)
      if (row.step.empty() && (row.name == token ||
                               row.submit_line.find("ved:" + token) != std::string::npos))
        states[row.id] = row.state;
    // A job that waits is in squeue, unless the controller has lost it; had it started, its output
    // file would be there.
    scheduler_job_id waits;
    for (const auto& [id, state] : states) {
      if (state == "PENDING" && !ids.contains(id)) waits = id;
      else ids.insert(id);
    }
    const std::string prefix = one.job.str() + "/" + token + ".";
    for (std::size_t hit = files.out.find(prefix); hit != std::string::npos;
         hit = files.out.find(prefix, hit + 1)) {
      const auto from = hit + prefix.size();
      const auto id = files.out.substr(from, files.out.find('.', from) - from);
      if (parse_count(id)) ids.insert(scheduler_job_id{id});
    }
    if (!ids.empty()) {
      // The copy that holds the claim is the job, whichever number it has.
      std::vector<scheduler_job_id> sorted(ids.begin(), ids.end());
      std::stable_partition(sorted.begin(), sorted.end(), [&](const auto& id) {
        return files.out.find(token + ":" + id.str() + ":") != std::string::npos;
      });
      out.emplace_back(found{std::move(sorted)});
    } else if (!waits.empty()) {
      out.push_back(judge_waiting(token, waits, queue_answers && files_answer, now));
    } else if (queue_answers && accounts_answer) {
      out.emplace_back(absent{"squeue and sacct"});
    } else if (queue_answers && files_answer) {
      std::string sources = "squeue and the job directory";
      if (accounting) sources += "; accounting does not answer";
      out.emplace_back(absent{std::move(sources)});
    } else {
      const auto& silent = !queue_answers ? queue : accounting ? got.of("sacct") : files;
      out.emplace_back(not_known{!got.problem.empty() ? got.problem
                              : silent.err.empty() ? "a query gave no whole answer"
                                                   : words_of(silent.err)});
    }
  }
  return out;
}

}  // namespace ved::adapters::slurm
