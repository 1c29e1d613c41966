#include "adapters/slurm/watched.hpp"
#include "messages/job_state.hpp"
#include "tests/adapters/slurm/poll.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

// What a single source says that cannot be, or not of the job.

TEST_CASE("slurm poll: what slurmd could not start never ran, and that is the site's fault",
          "[adapters][slurm]") {
  scripted_site site;
  auto record = brief_account("FAILED", GENERATE("0:53", "0:52"));
  site.reply("sacct0", record.text());
  const auto never_ran = [&](const std::string& traces) {
    site.reply("traces", traces);
    (void)observe(site);
    site.now += seconds{15};
    const auto seen = observe(site);
    const auto* gone = std::get_if<missing>(&seen);
    if (gone == nullptr) return false;
    CHECK(gone->confirmed);
    CHECK(contains(gone->reason, "the site's fault"));
    CHECK(contains(gone->reason, "slurmd error 40"));
    return gone->never_ran;
  };
  CHECK(never_ran(left("")));
  CHECK_FALSE(never_ran(left(token + ":41:0:x")));
  CHECK_FALSE(never_ran(left("") + "began\n"));
  // What ran for long, or computed, was started, whatever is left of it.
  if (GENERATE(true, false)) record.ended = "1799999601";
  else record.cpu_time = "00:02.010";
  site.reply("sacct0", record.text());
  CHECK_FALSE(never_ran(left("")));
  CHECK(contains(status(site).reason, "but Slurm says that it ran"));
}

TEST_CASE("slurm poll: a record with a time that cannot be ends the job when that was seen",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  auto running = row("RUNNING");
  running.started = "1799999500";
  site.reply("squeue", running.text());
  (void)status(site);
  site.reply("squeue", "");
  site.fails("job41", no_such_job);
  const auto at = [](const std::string& seconds) {
    auto text = left(token + ":41", "exit 0\n");
    const std::string usual = "1799999600";
    const auto begin = text.find(usual);
    REQUIRE(begin != std::string::npos);
    return text.replace(begin, usual.size(), seconds);
  };
  site.reply("traces", at(GENERATE("2430719611", "1799999470")));
  (void)observe(site);
  site.now += seconds{5};
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(end.finished_at <= site.now);
  CHECK(end.finished_at >= end.started_at);
  CHECK(contains(end.reason, "the time of the record cannot be"));
}

TEST_CASE("slurm poll: a clock of ours that is minutes off makes no record unbelievable",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  // Its record is of 1799999600: the site's clock shows 1799999700 then, ours is far from it.
  site.now = from_us(GENERATE(1'800'009'000'000'000, 1'799'990'000'000'000));
  site.reply("clock", "1799999590\n");
  site.reply("squeue", row("PENDING").text());
  (void)status(site);
  site.reply("clock", "1799999700\n");
  site.reply("squeue", "");
  site.fails("job41", no_such_job);
  site.reply("traces", left(token + ":41", "exit 3\n"));
  (void)observe(site);
  site.now += seconds{5};
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 3);
  CHECK(end.finished_at == from_us(1'799'999'600'000'000));
  SECTION("one of the run before the last wait still is") {
    scripted_site again;
    again.disable_accounting();
    again.reply("clock", "1799999700\n");
    again.reply("squeue", row("PENDING").text());
    (void)status(again);
    again.reply("squeue", "");
    again.fails("job41", no_such_job);
    again.reply("traces", left(token + ":41", "exit 3\n"));
    (void)observe(again);
    again.now += seconds{5};
    CHECK(contains(absence(again).reason, "before it was seen waiting"));
  }
}

TEST_CASE("slurm poll: a site that tells local times gets no wrong ones, and its use is whole",
          "[adapters][slurm]") {
  scripted_site site;
  auto running = row("RUNNING");
  running.started = "2027-01-15T02:51:40";
  site.reply("squeue", running.text());
  CHECK_FALSE(is_set(status(site).started_at));
  auto shown = ended_row("FAILED", 7);
  shown.started = running.started;
  shown.ended = "2027-01-15T03:00:00";
  site.reply("squeue", shown.text());
  auto told = account("FAILED", "7:0");
  told.started = running.started;
  told.ended = shown.ended;
  site.reply("sacct0", told.text());
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 7);
  CHECK_FALSE(is_set(end.started_at));
  CHECK_FALSE(is_set(end.finished_at));
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 500);
}

