#include "runtime/signals.hpp"

#include <cstring>

namespace ved::runtime {

sigset_t taken_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int one : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
                        SIGIO, SIGPWR, SIGSTKFLT, SIGXFSZ})
    sigaddset(&set, one);
  for (int one = SIGRTMIN; one <= SIGRTMAX; ++one) sigaddset(&set, one);
  return set;
}

std::string signal_name(int number) {
  if (number >= SIGRTMIN && number <= SIGRTMAX)
    return "SIGRTMIN+" + std::to_string(number - SIGRTMIN);
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? std::to_string(number) : "SIG" + std::string(name);
}

}  // namespace ved::runtime
