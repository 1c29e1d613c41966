#include "adapters/system/processes.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sys/syscall.h>

#include <cstdlib>
#include <string>
#include <thread>

#include <rapidcheck.h>
#include <catch2/catch.hpp>

using namespace ved::adapters;

TEST_CASE("process stat: the command name may hold anything", "[adapters]") {
  // proc(5): comm stands in parentheses and is not escaped; field 22 is the start time.
  const auto info = parse_process_stat(
      "4711 (a) R 1 (b) S 17 4711 4710 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200\n");
  REQUIRE(info);
  CHECK(info->pid == 4711);
  CHECK(info->state == 'S');
  CHECK(info->parent == 17);
  CHECK(info->session == 4710);
  CHECK(info->start_ticks == 987654);
}

TEST_CASE("process stat: cut or wrong text is refused", "[adapters]") {
  for (const char* text :
       {"", "1", "1 (x", "1 (x) S 1 2", "x (y) S 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 5",
        "1 (x) SS 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 5"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_process_stat(text));
  }
  CHECK(
      rc::check("never crashes", [](const std::string& text) { (void)parse_process_stat(text); }));
}

TEST_CASE("processes: the own one is read", "[adapters]") {
  const auto self = read_process(::getpid());
  REQUIRE(self);
  CHECK(self->pid == ::getpid());
  CHECK(self->parent == ::getppid());
  CHECK(self->start_ticks > 0);
  CHECK_FALSE(boot_id().empty());
  CHECK_FALSE(read_process(0));
}

TEST_CASE("processes: one that just starts a program is found by its environment too",
          "[adapters]") {
  // A process has no environment to read for a moment within execve(2): this one is always there.
  const std::string mark = "VED_TEST_MARK=restless-" + std::to_string(::getpid());
  const pid_t restless = ::fork();
  if (restless == 0) {
    std::string variable = mark;
    ::putenv(variable.data());
    ::execl("/bin/sh", "sh", "-c", "exec sh -c \"$0\" \"$0\"", "exec sh -c \"$0\" \"$0\"", nullptr);
    ::_exit(127);
  }
  REQUIRE(restless > 0);
  while (processes_with(mark).empty()) {
  }
  int missed = 0;
  for (int look = 0; look < 500; ++look) missed += processes_with(mark).size() == 1 ? 0 : 1;
  ::kill(restless, SIGKILL);
  ::waitpid(restless, nullptr, 0);
  // Without waiting it is a hundred; who asks looks more than once, for a machine with no time.
  CHECK(missed < 5);
  CHECK(processes_with(mark).empty());
}

TEST_CASE("processes: one whose first thread has ended lives as long as others do", "[adapters]") {
  const pid_t headless = ::fork();
  if (headless == 0) {
    std::thread([] {
      for (;;) ::pause();
    }).detach();
    ::syscall(SYS_exit, 0);  // of this thread alone
  }
  REQUIRE(headless > 0);
  const auto is_shown = [&](auto wanted) {
    for (int look = 0; look < 5000; ++look) {
      if (const auto seen = read_process(headless); seen && wanted(*seen)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return false;
  };
  CHECK(is_shown([&](const auto& seen) { return seen.state == 'S' && seen.thread != headless; }));
  CHECK(::kill(headless, SIGKILL) == 0);
  CHECK(is_shown([](const auto& seen) { return seen.state == 'Z'; }));
  ::waitpid(headless, nullptr, 0);
  CHECK_FALSE(read_process(headless));
}
