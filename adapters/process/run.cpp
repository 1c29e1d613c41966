#include "adapters/process/run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <utility>

#include "adapters/system/files.hpp"

namespace ved::adapters::process {
namespace {

using steady = std::chrono::steady_clock;

/// Input as a file without a name: the program may read it late, twice or not at all, and no pipe
/// can block us or raise SIGPIPE.
unique_fd input_file(const std::string& input) {
  unique_fd file{::memfd_create("ved-input", MFD_CLOEXEC)};
  std::size_t done = 0;
  while (file && done < input.size()) {
    const auto n = ::write(file.get(), input.data() + done, input.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return unique_fd{};
    done += static_cast<std::size_t>(n);
  }
  if (file) ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (auto& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

/// Starts the program; 0 or an errno.
int start(const program& what, int input, int out, int err, pid_t& pid) {
  auto words = what.argv;
  auto environment = what.environment;
  auto argv = pointers(words);
  auto envp = pointers(environment);

  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, input, 0);
  ::posix_spawn_file_actions_adddup2(&files, out, 1);
  ::posix_spawn_file_actions_adddup2(&files, err, 2);
  ::posix_spawn_file_actions_addclosefrom_np(&files, 3);
  ::posix_spawn_file_actions_addchdir_np(&files, what.directory.c_str());
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  // A session of its own is a process group, too. Slurm notes of a job in which it was submitted,
  // as over ssh: that tells jobs apart whose number was given out again.
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  const int problem =
      ::posix_spawn(&pid, words.front().c_str(), &files, &attributes, argv.data(), envp.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  return problem;
}

/// Wakes a poll when a stop is asked for.
class stop_signal {
 public:
  explicit stop_signal(const std::stop_token& stop)
      : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), callback_(stop, [this] {
          const std::uint64_t one = 1;
          [[maybe_unused]] const auto n = ::write(fd_.get(), &one, sizeof one);
        }) {}
  int fd() const noexcept { return fd_.get(); }

 private:
  unique_fd fd_;
  std::stop_callback<std::function<void()>> callback_;
};

/// What a program writes, from a pipe, up to a limit.
class output {
 public:
  output() = default;
  output(unique_fd from, std::size_t bytes_max) : from_(std::move(from)), bytes_max_(bytes_max) {}

  void drain() {
    // A program that floods its output must not keep us here for ever.
    constexpr int rounds_max = 64;
    std::array<char, 65'536> buffer;
    for (int round = 0; from_ && round < rounds_max; ++round) {
      const auto n = ::read(from_.get(), buffer.data(), buffer.size());
      if (n == 0) from_ = unique_fd{};
      if (n <= 0) return;
      const auto got = static_cast<std::size_t>(n);
      const auto room = bytes_max_ - text.size();
      beyond_limit = beyond_limit || got > room;
      text.append(buffer.data(), std::min(room, got));
    }
  }
  int fd() const noexcept { return from_.get(); }

  std::string text;
  bool beyond_limit = false;

 private:
  unique_fd from_;
  std::size_t bytes_max_ = 0;
};

/// The running program and what it writes.
class running {
 public:
  running(pid_t pid, output out, output err, const program& what)
      : what_(what),
        out_(std::move(out)),
        err_(std::move(err)),
        pid_(pid),
        exited_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
        cut_(what.cut_output) {}

  /// Until it ends by itself, or there is a reason to end it.
  ending wait(steady::time_point until, int interrupt) {
    for (;;) {
      drain();
      siginfo_t info{};
      // WNOWAIT keeps the zombie, and with it the process group's id, until we are done with it.
      if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          info.si_pid == pid_) {
        drain();
        return too_much() ? ending::too_much_output : ending::finished;
      }
      if (too_much()) return ending::too_much_output;
      if (unwanted_) return ending::stopped;
      auto first = until;
      if (what_.silence_max.count() > 0) first = std::min(first, heard_at_ + what_.silence_max);
      const auto left = std::chrono::ceil<milliseconds>(first - steady::now()).count();
      if (left <= 0) return first < until ? ending::silent : ending::deadline;
      // Without a pidfd (very old kernels, some sandboxes) look again often.
      const auto pause = exited_ ? left : std::min<std::int64_t>(left, 20);
      std::array<pollfd, 4> fds{{{out_.fd(), POLLIN, 0},
                                 {err_.fd(), POLLIN, 0},
                                 {exited_ ? exited_.get() : -1, POLLIN, 0},
                                 {interrupt, POLLIN, 0}}};
      ::poll(fds.data(), fds.size(), static_cast<int>(std::min<std::int64_t>(pause, 60'000)));
      if (fds[3].revents != 0) return ending::stopped;
    }
  }

  /// TERM, and KILL after at most `kill_wait`.
  void end(milliseconds kill_wait) {
    cut_ = true;  // it is ending: how much it writes meanwhile does not matter
    if (kill_wait.count() > 0) {
      ::kill(-pid_, SIGTERM);
      wait(steady::now() + kill_wait, -1);
    }
    // Also after the leader has gone: what it left in its group had its chance.
    ::kill(-pid_, SIGKILL);
  }

  /// After it ended by itself, and before it is reaped: its id still names its group.
  void end_group() { ::kill(-pid_, SIGKILL); }

  int reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    drain();
    return status;
  }

  std::string take_out() { return std::move(out_.text); }
  std::string take_err() { return std::move(err_.text); }

 private:
  void drain() {
    out_.drain();
    err_.drain();
    if (!what_.read || out_.text.empty()) return;
    heard_at_ = steady::now();
    unwanted_ = unwanted_ || !what_.read(out_.text);
    out_.text.clear();
  }
  bool too_much() const { return !cut_ && (out_.beyond_limit || err_.beyond_limit); }

  const program& what_;
  output out_;
  output err_;
  steady::time_point heard_at_ = steady::now();
  bool unwanted_ = false;
  pid_t pid_;
  unique_fd exited_;
  bool cut_;
};

struct pipe_ends {
  unique_fd from_program;
  unique_fd to_us;
};

pipe_ends make_pipe() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

outcome not_started(const std::string& reason) {
  outcome out;
  out.reason = reason;
  return out;
}

}  // namespace

outcome run(const program& what, const std::stop_token& stop) {
  if (what.argv.empty() || !what.argv.front().starts_with('/'))
    return not_started("the command needs an absolute path");
  const unique_fd input = input_file(what.input);
  if (!input) return not_started("cannot hold the input in memory: " + errno_text(errno));
  pipe_ends out = make_pipe();
  pipe_ends err = what.merge_output ? pipe_ends{} : make_pipe();
  if (!out.to_us || (!what.merge_output && !err.to_us))
    return not_started("pipe: " + errno_text(errno));
  if (steady::now() >= what.until) return not_started("its deadline had passed");

  const stop_signal interrupt(stop);
  pid_t pid = 0;
  const int err_fd = what.merge_output ? out.to_us.get() : err.to_us.get();
  if (const int problem = start(what, input.get(), out.to_us.get(), err_fd, pid); problem != 0)
    return not_started("cannot run " + what.argv.front() + ": " + errno_text(problem));
  out.to_us.reset();
  err.to_us.reset();

  running child(pid, output(std::move(out.from_program), what.output_bytes_max),
                output(std::move(err.from_program), what.output_bytes_max), what);
  outcome result;
  result.how = child.wait(what.until, interrupt.fd());
  if (result.how != ending::finished) {
    child.end(what.kill_wait);
    // A process that left the group cannot be reached, but it reads nothing more from us. Not
    // earlier: nobody should take half of the input for the whole.
    [[maybe_unused]] const int emptied = ::ftruncate(input.get(), 0);
  } else if (what.end_group) {
    child.end_group();
  }
  const int status = child.reap();
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  result.out = child.take_out();
  result.err = child.take_err();
  return result;
}

void inherit(std::vector<std::string>& environment, const char* name) {
  if (const char* value = ::getenv(name); value != nullptr)
    environment.push_back(std::string(name) + "=" + value);
}

}  // namespace ved::adapters::process
