#include "adapters/slurm/watched.hpp"
#include "messages/job_state.hpp"
#include "tests/adapters/slurm/poll.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

TEST_CASE("slurm poll: the end of a job comes from accounting, with what it used",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 7).text());
  auto batch = account("FAILED", "7:0");
  batch.id = "41.batch";
  batch.memory = "8192";
  batch.name = "batch";
  site.reply("sacct0", account("FAILED", "7:0").text() + batch.text());
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 7);
  CHECK(end.finished_at == from_us(1'799'999'500'000'000));
  CHECK(contains(end.reason, "exit code 7"));
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 500);
  CHECK(end.usage->cpu_time_us() == 10'500'000);
  CHECK(end.usage->memory_bytes_max() == 8'192);
  CHECK(end.usage->cpu_cores() == 8);
  CHECK(end.usage->gpus() == 2);
  CHECK(end.usage->nodes_used() == 2);
  CHECK(end.usage->memory_bytes_allocated() == std::int64_t{16} << 30);
}

TEST_CASE("slurm poll: accounting is asked for an allocation only where squeue did not show it",
          "[adapters][slurm]") {
  scripted_site site;
  auto shown = ended_row("COMPLETED");
  shown.allocated = "cpu=8,mem=4G,node=2,billing=8,gres/gpu=1";
  auto told = account("COMPLETED");
  const auto asked = [&] { return contains(site.way->programs.back(), "AllocTRES"); };
  SECTION("it ended, and its row is still there") {
    site.reply("squeue", shown.text());
    site.reply("sacct0", told.text());
    const auto end = status(site);
    CHECK_FALSE(asked());
    CHECK(end.usage->gpus() == 1);
    CHECK(end.usage->memory_bytes_allocated() == std::int64_t{4} << 30);
    CHECK(end.usage->cpu_cores() == 8);
  }
  SECTION("its nodes are being cleaned up") {
    shown.state = "COMPLETING";
    site.reply("squeue", shown.text());
    site.reply("sacct0", told.text());
    const auto end = status(site);
    CHECK(end.state == pb::JOB_STATE_COMPLETED);
    CHECK_FALSE(asked());
    CHECK(end.usage->gpus() == 1);
  }
  SECTION("its nodes are clean, but it is not over") {
    shown.state = "COMPLETING";
    shown.nodes = "";
    site.reply("squeue", shown.text());
    site.reply("sacct0", told.text());
    CHECK(status(site).usage->gpus() == 2);
    CHECK(asked());
  }
  SECTION("squeue shows nothing of what it held") {
    shown.allocated = "N/A";
    site.reply("squeue", shown.text());
    site.reply("sacct0", told.text());
    CHECK(status(site).usage->gpus() == 2);
    CHECK(asked());
  }
  SECTION("its row is gone") {
    site.reply("squeue", row("RUNNING").text());
    (void)status(site);
    site.reply("squeue", "");
    told.allocated = "billing=8,cpu=8,gres/gpu=4,mem=32G,node=2";
    site.reply("sacct0", told.text());
    const auto end = status(site);
    CHECK(asked());
    CHECK(end.usage->gpus() == 4);
    CHECK(end.usage->memory_bytes_allocated() == std::int64_t{32} << 30);
  }
  SECTION("it ended without nodes: squeue shows what it asked for") {
    shown.state = "CANCELLED";
    shown.nodes = "";
    site.reply("squeue", shown.text());
    told.state = "CANCELLED by 0";
    told.allocated = "";
    site.reply("sacct0", told.text());
    const auto end = status(site);
    CHECK(asked());
    CHECK(end.usage->gpus() == 0);
    CHECK(end.usage->memory_bytes_allocated() == 0);
  }
  SECTION("one of each in a poll") {
    site.reply("squeue", shown.text());
    auto gone = told;
    gone.id = "42";
    site.reply("sacct0", told.text() + gone.text());
    const std::vector<tracked_job> both{job("41"), job("42")};
    const auto seen = site.port->observe(both, poll_kind::full, scripted_site::until());
    REQUIRE(seen);
    CHECK(asked());
    CHECK(std::get<job_status>(seen->observations[0]).usage->gpus() == 1);
    CHECK(std::get<job_status>(seen->observations[1]).usage->gpus() == 2);
  }
}

TEST_CASE("slurm poll: an ended job is running until accounting has it, but not for ever",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", ended_row("COMPLETED").text());
  std::string why = "accounting has no final record";
  SECTION("accounting has nothing yet") { why = "accounting has no record of it"; }
  SECTION("accounting has its start") { site.reply("sacct0", running_account().text()); }
  SECTION("accounting has an end without its time") {
    auto early = account("FAILED");
    early.ended = "Unknown";
    site.reply("sacct0", early.text());
  }
  SECTION("accounting is down") {
    site.fails("sacct0", no_database);
    why = "accounting does not answer";
  }
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.now += milliseconds{14'999};
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.now += milliseconds{1};
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(contains(end.reason, why));
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 500);
  CHECK(end.usage->cpu_cores() == 8);
}

TEST_CASE("slurm poll: squeue's word of an end outlives its row", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 9).text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", "");
  site.now += seconds{15};
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 9);
}

