#include "adapters/local/job_run.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <thread>
#include <utility>
#include <vector>

#include "adapters/local/told.hpp"
#include "adapters/system/processes.hpp"
#include "messages/plain_text.hpp"

namespace ved::adapters::local {

namespace {

using steady = std::chrono::steady_clock;

/// How often control files are looked at even without a signal, and a KILL is repeated.
constexpr milliseconds idle_tick{2000};
constexpr milliseconds drain_tick{50};
/// Between two looks at a suspended job of which something was found running.
constexpr milliseconds restless_tick{250};
/// Pauses between two attempts to start a step for which there is no room double.
constexpr milliseconds start_pause_first{50};
constexpr milliseconds start_pause_max{2000};
/// Passes over the process tree until every process in it is stopped: forks race with us.
constexpr int stop_passes_max = 50;
/// As long as a job's processes fork, they are killed again without a pause.
constexpr int kill_passes_max = 50;
constexpr auto cancel_unreadable = "cancelled: something was put in the place of its cancel file";

std::int64_t to_us(const timeval& time) {
  return time.tv_sec * 1'000'000LL + time.tv_usec;
}

bool is_stopped(const process_info& one) {
  return one.state == 'T' || one.state == 't';
}

/// A parent in vfork(2) cannot be stopped as long as its child is, and does nothing either.
bool waits_for_stopped_child(const process_info& one, const std::vector<process_info>& all) {
  return one.state == 'D' && std::any_of(all.begin(), all.end(), [&](const process_info& child) {
           return child.parent == one.pid && is_stopped(child);
         });
}

}  // namespace

pb::LocalJobStatus job_run::run() {
  started_ = steady::now();
  status_.set_state(pb::JOB_STATE_RUNNING);
  const auto begun = since_boot();
  status_.set_started_at_us(ved::to_us(options_.clock.at(begun)));
  status_.set_started_boot_us(begun.count());
  status_.set_boot_id(boot_id());
  look_at_controls();
  if (ending_ != ending::none) return finish();
  run_steps();
  drain();
  return finish();
}

result<void> job_run::prepare() {
  const submission_token token(job_.token());
  const auto open_output = [&](const char* name, unique_fd& out) -> result<void> {
    const auto file = spool_.file_of(token, name);
    clear_way(file);  // another job of this user may have put a FIFO there
    constexpr int how = O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    out = unique_fd(::openat(file.directory, file.name.c_str(), how, 0600));
    if (!out) return fail(errno_error("create", file.shown));
    // Who opens /dev/stdout anew needs the right to.
    if (user_.switch_user && ::fchown(out.get(), user_.uid, user_.gid) != 0)
      return fail(errno_error("chown", file.shown));
    return {};
  };
  if (auto opened = open_output("stdout", stdout_); !opened) return fail(opened.error());
  if (auto opened = open_output("stderr", stderr_); !opened) return fail(opened.error());
  if (job_.spec().workload_spec().steps_size() > 0) {
    if (auto opened = open_output("steps", notes_); !opened) return fail(opened.error());
  }
  step_launch& launch = launch_;
  launch.directory = job_.spec().workload_spec().working_directory();
  if (launch.directory.empty()) {
    const auto work = spool_.file_of(token, "work");
    launch.directory = work.shown;
    if (::mkdirat(work.directory, work.name.c_str(), 0700) != 0 && errno != EEXIST)
      return fail(errno_error("create directory", work.shown));
    work_ = unique_fd(::openat(work.directory, work.name.c_str(),
                               O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!work_) return fail(errno_error("open directory", work.shown));
    if (user_.switch_user && ::fchown(work_.get(), user_.uid, user_.gid) != 0)
      return fail(errno_error("chown", work.shown));
    launch.directory_fd = work_.get();
  }
  launch.environment = job_environment(job_, user_, options_.gpus);
  launch.user = user_;
  launch.open_files = options_.open_files;
  launch.file_bytes_max = options_.file_bytes_max;
  launch.stdout_fd = stdout_.get();
  launch.stderr_fd = stderr_.get();
  entrance_ = cgroup_.entrance();
  launch.cgroup_fd = entrance_.get();
  return {};
}

void job_run::run_steps() {
  const std::vector<step> steps = steps_of(job_.spec().workload_spec());
  int number = 0;
  for (const step& what : steps) {
    ++number;
    look_at_controls();
    check_time();
    if (ending_ != ending::none || failed_) return;
    note("step " + std::to_string(number) + "/" + std::to_string(steps.size()) + " " + what.name +
         ": begins");
    leader_status_.reset();
    const started_step started = start(what, number);
    if (ending_ != ending::none) return;
    if (started.pid == 0) {
      failed_ = true;
      status_.set_exit_code(started.failure.exit_code);
      status_.set_reason((what.name.empty() ? "" : "step " + what.name + ": ") +
                         started.failure.reason);
      note("step " + std::to_string(number) + ": " + started.failure.reason);
      return;
    }
    leader_ = started.pid;
    if (!suspended_) status_.clear_reason();
    if (status_.ends_by_us() != 0) put_limit_off(waited_);
    status_.set_step(notes_ ? number : 0);
    status_.set_leader_pid(leader_);
    if (const auto info = read_process(leader_)) {
      status_.set_leader_start_ticks(info->start_ticks);
    }
    write_status();
    wait_for_leader();
    judge_step(what, number, static_cast<int>(steps.size()));
  }
}

/// Nothing of the step has run when it finds no room: that others use up the processes of the
/// account is not the job's fault, which does not pay for it. Its cancel goes on meanwhile, and
/// while it is suspended it is not tried.
started_step job_run::start(const step& what, int number) {
  microseconds patience = options_.start_patience;
  milliseconds pause = start_pause_first;
  std::string noted;
  for (;;) {
    stand_by();
    if (ending_ != ending::none) return {};
    const auto began = steady::now();
    started_step started = start_step(what, launch_, [this] {
      sleep_until_event(milliseconds{0});
      look_at_controls();
      check_time();
      kill_when_due();
    });
    children_ = true;  // also a step that failed to start left a process to wait for
    if (started.attempt != 0) attempts_.insert(started.attempt);
    if (started.pid != 0 || !started.failure.may_pass) return started;
    if (patience <= microseconds{0}) {
      started.failure.reason += " for " + std::to_string(options_.start_patience.count()) +
                                " s: nothing of the " + (number == 1 ? "job" : "step") + " was run";
      return started;
    }
    const auto text = std::string(waits_for_room) + started.failure.reason;
    if (noted.empty()) note(text);
    if (!suspended_ && (noted.empty() || status_.reason() != noted)) {
      status_.set_reason(noted = text);
      put_limit_off(waited_ + patience);
      write_status();
    }
    patience -= pause_start(pause, began);
    pause = std::min(pause * 2, start_pause_max);
    if (ending_ != ending::none) return started;
  }
}

/// Starts nothing of it before it is resumed.
void job_run::stand_by() {
  while (suspended_ && ending_ == ending::none) {
    reap();
    sleep_until_event(std::clamp(time_left(), milliseconds{1}, idle_tick));
    look_at_controls();
    check_time();
  }
}

/// For who watches the limit from outside.
void job_run::put_limit_off(microseconds by) {
  const seconds limit(job_.spec().max_runtime_seconds());
  if (limit > seconds{0})
    status_.set_ends_by_us(status_.started_at_us() + microseconds(limit + by).count());
}

/// After an attempt to start a step that `began` then; how long it waits since. No signal makes the
/// pause shorter, but one that suspends it: the end of the failed attempt is one.
microseconds job_run::pause_start(milliseconds pause, steady::time_point began) {
  const auto until = steady::now() + pause;
  const auto first = began = std::max(began, resumed_at_);
  auto now = began;
  while (!suspended_) {
    reap();
    now = steady::now();
    // Whoever of it computes meanwhile runs.
    if (!children_) {
      waited_ += std::chrono::duration_cast<microseconds>(now - began);
      began = now;
    }
    look_at_controls();
    check_time();
    if (ending_ != ending::none || now >= until) break;
    const auto left = std::chrono::ceil<milliseconds>(until - now);
    sleep_until_event(std::clamp(time_left(), milliseconds{1}, left));
  }
  return std::chrono::duration_cast<microseconds>(now - first);
}

void job_run::wait_for_leader() {
  for (;;) {
    reap();
    if (leader_status_) {
      // What killed it may be a cancel that came while we could not look.
      if (WIFSIGNALED(*leader_status_)) look_at_controls();
      return;
    }
    look_at_controls();
    check_time();
    kill_when_due();
    milliseconds wait = idle_tick;
    if (ending_ != ending::none) {
      const auto left = std::chrono::ceil<milliseconds>(kill_at_ - steady::now());
      wait = std::clamp(left, drain_tick, idle_tick);
    } else {
      wait = std::clamp(time_left(), milliseconds{1}, idle_tick);
    }
    sleep_until_event(wait);
  }
}

void job_run::drain() {
  // What the job left behind does not outlive it. Only a job that was told to end has time for it.
  draining_ = true;
  for (;;) {
    reap();
    if (!children_ && !cgroup_.populated()) return;
    if (ending_ == ending::none) {
      kill_tree();
    } else {
      kill_when_due();
    }
    sleep_until_event(drain_tick);
  }
}

void job_run::note(const std::string& line) {
  if (!notes_) return;
  // The file is for people: a full disk must not end the job because of it.
  (void)write_all(notes_.get(), to_rfc3339(options_.now()) + " " + line + "\n", "steps");
}

void job_run::sleep_until_event(milliseconds at_most) {
  beat();
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (const int number : {SIGCHLD, SIGUSR1, cancel_signal, SIGTERM, SIGINT, SIGHUP}) {
    ::sigaddset(&wanted, number);
  }
  timespec time{};
  time.tv_sec = at_most.count() / 1000;
  time.tv_nsec = (at_most.count() % 1000) * 1'000'000;
  const int number = ::sigtimedwait(&wanted, nullptr, &time);
  if (number == cancel_signal) cancel_signalled_ = true;
  if (number == SIGTERM || number == SIGINT) {
    begin_end(ending::stopped, "the job's supervisor was told to stop (machine shutdown?)");
  }
}

void job_run::reap() {
  for (;;) {
    int status = 0;
    rusage usage{};
    const pid_t pid = ::wait4(-1, &status, WNOHANG, &usage);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) {
      children_ = false;
      return;
    }
    if (pid == 0) return;
    const auto used = to_us(usage.ru_utime) + to_us(usage.ru_stime);
    if (attempts_.erase(pid) > 0) {
      attempts_cpu_us_ += used;
      continue;
    }
    cpu_us_ += used;
    rss_bytes_max_ = std::max<std::int64_t>(rss_bytes_max_, usage.ru_maxrss * 1024LL);
    if (pid == leader_) leader_status_ = status;
  }
}

/// Also one that came before the job began.
bool job_run::cancel_was_signalled() {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  ::sigaddset(&wanted, cancel_signal);
  const timespec now{};
  if (::sigtimedwait(&wanted, nullptr, &now) == cancel_signal) cancel_signalled_ = true;
  return cancel_signalled_;
}

void job_run::look_at_controls() {
  const submission_token token(job_.token());
  if (ending_ == ending::none) {
    const auto text = read_own_file(spool_.file_of(token, "cancel"), 4096);
    if (text) {
      begin_end(ending::cancel, *text);
    } else if (cancel_was_signalled()) {
      begin_end(ending::cancel, cancel_text);
    } else if (text.error().code == errc::corrupt) {
      begin_end(ending::cancel, cancel_unreadable);
    }
  }
  if (ending_ != ending::none) return;
  const bool wanted = exists(spool_.file_of(token, "suspend"));
  if (wanted && !suspended_) suspend();
  if (!wanted && suspended_) resume();
  if (suspended_) keep_suspended();
}

/// What is suspended keeps its cores from others: it puts the end off by the limit at most.
void job_run::check_time() {
  const std::int64_t limit = job_.spec().max_runtime_seconds();
  if (limit <= 0 || ending_ != ending::none) return;
  const std::string text = std::to_string(limit) + " s";
  if (run_time() >= seconds(limit)) {
    begin_end(ending::time_limit,
              "time limit of " + text + " reached" +
                  (ran_on_ ? ": it ran on though it was suspended" : ""));
  } else if (time_held() >= 2 * seconds(limit)) {
    const auto stood = std::chrono::ceil<seconds>(time_held() - run_time());
    begin_end(ending::time_limit, "ran longer than its limit: it was suspended for " +
                                      std::to_string(stood.count()) +
                                      " s, longer than its limit of " + text + " allows");
  }
}

void job_run::begin_end(ending why, std::string text) {
  if (ending_ != ending::none || draining_) return;
  ending_ = why;
  ending_text_ = std::move(text);
  kill_at_ = steady::now() + options_.kill_wait;
  signal_tree(SIGTERM);
  if (suspended_) resume();
}

void job_run::kill_when_due() {
  if (ending_ != ending::none && steady::now() >= kill_at_) kill_tree();
}

void job_run::suspend() {
  const bool stands = stop_tree().stands;
  suspended_ = true;
  looked_at_ = steady::now();
  look_at_ = looked_at_ + (stands ? idle_tick : restless_tick);
  status_.set_state(pb::JOB_STATE_SUSPENDED);
  status_.set_reason("suspended");
  write_status();
}

/// Signals alone do not keep a job stopped: it may have a timer that continues it.
job_run::found job_run::stop_tree() {
  found seen;
  for (int pass = 0; pass < stop_passes_max; ++pass) {
    const auto all = descendants(::getpid());
    const auto frozen = cgroup_.frozen();
    const bool all_stopped = std::all_of(all.begin(), all.end(), [&](const process_info& one) {
      return is_stopped(one) || waits_for_stopped_child(one, all) ||
             std::find(frozen.begin(), frozen.end(), one.pid) != frozen.end();
    });
    seen.stands = all_stopped;
    if (all_stopped) break;
    seen.stood = false;
    // The kernel stops a group at once, also what is being forked: single processes outrun it.
    std::set<pid_t> groups;
    for (const auto& one : all)
      if (one.group > 1 && one.group != ::getpgrp()) groups.insert(one.group);
    for (const auto group : groups) ::kill(-group, SIGSTOP);
    signal_all(all, SIGSTOP);
    std::this_thread::yield();
  }
  cgroup_.freeze(true);
  return seen;
}

void job_run::keep_suspended() {
  if (steady::now() < look_at_) return;
  const bool stood = stop_tree().stood;
  const auto now = steady::now();
  if (stood) stood_ += std::chrono::duration_cast<microseconds>(now - looked_at_);
  ran_on_ = ran_on_ || !stood;
  looked_at_ = now;
  look_at_ = now + (stood ? idle_tick : restless_tick);
}

void job_run::resume() {
  if (ending_ == ending::none) {
    look_at_ = {};
    keep_suspended();  // how it stood until now
  }
  // In this order: a stop that is still to be delivered is undone, and none is seen to run before.
  signal_tree(SIGCONT);
  cgroup_.freeze(false);
  suspended_ = false;
  resumed_at_ = steady::now();
  status_.set_state(pb::JOB_STATE_RUNNING);
  status_.clear_reason();
  write_status();
}

void job_run::signal_tree(int number) {
  // A descendant cannot vanish from under its pid here: it stays a zombie until we, the
  // subreaper, or a parent that is itself in the tree has waited for it.
  signal_all(descendants(::getpid()), number);
}

void job_run::kill_tree() {
  cgroup_.kill();
  std::vector<pid_t> before;
  for (int pass = 0; pass < kill_passes_max; ++pass) {
    const auto all = descendants(::getpid());
    std::vector<pid_t> now;
    for (const process_info& info : all) now.push_back(info.pid);
    std::sort(now.begin(), now.end());
    // The same ones again: they do not fork, the kernel has them (a file server that is gone).
    if (now.empty() || now == before) return;
    before = std::move(now);
    signal_all(all, SIGKILL);
    reap();
  }
}

/// From its start on without the time in which others left no room for it.
microseconds job_run::time_held() const {
  return std::chrono::duration_cast<microseconds>(steady::now() - started_) - waited_;
}

microseconds job_run::run_time() const {
  const auto until = suspended_ ? looked_at_ : steady::now();
  return std::chrono::duration_cast<microseconds>(until - started_) - stood_ - waited_;
}

/// Until something is to be looked at.
milliseconds job_run::time_left() const {
  microseconds left = suspended_ ? std::chrono::duration_cast<microseconds>(
                                       look_at_ - steady::now())
                                 : microseconds{idle_tick};
  const seconds limit(job_.spec().max_runtime_seconds());
  if (limit > seconds{0}) {
    left = std::min(left, 2 * limit - time_held());
    if (!suspended_) left = std::min(left, limit - run_time());
  }
  return std::chrono::ceil<milliseconds>(left);
}

void job_run::write_status() {
  // Informs only: liveness is the lock and the end is the exit file.
  (void)spool_.write_status(submission_token(job_.token()), status_);
}

/// Keeps the time of the status file within `idle_tick` of now: should this process be killed while
/// nobody watches, that is when the job was seen last.
void job_run::beat() {
  const auto now = steady::now();
  if (now < beat_at_) return;
  beat_at_ = now + idle_tick;
  const auto file = spool_.file_of(submission_token(job_.token()), "status");
  (void)::utimensat(file.directory, file.name.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
}

void job_run::judge_step(const step& what, int number, int count) {
  const int status = *leader_status_;
  std::string text;
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    status_.set_exit_signal(signal);
    const char* name = ::sigabbrev_np(signal);
    text = "ended by signal " + std::to_string(signal) +
           (name != nullptr ? " (SIG" + std::string(name) + ")" : "");
    if (signal == SIGXFSZ && options_.file_bytes_max > 0)
      text += ": it wrote a file of more than " + std::to_string(options_.file_bytes_max) +
              " bytes, which local.file_bytes_max forbids";
  } else {
    status_.set_exit_code(WEXITSTATUS(status));
    text = "exited with code " + std::to_string(WEXITSTATUS(status));
  }
  failed_ = status != 0;
  if (failed_) status_.set_reason((what.name.empty() ? "" : "step " + what.name + ": ") + text);
  note("step " + std::to_string(number) + "/" + std::to_string(count) + " " + what.name + ": " +
       text);
}

/// What it printed is changed by nobody any more. A file of ours with another name beside would be
/// read by nobody, either: it stays its account's.
void job_run::take_outputs_back() const {
  if (!user_.switch_user) return;
  for (const auto* out : {&stdout_, &stderr_}) {
    struct stat info {};
    if (::fstat(out->get(), &info) != 0 || info.st_nlink > 1) continue;
    if (::fchown(out->get(), ::geteuid(), ::getegid()) == 0) ::fchmod(out->get(), 0600);
  }
}

pb::LocalJobStatus job_run::finish() {
  take_outputs_back();
  const auto ended = since_boot();
  status_.set_finished_at_us(ved::to_us(options_.clock.at(ended)));
  status_.set_finished_boot_us(ended.count());
  status_.clear_leader_pid();
  status_.clear_leader_start_ticks();
  switch (ending_) {
    case ending::none:
      status_.set_state(failed_ ? pb::JOB_STATE_FAILED : pb::JOB_STATE_COMPLETED);
      break;
    case ending::cancel: status_.set_state(pb::JOB_STATE_CANCELLED); break;
    case ending::time_limit: status_.set_state(pb::JOB_STATE_TIMEOUT); break;
    case ending::stopped: status_.set_state(pb::JOB_STATE_FAILED); break;
  }
  if (ending_ != ending::none) status_.set_reason(ending_text_);
  // There is room on disk for so much.
  if (status_.reason().size() > reason_bytes_max)
    status_.set_reason(plain_text(status_.reason(), reason_bytes_max));

  status_.clear_ends_by_us();
  const pb::Resources& resources = job_.spec().resources();
  pb::JobUsage& usage = *status_.mutable_usage();
  // What was suspended kept its cores.
  const auto ran = std::max(time_held(), microseconds{0});
  usage.set_wall_clock_seconds(std::chrono::floor<seconds>(ran).count());
  // A process whose parent does not wait for it (SIGCHLD ignored) shows in its cgroup alone.
  auto seen = cgroup_.usage();
  seen.cpu_us -= attempts_cpu_us_;
  if (leader_ == 0) seen = {};  // nothing of it ran
  usage.set_cpu_time_us(std::max(cpu_us_, seen.cpu_us));
  const auto memory = std::max(rss_bytes_max_, seen.memory_bytes_max);
  if (memory > 0) usage.set_memory_bytes_max(memory);
  usage.set_nodes_used(1);
  usage.set_cpu_cores(std::max(1, resources.cpu_cores_per_node()));
  usage.set_gpus(static_cast<int>(options_.gpus.size()));
  if (resources.memory_gb_per_node() > 0)
    usage.set_memory_bytes_allocated(std::int64_t{resources.memory_gb_per_node()} << 30);
  return status_;
}

}  // namespace ved::adapters::local
