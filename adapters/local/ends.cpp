#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "adapters/local/cluster_state.hpp"
#include "adapters/local/supervisor_process.hpp"
#include "adapters/system/processes.hpp"

/// What becomes of jobs whose supervisor has ended. Nothing that a job did to its own files keeps
/// its slots from the others for longer than `unclear_max`.
namespace ved::adapters::local {

namespace {

using steady = std::chrono::steady_clock;

/// The next one of these is told as lost: it may have run each time.
constexpr int silent_ends_max = 3;
/// So long a job is waited for of which nothing can be read, and no process is known to be alive.
constexpr seconds unclear_max{5};

/// Whether the process of a pidfd has not ended.
bool lives(const unique_fd& process) {
  pollfd look{process.get(), POLLIN, 0};
  return ::poll(&look, 1, 0) == 0;
}

}  // namespace

/// The supervisor of an active job has ended; under the mutex.
void local_cluster::note_end(entry& job) const {
  if (!job.noticed) job.noticed = notice_of_end{now(), looked_at_};
}

/// Looks what became of an active job: nothing yet, ended, lost, or never started.
void local_cluster::conclude(const submission_token& token) {
  if (burials_.contains(token.str())) return;
  job_id name;
  bool watched = false;
  bool has_begun = false;
  told_bounds bounds;
  {
    const guard lock(mutex_);
    entry* job = find_entry(token);
    if (job == nullptr || job->where != place::active) return;
    bounds = bounds_of(*job);
    has_begun = job->has_begun;
    // Whatever became of its lock file: the process itself is known.
    if (job->supervisor && lives(job->supervisor)) return;
    watched = static_cast<bool>(job->supervisor);
    if (watched) note_end(*job);
    name = job->job;
  }
  // The order matters: the exit file is written before the process ends or its lock is given up.
  // What is there while it lives the job wrote itself. A lock that outlives it is its job's.
  if (!watched && may_live(token)) return;
  bounds.now = now();
  auto status = read_end(token, bounds);
  // Of a directory that was moved away or is not mounted nothing is known.
  if (!status && !is_in_place()) return;
  std::string unread;
  if (!status && status.error().code != errc::not_found) {
    unread = status.error().message;
    spool_.reopen_job(token);
    if (status.error().code != errc::corrupt && !is_given_up(token, unread)) return;
  }
  if (!status) {
    const auto claim = spool_.read_claim(name);
    if (!claim) {
      unread = claim.error().message;
      if (claim.error().code != errc::corrupt && !is_given_up(token, unread)) return;
    }
    const auto spec = spool_.read_job(token);
    const bool spec_gone = !spec && spec.error().code != errc::unavailable;
    const bool untouched = claim && claim->token != token && !spec_gone && !has_begun &&
                           !has_trace_of_run(token) && status.error().code == errc::not_found;
    if (untouched && !exists(spool_.job_file(token, "cancel")) &&
        !(watched && ran_all_the_same(token))) {
      not_started(token);
      return;
    }
    begin_burial(token, unread);
    return;
  }
  bounds.now = now();
  correct_times(*status, bounds);
  const guard lock(mutex_);
  entry* job = find_entry(token);
  if (job == nullptr || job->where != place::active) return;
  damaged_.erase(token.str());  // what could not be read before was read now
  start_succeeded(*job);
  end(*job, *status);
}

/// Of a job that seems not to have started, though its supervisor was seen and left no word: a job
/// that runs as the same user can remove all that shows its start, and kill that.
bool local_cluster::ran_all_the_same(const submission_token& token) {
  std::error_code none;
  if (std::filesystem::file_size(spool_.job_file(token, "supervisor.log"), none) > 0 && !none)
    return false;
  const bool lives = !processes_of_job(token.str(), std::nullopt).empty();
  const guard lock(mutex_);
  entry* job = find_entry(token);
  return job != nullptr && (lives || ++job->silent_ends >= silent_ends_max);
}

/// The end that a job's supervisor wrote; `corrupt` when none can have written that.
result<pb::LocalJobStatus> local_cluster::read_end(const submission_token& token,
                                                   const told_bounds& known) const {
  auto end = spool_.read_exit(token);
  if (!end) return end;
  if (const auto problem = problem_of_end(*end, known))
    return fail(errc::corrupt, spool_.job_file(token, "exit") + ": not in the expected form: " +
                                   *problem);
  return end;
}

/// Whether a process that is not watched may be the job's supervisor.
bool local_cluster::may_live(const submission_token& token) {
  const auto state = look_at_lock(spool_.supervisor_path(token));
  if (state != lock_state::held) return state == lock_state::unknown;
  const auto known = spool_.read_supervisor(token);
  // From outside of its namespace only the lock tells; an older release does not name it.
  if (known && known->pid() > 0 && known->pid_namespace() != pid_namespace()) return true;
  if (known && locate(*known, spool_, boot_id_) == whereabouts::here) return true;
  // It has not written down who it is, or its job holds the lock in its name.
  return !is_given_up(token, spool_.supervisor_path(token) +
                                 ": locked by another process than it names");
}

/// Whether nobody could tell for so long what became of the job that it is given up. Until then it
/// shows in /health.
bool local_cluster::is_given_up(const submission_token& token, const std::string& why) {
  const guard lock(mutex_);
  entry* job = find_entry(token);
  if (job == nullptr) return false;
  const auto moment = steady::now();
  damaged_[token.str()] = why;
  // Where nothing else can be read either, it is not the job's doing.
  const unique_fd others(
      ::open(spool_.jobs_directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!job->unclear_since || !others) job->unclear_since = moment;
  return moment - *job->unclear_since >= unclear_max;
}

/// The latest end that its limit gave a job which nobody held to it: as its supervisor would have,
/// and not before that one showed its last sign of life.
std::optional<clock_anchor> local_cluster::latest_allowed(const submission_token& token,
                                                          const burial& one,
                                                          seconds limit) const {
  if (limit <= seconds{0} || !one.last || one.last->started_at_us() == 0) return std::nullopt;
  microseconds most = limit + options_.kill_wait;
  if (one.last->state() == pb::JOB_STATE_SUSPENDED) most += limit;
  most += put_off(*one.last, limit);
  const auto moment = now();
  const auto passed = one.status.started_boot_us() > 0
                          ? moment.boot - microseconds{one.status.started_boot_us()}
                          : moment.time - from_us(one.status.started_at_us());
  auto ago = std::max(passed - most, microseconds{0});
  constexpr const char* files[] = {"status"};
  if (const auto seen = last_seen(token, one.status, files))
    ago = std::min(ago, moment.boot - seen->boot);
  return clock_anchor{moment.time - ago, std::max(moment.boot - ago, microseconds{0})};
}

/// When a job was seen last of which nothing lives: as late as these files, or its CPU time, tell.
/// Not before its start, nor after now.
std::optional<clock_anchor> local_cluster::last_seen(const submission_token& token,
                                                     const pb::LocalJobStatus& status,
                                                     std::span<const char* const> files) const {
  const auto moment = now();
  const auto by_system = system_anchor().time;
  std::optional<microseconds> ago;
  for (const char* name : files) {
    struct stat info {};
    if (::lstat(spool_.job_file(token, name).c_str(), &info) != 0) continue;
    const auto written = time_point{seconds{info.st_mtim.tv_sec} +
                                    microseconds{info.st_mtim.tv_nsec / 1000}};
    const auto passed = std::max(by_system - written, microseconds{0});
    if (!ago || passed < *ago) ago = passed;
  }
  if (!ago) return std::nullopt;
  if (const microseconds started{status.started_boot_us()}; started > microseconds{0}) {
    const auto cpus = std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF));
    const microseconds worked{status.usage().cpu_time_us() / cpus};
    ago = std::min(*ago, std::max(moment.boot - started - worked, microseconds{0}));
  } else if (status.started_at_us() > 0) {
    const auto since = moment.time - from_us(status.started_at_us());
    ago = std::min(*ago, std::max(since, microseconds{0}));
  }
  // The two clocks differ by microseconds: no end comes before its start for that.
  const auto seen_at = std::max(moment.time - *ago, from_us(status.started_at_us()));
  return clock_anchor{seen_at, std::max(moment.boot - *ago, microseconds{0})};
}

}  // namespace ved::adapters::local