TEST_CASE("slurm poll: without accounting squeue's word counts at once", "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("squeue", ended_row("FAILED", 9).text());
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 9);
  site.way->asked.clear();
  (void)status(site);
  CHECK_FALSE(site.was_asked("sacct0"));
}

TEST_CASE("slurm poll: without accounting a job that left squeue tells its end itself",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("traces", left(token + ":41", "exit 0\n0m0.01s 0m0.02s\n0m1.50s 0m0.25s\n"));
  // One empty list is none, and nobody showed it waiting.
  CHECK(std::holds_alternative<adapters::no_news>(observe(site)));
  site.now += seconds{5};
  auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(end.finished_at == from_us(1'799'999'600'000'000));
  site.reply("traces", left(token + ":41", "exit 3\nstep build\n"));
  end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 3);
  CHECK(contains(end.reason, "in step build"));
  site.reply("traces", left(token + ":41", "exit 137\n"));
  end = status(site);
  CHECK(end.exit_signal == 9);
  CHECK(end.exit_code == 0);
}

TEST_CASE("slurm poll: without accounting the controller itself must deny a job",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("traces", left(token + ":41"));
  // The first poll learns that there is no accounting.
  CHECK_FALSE(absence(site).confirmed);
  site.fails("job41", no_controller);
  CHECK_FALSE(absence(site).confirmed);
  site.fails("job41", no_such_job);
  CHECK(absence(site).confirmed);
  CHECK(site.commands["scontrol"] == 5);  // three times whose Slurm it is
  // The job's directory cannot be read: there may be an end record.
  site.fails("traces", "cd: /jobs: not there\n", 2);
  CHECK_FALSE(absence(site).confirmed);
}

TEST_CASE("slurm poll: a copy that lost the claim names the one that runs", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 73).text());
  std::string winner = "vebbbbbbbbbbbb";
  SECTION("by its own record, before accounting has anything") {
    site.reply("traces", left("vebbbbbbbbbbbb:40", "lost vebbbbbbbbbbbb:40\n"));
  }
  SECTION("by its exit code and the claim, where the record could not be written") {
    site.reply("sacct0", account("FAILED", "73:0").text());
    site.reply("traces", left("vebbbbbbbbbbbb:40"));
  }
  SECTION("of the same submission") {
    site.reply("traces", left(token + ":40", "lost " + token + ":40\n"));
    winner = token;
  }
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  REQUIRE(end.lost_claim_to);
  CHECK(end.lost_claim_to->str() == winner);
  CHECK(end.usage);
}

TEST_CASE("slurm poll: a job's own record outweighs no word of Slurm's that it lives",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  const std::string state = GENERATE("RUNNING", "PENDING", "REQUEUED", "SUSPENDED");
  auto alive = account(state);
  alive.ended = "Unknown";
  site.reply("sacct0", alive.text());
  site.reply("traces", left(token + ":41", GENERATE("exit 0\n", "exit 143\n")));
  SECTION("squeue shows nothing") { site.reply("squeue", ""); }
  SECTION("its row cannot be read") { site.reply("squeue", columns("41|" + token + "|x\n")); }
  for (int poll = 0; poll < 20; ++poll) {
    const auto seen = observe(site);
    const auto* one = std::get_if<adapters::job_status>(&seen);
    CHECK((one == nullptr || !is_terminal(one->state)));
    const auto* gone = std::get_if<adapters::missing>(&seen);
    CHECK((gone == nullptr || !gone->confirmed));
    site.now += seconds{10};
  }
}

