#include "adapters/hooks/command.hpp"

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
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <utility>

#include "adapters/local/files.hpp"

namespace ved::adapters::hooks {
namespace {

using local::errno_text;
using local::unique_fd;
using steady = std::chrono::steady_clock;

constexpr std::size_t output_bytes_kept = 400;

delivery_outcome failed(const std::string& what) {
  return {false, clean_detail(what)};
}

/// The body as a file without a name: the program may read it late, twice or not at all, and no
/// pipe can block us or raise SIGPIPE.
unique_fd body_file(const std::string& body) {
  unique_fd file{::memfd_create("ved-hook", MFD_CLOEXEC)};
  std::size_t done = 0;
  while (file && done < body.size()) {
    const auto n = ::write(file.get(), body.data() + done, body.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return unique_fd{};
    done += static_cast<std::size_t>(n);
  }
  if (file) ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::vector<std::string> environment_of(const delivery& what) {
  // The daemon's own environment holds credentials of schedulers: none of it is passed on.
  std::vector<std::string> all{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                               "LANG=C.UTF-8"};
  if (const char* home = ::getenv("HOME"); home != nullptr)
    all.push_back("HOME=" + std::string(home));
  all.push_back("VED_CALLBACK=" + what.callback);
  all.push_back("VED_DELIVERY_ID=" + what.id);
  all.push_back("VED_ATTEMPT=" + std::to_string(what.attempt));
  for (const auto& [name, value] : what.environment) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (auto& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

/// Starts the program; 0 or an errno.
int start(const command_target& target, const delivery& what, int input, int output, pid_t& pid) {
  auto words = target.argv;
  auto environment = environment_of(what);
  auto argv = pointers(words);
  auto envp = pointers(environment);

  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, input, 0);
  ::posix_spawn_file_actions_adddup2(&files, output, 1);
  ::posix_spawn_file_actions_adddup2(&files, output, 2);
  ::posix_spawn_file_actions_addclosefrom_np(&files, 3);
  ::posix_spawn_file_actions_addchdir_np(&files, "/");
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
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

/// The running program and what it writes.
class program {
 public:
  program(pid_t pid, unique_fd output)
      : pid_(pid),
        exited_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
        output_(std::move(output)) {}

  /// Until it ends, `until` passes, or `interrupt` becomes readable; true when it ended.
  bool wait(steady::time_point until, int interrupt) {
    for (;;) {
      drain();
      siginfo_t info{};
      // WNOWAIT keeps the zombie, and with it the process group's id, until we are done with it.
      if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          info.si_pid == pid_)
        return true;
      const auto left = std::chrono::ceil<milliseconds>(until - steady::now()).count();
      if (left <= 0) return false;
      // Without a pidfd (very old kernels, some sandboxes) look again often.
      const auto pause = exited_ ? left : std::min<std::int64_t>(left, 20);
      std::array<pollfd, 3> fds{{{output_.get(), POLLIN, 0},
                                 {exited_ ? exited_.get() : -1, POLLIN, 0},
                                 {interrupt, POLLIN, 0}}};
      ::poll(fds.data(), fds.size(), static_cast<int>(std::min<std::int64_t>(pause, 60'000)));
      if (fds[2].revents != 0) return false;
    }
  }

  void signal_group(int number) const { ::kill(-pid_, number); }

  int reap() {
    drain();
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  const std::string& output() const noexcept { return text_; }

 private:
  void drain() {
    std::array<char, 4096> buffer;
    // A program that floods its output must not keep us here for ever.
    for (int round = 0; output_ && round < 64; ++round) {
      const auto n = ::read(output_.get(), buffer.data(), buffer.size());
      if (n == 0) output_ = unique_fd{};
      if (n <= 0) return;
      const auto room = output_bytes_kept - std::min(text_.size(), output_bytes_kept);
      text_.append(buffer.data(), std::min(room, static_cast<std::size_t>(n)));
    }
  }

  pid_t pid_;
  unique_fd exited_;
  unique_fd output_;
  std::string text_;
};

std::string ending(int status, const std::string& output) {
  std::string out = WIFEXITED(status) ? "exit " + std::to_string(WEXITSTATUS(status))
                                      : "signal " + std::to_string(WTERMSIG(status));
  if (!output.empty()) out += ": " + output;
  return out;
}

}  // namespace

delivery_outcome run_command(const command_target& target, const delivery& what,
                             const std::stop_token& stop) {
  if (target.argv.empty() || !target.argv.front().starts_with('/'))
    return failed("the command needs an absolute path");
  const unique_fd input = body_file(what.body);
  if (!input) return failed("cannot hold the body in memory: " + errno_text(errno));
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return failed("pipe: " + errno_text(errno));
  unique_fd from_program{ends[0]};
  unique_fd to_us{ends[1]};
  ::fcntl(from_program.get(), F_SETFL, O_NONBLOCK);

  const stop_signal interrupt(stop);
  pid_t pid = 0;
  if (const int problem = start(target, what, input.get(), to_us.get(), pid); problem != 0)
    return failed("cannot run " + target.argv.front() + ": " + errno_text(problem));
  to_us.reset();

  program running(pid, std::move(from_program));
  if (running.wait(steady::now() + target.timeout, interrupt.fd())) {
    const int status = running.reap();
    return {WIFEXITED(status) && WEXITSTATUS(status) == 0,
            clean_detail(ending(status, running.output()))};
  }
  running.signal_group(SIGTERM);
  running.wait(steady::now() + target.kill_wait, -1);
  // Also after the leader has gone: what it left in its group had its chance.
  running.signal_group(SIGKILL);
  running.reap();
  return failed(stop.stop_requested()
                    ? std::string("ended because the daemon stops")
                    : "no end within " + std::to_string(target.timeout.count()) + " ms: killed");
}

}  // namespace ved::adapters::hooks
