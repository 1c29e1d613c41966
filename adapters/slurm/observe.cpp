#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <unordered_set>

#include "adapters/slurm/records.hpp"
#include "adapters/slurm/watched.hpp"
#include "messages/job_state.hpp"
#include "messages/usage.hpp"

namespace ved::adapters::slurm {
namespace {

/// Ids in one sacct: its argument stays far below the kernel's bound for one word.
constexpr std::size_t ids_max = 1'000;
/// Single jobs that the controller is asked for in one poll, where there is no accounting.
constexpr std::size_t details_max = 20;
/// Directories that may hang in one poll before the rest waits for the next one.
constexpr int hangs_in_a_poll = 4;
constexpr int clock_patience_seconds = 2;
constexpr int idle_cluster_patience_seconds = 5;
constexpr seconds clock_drift{60};
/// So long after a job that waits was seen renamed, names tell nothing.
constexpr seconds renames_kept{86'400};

std::string waiting_reason(const std::string& reason) {
  if (reason.empty() || reason == "None") return {};
  const auto more = explain_reason(reason);
  return more.empty() ? reason : reason + ": " + std::string(more);
}

/// What an ended job held; nullopt: not told. One that never had nodes is shown with what it asked
/// for.
std::optional<pb::JobUsage> held_of(const queue_row& row) {
  if (row.node_list.empty() || row.allocated.cpus <= 0) return std::nullopt;
  return usage_of(row);
}

/// What squeue said of one cluster's jobs.
struct queue_answer {
  std::string problem;  ///< not empty: it is no answer
  table<queue_row> rows;
  std::unordered_map<std::string, std::vector<const queue_row*>> by_number;  ///< those asked for
  /// Live jobs: the token that they bear → their number.
  std::unordered_map<std::string, std::string> others;
  bool complained = false;
  std::vector<stray> strays;

  /// Why a job may be there that is not shown; "" when it surely is not.
  std::string why_unseen(const std::string& number, const std::string& token) const {
    if (!problem.empty()) return "squeue: " + problem;
    if (complained || rows.cut) return "squeue gave only a part of its answer";
    if (rows.may_be(number, token))
      return "squeue's row of it cannot be read: '" + rows.first_damaged + "'";
    if (const auto it = others.find(token); it != others.end())
      return "squeue shows its token with job " + it->second + ", which sbatch did not name";
    return {};
  }
};

void add_alive(std::unordered_map<std::string, std::string>& to, const queue_row& row) {
  const auto meaning = parse_state(row.state);
  if (meaning && is_terminal(meaning->state)) return;
  const auto named = marks_in(row.output_path).token;
  to.emplace(named.empty() ? row.name : std::string(named), row.id.str());
}

void read_queue(queue_answer& out, const section& from, const std::string& problem,
                const std::unordered_set<std::string>& numbers, const std::string& separator,
                const std::function<std::optional<stray>(const queue_row&)>& stray_at) {
  if (!from.complete) {
    out.problem = problem.empty() ? "no answer" : problem;
    return;
  }
  out.rows = parse_squeue(
      from.out, [&](std::string_view id) { return numbers.contains(std::string(id)); }, separator);
  const auto& rows = out.rows;
  for (const auto& row : rows.rows) {
    if (numbers.contains(row.id.str())) out.by_number[row.id.str()].push_back(&row);
    else if (auto other = stray_at(row))
      out.strays.push_back(std::move(*other));
    add_alive(out.others, row);
  }
  const auto says = judge_failure(from.exit_code, from.err);
  // An account without any job is an empty list, but an error never is one. Rows beside a
  // complaint, or beside a line that cannot be read, still say what they say.
  out.complained = says != failure::none;
  const bool no_table = rows.damaged > 0 && rows.damaged_ids.empty() && rows.strays.empty();
  if (from.exit_code != 0 || (rows.rows.empty() && (out.complained || no_table)))
    out.problem = rows.damaged > 0 && !out.complained
                      ? "cannot read '" + rows.first_damaged + "'"
                      : words_of(from.err);
  if (out.problem.empty() && rows.damaged == 0 && !rows.is_told() && from.exit_code == 0)
    out.problem = std::string(printed_nothing);
  if (out.problem.empty() && from.exit_code != 0)
    out.problem = "ended with code " + std::to_string(from.exit_code) + " without a word";
}

std::string section_of(const char* what, const std::string& cluster) {
  return std::string(what) + (cluster.empty() ? "" : "-" + cluster);
}

}  // namespace

std::string slurm_cluster::squeue_command(const std::string& cluster,
                                          const std::string& separator) {
  return on_cluster(cluster) +
         "squeue --all --noconvert --states=all --user=\"$(id -u)\" -O " +
         quote(squeue_format(separator));
}

/// A job may give itself another's name and comment while it runs, but not another output file.
bool slurm_cluster::is_ours(const tracked_job& job, const queue_row& row) {
  const auto& token = job.token.str();
  if (const auto named = marks_in(row.output_path).token; !named.empty()) return named == token;
  return row.name == token || row.comment.find("ved:" + token) != std::string::npos ||
         row.output_path.find("/" + token + ".") != std::string::npos;
}

/// The time limit that Slurm enforces now, which the site may have extended, with what it grants
/// beyond that, by our clock. Unset: not known.
time_point slurm_cluster::ends_by(const queue_row& row) const {
  const std::lock_guard lock(mutex_);
  // What the site grants is told by its inventory.
  if (!is_set(row.ended_at) || !site_) return {};
  auto over = site_->config.over_time;
  if (const auto it = site_->partitions.find(row.partition); it != site_->partitions.end())
    over = it->second.limits.over_time.value_or(over);
  return row.ended_at + over + site_->config.kill_wait - site_ahead_about_;
}

/// The clock of the login node, by which files of jobs and Slurm's times are judged: ours may be
/// minutes off.
time_point slurm_cluster::site_clock(const section& told, time_point now) {
  const auto there = parse_moment(trim(told.out));
  if (told.complete && there && is_set(*there)) site_ahead_ = *there - now;
  // Times that are told by our clock must not change with every poll.
  const auto off = site_ahead_ - site_ahead_about_;
  if (off > clock_drift || off < -clock_drift) site_ahead_about_ = site_ahead_;
  return now + site_ahead_;
}

void slurm_cluster::see_in_queue(watched& job, const queue_row& row, time_point now) {
  job.word = row.state;
  job.waits_for = row.reason;
  job.priority = row.priority;
  const known_before before{job.kept->submitted_at.load(), job.kept->restarts, job.kept->session};
  job.kept->note_submission(row.submitted_at);
  // Counted as a requeue begins, which is over when the job is submitted anew.
  if (row.submitted_at != before.enqueued_at || before.session == 0)
    job.kept->restarts = row.restarts;
  job.kept->session = row.session;
  const auto meaning = parse_state(row.state);
  if (!meaning) {
    job.strange = true;
    return;
  }
  job_status status;
  status.state = meaning->state;
  status.enqueued_at = row.submitted_at;
  if (!is_terminal(meaning->state)) {
    job.kept->ended_seen = {};
    job.kept->accounts_due = {};
    job.kept->runaway_seen = {};
    job.kept->unqueued_since = {};
    // While it waits, StartTime is only a plan.
    const bool queued = status.state == pb::JOB_STATE_QUEUED;
    const bool began = !queued && !is_held_again(row.state);
    job.completing = row.state == "COMPLETING";
    // One that is requeued shows as completing first, with a plan in place of its start.
    const auto known = known_start(job);
    const bool is_plan = job.completing && is_set(known) && row.submitted_at <= known;
    const auto start = is_plan ? known : row.started_at;
    if (!is_plan) note_requeue(job, row, began, before);
    // It had ended by itself, and is cleaned up to be requeued.
    else if (job.kept->ended && job.kept->ended->started_at == known)
      job.kept->completing_at = job.kept->ended->finished_at;
    job.kept->ended.reset();
    if (!began) job.kept->waited_at = job.site_now;
    if (began) status.started_at = start;
    if (began && !job.completing) status.ends_by = ends_by(row);
    if (began && !is_set(job.kept->first_start)) job.kept->first_start = start;
    if (job.completing && !is_set(job.kept->completing_at)) {
      // Requeued, it shows a plan there.
      const bool is_end = row.ended_at > start && row.ended_at <= job.site_now;
      job.kept->completing_at = is_end ? row.ended_at : job.site_now;
    }
    if (began && !job.completing) job.kept->completing_at = {};
    if (began) {
      if (!job.completing) job.kept->ran_at = job.site_now;
      note_allocation(*job.kept, row, start);
      note_suspension(*job.kept, row, start, job.site_now);
      status.allocated = job.kept->allocated;
    }
    if (job.completing) job.held = held_of(row);
    if (job.held) pb::add_usage(*job.held, job.kept->allocated);
    job.kept->exit = job.completing ? row.exit : std::nullopt;
    status.reason = waiting_reason(row.reason);
    status.never_starts = queued && is_for_ever(row.reason);
    status.held = queued && is_hold(row.reason);
    job.kept->waited = queued && !status.held;
    job.status = status;
    return;
  }
  job.ended = true;
  note_requeue(job, row, !row.node_list.empty(), before);
  job.may_return = meaning->may_return;
  if (!is_set(job.kept->ended_seen)) job.kept->ended_seen = now;
  job.kept->exit = row.exit;
  job.kept->ended_word = row.state;
  job.kept->ended_reason = row.reason;
  if (!row.node_list.empty()) status.started_at = row.started_at;
  status.finished_at = row.ended_at;
  status.usage = usage_of(row);
  job.held = held_of(row);
  if (row.started_at != job.kept->allocated_since) job.kept->resized = false;
  else if (job.held) {
    note_allocation(*job.kept, row, row.started_at);
    for (auto* all : {&*status.usage, &*job.held}) pb::add_usage(*all, job.kept->allocated);
  }
  job.kept->ended = status;
}

/// Those of the site that took jobs which this one was asked for, as long as these may come back
/// there; "" is this one.
std::set<std::string> slurm_cluster::clusters_of(std::span<const tracked_job> jobs) {
  const auto now = options_.clock();
  for (const auto& job : jobs)
    if (const auto cluster = number_of(job.id).cluster; !cluster.empty()) had_jobs_[cluster] = now;
  const auto kept = 2 * returns_within();  // the last look is later than that
  std::erase_if(had_jobs_, [&](const auto& one) {
    return one.second > now || now > one.second + kept;
  });
  std::set<std::string> out{""};
  for (const auto& [cluster, at] : had_jobs_) out.insert(cluster);
  return out;
}

result<poll_result> slurm_cluster::observe(std::span<const tracked_job> jobs, poll_kind kind,
                                           call at) {
  // A poll that was given up may still run: two at once would confuse what we remember.
  const std::unique_lock alone(observing_, at.until);
  if (!alone) return fail(errc::unavailable, "squeue: the poll before this one still runs");
  poll_result out;
  auto made = begin();
  const auto separator = made.separator();
  const auto clusters = clusters_of(jobs);
  std::map<std::string, std::unordered_set<std::string>> numbers;  // by cluster
  std::unordered_set<std::string> shared;  // ids of which one was given out again
  for (const auto& job : jobs)
    if (const auto [number, cluster] = number_of(job.id); !numbers[cluster].insert(number).second)
      shared.insert(job.id.str());
  for (const auto& cluster : clusters) {
    const auto name = section_of("squeue", cluster);
    const auto command = squeue_command(cluster, separator);
    // One that is only asked for what may come back there keeps nobody waiting.
    if (cluster.empty() || numbers.contains(cluster)) made.add_section(name, command);
    else made.add_guarded_section(name, command, idle_cluster_patience_seconds);
  }
  made.add_guarded_section("clock", "date +%s", clock_patience_seconds);
  const auto got =
      run(std::move(made), at, {{"squeue", static_cast<int>(clusters.size())}});
  const auto now = options_.clock();
  std::erase_if(former_, [&, kept = 2 * returns_within()](const auto& one) {
    return one.second.left_at > now || now > one.second.left_at + kept;
  });
  std::map<std::string, queue_answer> queues;
  for (const auto& cluster : clusters) {
    // Filled in place: its rows are pointed at.
    read_queue(queues[cluster], got.of(section_of("squeue", cluster)), got.problem,
               numbers[cluster], separator,
               [this, &cluster](const queue_row& row) { return stray_at(row, cluster); });
    // Another cluster of the site may be away: nothing is known of its jobs alone.
    if (cluster.empty() && !queues[cluster].problem.empty())
      return fail(errc::unavailable, "squeue: " + queues[cluster].problem);
  }
  const auto site_now = site_clock(got.of("clock"), now);
  std::vector<watched> all(jobs.size());
  {
    const std::lock_guard lock(mutex_);
    // What is not followed any more is forgotten; nodes of the map stay where they are.
    std::unordered_map<std::string, memory> kept;
    for (const auto& job : jobs) {
      auto node = seen_.extract(key(job));
      if (node) kept.insert(std::move(node));
      else remember_told(kept.try_emplace(key(job)).first->second, job);
    }
    for (const auto& [name, left] : seen_) remember_former(left, now);
    seen_ = std::move(kept);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      all[i].job = &jobs[i];
      all[i].kept = &seen_.at(key(jobs[i]));
      all[i].site_now = site_now;
      all[i].shares_number = shared.contains(jobs[i].id.str());
    }
  }
  std::vector<watched*> unclear;
  for (auto& job : all) {
    const auto [number, cluster] = number_of(job.job->id);
    const auto& queue = queues.at(cluster);
    bool is_shown = false;
    const auto shown = queue.by_number.find(number);
    if (shown != queue.by_number.end())
      for (const auto* row : shown->second) {
        // Another job under the same number: numbers wrap.
        if (!is_followed(job, *row)) continue;
        is_shown = true;
        job.outdated = is_old(job, *row, now);
        if (job.outdated) continue;
        // One that runs may have renamed itself.
        if (row->name != job.job->token.str() && row->state == "PENDING") {
          const std::lock_guard lock(mutex_);
          renames_until_ = now + renames_kept;
        }
        see_in_queue(job, *row, now);
      }
    if (is_shown) {
      job.kept->elsewhere.clear();
    } else {
      job.unseen = queue.why_unseen(number, job.job->token.str());
      if (const auto it = queue.others.find(job.job->token.str()); it != queue.others.end())
        job.kept->elsewhere = it->second;
    }
    // Accounting knows how a job ended before its nodes are clean again.
    const bool ending = job.completing && asks_accounting();
    if ((!job.status && !job.strange && !job.outdated) || ending) unclear.push_back(&job);
  }
  std::vector<watched*> contrary;
  for (auto& job : all)
    if (is_contrary(job)) contrary.push_back(&job);
  if (!contrary.empty()) ask_what_undid(contrary, at);
  look_at_leftovers(all, at, now);
  if (asks_accounting())
    for (auto& job : all)
      if (is_leftover(job)) unclear.push_back(&job);
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
  if (!unclear.empty())
    if (auto asked = ask_second_source(unclear, at); !asked) return fail(asked.error());
  std::erase_if(unclear, [](const watched* one) {
    const bool wanted = one->unnamed_later || (!one->accounted && one->unnamed_accounts);
    return !wanted || !number_of(one->job->id).cluster.empty();
  });
  if (!unclear.empty() && knows_submissions()) {
    std::unordered_map<const watched*, time_point> known;
    for (const auto* one : unclear) known.emplace(one, one->kept->last_submission);
    learn_submissions(unclear, at);
    // Most of these numbers were another job's before.
    std::erase_if(unclear, [&](const watched* one) {
      return one->kept->last_submission == known.at(one);
    });
    for (auto* one : unclear) {
      one->accounted.reset();
      one->accounts_answer = false;
    }
    if (!unclear.empty())
      if (auto asked = ask_second_source(unclear, at); !asked) return fail(asked.error());
  }
  out.observations.reserve(all.size());
  for (auto& job : all) {
    out.observations.push_back(conclude(job, now));
    if (auto* told = std::get_if<job_status>(&out.observations.back())) {
      told->run_before = job.kept->run_before;
      told->note = note_of(*job.kept);
    }
    out.settling += job.settling;
  }
  std::vector<stray> strays;
  for (auto& [cluster, queue] : queues)
    std::move(queue.strays.begin(), queue.strays.end(), std::back_inserter(strays));
  out.strays = lasting(std::move(strays), now);
  // What was told once may not have been heard; and what is away shows nothing.
  out.suspects_strays = std::any_of(strays_.begin(), strays_.end(),
                                    [](const auto& one) { return one.second.times < 2; }) ||
                        std::any_of(queues.begin(), queues.end(),
                                    [](const auto& one) { return !one.second.problem.empty(); });
  out.returns_within = returns_within();
  return out;
}

/// Shell text that looks into the directories of those jobs whose end they may tell.
std::string slurm_cluster::looks_at(const std::vector<watched*>& jobs, std::vector<bool>& looked,
                                    time_point now) const {
  std::string text;
  looked.assign(jobs.size(), false);
  const auto wanted = [&](std::size_t i) {
    return jobs[i]->look == look_result::cut ? &jobs[i]->job->job : nullptr;
  };
  for (const auto i : hangs_.turns(jobs.size(), wanted, now)) {
    const auto& job = *jobs[i]->job;
    text += "look " + std::to_string(i) + " " + quote(number_of(job.id).number) + " " +
            quote(job.job.str() + "/") + " " + quote(job.token.str()) + "\n";
    looked[i] = true;
  }
  return text;
}

/// True: one of the directories hung, and those behind it were not looked into.
bool slurm_cluster::read_looks(const std::vector<watched*>& jobs, const std::vector<bool>& looked,
                               const std::string& nonce, const section& told, time_point now) {
  const bool whole = told.complete && told.exit_code == 0;
  const bool hung = told.complete && told.exit_code == killed_exit;
  auto all = split_traces(nonce, told.out, jobs.size(), whole);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    auto& job = *jobs[i];
    if (all[i] && !job.has_traces()) {
      job.look = look_result::answered;
      job.left = std::move(*all[i]);
      // Nobody calls a directory untouched that could not be read.
      if (job.left.shut) job.look = look_result::no_getting;
    } else if (looked[i] && !job.has_traces() && told.complete && !hung) {
      job.look = whole ? look_result::not_asked : look_result::no_getting;
    }
  }
  const auto stuck = hung ? last_begun(nonce, told.out, jobs.size()) : std::nullopt;
  if (stuck) hangs_.note(jobs[*stuck]->job->job, now);
  return stuck.has_value();
}

