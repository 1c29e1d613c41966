#include <catch2/catch.hpp>

#include "tests/adapters/slurm/scripted_site.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;

namespace {

const std::string token = "veaaaaaaaaaaaa";

tracked_job job(const std::string& id = "41", const std::string& name = token) {
  return {scheduler_job_id{id}, submission_token{name}, job_id{"j-" + id}};
}

observation observe(scripted_site& site, const tracked_job& what = job()) {
  const auto seen = site.port->observe({&what, 1}, scripted_site::until());
  REQUIRE(seen);
  REQUIRE(seen->observations.size() == 1);
  return seen->observations[0];
}

job_status status(scripted_site& site, const tracked_job& what = job()) {
  const auto seen = observe(site, what);
  REQUIRE(std::holds_alternative<job_status>(seen));
  return std::get<job_status>(seen);
}

missing absence(scripted_site& site, const tracked_job& what = job()) {
  const auto seen = observe(site, what);
  REQUIRE(std::holds_alternative<missing>(seen));
  return std::get<missing>(seen);
}

/// Nothing is known of any job.
std::string failed_poll(scripted_site& site) {
  const auto what = job();
  const auto seen = site.port->observe({&what, 1}, scripted_site::until());
  REQUIRE_FALSE(seen);
  CHECK(seen.error().code == errc::unavailable);
  return seen.error().message;
}

/// What a job left in its directory.
std::string left(const std::string& claim, const std::string& record = "") {
  return "{nonce} j 41\nclaim " + claim + "\n" + (record.empty() ? "" : "at 1799999600\n" + record);
}

queue_line row(const std::string& state, const std::string& reason = "None") {
  queue_line line;
  line.state = state;
  line.reason = reason;
  return line;
}

/// A row of a job that ended at 1799999500.
queue_line ended_row(const std::string& state, int exit_code = 0) {
  queue_line line = row(state);
  line.status = exit_code << 8;
  line.ended = "1799999500";
  return line;
}

account_line account(const std::string& state, const std::string& exit = "0:0") {
  account_line line;
  line.state = state;
  line.exit = exit;
  return line;
}

account_line running_account() {
  auto line = account("RUNNING");
  line.ended = "Unknown";
  return line;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("slurm poll: a failed squeue says nothing about any job", "[adapters][slurm]") {
  scripted_site site;
  site.fails("squeue", no_controller);
  CHECK(contains(failed_poll(site), "Unable to contact slurm controller"));
  // The text counts, whatever the exit code.
  site.fails("squeue", no_controller, 0);
  failed_poll(site);
  site.fails("squeue", "", 137);
  failed_poll(site);
  // Rows that came before it failed may be of another time than those that did not.
  site.way->table["squeue"] = {1, row("RUNNING").text(), no_controller};
  failed_poll(site);
  site.way->table["squeue"] = {0, "", "", false, true};
  CHECK(contains(failed_poll(site), "the connection was lost"));
  site.way->table.erase("squeue");
  failed_poll(site);
  site.way->refuses = "no route to login1";
  CHECK(contains(failed_poll(site), "no route to login1"));
  CHECK_FALSE(site.was_asked("sacct0"));
}

TEST_CASE("slurm poll: a row tells the state, the reason and the times", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  auto seen = status(site);
  CHECK(seen.state == pb::JOB_STATE_RUNNING);
  CHECK(seen.started_at == from_us(1'799'999'000'000'000));
  CHECK_FALSE(is_set(seen.finished_at));
  CHECK(seen.reason.empty());
  CHECK_FALSE(seen.usage);
  site.reply("squeue", row("CONFIGURING").text());
  CHECK(status(site).state == pb::JOB_STATE_STARTING);
  site.reply("squeue", row("SUSPENDED").text());
  CHECK(status(site).state == pb::JOB_STATE_SUSPENDED);
  site.reply("squeue", row("PENDING", "Priority").text());
  seen = status(site);
  CHECK(seen.state == pb::JOB_STATE_QUEUED);
  CHECK(seen.reason == "Priority: jobs of higher priority are first");
  // Its StartTime is only a plan.
  CHECK_FALSE(is_set(seen.started_at));
  CHECK_FALSE(site.was_asked("sacct0"));
}

TEST_CASE("slurm poll: a job that can never start is told apart from one that waits",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("PENDING", "PartitionTimeLimit").text());
  const auto seen = status(site);
  CHECK(seen.state == pb::JOB_STATE_QUEUED);
  CHECK(seen.never_starts);
  CHECK(seen.reason == "PartitionTimeLimit: the job asks for more time than the partition allows");
  site.reply("squeue", row("PENDING", "Resources").text());
  CHECK_FALSE(status(site).never_starts);
  site.reply("squeue", row("RUNNING", "PartitionTimeLimit").text());
  CHECK_FALSE(status(site).never_starts);
}

TEST_CASE("slurm poll: a job that neither squeue nor sacct know is surely missing",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("traces", left(""));
  const auto gone = absence(site);
  CHECK(gone.confirmed);
  CHECK(site.commands["squeue"] == 1);
  CHECK(site.was_asked("sacct0"));
}

TEST_CASE("slurm poll: a completed job is over before its nodes are clean again",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("COMPLETING").text());
  site.reply("sacct0", account("COMPLETED").text());
  CHECK(status(site).state == pb::JOB_STATE_COMPLETED);
  SECTION("accounting is late") { site.reply("sacct0", running_account().text()); }
  SECTION("accounting is down") { site.fails("sacct0", no_database); }
  auto step = running_account();
  step.id = "41.extern";
  SECTION("a step runs") { site.reply("sacct0", account("COMPLETED").text() + step.text()); }
  SECTION("one that failed may be requeued") { site.reply("sacct0", account("NODE_FAIL").text()); }
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
}

TEST_CASE("slurm poll: a waiting job that is lost never ran", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("PENDING", "Resources").text());
  status(site);
  site.reply("traces", left(""));
  site.reply("squeue", "");
  CHECK(absence(site).never_ran);
}

TEST_CASE("slurm poll: a missing job may have run, or may not come back, when nobody can tell",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("traces", left(""));
  site.reply("squeue", row("PENDING", "Resources").text());
  SECTION("it was held") { site.reply("squeue", row("PENDING", "JobHeldUser").text()); }
  SECTION("it ran") { site.reply("squeue", row("RUNNING").text()); }
  SECTION("it was never seen") { site.reply("squeue", ""); }
  if (!site.way->table["squeue"].out.empty()) status(site);
  site.reply("squeue", "");
  SECTION("a hold was just asked for") {
    const control_request hold{job(), pb::JOB_CONTROL_HOLD};
    site.reply("0", "");
    REQUIRE(std::holds_alternative<control_done>(
        site.port->control({&hold, 1}, scripted_site::until())[0]));
  }
  SECTION("it had begun to write") { site.reply("traces", left("") + "began\n"); }
  SECTION("its claim is taken") { site.reply("traces", left(token + ":41")); }
  SECTION("its directory is gone") { site.reply("traces", "{nonce} j 41\n"); }
  SECTION("the directories cannot be read") { site.fails("traces", "cd: no such directory"); }
  CHECK(absence(site).confirmed);
  CHECK_FALSE(absence(site).never_ran);
}

TEST_CASE("slurm poll: one that accounting calls alive is missing only after long",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("sacct0", running_account().text());
  CHECK_FALSE(absence(site).confirmed);
  site.now += seconds{899};
  CHECK_FALSE(absence(site).confirmed);
  site.now += seconds{1};
  const auto gone = absence(site);
  CHECK(gone.confirmed);
  CHECK(contains(gone.reason, "accounting says RUNNING"));
  CHECK_FALSE(gone.never_ran);
  // One that still waits in accounting, and has no claim, never ran.
  auto waiting = running_account();
  waiting.state = "PENDING";
  site.reply("squeue", row("PENDING", "Priority").text());
  CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  site.reply("squeue", "");
  site.reply("sacct0", waiting.text());
  site.reply("traces", left(""));
  CHECK_FALSE(absence(site).confirmed);
  site.now += seconds{900};
  CHECK(absence(site).confirmed);
  CHECK(absence(site).never_ran);
  site.reply("traces", left(token + ":41"));
  CHECK_FALSE(absence(site).never_ran);
  // The controller shows it again: the time begins anew.
  site.reply("squeue", row("RUNNING").text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", "");
  CHECK_FALSE(absence(site).confirmed);
}

TEST_CASE("slurm poll: without an answer of accounting nothing is surely missing",
          "[adapters][slurm]") {
  scripted_site site;
  SECTION("the database is down") { site.fails("sacct0", no_database); }
  SECTION("the answer holds a row that cannot be read") {
    site.reply("sacct0", account("COMPLETED").text().substr(0, 60));
  }
  SECTION("the connection ends in the middle of it") {
    site.way->table["sacct0"] = {0, "", "", false, true};
  }
  SECTION("its columns cannot be learned") { site.way->table.erase("fields"); }
  SECTION("it was killed") { site.fails("sacct0", "", 137); }
  site.reply("traces", left(""));
  CHECK_FALSE(absence(site).confirmed);
}

TEST_CASE("slurm poll: another job under the same number is not ours", "[adapters][slurm]") {
  scripted_site site;
  auto other = row("RUNNING");
  other.name = "vebbbbbbbbbbbb";
  other.comment = "ved:vebbbbbbbbbbbb";
  other.path = "/jobs/j-9/vebbbbbbbbbbbb.41.out";
  site.reply("squeue", other.text());
  auto old = account("COMPLETED");
  old.name = "a shell";
  old.submit_line = "sbatch -J 'a shell'";
  site.reply("sacct0", old.text());
  CHECK(absence(site).confirmed);
}

TEST_CASE("slurm poll: a job that a plugin renamed is known by its comment or output",
          "[adapters][slurm]") {
  for (const bool by_comment : {true, false}) {
    scripted_site site;
    auto renamed = row("RUNNING");
    renamed.name = "site-17";
    if (by_comment) renamed.comment = "ved:" + token;
    else renamed.path = "/jobs/j-41/" + token + ".41.out";
    site.reply("squeue", renamed.text());
    CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    // Accounting has no comment: there the submission names it.
    site.reply("squeue", "");
    auto end = account("FAILED", "3:0");
    end.name = "site-17";
    end.submit_line = "sbatch --comment=ved:" + token;
    site.reply("sacct0", end.text());
    CHECK(status(site).exit_code == 3);
  }
}

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
    const auto seen = site.port->observe(both, scripted_site::until());
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
  SECTION("accounting has nothing yet") {}
  SECTION("accounting has its start") { site.reply("sacct0", running_account().text()); }
  SECTION("accounting has an end without its time") {
    auto early = account("FAILED");
    early.ended = "Unknown";
    site.reply("sacct0", early.text());
  }
  SECTION("accounting is down") { site.fails("sacct0", no_database); }
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.now += milliseconds{14'999};
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.now += milliseconds{1};
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(contains(end.reason, "accounting has no final record"));
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
  CHECK(site.commands["scontrol"] == 2);
  // The job's directory cannot be read: there may be an end record.
  site.fails("traces", "cd: /jobs: not there\n", 2);
  CHECK_FALSE(absence(site).confirmed);
}

TEST_CASE("slurm poll: a copy that lost the claim names the one that runs", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 73).text());
  SECTION("by its own record, before accounting has anything") {
    site.reply("traces", left("vebbbbbbbbbbbb:40", "lost vebbbbbbbbbbbb:40\n"));
  }
  SECTION("by its exit code and the claim, where the record could not be written") {
    site.reply("sacct0", account("FAILED", "73:0").text());
    site.reply("traces", left("vebbbbbbbbbbbb:40"));
  }
  SECTION("of the same submission") {
    site.reply("traces", left(token + ":40", "lost " + token + ":40\n"));
    const auto end = status(site);
    REQUIRE(end.lost_claim_to);
    CHECK(end.lost_claim_to->str() == token);
    return;
  }
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  REQUIRE(end.lost_claim_to);
  CHECK(end.lost_claim_to->str() == "vebbbbbbbbbbbb");
  CHECK_FALSE(end.usage);
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

TEST_CASE("slurm poll: a requeued job's runs are summed up", "[adapters][slurm]") {
  scripted_site site;
  auto first = account("REQUEUED");
  first.elapsed_seconds = 100;
  first.cpu_time = "00:20.000";
  auto first_batch = account("CANCELLED", "0:15");
  first_batch.id = "41.batch";
  first_batch.memory = "9000";
  auto second = account("COMPLETED");
  second.elapsed_seconds = 60;
  second.suspended = "00:00:10";
  second.cpu_time = "00:05.000";
  auto second_batch = account("COMPLETED");
  second_batch.id = "41.batch";
  second_batch.memory = "4000";
  SECTION("while only the first run is there it is alive") {
    site.reply("sacct0", first.text() + first_batch.text());
    CHECK_FALSE(absence(site).confirmed);
  }
  site.reply("sacct0",
             first.text() + first_batch.text() + second.text() + second_batch.text());
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 150);
  CHECK(end.usage->cpu_time_us() == 25'000'000);
  CHECK(end.usage->memory_bytes_max() == 9'000);
}

TEST_CASE("slurm poll: an end that a requeue may undo counts after a while",
          "[adapters][slurm]") {
  for (const std::string word : {"NODE_FAIL", "PREEMPTED"}) {
    scripted_site site;
    site.reply("squeue", ended_row(word).text());
    site.reply("sacct0", account(word).text());
    CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    site.now += milliseconds{4'999};
    CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    SECTION(word + ": it comes back") {
      site.reply("squeue", row("PENDING", "BeginTime").text());
      CHECK(status(site).state == pb::JOB_STATE_QUEUED);
      site.now += seconds{60};
      site.reply("squeue", ended_row(word).text());
      CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    }
    SECTION(word + ": it stays") {
      site.now += milliseconds{1};
      const auto end = status(site);
      CHECK(end.state == pb::JOB_STATE_FAILED);
      CHECK(contains(end.reason, word));
    }
  }
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
    const auto seen = site.port->observe(both, scripted_site::until());
    REQUIRE(seen);
    REQUIRE(seen->observations.size() == 2);
    return seen->observations;
  };
  const auto cut = other.text().substr(0, 12) + "\n";
  site.reply("squeue", cut + row("RUNNING").text());
  auto seen = poll();
  REQUIRE(std::holds_alternative<job_status>(seen[0]));
  REQUIRE(std::holds_alternative<missing>(seen[1]));
  CHECK_FALSE(std::get<missing>(seen[1]).confirmed);
  // Accounting may tell its end, but that neither knows it is no absence.
  CHECK(site.was_asked("sacct0"));

  site.reply("squeue", row("RUNNING").text() + other.text());
  seen = poll();
  CHECK(std::get<job_status>(seen[1]).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", row("SUSPENDED").text() + cut);
  seen = poll();
  CHECK(std::get<job_status>(seen[0]).state == pb::JOB_STATE_SUSPENDED);
  CHECK(std::get<job_status>(seen[1]).state == pb::JOB_STATE_RUNNING);

  site.reply("squeue", cut);
  failed_poll(site);
}

TEST_CASE("slurm poll: the job's own record fills in what accounting lacks", "[adapters][slurm]") {
  scripted_site site;
  auto end = account("FAILED", "3:0");
  end.cpu_time = "00:00:00";
  site.reply("sacct0", end.text());
  site.reply("traces", left(token + ":41",
                            "exit 3\nstep build\n0m0.01s 0m0.02s\n1m1.50s 0m0.25s\n"));
  const auto seen = status(site);
  CHECK(contains(seen.reason, "exit code 3; in step build"));
  REQUIRE(seen.usage);
  CHECK(seen.usage->cpu_time_us() == 61'750'000);
}

TEST_CASE("slurm poll: a job that could make no claim says so", "[adapters][slurm]") {
  scripted_site site;
  site.reply("sacct0", account("FAILED", "75:0").text());
  site.reply("traces", left("", "noclaim\n"));
  const auto seen = status(site);
  CHECK(seen.state == pb::JOB_STATE_FAILED);
  CHECK(contains(seen.reason, "could not make its claim"));
}
