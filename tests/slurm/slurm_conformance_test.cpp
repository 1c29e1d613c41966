#include <catch2/catch.hpp>
#include <set>

#include "adapters/ssh/transport.hpp"
#include "tests/slurm/fixture.hpp"

using namespace ved;
using namespace ved::tests;

namespace {

/// The same cluster through the bed's sshd.
class ssh_fixture : public slurm_fixture {
 protected:
  std::shared_ptr<adapters::transport> way() const override {
    adapters::ssh_options how;
    how.host = bed_value("SLURM_BED_SSH_HOST");
    how.port = std::stoi(bed_value("SLURM_BED_SSH_PORT"));
    how.user = bed_value("SLURM_BED_SSH_USER");
    how.key_file = bed_value("SLURM_BED_SSH_KEY");
    how.known_hosts_path = bed_value("SLURM_BED_SSH_KNOWN_HOSTS");
    return adapters::make_ssh_transport(how);
  }
};

/// Slurm counts limits in minutes: this one waits while the others run.
const std::string slow_case = "a job over its time limit ends as timeout";

}  // namespace

TEST_CASE("slurm scheduler: ends a job at its time limit", "[slurm][conformance][slow]") {
  for (const conformance_case& one : conformance_cases()) {
    if (one.name != slow_case) continue;
    slurm_fixture fixture;
    fixture.open();
    one.run(fixture);
  }
}

TEST_CASE("slurm scheduler: conforms to the scheduler port", "[slurm][conformance]") {
  for (const conformance_case& one : conformance_cases()) {
    if (one.name == slow_case) continue;
    DYNAMIC_SECTION(one.name) {
      slurm_fixture fixture;
      fixture.open();
      one.run(fixture);
    }
  }
}

// What a transport can spoil: bytes in both directions, many jobs in one exec, output.
TEST_CASE("slurm scheduler: conforms over ssh", "[slurm][conformance][ssh]") {
  static const std::set<std::string> named = {
      "a job is accepted, runs and completes",  "output is read in pieces",
      "many jobs of one call run each on its own", "a running job is cancelled",
      "arguments and values stay data",         "the daemon's environment is not inherited",
      "inventory and health answer"};
  for (const conformance_case& one : conformance_cases()) {
    if (!named.contains(one.name)) continue;
    DYNAMIC_SECTION(one.name) {
      ssh_fixture fixture;
      fixture.open();
      one.run(fixture);
    }
  }
}
