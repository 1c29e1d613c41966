#include "runtime/clock.hpp"

#include <catch2/catch.hpp>

using namespace ved;
using ved::runtime::smooth_clock;

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
