// ved-job-supervisor: runs one job of the local scheduler. Started by `ved`, not by hand.
//
// The first process only waits until the second one, which has left the caller's session, shows
// in the spool; so nothing that happens to the caller or its process group reaches the job.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "adapters/local/supervisor.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
/// The leak check at exit stops the process from a child that nobody here expects, and was seen to
/// wait for ever; all else of AddressSanitizer stays.
extern "C" int __lsan_is_turned_off() { return 1; }
#endif
#endif

namespace {

[[noreturn]] void supervise(const ved::adapters::local::supervisor_options& options,
                            int ready_fd) {
  ved::adapters::local::supervisor_hold hold(options.directory);
  const auto done = ved::adapters::local::run_supervisor(options, hold, ready_fd);
  if (!done)
    std::fprintf(stderr, "ved-job-supervisor: job %s: %s\n", options.token.str().c_str(),
                 done.error().message.c_str());
  ::_exit(done ? 0 : 1);  // nothing lets go of `hold` before
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = ved::adapters::local::parse_supervisor_options({argv + 1, argv + argc});
  if (!options) {
    std::fprintf(stderr, "ved-job-supervisor: %s\n", options.error().message.c_str());
    return 2;
  }
  // Nothing of the caller's descriptors may live on in the job.
  ::close_range(3, ~0u, 0);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);

  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) {
    std::perror("ved-job-supervisor: pipe");
    return 1;
  }
  const pid_t child = ::fork();
  if (child < 0) {
    std::perror("ved-job-supervisor: fork");
    return 1;
  }
  if (child == 0) {
    ::close(ready[0]);
    ::setsid();
    supervise(*options, ready[1]);
  }
  ::close(ready[1]);
  char nothing = 0;
  while (::read(ready[0], &nothing, 1) < 0 && errno == EINTR) {
  }
  return 0;
}
