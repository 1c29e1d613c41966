#include <catch2/catch.hpp>

#include "tests/slurm/fixture.hpp"

using namespace ved;
using namespace ved::tests;

TEST_CASE("slurm scheduler: conforms to the scheduler port", "[slurm][conformance]") {
  for (const conformance_case& one : conformance_cases()) {
    DYNAMIC_SECTION(one.name) {
      slurm_fixture fixture;
      one.run(fixture);
    }
  }
}