TEST_CASE("slurm poll: runs that only local times tell apart are all counted",
          "[adapters][slurm]") {
  scripted_site site;
  auto running = row("RUNNING");
  site.reply("squeue", running.text());
  (void)status(site);
  site.reply("squeue", "");
  auto first = account("NODE_FAIL", "1:0");
  first.started = "2027-01-15T02:00:00";
  first.ended = "2027-01-15T02:08:20";
  auto second = account("COMPLETED");
  second.started = "2027-01-15T03:00:00";
  second.ended = "2027-01-15T03:08:20";
  site.reply("sacct0", first.text() + second.text());
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 1'000);
}

TEST_CASE("slurm poll: of a job whose second start Slurm cancelled, the first run tells the end",
          "[adapters][slurm]") {
  scripted_site site;
  auto told = brief_account("CANCELLED by 0", "0:0");
  SECTION("the second one took no time") { told.ended = told.started; }
  SECTION("it began after that") {
    told.started = "1799999700";
    told.ended = "1799999703";
  }
  SECTION("it never began") { told.started = "Unknown"; }
  site.reply("sacct0", told.text());
  site.reply("traces", left(token + ":41", "exit 0\n"));
  auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(end.finished_at == from_us(1'799'999'600'000'000));
  CHECK(contains(end.reason, "Slurm lost that and says CANCELLED by 0 of a second start"));
  site.reply("traces", left(token + ":41", "exit 3\n"));
  CHECK(status(site).exit_code == 3);
  // What a signal ended, what another copy wrote, and what ran on after that was cancelled.
  site.reply("traces", left(token + ":41", "exit 143\n"));
  CHECK(status(site).state == pb::JOB_STATE_CANCELLED);
  site.reply("traces", left(token + ":40", "exit 0\n"));
  CHECK(status(site).state == pb::JOB_STATE_CANCELLED);
  site.reply("traces", left(token + ":41"));
  CHECK(status(site).state == pb::JOB_STATE_CANCELLED);
}

TEST_CASE("slurm poll: a cancelled job that wrote a record while it ran is cancelled, with its use",
          "[adapters][slurm]") {
  scripted_site site;
  // Long before its start, which the job can make any file's time.
  site.reply("traces", "{nonce} j 0\nclaim " + token + ":41\nat 1600000000\nexit 0\n");
  auto told = account("CANCELLED by 0");
  told.started = "1799999700";
  told.ended = "1799999721";
  told.elapsed_seconds = 21;
  auto known = job();
  SECTION("it computed") { told.cpu_time = "00:23.005"; }
  SECTION("it slept, as squeue showed") {
    told.cpu_time = "00:00.100";
    auto shown = row("RUNNING");
    shown.started = told.started;
    site.reply("squeue", shown.text());
    CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    site.reply("squeue", "");
  }
  SECTION("it slept, as the log knows") {
    told.cpu_time = "00:00.100";
    known.started_at = from_us(1'799'999'700'000'000);
  }
  site.reply("sacct0", told.text());
  const auto end = status(site, known);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  CHECK(end.finished_at == from_us(1'799'999'721'000'000));
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 21);
}

TEST_CASE("slurm poll: what Slurm measured of a second start counts beside the first run's record",
          "[adapters][slurm]") {
  scripted_site site;
  auto told = brief_account("CANCELLED by 0", "0:0");
  told.started = "1799999700";
  told.ended = "1799999703";
  told.elapsed_seconds = 400;  // with what was requeued before
  site.reply("sacct0", told.text());
  site.reply("traces", left(token + ":41", "exit 0\n"));
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 400);
  CHECK(end.usage->cpu_time_us() == 10'000);
}

TEST_CASE("slurm poll: a job that the site kept from starting says so", "[adapters][slurm]") {
  scripted_site site;
  auto told = account("CANCELLED by 0");
  site.reply("sacct0", told.text());
  site.reply("traces", left(""));
  CHECK(contains(status(site).reason, "the site's prolog"));
  told.started = "Unknown";
  site.reply("sacct0", told.text());
  CHECK_FALSE(contains(status(site).reason, "the site's prolog"));
}
