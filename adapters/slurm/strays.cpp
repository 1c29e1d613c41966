#include <algorithm>
#include <map>
#include <utility>

#include "adapters/slurm/states.hpp"
#include "adapters/slurm/records.hpp"
#include "adapters/slurm/values.hpp"
#include "adapters/slurm/watched.hpp"
#include "messages/job_state.hpp"
#include "messages/run_note.hpp"

// Rows with the marks of our jobs that nobody follows. Slurm's administrators and whose job it is
// may requeue what has ended, as long as the controller remembers it (MinJobAge): it runs again
// after its end was told. A controller that comes back with an older state does the same.
namespace ved::adapters::slurm {
namespace {

/// A list of before an end still shows the job alive.
constexpr seconds lasts{5};
/// It is told again after that, in case nobody heard, or its job was at another one.
constexpr seconds told_every{10};
constexpr std::size_t told_max = 1'000;
/// A run that ends, and is cleaned up: KillWait is 30 s.
constexpr seconds away_max{60};
constexpr std::size_t former_max = 20'000;
/// Where a controller forgets nothing ("MinJobAge=0"), or late.
constexpr seconds remembered_max{3600};
constexpr seconds remembered_by_default{300};
/// slurmctld looks for what it may forget that often: PURGE_JOB_INTERVAL in slurmctld.h.
constexpr seconds forgets_every{60};

}  // namespace

path_marks marks_in(std::string_view path) {
  constexpr std::string_view suffix = ".out";
  if (!path.ends_with(suffix)) return {};
  path.remove_suffix(suffix.size());
  const auto slash = path.rfind('/');
  const auto name = path.substr(slash + 1);
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return {};
  const auto number = name.substr(dot + 1);
  path_marks out;
  out.token = name.substr(0, dot);
  if (!out.token.starts_with("ve") || (number != "%j" && !is_job_id(number))) return {};
  if (slash == std::string_view::npos) return out;
  const auto above = path.substr(0, slash);
  out.job = above.substr(above.rfind('/') + 1);
  out.directory = above.substr(0, std::max(above.size() - out.job.size(), std::size_t{1}) - 1);
  return out;
}

/// Another daemon of the same account has another one.
bool slurm_cluster::is_in_job_directory(const queue_row& row) const {
  std::string_view ours = options_.shell.job_directory;
  while (ours.ends_with('/')) ours.remove_suffix(1);
  // sbatch takes these for signs of its own.
  if (ours.find_first_of("%\\") != std::string_view::npos) return true;
  const auto there = marks_in(row.output_path).directory;
  if (!there.ends_with(ours)) return false;
  return ours.starts_with('/') ? there == ours
                               : there.substr(0, there.size() - ours.size()).ends_with('/');
}

/// A row of that job, if it may be alive again, or has been requeued.
static std::optional<stray> stray_of(const queue_row& row, const scheduler_job_id& id,
                                     const job_id& job, const submission_token& token) {
  const auto meaning = parse_state(row.state);
  // What is being cleaned up has ended, or will be submitted anew.
  if (!meaning || row.state == "COMPLETING") return std::nullopt;
  const bool is_live = !is_terminal(meaning->state);
  // What was never requeued has one end, which was told: most rows of a busy account.
  if (!is_live && row.restarts == 0) return std::nullopt;
  // One that never had nodes did not run; while it waits, StartTime is only a plan.
  const bool waits = meaning->state == pb::JOB_STATE_QUEUED || is_held_again(row.state);
  const bool began = !waits && !row.node_list.empty();
  return stray{job, token, id, is_live, row.submitted_at,
               run_note{row.session, row.restarts}.bits(), began ? row.started_at : time_point{}};
}

/// `cluster`: another one of the site, that shows it; empty: ours.
std::optional<stray> slurm_cluster::stray_at(const queue_row& row,
                                             const std::string& cluster) const {
  const auto id = id_of({row.id.str(), cluster});
  // A controller that came back with an older state gives numbers out again, to what was never
  // requeued: as in is_run_on().
  if (const auto known = former_.find(id); known != former_.end()) {
    const auto& of = known->second;
    const bool same = row.submitted_at == of.submitted_at && row.restarts == of.restarts;
    const bool later = row.submitted_at > of.submitted_at && row.restarts > of.restarts;
    if (row.session == of.session && (same || later)) return stray_of(row, id, of.job, of.token);
  }
  const auto marks = marks_in(row.output_path);
  if (marks.job.empty() || !is_in_job_directory(row)) return std::nullopt;
  return stray_of(row, id, job_id{std::string(marks.job)},
                  submission_token{std::string(marks.token)});
}

void slurm_cluster::remember_former(const memory& left, time_point now) {
  const auto submitted = left.submitted_at.load();
  if (left.session == 0 || !is_set(submitted)) return;
  const auto known = former_.find(left.id);
  if (known == former_.end() ? former_.size() >= former_max
                             : known->second.submitted_at > submitted)
    return;
  former_.insert_or_assign(
      left.id, former{left.job, left.token, left.session, left.restarts, submitted, now});
}

/// Of those that are shown the ones that were before, and have to be told now: who waited longest
/// comes first.
std::vector<stray> slurm_cluster::lasting(std::vector<stray> shown, time_point now) {
  std::map<std::string, stray_seen> seen;
  std::vector<std::pair<stray_seen*, stray*>> due;
  for (auto& one : shown) {
    const auto name = one.id.str() + ' ' + one.token.str();
    const auto before = strays_.find(name);
    auto& note = seen[name];
    // Not before a clock that was set back, either.
    const bool known = before != strays_.end() && before->second.since <= now;
    note = known ? before->second : stray_seen{.since = now};
    // Requeued faster than that it is one all the same, and each of its runs is news.
    if (note.enqueued_at != one.enqueued_at || note.is_live != one.is_live) {
      const bool revived = one.is_live && !note.is_live && now >= note.changed_at + lasts;
      note = {.since = revived ? now : note.since,
              .changed_at = now,
              .enqueued_at = one.enqueued_at,
              .is_live = one.is_live};
    }
    note.seen_at = now;
    const bool heard = is_set(note.told_at) && now < note.told_at + told_every;
    if (now >= note.since + lasts && !heard) due.emplace_back(&note, &one);
  }
  std::stable_sort(due.begin(), due.end(), [](const auto& a, const auto& b) {
    return a.first->told_at < b.first->told_at;
  });
  // Between two of its runs it may be shown completing, or not at all.
  for (const auto& [name, note] : strays_)
    if (note.seen_at <= now && now < note.seen_at + away_max && !seen_.contains(name))
      seen.emplace(name, note);
  due.resize(std::min(due.size(), told_max));
  std::vector<stray> out;
  for (auto& [note, one] : due) {
    note->told_at = now;
    ++note->times;
    out.push_back(std::move(*one));
  }
  strays_ = std::move(seen);
  return out;
}

microseconds slurm_cluster::returns_within() const {
  const std::lock_guard lock(mutex_);
  const auto kept = site_ ? site_->config.min_job_age : remembered_by_default;
  return (kept.count() == 0 ? remembered_max : std::min(kept, remembered_max)) + forgets_every;
}

}  // namespace ved::adapters::slurm
