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
  site.reply("directory", "");
  site.way->table["trial"] = {0, "", "sbatch: Job 7 to start at 2026-11-20T10:00:00\n"};
  CHECK(health_of(site) == "||");
  const auto& asked = site.way->programs.back();
  CHECK(asked.find("sbatch --test-only '--parsable'") != std::string::npos);
  CHECK(asked.find("'--time=1'") != std::string::npos);

  site.fails("trial", "allocation failure: Invalid account or account/partition combination "
                      "specified\n");
  CHECK(health_of(site) == "||a job of a minute: allocation failure: Invalid account or "
                           "account/partition combination specified");
  // Such a job would wait: that is no failure of the queue.
  site.fails("trial", "allocation failure: Requested node configuration is not available\n");
  CHECK(health_of(site) == "||");
  site.way->table.erase("trial");
  CHECK(health_of(site) == "||no answer");

  site.fails("directory", "mkdir: cannot create directory '/jobs': Permission denied\n");
  CHECK(health_of(site) ==
        "||job_directory /jobs: mkdir: cannot create directory '/jobs': Permission denied");

  site.fails("queue", "squeue: error: Access/permission denied\n");
  CHECK(health_of(site) == "||Access/permission denied");

  site.fails("queue", "slurm_load_jobs error: Protocol authentication error\n");
  CHECK(health_of(site) == "|slurm_load_jobs error: Protocol authentication error|not tried");

  site.fails("queue", "slurm_load_jobs error: Unable to contact slurm controller\n");
  CHECK(health_of(site) ==
        "slurm_load_jobs error: Unable to contact slurm controller|not tried|not tried");

  site.way->table.erase("queue");
  CHECK(health_of(site) == "no answer|not tried|not tried");

  CHECK(site.commands == std::map<std::string, int>{{"sbatch", 9}, {"squeue", 9}});
  site.way->refuses = "ssh ved@login: connection refused";
  CHECK(health_of(site) == "ssh ved@login: connection refused|not tried|not tried");
  site.way->denies = true;
  CHECK(health_of(site) == "|ssh ved@login: connection refused|not tried");
  CHECK(site.port->queries() == 18);
}
