#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <thread>

#include "adapters/local/cluster_state.hpp"
#include "adapters/local/job_cgroup.hpp"
#include "adapters/local/supervisor_process.hpp"
#include "adapters/system/processes.hpp"

/// What becomes of jobs whose supervisor has ended. Nothing that a job did to its own files keeps
/// its slots from the others for longer than `unclear_max`.
namespace ved::adapters::local {

namespace {

using steady = std::chrono::steady_clock;

constexpr int kill_passes_max = 200;
/// On a busy machine a chain passed by three.
constexpr int empty_looks_needed = 10;
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

/// Looks what became of an active job: nothing yet, ended, lost, or never started.
void local_cluster::conclude(const submission_token& token) {
  job_id name;
  bool watched = false;
  bool has_begun = false;
  told_bounds bounds;
  {
    const guard lock(mutex_);
    const entry* job = find_entry(token);
    if (job == nullptr || job->where != place::active) return;
    bounds = bounds_of(*job);
    has_begun = job->has_begun;
    // Whatever became of its lock file: the process itself is known.
    if (job->supervisor && lives(job->supervisor)) return;
    watched = static_cast<bool>(job->supervisor);
    name = job->job;
  }
  // The order matters: the exit file is written before the process ends or its lock is given up.
  // What is there while it lives the job wrote itself. A lock that outlives it is its job's.
  if (!watched && may_live(token)) return;
  bounds.now = now();
  auto status = read_end(token, bounds);
  // Of a directory that was moved away or is not mounted nothing is known.
  if (!status && !is_in_place()) return;
  const bool worked = status.has_value();
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
    status = bury(token, unread);
  }
  bounds.now = now();
  correct_times(*status, bounds);
  const guard lock(mutex_);
  entry* job = find_entry(token);
  if (job == nullptr || job->where != place::active) return;
  damaged_.erase(token.str());  // what could not be read before was read now, or has a reason
  if (worked) start_succeeded(*job);
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

/// What a job held whose supervisor cannot tell what it used: from its spec, and from its start to
/// its end if both are of this boot.
void local_cluster::tell_held(pb::LocalJobStatus& status,
                              const pb::LocalSupervisor& supervisor) const {
  auto& usage = *status.mutable_usage();
  const auto job = spool_.read_job(submission_token(supervisor.token()));
  if (job) {
    const auto& resources = job->spec().resources();
    usage.set_cpu_cores(std::max(1, resources.cpu_cores_per_node()));
    if (resources.memory_gb_per_node() > 0)
      usage.set_memory_bytes_allocated(std::int64_t{resources.memory_gb_per_node()} << 30);
  }
  usage.set_nodes_used(1);
  usage.set_gpus(supervisor.gpus_size());
  const auto ran = status.finished_boot_us() - status.started_boot_us();
  if (status.started_boot_us() > 0 && ran > 0) usage.set_wall_clock_seconds(ran / 1'000'000);
}

/// When a job was seen last of which nothing lives: as late as its files, or its CPU time, tell.
/// Not before its start, nor after now.
std::optional<clock_anchor> local_cluster::last_seen(const submission_token& token,
                                                     const pb::LocalJobStatus& status) const {
  const auto moment = now();
  const auto by_system = system_anchor().time;
  std::optional<microseconds> ago;
  for (const char* name : {"status", "stdout", "stderr", "steps"}) {
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

/// Kills what is left of the job, and tells whether anything was; says in the status if that cannot
/// be, and what its cgroup knows of its use.
bool local_cluster::end_processes(const submission_token& token,
                                  const pb::LocalSupervisor& supervisor,
                                  const pb::LocalJobStatus& last,
                                  pb::LocalJobStatus& status) const {
  std::optional<process_info> leader;
  if (last.leader_pid() > 0)
    leader = process_info{.pid = last.leader_pid(), .start_ticks = last.leader_start_ticks()};
  const job_cgroup cgroup(supervisor.cgroup(), token);
  // A chain of processes that fork and end may pass by one look.
  int empty_looks = 0;
  bool lived = false;
  for (int pass = 0; pass < kill_passes_max && empty_looks < empty_looks_needed; ++pass) {
    lived = lived || cgroup.populated();
    cgroup.kill();
    const auto rest = processes_of_job(token.str(), leader);
    empty_looks = rest.empty() && !cgroup.populated() ? empty_looks + 1 : 0;
    lived = lived || empty_looks == 0;
    signal_all(rest, SIGKILL);
    std::this_thread::sleep_for(milliseconds{10});
  }
  const auto used = cgroup.usage();
  if (used.cpu_us > 0) status.mutable_usage()->set_cpu_time_us(used.cpu_us);
  if (used.memory_bytes_max > 0)
    status.mutable_usage()->set_memory_bytes_max(used.memory_bytes_max);
  cgroup.remove();
  if (empty_looks < empty_looks_needed)
    status.set_reason(status.reason() + "; processes of the job could not be ended");
  return lived;
}

/// Ends a job that nobody can speak for any more, and writes down what is known. `unread`: what
/// stood in the way of knowing more.
pb::LocalJobStatus local_cluster::bury(const submission_token& token, const std::string& unread) {
  pb::LocalJobStatus status;
  status.set_state(pb::JOB_STATE_FAILED);
  bool cancel_asked = false;
  bool has_begun = false;
  bool watched = false;
  told_bounds bounds;
  pb::LocalSupervisor supervisor;
  supervisor.set_token(token.str());
  {
    const guard lock(mutex_);
    const entry* job = find_entry(token);
    cancel_asked = job != nullptr && job->cancel_due;
    watched = job != nullptr && job->supervisor;
    has_begun = job != nullptr && job->has_begun;
    if (job != nullptr) bounds = bounds_of(*job);
    if (job != nullptr) supervisor.mutable_gpus()->Add(job->gpu_ids.begin(), job->gpu_ids.end());
  }
  const auto known = spool_.read_supervisor(token);
  const bool named = known && known->token() == token.str() && known->pid() > 0;
  if (named) {
    supervisor = *known;
    supervisor.clear_gpus();
    for (const int gpu : possible_gpus(*known, bounds.gpus, options_.gpus))
      supervisor.add_gpus(gpu);
  } else if (!options_.cgroup.empty()) {
    supervisor.set_cgroup(job_cgroup::path_of(options_.cgroup, token));
  }
  auto last = spool_.read_status(token);
  if (last && problem_of_running(*last, bounds)) last = fail(errc::corrupt, "not of a supervisor");
  // A job may have put another text in the place of the one that names its supervisor.
  const bool same_boot = watched || !named || supervisor.boot_id() == boot_id_ ||
                         !processes_of_job(token.str(), std::nullopt).empty();
  if (last) {
    status.set_started_at_us(last->started_at_us());
    if (last->boot_id() == boot_id_) status.set_started_boot_us(last->started_boot_us());
  }
  const bool no_name = known ? known->pid() == 0 : known.error().code == errc::not_found;
  const bool never_began = !watched && !last && no_name && !has_begun;
  if (never_began && exists(spool_.job_file(token, "cancel"))) {
    status.set_state(pb::JOB_STATE_CANCELLED);
    status.set_reason(cancelled_before_start);
  } else if (!exists(spool_.job_directory(token))) {
    status.set_reason("the job's directory was removed while it ran; how it ended is not known");
  } else if (never_began) {
    status.set_reason("the job's spec, claim or end was removed or damaged, and nothing is left "
                      "that shows a start");
  } else if (!same_boot) {
    status.set_reason("supervisor lost: the machine restarted while the job ran");
  } else {
    status.set_reason(
        "supervisor lost: it is gone and left no record of the job's end (killed, or its "
        "directory was replaced); how the job ended is not known");
  }
  if (!unread.empty()) status.set_reason(status.reason() + "; " + unread);
  bool lived = watched;
  if (!never_began && same_boot)
    lived |= end_processes(token, supervisor, last ? *last : pb::LocalJobStatus{}, status);
  auto moment = now();
  // Nobody pays for the time in which nobody looked.
  const auto seen = lived || never_began ? std::nullopt : last_seen(token, status);
  if (seen) {
    moment = *seen;
    status.set_reason(status.reason() + "; it ended while nobody watched it: its end is told as "
                                        "when it was seen last");
  }
  if (cancel_asked && status.state() == pb::JOB_STATE_FAILED) {
    status.set_state(pb::JOB_STATE_CANCELLED);
    status.set_reason("cancelled on request; " + status.reason());
  }
  status.set_finished_at_us(to_us(moment.time));
  status.set_finished_boot_us(moment.boot.count());
  status.set_boot_id(boot_id_);
  if (!never_began) tell_held(status, supervisor);
  // A failed write leaves the job as it is on disk, and the next start buries it again.
  (void)spool_.write_exit(token, status);
  return status;
}

}  // namespace ved::adapters::local
