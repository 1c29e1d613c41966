#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>
#include <utility>
#include <vector>

#include "adapters/local/cluster_state.hpp"
#include "adapters/local/job_cgroup.hpp"
#include "adapters/local/supervisor.hpp"
#include "adapters/local/supervisor_process.hpp"
#include "adapters/system/processes.hpp"

namespace ved::adapters::local {

namespace {

using steady = std::chrono::steady_clock;

constexpr int events_max = 64;
/// Supervisors started side by side before their announcements are waited for.
constexpr std::size_t starts_at_once_max = 16;
/// Pauses after a supervisor that came to nothing double from the first to the last.
constexpr milliseconds start_pause_first{1000};
constexpr milliseconds start_pause_max{60'000};
/// A supervisor that does not show in the spool so long after it was started is broken.
constexpr seconds start_wait_max{15};
constexpr milliseconds start_look_pause{2};
/// Between two looks at a directory that takes nothing.
constexpr seconds room_pause{1};
constexpr seconds cleaning_interval_max{60};
constexpr std::size_t removals_at_once_max = 500;
/// So long one job's directory keeps those of others from being removed: jobs may leave millions of
/// files, and whoever has their account may go on making them.
constexpr seconds removal_takes_max{10};

/// "exited with code 127", or an empty text when it ended well. Kills what does not end.
std::string wait_for_start(pid_t pid, steady::time_point until) {
  int status = 0;
  for (;;) {
    const pid_t got = ::waitpid(pid, &status, WNOHANG);
    if (got == pid || (got < 0 && errno != EINTR)) break;
    if (steady::now() >= until) {
      ::kill(pid, SIGKILL);
      while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
      }
      return "did not begin within " + std::to_string(start_wait_max.count()) + " s";
    }
    std::this_thread::sleep_for(start_look_pause);
  }
  if (status == 0) return {};
  return WIFSIGNALED(status) ? "was ended by signal " + std::to_string(WTERMSIG(status))
                             : "exited with code " + std::to_string(WEXITSTATUS(status));
}

/// Starts a supervisor; its first process ends as soon as the lasting one shows in the spool.
result<pid_t> spawn(const std::string& path, const supervisor_options& options,
                    const std::string& log) {
  std::vector<std::string> words{path};
  for (std::string& word : to_arguments(options)) words.push_back(std::move(word));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::string search = "PATH=/usr/local/bin:/usr/bin:/bin";
  char* environment[] = {search.data(), nullptr};

  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  clear_way(log);
  ::posix_spawn_file_actions_addopen(&files, 1, log.c_str(),
                                     O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW, 0600);
  ::posix_spawn_file_actions_adddup2(&files, 1, 2);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t all;
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &all);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int problem =
      ::posix_spawn(&pid, path.c_str(), &files, &attributes, arguments.data(), environment);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (problem != 0) {
    return fail(errc::unavailable, "start " + path + ": " + errno_text(problem));
  }
  return pid;
}

std::string first_line(const std::string& path) {
  const auto text = read_own_file(path, 65536);
  return text ? text->substr(0, std::min<std::size_t>(text->find('\n'), 300)) : std::string();
}

/// For people: a failed write is nobody's concern.
void append_line(const std::string& path, const std::string& line) {
  const unique_fd file(::open(
      path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (file) (void)write_all(file.get(), line + "\n", path);
}

}  // namespace

void local_cluster::wake() const {
  const std::uint64_t one = 1;
  // Only fails when the counter is full, and then the thread wakes anyway.
  [[maybe_unused]] const ssize_t n = ::write(wake_.get(), &one, sizeof one);
}

/// Waits for the ends of supervisors, and notes when each was noticed, before anything is done
/// about one of them.
void local_cluster::notice_ends(milliseconds at_most) {
  epoll_event events[events_max];
  clock_anchor before;
  for (int count = events_max; count == events_max; at_most = milliseconds{0}) {
    before = now();
    count = ::epoll_wait(epoll_.get(), events, events_max, static_cast<int>(at_most.count()));
    for (int i = 0; i < count; ++i) {
      // A copy: the kernel's struct is packed, and a reference into it would be misaligned.
      const std::uint64_t id = events[i].data.u64;
      if (id == 0) {
        std::uint64_t counter = 0;
        [[maybe_unused]] const ssize_t n = ::read(wake_.get(), &counter, sizeof counter);
        continue;
      }
      const guard lock(mutex_);
      const auto at = by_id_.find(id);
      if (at == by_id_.end() || at->second->where != place::active) continue;
      note_end(*at->second);
      noticed_.push_back(at->second->token);
    }
  }
  looked_at_ = before;
}

/// Of jobs whose supervisor's end was noticed; for one turn.
void local_cluster::conclude_noticed() {
  const auto until = steady::now() + turn_max;
  while (!noticed_.empty() && !stopping_ && steady::now() < until) {
    conclude(noticed_.front());
    noticed_.pop_front();
  }
}

void local_cluster::run() {
  looked_at_ = now();
  auto check_at = steady::now();
  for (;;) {
    if (stopping_) return;
    if (steady::now() >= check_at) {
      look_at_site();
      check_active();
      check_at = steady::now() + options_.check_interval;
    }
    const bool more = dispatch();
    auto next = check_at;
    if (!burials_.empty()) next = std::min(next, bury_at_);
    const auto wait = std::chrono::ceil<milliseconds>(next - steady::now());
    const bool busy = more || !noticed_.empty();
    notice_ends(busy ? milliseconds{0} : std::max(wait, milliseconds{0}));
    conclude_noticed();
    go_on_burying();
  }
}

bool local_cluster::dispatch() {
  struct start {
    supervisor_options options;
    pid_t pid = 0;
  };
  std::vector<start> starts;
  bool more = false;
  {
    const guard lock(mutex_);
    if (steady::now() < start_again_at_) return false;
    // Jobs wait for room as they wait for cores: what fails here would fail for each of them.
    if (!queue_.empty() && site_problem_.empty()) site_problem_ = problem_of_directory();
    if (!queue_.empty() && !site_problem_.empty()) {
      start_again_at_ = steady::now() + room_pause;
      return false;
    }
    for (auto next_in_line = queue_.begin(); next_in_line != queue_.end();) {
      entry& job = *by_id_.at(next_in_line->id);
      if (steady::now() < job.start_after) {
        ++next_in_line;
        continue;
      }
      if (!fits_now(job)) break;
      if (starts.size() == starts_at_once_max) {
        more = true;
        break;
      }
      // After a failure one job tries whether it is mended.
      if (start_pause_.count() > 0 && !starts.empty()) break;
      next_in_line = queue_.erase(next_in_line);
      --queued_;
      take_slots(job, nullptr);
      start next;
      next.options.directory = spool_.directory();
      next.options.token = job.token;
      next.options.gpus = job.gpu_ids;
      next.options.run_as = options_.run_as;
      next.options.cgroup = options_.cgroup;
      next.options.kill_wait = options_.kill_wait;
      next.options.start_patience = options_.start_patience;
      next.options.open_files = options_.open_files;
      next.options.file_bytes_max = options_.file_bytes_max;
      next.options.clock = now();
      starts.push_back(std::move(next));
    }
  }
  std::vector<std::pair<submission_token, std::string>> failures;
  for (start& next : starts) {
    const std::string log = spool_.job_file(next.options.token, "supervisor.log");
    const auto pid = spawn(options_.supervisor_path, next.options, log);
    if (pid) next.pid = *pid;
    else failures.emplace_back(next.options.token, pid.error().message);
  }
  // They were started side by side, and nothing else is looked after meanwhile.
  const auto until = steady::now() + start_wait_max;
  for (const start& next : starts) {
    if (next.pid == 0) continue;
    const auto end = wait_for_start(next.pid, until);
    if (!end.empty()) append_line(spool_.job_file(next.options.token, "supervisor.log"), end);
    announce(next.options.token);
  }
  for (const auto& [token, problem] : failures) start_failed(token, problem);
  const guard lock(mutex_);
  return more && start_pause_.count() == 0;
}

/// Nothing of the job ran. It waits and is tried again; others are tried meanwhile. When two in a
/// row fail, something of ours is broken: then no job could start.
void local_cluster::start_failed(const submission_token& token, const std::string& problem) {
  const guard lock(mutex_);
  entry* job = find_entry(token);
  if (job == nullptr || job->where != place::active) return;
  if (site_problem_.empty()) site_problem_ = problem_of_directory();
  const bool gone = site_problem_.empty() && spool_.has_no_directory(token);
  if (gone) {
    pb::LocalJobStatus status;
    status.set_state(pb::JOB_STATE_FAILED);
    status.set_reason("did not run: its directory in the work directory was removed before it "
                      "started");
    status.set_finished_at_us(to_us(options_.clock()));
    end(*job, status);
    return;
  }
  release_slots(*job);
  enqueue(*job);
  // On a full disk a supervisor cannot begin: `dispatch` waits for room.
  if (!site_problem_.empty()) return;
  const auto longer = [](milliseconds pause) {
    return std::clamp(pause * 2, start_pause_first, start_pause_max);
  };
  job->start_problem = problem;
  job->start_pause = longer(job->start_pause);
  job->start_after = steady::now() + job->start_pause;
  const bool alone = start_failed_.empty() || start_failed_ == token;
  start_failed_ = token;
  start_problem_ = alone && queue_.size() > 1
                       ? "job " + job->job.str() + " is not started: " + problem +
                             "; it is tried again, others go on"
                       : "no job is started: " + problem + "; jobs wait and it is tried again";
  // Several that were started side by side fail once.
  if (alone || steady::now() < start_again_at_) return;
  start_pause_ = longer(start_pause_);
  start_again_at_ = steady::now() + start_pause_;
}

/// What is ours works: those that waited for it are tried at once.
void local_cluster::start_succeeded(entry& job) {
  job.start_problem.clear();
  job.start_pause = milliseconds{0};
  start_failed_ = {};
  start_problem_.clear();
  if (start_pause_.count() == 0) return;
  start_pause_ = milliseconds{0};
  for (const auto& waits : queue_) by_id_.at(waits.id)->start_after = {};
}

/// A supervisor ended before it claimed its job: nothing of the job ran, so the fault is not its.
void local_cluster::not_started(const submission_token& token) {
  const auto said = first_line(spool_.job_file(token, "supervisor.log"));
  start_failed(token, "the job supervisor " + options_.supervisor_path + " " +
                          (said.empty() ? "ended without a word" : "does not start: " + said));
}

/// Watches the supervisor of an active job, if there is one, or finds out what became of it.
void local_cluster::announce(const submission_token& token) {
  const auto known = spool_.read_supervisor(token);
  if (!known || known->token() != token.str() ||
      locate(*known, spool_, boot_id_) != whereabouts::here) {
    conclude(token);
    return;
  }
  unique_fd process(static_cast<int>(::syscall(SYS_pidfd_open, known->pid(), 0)));
  // Only now does the pid stand still: if it is still the same process, the descriptor is right.
  const auto info = read_process(known->pid());
  if (!process || !info || info->start_ticks != known->start_ticks()) {
    conclude(token);
    return;
  }
  const guard lock(mutex_);
  entry* job = find_entry(token);
  if (job == nullptr || job->where != place::active || job->announced) return;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = job->id;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, process.get(), &event) != 0) return;
  job->supervisor = std::move(process);
  job->began = now().at(since_boot(info->start_ticks));
  job->announced = true;
  start_succeeded(*job);
  nudge(*job);  // a control that came before we knew whom to tell
}

