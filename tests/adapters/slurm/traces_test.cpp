#include "adapters/slurm/traces.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace ved;
using adapters::slurm::parse_end;

TEST_CASE("slurm traces: a record that was cut says only what its whole lines say",
          "[adapters][slurm]") {
  const std::string token = "veaaaaaaaaaaaa";
  const std::string whole =
      "claim " + token + ":41\nat 1799999600\nexit 12\nstep a b\n0m0.01s 0m0.02s\n2m3.5s 0m0.5s\n";
  const auto all = parse_end(whole);
  CHECK(all.claim == token + ":41");
  CHECK(all.exit_code == 12);
  CHECK(all.step == "a b");
  CHECK(all.cpu_time == microseconds{124'000'000});
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto cut = parse_end(whole.substr(0, length));
    CHECK((!cut.exit_code || cut.exit_code == 12));
    CHECK((cut.step.empty() || cut.step == "a b"));
    CHECK((cut.claim.empty() || cut.claim == all.claim));
    CHECK_FALSE(cut.cpu_time);
  }
  CHECK_FALSE(parse_end("exit -1\n").ended);
  CHECK_FALSE(parse_end("exit \n").ended);
  CHECK_FALSE(parse_end("").ended);
}

TEST_CASE("slurm traces: a command that could not be started says whose fault that is",
          "[adapters][slurm]") {
  const auto left = parse_end("claim veaaaaaaaaaaaa:41:0:x\nat 1799999600\n"
                              "fault site: the home directory /h does not exist on n1\n");
  CHECK(left.ended);
  CHECK(left.exit_code == 76);
  CHECK(left.fault == "site: the home directory /h does not exist on n1");
  CHECK(parse_end("at 1799999600\nfault " + std::string(100'000, 'x') + "\n").fault.size() == 400);
}

TEST_CASE("slurm traces: a claim may name the spec", "[adapters][slurm]") {
  using adapters::slurm::parse_claim;
  CHECK(parse_claim("veaaaaaaaaaaaa:41:0:x")->spec_hash.empty());
  const auto claim = parse_claim("veaaaaaaaaaaaa:41:0:x:0123abcd");
  REQUIRE(claim);
  CHECK(claim->id == "41");
  CHECK(claim->spec_hash == "0123abcd");
}
