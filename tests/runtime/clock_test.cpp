#include "runtime/clock.hpp"

#include <catch2/catch.hpp>

using namespace ved;
using namespace ved::runtime;

namespace {
const time_point start = from_us(1'768'471'200'000'000);
}

TEST_CASE("clock: a jump of the wall clock is made up for slowly", "[runtime][clock]") {
  smooth_clock clock({start, seconds{100}});
  CHECK(clock.at({start + seconds{10}, seconds{110}}) == start + seconds{10});
  SECTION("forwards") {
    CHECK(clock.at({start + seconds{3620}, seconds{120}}) == start + seconds{21});
  }
  SECTION("backwards, without ever running backwards") {
    CHECK(clock.at({start - seconds{3580}, seconds{120}}) == start + seconds{19});
  }
}

TEST_CASE("clock: readings that arrive out of order count no time twice", "[runtime][clock]") {
  smooth_clock clock({start, seconds{100}});
  CHECK(clock.at({start + seconds{10}, seconds{110}}) == start + seconds{10});
  // Read before the one above, and handed in after it.
  CHECK(clock.at({start + seconds{1}, seconds{101}}) == start + seconds{10});
  CHECK(clock.at({start + seconds{11}, seconds{111}}) == start + seconds{11});
}

TEST_CASE("clock: a step of the system's clock is told with its size until both agree again",
          "[runtime][clock]") {
  smooth_clock clock({start, seconds{100}});
  clock.at({start + seconds{1}, seconds{101}});
  CHECK(tell_offset(clock.offset()).empty());
  SECTION("back by a year") {
    clock.at({start - std::chrono::days{365}, seconds{102}});
    CHECK_THAT(tell_offset(clock.offset()),
               Catch::Contains("365 d behind the time that ved keeps") &&
                   Catch::Contains("restart"));
  }
  SECTION("on by a day") {
    clock.at({start + std::chrono::days{1}, seconds{102}});
    CHECK_THAT(tell_offset(clock.offset()),
               Catch::Contains("23 h 59 min ahead of the time that ved keeps"));
  }
  SECTION("by less than anybody needs to know, and then for ten times as long as it takes") {
    clock.at({start + seconds{3}, seconds{102}});
    CHECK(tell_offset(clock.offset()).empty());
    clock.at({start + seconds{23}, seconds{122}});
    CHECK(clock.offset() == microseconds{0});
  }
}

TEST_CASE("clock: a log from the future is told, one from the past is none", "[runtime][clock]") {
  CHECK(tell_future_log(start, start).empty());
  CHECK(tell_future_log(start - std::chrono::days{900}, start).empty());
  CHECK(tell_future_log(start + milliseconds{1'999}, start).empty());
  CHECK_THAT(tell_future_log(start + std::chrono::days{1}, start),
             Catch::Contains("1 d ahead of the system's clock") &&
                 Catch::Contains("timedatectl"));
}
