#pragma once

#include <signal.h>

#include <string>

namespace ved::runtime {

/// The signals that the daemon takes one by one instead of dying of them: TERM, INT and HUP, which
/// it obeys, and every other whose default action ends a process without being a fault of it (USR1,
/// USR2, ALRM, real-time signals ...), which it logs. Not among them: QUIT (ends with a core, on
/// purpose), faults, and what a terminal stops with.
sigset_t taken_signals();

/// "SIGUSR1", "SIGRTMIN+3".
std::string signal_name(int number);

}  // namespace ved::runtime