/// One question to sacct for each cluster, and for so many jobs that its argument stays short.
std::vector<slurm_cluster::accounts_part> slurm_cluster::parts_of(
    const std::vector<watched*>& jobs) {
  std::vector<accounts_part> out;
  for (auto* job : jobs) {
    const auto [number, cluster] = number_of(job->job->id);
    // Not a structured binding: clang 14 lets no lambda capture one.
    const auto& of = cluster;
    const bool federated = parse_count(number).value_or(0) >= federated_from;
    auto part = std::find_if(out.rbegin(), out.rend(), [&](const accounts_part& one) {
      return one.cluster == of && one.federated == federated && one.jobs.size() < ids_max;
    });
    if (part == out.rend()) {
      out.push_back({cluster, federated, {}, {}});
      part = out.rbegin();
    }
    part->ids += (part->ids.empty() ? "" : ",") + number;
    part->jobs.push_back(job);
  }
  return out;
}

std::string slurm_cluster::accounts_part::selection() const {
  return clusters_option(cluster) + (federated ? " --federation" : "") + " -j " + quote(ids);
}

/// Asks accounting, and where that does not tell, the jobs' own directories. Fails where another
/// Slurm than ours answers: that it knows none of our jobs says nothing.
result<void> slurm_cluster::ask_second_source(const std::vector<watched*>& jobs, call at) {
  auto fields = asks_accounting() ? without(without(learn_fields(at), submission_field),
                                            cluster_field)
                                  : std::vector<std::string>{};
  const bool accounting = !fields.empty();
  // One question for all: a job that squeue does not show is rare, and costs the others 90 ms.
  if (std::all_of(jobs.begin(), jobs.end(), [](const auto* one) { return one->held.has_value(); }))
    fields = without(std::move(fields), allocation_field);
  auto made = begin();
  const auto separator = made.separator();
  const auto parts = accounting ? parts_of(jobs) : std::vector<accounts_part>{};
  for (std::size_t i = 0; i < parts.size(); ++i)
    made.add_section("sacct" + std::to_string(i),
                     sacct_command(parts[i].selection(), fields, separator));
  const auto now = options_.clock();
  for (auto* job : jobs) {
    const auto& ended = job->kept->ended;
    // A job that Slurm calls completed held its claim; of the others the directory knows more.
    if (accounting && ended && ended->state == pb::JOB_STATE_COMPLETED) continue;
    // Of two questions one answer is enough.
    if (!job->completing && !job->has_traces()) job->look = look_result::cut;
  }
  std::vector<bool> looked;
  const auto add_looks = [&](program& to) {
    const auto looks = looks_at(jobs, looked, now);
    if (!looks.empty())
      to.add_guarded_section("traces",
                             look_function(to.nonce()) + "cd \"$ved_jobs\" || exit 1\n" + looks,
                             share_of(at.until, jobs.size()));
    return !looks.empty();
  };
  const auto nonce = made.nonce();
  add_looks(made);
  // Last: each of these may wait for a slow controller, and the directories must answer first.
  // Asked for by its number a job is shown whatever its partition and its owner.
  std::vector<watched*> asked;
  for (auto* job : jobs) {
    if (job->ended || job->completing) continue;
    const auto& since = job->kept->runaway_seen;
    if (accounting && (!is_set(since) || now < since + options_.runaway_after)) continue;
    asked.push_back(job);
  }
  // Each in its turn, however many there are.
  std::stable_sort(asked.begin(), asked.end(), [](const watched* a, const watched* b) {
    return a->kept->detail_at < b->kept->detail_at;
  });
  asked.resize(std::min(asked.size(), details_max));
  for (auto* job : asked) {
    job->kept->detail_at = now;
    const auto [number, cluster] = number_of(job->job->id);
    made.add_section("job" + job->job->id.str(),
                     on_cluster(cluster) + "scontrol --all show job -o " + quote(number));
  }
  const bool gone = std::any_of(jobs.begin(), jobs.end(), [](const watched* one) {
    return !one->ended && !one->completing && number_of(one->job->id).cluster.empty();
  });
  if (gone) made.add_section("config", "scontrol show config");
  const auto got = run(std::move(made), at,
                       {{"sacct", static_cast<int>(parts.size())},
                        {"scontrol", static_cast<int>(asked.size()) + (gone ? 1 : 0)}});
  if (const auto config = parse_config(got.of("config").out)) {
    if (auto other = stranger(config->cluster_name); !other.empty())
      return fail(errc::unavailable, other);
    meet(config->cluster_name);
    for (auto* job : jobs)
      if (number_of(job->job->id).cluster.empty()) job->shown_for = config->min_job_age;
  } else if (gone) {
    const auto deaf = why_deaf(got.of("config"));
    for (auto* job : jobs)
      if (!job->ended && !job->completing && job->unseen.empty()) job->unseen = deaf;
  }

  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto& from = got.of("sacct" + std::to_string(i));
    const auto says = from.complete ? judge_failure(from.exit_code, from.err)
                                    : failure::unreachable;
    if (from.complete) note_accounting(says);
    // Rows beside a complaint still say what they say; that a job is not among them says nothing.
    const bool whole = says == failure::none;
    if (!whole && !(says == failure::other && from.exit_code == 0)) continue;
    read_accounts(parts[i].jobs, from, fields, separator, whole);
  }
  bool more = read_looks(jobs, looked, nonce, got.of("traces"), now);
  for (auto* job : asked) hear_controller(*job, got.of("job" + job->job->id.str()));
  for (int hung = 1; more && hung < hangs_in_a_poll; ++hung) {
    auto again = begin();
    const auto mark = again.nonce();
    if (!add_looks(again)) break;
    more = read_looks(jobs, looked, mark, run(std::move(again), at).of("traces"), now);
  }
  return {};
}

/// What the controller says of one job. The number may be another job's by now.
void slurm_cluster::hear_controller(watched& job, const section& one) {
  if (!one.complete) return;
  const auto says = judge_failure(one.exit_code, one.err);
  const bool named = one.out.find(job.job->token.str()) != std::string::npos;
  job.controller_shows = says == failure::none && named;
  // Where scontrol is the administrators' alone, it says nothing for the job and nothing against.
  job.controller_denies = says == failure::no_such_job ||
                          (says == failure::none && !named &&
                           one.out.find("JobId=") != std::string::npos);
}

}  // namespace ved::adapters::slurm
