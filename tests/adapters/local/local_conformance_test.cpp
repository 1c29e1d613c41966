#include <catch2/catch.hpp>

#include "tests/adapters/local/fixture.hpp"

using namespace ved;
using namespace ved::tests;

TEST_CASE("local scheduler: conforms to the scheduler port", "[adapters][local][conformance]") {
  for (const conformance_case& one : conformance_cases()) {
    DYNAMIC_SECTION(one.name) {
      local_fixture fixture;
      one.run(fixture);
    }
  }
}
