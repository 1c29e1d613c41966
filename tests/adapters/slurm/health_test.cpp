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

  CHECK(site.commands == std::map<std::string, int>{
                              {"sbatch", 9}, {"squeue", 9}, {"scontrol", 18}, {"sinfo", 9},
                              {"sacct", 9}});
  site.way->refuses = "ssh ved@login: connection refused";
  CHECK(health_of(site) == "ssh ved@login: connection refused|not tried|not tried");
  site.way->denies = true;
  CHECK(health_of(site) == "|ssh ved@login: connection refused|not tried");
  CHECK(site.port->queries() == 54);
}

TEST_CASE("slurm health: the poll's own question is asked, and what no job needs is only named",
          "[adapters][slurm]") {
  scripted_site site;
  for (const auto* name : {"account", "queue", "directory", "trial"}) site.reply(name, "");
  site.fails("nodes", "slurm_load_node: Access/permission denied\n");
  const auto seen = site.port->check_health(scripted_site::until());
  CHECK(seen.queue_access.empty());
  REQUIRE(seen.notes.size() == 1);
  CHECK(seen.notes[0] == "sinfo: slurm_load_node: Access/permission denied");
  CHECK(site.way->programs.back().find("squeue --all --noconvert") != std::string::npos);
  // A site's own squeue that knows other options prints its usage, with exit code 0.
  site.reply("queue", "usage: squeue [-u USER]\n");
  CHECK(health_of(site) == "||squeue: cannot read 'usage: squeue [-u USER]'");
}

TEST_CASE("slurm health: a command that prints nothing and ends well is not well",
          "[adapters][slurm]") {
  scripted_site site;
  for (const auto* name : {"account", "queue", "directory", "trial"}) site.reply(name, "");
  const auto notes = [&] { return site.port->check_health(scripted_site::until()).notes; };
  CHECK(health_of(site) == "||");
  CHECK(notes().empty());
  SECTION("squeue") {
    site.way->table["queue"].mute = true;
    CHECK(health_of(site) == "||squeue: it printed nothing, not even the names of its columns");
  }
  SECTION("scontrol") {
    site.reply("config", "");
    CHECK(health_of(site) ==
          "||Slurm's commands do not tell: scontrol show config gives no configuration");
  }
  SECTION("others are named") {
    const std::string name = GENERATE("nodes", "partitions", "sacct");
    site.reply(name, "");
    site.way->table[name].mute = true;
    REQUIRE(notes().size() == 1);
    CHECK(notes()[0].ends_with(": it printed nothing"));
  }
}

TEST_CASE("slurm health: a login whose shell takes no program is told with its words",
          "[adapters][slurm]") {
  scripted_site site;
  const auto whole = [&] { return site.way->programs.back().size(); };
  site.way->instead = {1, "Welcome to the cluster\nThis account is currently not available.\n"};
  CHECK(health_of(site) ==
        "|the scripted site: the login was accepted, but its shell ran nothing of our program: it "
        "ended with code 1; the login said: This account is currently not available.|not tried");
  site.way->instead = {1, ""};
  CHECK(health_of(site).ends_with("code 1; the login said nothing|not tried"));
  site.way->instead = {0, "", "only backups are allowed\n"};
  CHECK(health_of(site).ends_with("the login said: only backups are allowed|not tried"));
  site.way->instead = {78, "Project?\n", "{nonce} cut 12\n"};
  CHECK(health_of(site) ==
        "the scripted site: our program did not arrive whole, and nothing of it ran: 12 of " +
            std::to_string(whole()) +
            " bytes: does a start-up file of the account read standard input?; the login said: "
            "Project?|not tried|not tried");
  CHECK(site.commands.count("sbatch") == 1);  // only where it may have run
}

TEST_CASE("slurm submit: what surely did not reach a shell was not sent, the rest is looked up",
          "[adapters][slurm]") {
  scripted_site site;
  std::vector<submission> jobs(1);
  jobs[0].job = job_id{"j-0"};
  jobs[0].token = submission_token{"veaaaaaaaaaaaa"};
  jobs[0].spec.mutable_workload_spec()->set_command("/bin/true");
  const auto outcome = [&] { return site.port->submit(jobs, scripted_site::until()).at(0); };
  for (const auto& reply :
       {scripted_reply{1, "not available\n"}, scripted_reply{127, "", "exec: not found\n"},
        scripted_reply{78, "", "{nonce} cut 0\n"}}) {
    site.way->instead = reply;
    CHECK(std::holds_alternative<not_sent>(outcome()));
  }
  // A shell that hides what it prints looks like one that did nothing.
  for (const int code : {0, 124, 137}) {
    site.way->instead = scripted_reply{code, "", ""};
    CHECK(std::holds_alternative<unknown_outcome>(outcome()));
  }
}

TEST_CASE("slurm health: a token that has lapsed, or at which Slurm hangs up, is told as that",
          "[adapters][slurm]") {
  slurm::slurm_options options;
  // {"exp":1800000000,"sun":"a"}
  options.shell.token = secret("e30.eyJleHAiOjE4MDAwMDAwMDAsInN1biI6ImEifQ.c2ln");
  scripted_site site(options);
  site.reply("account", "ved\n");
  site.fails("queue", "slurm_load_jobs error: Zero Bytes were transmitted or received\n");
  CHECK_THAT(health_of(site), Catch::StartsWith("|SLURM_JWT expired at ") &&
                                  Catch::EndsWith("|not tried"));
  site.now -= seconds{1};
  CHECK(health_of(site) == "|SLURM_JWT is not accepted: slurm_load_jobs error: Zero Bytes were "
                           "transmitted or received|not tried");
}
