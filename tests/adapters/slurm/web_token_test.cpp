#include "adapters/slurm/web_token.hpp"

#include <catch2/catch.hpp>

using namespace ved;
using adapters::slurm::token_problem;

TEST_CASE("slurm token: one that has expired says so before Slurm hangs up",
          "[adapters][slurm]") {
  // {"exp":1800000000,"sun":"a"}
  const std::string token = "e30.eyJleHAiOjE4MDAwMDAwMDAsInN1biI6ImEifQ.c2ln";
  const auto at = from_us(1'800'000'000'000'000);
  CHECK(token_problem(token, at - seconds{1}).empty());
  CHECK(token_problem(token, at).starts_with("SLURM_JWT expired at 2027-01-15T08:00:00"));
  CHECK(token_problem("", at).empty());
  CHECK(token_problem("e30.e30.c2ln", at).empty());  // it never expires
  for (const auto* text : {"x", "a.b", "a.!.c", "a.YQ.c", "a.b.c.d"})
    CHECK(token_problem(text, at).starts_with("SLURM_JWT is no web token"));
}
