#include <catch2/catch.hpp>

#include "tests/adapters/slurm/scripted_site.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::tests;

namespace {

/// Connection, authentication and queue access in one line; an empty one is well.
std::string health_of(scripted_site& site) {
  const auto seen = site.port->check_health(scripted_site::until());
  return seen.connection + "|" + seen.authentication + "|" + seen.queue_access;
}

}  // namespace

TEST_CASE("slurm health: each failure stands where it is, and what comes after was not tried",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("account", "ved\n");
  site.reply("queue", "");
  site.reply("partitions", "batch\n");
  CHECK(health_of(site) == "||");

  site.reply("partitions", "");
  CHECK(health_of(site) == "||no partition is open to this account");

  site.fails("queue", "squeue: error: Access/permission denied\n");
  CHECK(health_of(site) == "||Access/permission denied");

  site.fails("queue", "slurm_load_jobs error: Protocol authentication error\n");
  CHECK(health_of(site) == "|slurm_load_jobs error: Protocol authentication error|not tried");

  site.fails("queue", "slurm_load_jobs error: Unable to contact slurm controller\n");
  CHECK(health_of(site) ==
        "slurm_load_jobs error: Unable to contact slurm controller|not tried|not tried");

  site.way->table.erase("queue");
  CHECK(health_of(site) == "no answer|not tried|not tried");

  CHECK(site.commands == std::map<std::string, int>{{"sinfo", 6}, {"squeue", 6}});
  site.way->refuses = "ssh ved@login: connection refused";
  CHECK(health_of(site) == "ssh ved@login: connection refused|not tried|not tried");
  CHECK(site.port->queries() == 12);
}
