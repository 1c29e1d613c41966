#include "runtime/log_damage.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "runtime/last_words.hpp"
#include "runtime/signals.hpp"

using namespace ved;
using namespace ved::runtime;

namespace {

class told final : public actors::log_sink {
 public:
  void write(actors::log_severity severity, std::string_view, std::string_view event,
             std::initializer_list<actors::log_field>) override {
    if (severity == actors::log_severity::critical) critical.emplace_back(event);
  }
  std::vector<std::string> critical;
};

}  // namespace

TEST_CASE("log damage: each table is told once an interval and stays a problem with its remedy",
          "[runtime][damage]") {
  const auto logs = std::make_shared<told>();
  const auto problems = std::make_shared<actors::problem_board>(logs, [] { return from_us(1); });
  log_damage damage("/var/lib/ved", "daemon", logs, problems);
  CHECK(damage.first().empty());
  const log_damage::clock::time_point begin{std::chrono::hours{1}};
  damage.found(store::table::index, "block checksum mismatch in 000012.sst", begin);
  damage.found(store::table::index, "again", begin + std::chrono::minutes{9});
  CHECK(logs->critical == std::vector<std::string>{"log_damaged"});
  damage.found(store::table::index, "again", begin + log_damage::tell_interval);
  damage.found(store::table::dedup, "gone", begin);
  CHECK(logs->critical.size() == 3);
  CHECK(damage.reads() == std::map<std::string, std::uint64_t>{{"index", 3}, {"dedup", 1}});
  CHECK_THAT(damage.first(), Catch::Contains("table index is damaged: block checksum mismatch") &&
                                 Catch::Contains("vectl log rebuild --state /var/lib/ved") &&
                                 Catch::Contains("--log daemon"));
  const auto all = problems->all();
  REQUIRE(all.size() == 2);
  for (const auto& one : all) CHECK(one.how_bad == actors::problem::weight::degraded);
}

TEST_CASE("last words: want of memory or threads names the limits, other failures do not",
          "[runtime][last_words]") {
  CHECK_THAT(tell_shortage(std::bad_alloc()),
             Catch::Contains("out of memory") && Catch::Contains("address space"));
  const auto again = std::make_error_code(std::errc::resource_unavailable_try_again);
  CHECK_THAT(tell_shortage(std::system_error(again)),
             Catch::Contains("cannot start a thread") && Catch::Contains("TasksMax="));
  CHECK(tell_shortage(std::runtime_error("x")).empty());
}

TEST_CASE("signals: what would end the daemon without being a fault is taken",
          "[runtime][signals]") {
  const auto set = taken_signals();
  for (const int one : {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXFSZ, SIGIO, SIGTERM,
                        SIGRTMIN, SIGRTMAX})
    CHECK(sigismember(&set, one) == 1);
  for (const int one : {SIGQUIT, SIGSEGV, SIGABRT, SIGTSTP, SIGCHLD})
    CHECK(sigismember(&set, one) == 0);
  CHECK(signal_name(SIGUSR1) == "SIGUSR1");
  CHECK(signal_name(SIGRTMIN + 3) == "SIGRTMIN+3");
}
