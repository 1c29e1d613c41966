#include "runtime/last_words.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

namespace ved::runtime {
namespace {

int exit_code_of_shortage = 1;
std::atomic<const char*> stop_step = "its begin";

std::string limit_text(__rlimit_resource_t which, rlim_t unit, const char* unit_name) {
  rlimit limit{};
  if (::getrlimit(which, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return std::to_string(limit.rlim_cur / unit) + unit_name;
}

std::string address_space() {
  return "address space " + limit_text(RLIMIT_AS, 1U << 20, " MiB") +
         " (ulimit -v, LimitAS= of the unit)";
}

[[noreturn]] void speak_and_end() {
  std::string text = "ved: ended without an exception";
  bool shortage = false;
  if (const auto current = std::current_exception()) {
    try {
      std::rethrow_exception(current);
    } catch (const std::exception& what) {
      const auto told = tell_shortage(what);
      shortage = !told.empty();
      text = shortage ? "ved: " + told : std::string("ved: uncaught exception: ") + what.what();
    } catch (...) {
      text = "ved: uncaught exception of an unknown kind";
    }
  }
  text += "\n";
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0 || !shortage) std::abort();
  // Every step is synced: nothing is lost by not unwinding what could not be built.
  ::_exit(exit_code_of_shortage);
}

}  // namespace

void note_stop_step(const char* waits_for) noexcept { stop_step = waits_for; }

void tell_late_stop() noexcept {
  for (const char* part : {"ved: the stop took too long and was cut: it waited for ",
                           stop_step.load(), "; nothing is lost\n"})
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) return;
}

std::string tell_shortage(const std::exception& what) {
  if (dynamic_cast<const std::bad_alloc*>(&what) != nullptr)
    return "out of memory; limits of this process: " + address_space() +
           ", and those of its control group (MemoryMax=)";
  const auto* system = dynamic_cast<const std::system_error*>(&what);
  if (system != nullptr && system->code() == std::errc::resource_unavailable_try_again)
    return "cannot start a thread: " + system->code().message() +
           "; limits of this process: threads of its user " +
           limit_text(RLIMIT_NPROC, 1, "") + " (ulimit -u, LimitNPROC=, TasksMax=), " +
           address_space();
  return {};
}

void install_last_words(int exit_code) {
  exit_code_of_shortage = exit_code;
  std::set_terminate(speak_and_end);
}

}  // namespace ved::runtime