void local_cluster::check_active() {
  std::vector<std::pair<submission_token, bool>> active;
  {
    const guard lock(mutex_);
    for (const std::uint64_t id : active_) {
      const entry& job = *by_id_.at(id);
      active.emplace_back(job.token, job.announced);
    }
  }
  for (const auto& [token, announced] : active) {
    if (stopping_) return;
    if (announced) {
      press(token);
      conclude(token);
    } else {
      announce(token);
    }
  }
}

/// Sees to it that a job whose cancel was asked ends, even if it stops its supervisor or removes
/// the file that asks.
void local_cluster::press(const submission_token& token) {
  bool overdue = false;
  {
    const guard lock(mutex_);
    const entry* job = find_entry(token);
    if (job == nullptr || job->where != place::active) return;
    if (job->supervisor)  // a job of the same user may have stopped it, and its time limit with it
      ::syscall(SYS_pidfd_send_signal, job->supervisor.get(), SIGCONT, nullptr, 0);
    if (!job->cancel_due) return;
    overdue = steady::now() >= *job->cancel_due;
    if (!exists(spool_.job_file(token, "cancel")))
      (void)replace_file(spool_.job_file(token, "cancel"), cancel_text);
    nudge(*job);
    if (!overdue || !job->supervisor) return;
  }
  const auto known = spool_.read_supervisor(token);
  // The supervisor still has its job's exit to write while it waits for processes to end.
  if (known && known->token() == token.str() &&
      locate(*known, spool_, boot_id_) == whereabouts::here) {
    job_cgroup(known->cgroup(), token).kill();
    if (const auto rest = descendants(known->pid()); !rest.empty()) {
      signal_all(rest, SIGKILL);
      return;
    }
  }
  const guard lock(mutex_);
  const entry* job = find_entry(token);
  // It may have nothing left to do but to write the end, for which there is no room.
  if (job != nullptr && job->supervisor && site_problem_.empty())
    ::syscall(SYS_pidfd_send_signal, job->supervisor.get(), SIGKILL, nullptr, 0);
}