TEST_CASE("slurm poll: of a runaway job its own record tells the end", "[adapters][slurm]") {
  scripted_site site;
  auto alive = account("RUNNING");
  alive.ended = "Unknown";
  site.reply("sacct0", alive.text());
  site.reply("traces", left(token + ":41", "exit 3\n"));
  CHECK_FALSE(absence(site).confirmed);
  site.now += seconds{900};
  CHECK_FALSE(absence(site).confirmed);  // the controller has not been heard
  site.fails("job41", no_such_job);
  (void)observe(site);
  site.now += seconds{5};
  CHECK(status(site).exit_code == 3);
}

TEST_CASE("slurm poll: the record of a run before a requeue is not the end of the next",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("traces", left(token + ":41", "exit 143\n"));
  site.reply("squeue", row("PENDING").text());
  CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  site.reply("squeue", "");
  site.now += seconds{60};
  CHECK_FALSE(absence(site).confirmed);
}

TEST_CASE("slurm poll: a cancelled claim that is not this job's cancels nothing, and use stays",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 73).text());
  site.reply("sacct0", account("FAILED", "73:0").text());
  site.reply("traces", left("cancelled:x", "exit 73\n"));
  CHECK(status(site).state == pb::JOB_STATE_FAILED);
  site.reply("traces", left("cancelled:" + token, ""));
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() > 0);
}

TEST_CASE("slurm poll: a connection that is cut before the directories answer ends no job",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 73).text());
  site.reply("sacct0", account("FAILED", "73:0").text());
  SECTION("accounting has answered") {}
  SECTION("there is no accounting") { site.disable_accounting(); }
  const auto lost = left("vebbbbbbbbbbbb:40", "lost vebbbbbbbbbbbb:40\n");
  site.reply("traces", lost);
  site.way->table["traces"].cut = true;
  const auto cut = status(site);
  CHECK(cut.state == pb::JOB_STATE_RUNNING);
  SECTION("the next poll brings it") {
    site.reply("traces", lost);
    const auto end = status(site);
    REQUIRE(end.lost_claim_to);
    CHECK(end.lost_claim_to->str() == "vebbbbbbbbbbbb");
  }
  SECTION("but not for ever") {
    site.now += milliseconds{599'999};
    CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    site.now += milliseconds{1};
    const auto end = status(site);
    CHECK(end.state == pb::JOB_STATE_FAILED);
    CHECK(contains(end.reason, "its directory could not be read, and exit code 73 may be"));
  }
}

TEST_CASE("slurm poll: a directory that shows nothing yet is waited for as long as accounting",
          "[adapters][slurm]") {
  scripted_site site;
  const int code = GENERATE(73, 74, 76);
  const auto exit = std::to_string(code) + ":0";
  site.reply("squeue", ended_row("FAILED", code).text());
  site.reply("sacct0", account("FAILED", exit.c_str()).text());
  site.reply("traces", left(""));
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.now += milliseconds{14'999};
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.now += milliseconds{1};
  CHECK(status(site).state == pb::JOB_STATE_FAILED);
}

TEST_CASE("slurm poll: a job may end with the code of a lost claim", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 73).text());
  site.reply("sacct0", account("FAILED", "73:0").text());
  site.reply("traces", left(token + ":41", "exit 73\n"));
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 73);
  CHECK_FALSE(end.lost_claim_to);
  CHECK(end.usage);
}

TEST_CASE("slurm poll: a job whose claim the cancel took was cancelled", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 73).text());
  site.reply("traces", left("cancelled:" + token, "lost cancelled:" + token + "\n"));
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  CHECK_FALSE(end.lost_claim_to);
}

TEST_CASE("slurm poll: a job whose own record contradicts accounting says so",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("CANCELLED").text());
  site.reply("sacct0", account("CANCELLED by 0").text());
  SECTION("it had ended by itself") {
    site.reply("traces", left(token + ":41", "exit 7\n"));
    const auto end = status(site);
    CHECK(end.state == pb::JOB_STATE_CANCELLED);
    CHECK(contains(end.reason, "its own record says exit code 7"));
  }
  SECTION("by the same signal") {
    site.reply("sacct0", account("CANCELLED by 0", "0:15").text());
    site.reply("traces", left(token + ":41", "exit 143\n"));
    CHECK_FALSE(contains(status(site).reason, "its own record"));
  }
}

