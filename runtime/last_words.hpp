#pragma once

#include <exception>
#include <string>

namespace ved::runtime {

/// Why an exception that nobody caught ends the process, for an operator: what ran out and which
/// limit of the process may be the cause. "" for one that is no want of memory or threads.
std::string tell_shortage(const std::exception& what);

/// From now on a process that runs out of memory or threads says so on standard error and exits
/// with `exit_code`; other uncaught exceptions are named and abort, leaving a core.
void install_last_words(int exit_code);

/// What a stop waits for from now on, a literal: where it takes too long, tell_late_stop says it.
void note_stop_step(const char* waits_for) noexcept;
/// Writes it to standard error; for a handler of signals.
void tell_late_stop() noexcept;

}  // namespace ved::runtime
