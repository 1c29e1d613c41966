#include <langinfo.h>
#include <pwd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clocale>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>

#include "tools/vectl/cli.hpp"
#include "tools/vectl/run.hpp"

namespace {

using namespace vectl;

volatile std::sig_atomic_t interrupts = 0;

void on_interrupt(int) {
  if (interrupts != 0) std::_Exit(static_cast<int>(exit_code::interrupted));
  interrupts = 1;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

style find_style(const global_options& global) {
  style look;
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && variable("TERM") != "dumb";
  look.live = terminal;
  look.color = terminal && !global.no_color && variable("NO_COLOR").empty();
  look.unicode = std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0;
  winsize size{};
  if (terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    look.width = size.ws_col;
  return look;
}

std::string user_name() {
  const passwd* entry = ::getpwuid(::getuid());
  return entry == nullptr ? "" : entry->pw_name;
}

int work(int argc, char** argv) {
  const auto now = [] {
    return std::chrono::time_point_cast<ved::microseconds>(std::chrono::system_clock::now());
  };
  const auto parsed = parse_command_line({argv + 1, argv + argc}, now());
  if (const auto* text = std::get_if<answer>(&parsed)) {
    (text->code == exit_code::ok ? std::cout : std::cerr) << text->text;
    return static_cast<int>(text->code);
  }
  const auto& wanted = std::get<invocation>(parsed);

  context with;
  with.global = wanted.global;
  with.out = &std::cout;
  with.err = &std::cerr;
  with.in = &std::cin;
  with.look = find_style(wanted.global);
  with.user = user_name();
  with.now = now;
  with.sleep = [](ved::milliseconds span) { std::this_thread::sleep_for(span); };
  with.interrupted = [] { return interrupts != 0; };

  std::unique_ptr<channel> requests;
  const environment env{variable("VED_CLIENT_DIR"), variable("HOME")};
  const bool repairs = std::holds_alternative<log_rebuild>(wanted.what) ||
                       std::holds_alternative<log_restore>(wanted.what) ||
                       std::holds_alternative<log_backup>(wanted.what);
  if (!wanted.global.state.empty() && !repairs && !log_is_held(wanted.global.state)) {
    auto opened = make_offline_channel(wanted.global.state);
    if (!opened) return static_cast<int>(with.report(opened.error()));
    requests = std::move(*opened);
  } else {
    requests = make_online_channel(wanted.global, env);
  }
  with.requests = requests.get();
  const auto code = run(wanted.what, with);
  std::cout.flush();
  if (!std::cout && code == exit_code::ok) {
    // A reader that has seen enough closed its pipe; anything else is told.
    struct stat about {};
    const bool piped = ::fstat(STDOUT_FILENO, &about) == 0 &&
                       (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode));
    if (!piped) std::cerr << "vectl: not all of the answer could be written to standard output\n";
    return static_cast<int>(exit_code::failed);
  }
  // Nothing here needs an orderly end, and CAF's takes longer than most commands.
  requests.release();
  return static_cast<int>(code);
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");
  std::ios::sync_with_stdio(false);
  std::signal(SIGPIPE, SIG_IGN);
  struct sigaction action {};
  action.sa_handler = &on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  const int code = work(argc, argv);
  std::cout.flush();
  std::cerr.flush();
  std::_Exit(code);
}