/// In a thread of its own: what a job leaves may take long to remove, and a file system of its own
/// for ever.
void local_cluster::clean() {
  const auto interval = std::min<milliseconds>(cleaning_interval_max,
                                               options_.retention_min + options_.check_interval);
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (stopped_.wait_for(lock, interval, [this] { return stopping_.load(); })) return;
    }
    remove_old();
  }
}

void local_cluster::remove_old() {
  std::vector<std::pair<submission_token, job_id>> old;
  const std::int64_t oldest_kept = to_us(options_.clock() - options_.retention);
  {
    const guard lock(mutex_);
    const auto noticed_before = steady::now() - options_.retention_min;
    std::size_t rest = ended_.size();
    for (auto at = ended_.begin(); at != ended_.end() && old.size() < removals_at_once_max;) {
      entry* job = at->second;
      if (rest <= options_.ended_max && at->first.first >= oldest_kept) break;
      --rest;
      if (job->noticed_at > noticed_before || damaged_.contains(job->token.str())) {
        ++at;
        continue;
      }
      old.emplace_back(job->token, job->job);
      busy_.insert(job->token.str());
      by_id_.erase(job->id);
      at = ended_.erase(at);
      jobs_.erase(old.back().first.str());
    }
  }
  // What took too long comes after the others.
  std::vector<std::pair<submission_token, job_id>> rest;
  const auto patient_until = steady::now() + cleaning_interval_max;
  const auto remove = [&](const submission_token& token, const job_id& job) {
    if (stopping_) return;
    const auto now = steady::now();
    const auto until = now + (now < patient_until ? removal_takes_max : seconds{1});
    if (!spool_.remove_job(token, job, [&] { return !stopping_ && steady::now() < until; }))
      rest.emplace_back(token, job);
  };
  for (const auto& [token, job] : old) {
    remove(token, job);
    const guard lock(mutex_);
    busy_.erase(token.str());
    written_.notify_all();
  }
  for (const auto& [token, job] : std::exchange(half_removed_, {})) remove(token, job);
  half_removed_ = std::move(rest);
}

}  // namespace ved::adapters::local