TEST_CASE("slurm poll: a job that failed before it started says so", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 1).text());
  site.reply("sacct0", account("FAILED", "1:0").text());
  const auto says_so = [&] { return contains(status(site).reason, "no sign that it started"); };
  site.reply("traces", left(""));
  CHECK(says_so());
  site.reply("traces", left("") + "began\n");
  CHECK_FALSE(says_so());
  site.reply("traces", left(token + ":41"));
  CHECK_FALSE(says_so());
  site.fails("traces", "cd: no such directory");
  CHECK_FALSE(says_so());
}

TEST_CASE("slurm poll: a state that is not known changes nothing", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("FROBNICATING").text());
  const auto unknown = absence(site);
  CHECK_FALSE(unknown.confirmed);
  CHECK(contains(unknown.reason, "FROBNICATING"));
  site.reply("squeue", row("SUSPENDED").text());
  CHECK(status(site).state == pb::JOB_STATE_SUSPENDED);
  site.reply("squeue", row("FROBNICATING").text());
  CHECK(status(site).state == pb::JOB_STATE_SUSPENDED);
  CHECK_FALSE(site.was_asked("sacct0"));
}

TEST_CASE("slurm poll: a damaged line does not hide the good ones", "[adapters][slurm]") {
  scripted_site site;
  auto other = row("RUNNING");
  other.id = "42";
  other.name = "vebbbbbbbbbbbb";
  const std::vector<tracked_job> both{job(), job("42", "vebbbbbbbbbbbb")};
  const auto poll = [&] {
    const auto seen = site.port->observe(both, poll_kind::full, scripted_site::until());
    REQUIRE(seen);
    REQUIRE(seen->observations.size() == 2);
    return seen->observations;
  };
  const auto cut = other.text().substr(0, 12) + "\n";
  site.reply("squeue", cut + row("RUNNING").text());
  auto seen = poll();
  REQUIRE(std::holds_alternative<job_status>(seen[0]));
  CHECK(std::holds_alternative<no_news>(seen[1]));
  // Accounting may tell its end, but that neither knows it is no absence.
  CHECK(site.was_asked("sacct0"));
  // Where it goes on, somebody has to look.
  site.now += seconds{61};
  seen = poll();
  REQUIRE(std::holds_alternative<job_status>(seen[0]));
  REQUIRE(std::holds_alternative<missing>(seen[1]));
  CHECK_FALSE(std::get<missing>(seen[1]).confirmed);
  CHECK(std::get<missing>(seen[1]).reason.find("cannot be read") != std::string::npos);

  site.reply("squeue", row("RUNNING").text() + other.text());
  seen = poll();
  CHECK(std::get<job_status>(seen[1]).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", row("SUSPENDED").text() + cut);
  seen = poll();
  CHECK(std::get<job_status>(seen[0]).state == pb::JOB_STATE_SUSPENDED);
  CHECK(std::get<job_status>(seen[1]).state == pb::JOB_STATE_RUNNING);

  // It is nobody else's row, and no news of the cluster either.
  site.reply("squeue", cut);
  seen = poll();
  CHECK(std::get<job_status>(seen[1]).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", "squeue: unrecognized option '--all'\n");
  failed_poll(site);
}

TEST_CASE("slurm poll: the job's own record fills in what accounting lacks", "[adapters][slurm]") {
  scripted_site site;
  auto end = account("FAILED", "3:0");
  end.cpu_time = "00:00:00";
  // What ran on other nodes is no child of the script that measures.
  end.node_count = GENERATE(1, 2);
  site.reply("sacct0", end.text());
  site.reply("traces", left(token + ":41",
                            "exit 3\nstep build\n0m0.01s 0m0.02s\n1m1.50s 0m0.25s\n"));
  const auto seen = status(site);
  CHECK(contains(seen.reason, "exit code 3; in step build"));
  REQUIRE(seen.usage);
  CHECK(seen.usage->has_cpu_time_us() == (end.node_count == 1));
  if (end.node_count == 1) CHECK(seen.usage->cpu_time_us() == 61'750'000);
}

TEST_CASE("slurm poll: a job that could make no claim never ran, and that is the site's fault",
          "[adapters][slurm]") {
  scripted_site site;
  auto quick = brief_account("FAILED", "75:0");
  site.reply("sacct0", quick.text());
  const auto never_ran = [&](const std::string& traces) {
    site.reply("traces", traces);
    (void)observe(site);
    site.now += seconds{15};
    const auto seen = observe(site);
    const auto* gone = std::get_if<missing>(&seen);
    if (gone == nullptr) return false;
    CHECK(gone->confirmed);
    CHECK(contains(gone->reason, "the site's fault"));
    CHECK(contains(gone->reason, "/jobs/j-41"));
    return gone->never_ran;
  };
  CHECK(never_ran(left("", "noclaim\n")));
  // A full disk takes no record either, or an empty one.
  CHECK(never_ran(left("") + "began\nat 1799999003\n"));
  CHECK(never_ran(left("") + "began\n"));
  // The job's own.
  CHECK_FALSE(never_ran(left(token + ":41:0:x", "exit 75\n")));
  CHECK_FALSE(never_ran(left("", "exit 75\n")));
  CHECK_FALSE(never_ran(left(token + ":41:0:x")));
  CHECK_FALSE(never_ran("{nonce} j 0\n"));
  // By Slurm's own times it was the job that ran, and it is told with what it used. A prolog may
  // take its time, but computes nothing.
  quick.ended = "1799999070";
  quick.elapsed_seconds = 70;
  site.reply("sacct0", quick.text());
  CHECK(never_ran(left("", "noclaim\n")));
  quick.cpu_time = "00:00";
  quick.ended = "1799999061";
  quick.elapsed_seconds = 61;
  site.reply("sacct0", quick.text());
  CHECK_FALSE(never_ran(left("") + "began\n"));
  CHECK_FALSE(never_ran(left("", "noclaim\n")));
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(contains(end.reason, "its record says that it was not started"));
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 61);
  // Nor does one that computed end in its first moments.
  quick = brief_account("FAILED", "75:0");
  quick.cpu_time = "00:02.010";
  site.reply("sacct0", quick.text());
  CHECK_FALSE(never_ran(left("", "noclaim\n")));
}

TEST_CASE("slurm poll: what a job waited for last is no reason of its end", "[adapters][slurm]") {
  const std::string stale = GENERATE("BeginTime", "Priority", "Resources", "JobHeldUser",
                                     "Dependency", "ReqNodeNotAvail,_UnavailableNodes:n1");
  CHECK(slurm::ending_reason("FAILED", stale, {7, 0}) == "Slurm: FAILED, exit code 7");
  const std::string real = GENERATE("NonZeroExitCode", "DependencyNeverSatisfied", "SystemFailure");
  CHECK(slurm::ending_reason("CANCELLED", real, {}) == "Slurm: CANCELLED (" + real + ")");
}

TEST_CASE("slurm poll: a command that could not be started is the site's or the request's fault",
          "[adapters][slurm]") {
  scripted_site site;
  auto row = ended_row("FAILED", 76);
  row.ended = "1799999003";
  site.reply("squeue", row.text());
  site.reply("sacct0", brief_account("FAILED", "76:0").text());
  const auto with = [&](const std::string& record) {
    site.reply("traces", left(token + ":41:0:x", record));
    return status(site);
  };
  const auto home = with("fault site: the home directory /h does not exist on n1\n");
  CHECK(home.state == pb::JOB_STATE_FAILED);
  CHECK(home.exit_code == 0);
  CHECK(home.reason == "its command was not started: the site's fault: the home directory /h does "
                       "not exist on n1");
  CHECK(contains(with("fault request: the working directory /w cannot be entered on n1\n").reason,
                 "the request's fault: the working directory /w"));
  // The job's own.
  CHECK(with("exit 76\n").exit_code == 76);
  site.reply("squeue", ended_row("FAILED", 76).text());
  site.reply("sacct0", account("FAILED", "76:0").text());
  const auto forged = with("fault site: the disk is broken on n1\n");
  CHECK(forged.exit_code == 76);
  CHECK(contains(forged.reason, "its record says that it was not started (the site's fault: "));
  CHECK(contains(forged.reason, "but Slurm says that it ran"));
}

TEST_CASE("slurm poll: the end of a job at its limit waits for the signal that ended its script",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  auto shown = ended_row("TIMEOUT");
  site.reply("squeue", shown.text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.now += seconds{2};
  SECTION("which comes") {
    shown.status = 15;
    site.reply("squeue", shown.text());
    const auto end = status(site);
    CHECK(end.state == pb::JOB_STATE_TIMEOUT);
    CHECK(end.exit_signal == 15);
  }
  SECTION("or does not") {
    CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    site.now += seconds{10};
    CHECK(status(site).state == pb::JOB_STATE_TIMEOUT);
  }
}
