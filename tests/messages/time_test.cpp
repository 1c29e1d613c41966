#include "messages/time.hpp"

#include <catch2/catch.hpp>

TEST_CASE("time: a moment prints as RFC 3339 in UTC with microseconds", "[messages]") {
  REQUIRE(ved::to_rfc3339(ved::from_us(1705312800000001)) == "2024-01-15T10:00:00.000001Z");
}
