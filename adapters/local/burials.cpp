#include <algorithm>
#include <csignal>

#include "adapters/local/burial.hpp"
#include "adapters/local/cluster_state.hpp"
#include "adapters/system/processes.hpp"

/// Jobs whose supervisor is gone without a word. Whatever is left of them is ended, of all of them
/// by the same looks over the machine, and between two of these the cluster's thread does its other
/// work. One that a stop of `ved` comes upon is buried by the next start.
namespace ved::adapters::local {

namespace {

using steady = std::chrono::steady_clock;

constexpr int looks_max = 200;
/// On a busy machine a chain passed by three.
constexpr int empty_looks_needed = 10;
constexpr milliseconds look_pause{10};

/// How long its supervisor told it to have waited for room that it then had.
microseconds waited(const pb::LocalJobStatus& last, seconds limit) {
  const bool waits = last.reason().starts_with(waits_for_room);
  return limit > seconds{0} && !waits ? put_off(last, limit) : microseconds{0};
}

/// What a job held whose supervisor cannot tell what it used: what it asked for, as it was read
/// when it was taken up, whatever this cluster has by now; and from its start to its end if both
/// are of this boot, without a wait for room that is known.
void tell_held(burial& one, const told_bounds& asked) {
  auto& status = one.status;
  auto& usage = *status.mutable_usage();
  usage.set_cpu_cores(asked.cpus);
  if (asked.memory_mb > 0) usage.set_memory_bytes_allocated(asked.memory_mb << 20);
  usage.set_nodes_used(1);
  usage.set_gpus(asked.gpus);
  if (one.last && one.last->leader_pid() == 0) {  // nothing of it ran
    usage.clear_cpu_time_us();
    usage.clear_memory_bytes_max();
    return;
  }
  auto ran = microseconds{status.finished_boot_us() - status.started_boot_us()};
  if (one.last) ran -= waited(*one.last, asked.limit);
  if (status.started_boot_us() > 0 && ran > microseconds{0})
    usage.set_wall_clock_seconds(std::chrono::floor<seconds>(ran).count());
}

}  // namespace

/// `unread`: what stood in the way of knowing more.
void local_cluster::begin_burial(const submission_token& token, const std::string& unread) {
  burial one;
  one.unread = unread;
  one.supervisor.set_token(token.str());
  bool watched = false;
  bool has_begun = false;
  told_bounds bounds;
  {
    const guard lock(mutex_);
    const entry* job = find_entry(token);
    if (job == nullptr) return;
    watched = static_cast<bool>(job->supervisor);
    has_begun = job->has_begun;
    bounds = bounds_of(*job);
  }
  const auto known = spool_.read_supervisor(token);
  const bool named = known && known->token() == token.str() && known->pid() > 0;
  if (named) {
    one.supervisor = *known;
  } else if (!options_.cgroup.empty()) {
    one.supervisor.set_cgroup(job_cgroup::path_of(options_.cgroup, token));
  }
  auto last = spool_.read_status(token);
  if (last && problem_of_running(*last, bounds)) last = fail(errc::corrupt, "not of a supervisor");
  if (last) {
    one.last = *last;
    one.status.set_started_at_us(last->started_at_us());
    if (last->boot_id() == boot_id_) one.status.set_started_boot_us(last->started_boot_us());
    if (last->leader_pid() > 0)
      one.leader = process_info{.pid = last->leader_pid(),
                                .start_ticks = last->leader_start_ticks()};
  }
  one.same_boot = watched || !named || one.supervisor.boot_id() == boot_id_;
  const bool no_name = known ? known->pid() == 0 : known.error().code == errc::not_found;
  one.never_began = !watched && !last && no_name && !has_begun;
  one.cgroup = job_cgroup(one.supervisor.cgroup(), token);
  burials_.emplace(token.str(), std::move(one));
}

bool local_cluster::is_over(const burial& one) const {
  if (one.never_began) return true;
  if (!one.same_boot) return one.looks > 0;
  return one.empty_looks >= empty_looks_needed || one.looks >= looks_max;
}

/// Kills what is left of the jobs that are being buried, and ends those of which nothing was found
/// for long enough.
void local_cluster::go_on_burying() {
  if (burials_.empty() || steady::now() < bury_at_) return;
  std::vector<burial*> open;
  std::vector<job_mark> marks;
  for (auto& [token, one] : burials_) {
    if (is_over(one)) continue;
    open.push_back(&one);
    marks.push_back({token, one.same_boot ? one.leader : std::nullopt});
    if (one.same_boot && one.cgroup.populated()) {
      one.lived = true;
      one.cgroup.kill();
    }
  }
  // A chain of processes that fork and end may pass by one look.
  const auto found = marks.empty() ? std::vector<std::vector<process_info>>{}
                                   : processes_of_jobs(marks);
  for (std::size_t i = 0; i < open.size(); ++i) {
    burial& one = *open[i];
    ++one.looks;
    // A job may have put another text in the place of the one that names its supervisor.
    one.same_boot = one.same_boot || !found[i].empty();
    const bool empty = found[i].empty() && !(one.same_boot && one.cgroup.populated());
    one.empty_looks = empty ? one.empty_looks + 1 : 0;
    one.lived = one.lived || !empty;
    signal_all(found[i], SIGKILL);
  }
  const auto until = steady::now() + turn_max;
  bury_at_ = steady::now() + look_pause;
  for (auto at = burials_.begin(); at != burials_.end() && !stopping_;) {
    if (!is_over(at->second)) {
      ++at;
      continue;
    }
    if (steady::now() >= until) {
      bury_at_ = {};
      return;
    }
    end_burial(submission_token(at->first), at->second);
    at = burials_.erase(at);
  }
}

/// When the job ended of whose supervisor that is not known, as its reason then says: where
/// something of it lived it ended as its supervisor's end was noticed, or by us; else as it was
/// seen last. Nobody pays for the time in which nobody looked, nor for more than the limit to
/// which nobody held it.
clock_anchor local_cluster::end_of(const submission_token& token, burial& one,
                                   const std::optional<notice_of_end>& noticed,
                                   seconds limit) const {
  auto end = noticed ? noticed->at : now();
  if (one.never_began) return end;
  std::string as;
  if (!one.lived) {
    constexpr const char* files[] = {"status", "stdout", "stderr", "steps"};
    auto seen = last_seen(token, one.status, files);
    // What its files say its job may have written: the process itself was seen later.
    if (seen && noticed && seen->boot < noticed->lived_at.boot) seen = noticed->lived_at;
    if (seen && seen->boot < end.boot) {
      end = *seen;
      as = "when it was seen last";
    }
  }
  if (!noticed) {
    const auto most = latest_allowed(token, one, limit);
    if (most && most->boot < end.boot) {
      end = *most;
      as = "the latest that its time limit of " + std::to_string(limit.count()) + " s allows" +
           (one.last->state() == pb::JOB_STATE_SUSPENDED ? " one that was suspended" : "");
    }
  }
  if (!as.empty())
    one.status.set_reason(one.status.reason() +
                          (noticed || one.lived ? "; its"
                                                : "; it ended while nobody watched it: its") +
                          " end is told as " + as);
  return end;
}

/// Writes down what is known of a job of which nothing is left, or nothing that can be ended.
void local_cluster::end_burial(const submission_token& token, burial& one) {
  pb::LocalJobStatus& status = one.status;
  status.set_state(pb::JOB_STATE_FAILED);
  if (one.never_began && exists(spool_.job_file(token, "cancel"))) {
    status.set_state(pb::JOB_STATE_CANCELLED);
    status.set_reason(cancelled_before_start);
  } else if (!exists(spool_.job_directory(token))) {
    status.set_reason("the job's directory was removed while it ran; how it ended is not known");
  } else if (one.never_began) {
    status.set_reason("the job's spec, claim or end was removed or damaged, and nothing is left "
                      "that shows a start");
  } else if (!one.same_boot) {
    status.set_reason("supervisor lost: the machine restarted while the job ran");
  } else {
    status.set_reason(
        "supervisor lost: it is gone and left no record of the job's end (killed, or its "
        "directory was replaced); how the job ended is not known");
  }
  if (!one.unread.empty()) status.set_reason(status.reason() + "; " + one.unread);
  if (!one.never_began && one.same_boot) {
    const auto used = one.cgroup.usage();
    if (used.cpu_us > 0) status.mutable_usage()->set_cpu_time_us(used.cpu_us);
    if (used.memory_bytes_max > 0)
      status.mutable_usage()->set_memory_bytes_max(used.memory_bytes_max);
    one.cgroup.remove();
    if (one.empty_looks < empty_looks_needed)
      status.set_reason(status.reason() + "; processes of the job could not be ended");
  }
  bool cancel_asked = false;
  std::optional<notice_of_end> noticed;
  told_bounds bounds;
  {
    const guard lock(mutex_);
    const entry* job = find_entry(token);
    if (job == nullptr || job->where != place::active) return;
    cancel_asked = job->cancel_due.has_value();
    noticed = job->noticed;
    bounds = bounds_of(*job);
  }
  const auto moment = end_of(token, one, noticed, bounds.limit);
  if (cancel_asked && status.state() == pb::JOB_STATE_FAILED) {
    status.set_state(pb::JOB_STATE_CANCELLED);
    status.set_reason("cancelled on request; " + status.reason());
  }
  status.set_finished_at_us(to_us(moment.time));
  status.set_finished_boot_us(moment.boot.count());
  status.set_boot_id(boot_id_);
  if (!one.never_began) tell_held(one, bounds);
  // A failed write leaves the job as it is on disk, and the next start buries it again.
  (void)spool_.write_exit(token, status);
  correct_times(status, bounds);
  const guard lock(mutex_);
  entry* job = find_entry(token);
  if (job == nullptr || job->where != place::active) return;
  damaged_.erase(token.str());  // what could not be read before has a reason
  end(*job, status);
}

}  // namespace ved::adapters::local
