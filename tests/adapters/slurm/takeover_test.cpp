#include "messages/job_state.hpp"
#include "tests/adapters/slurm/poll.hpp"

/// A restart that finds the claim of the run before and can make no other.
using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

TEST_CASE("slurm poll: a restart that could not take its claim over is the site's fault",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", failed_again(75, 1, 600, 610, 612).text());
  auto first = account("PREEMPTED");  // 500 s
  auto last = account("FAILED", "75:0");
  last.submitted = moment(600);
  last.started = moment(610);
  last.ended = moment(612);
  last.elapsed_seconds = 2;
  last.cpu_time = "00:00.010";
  const bool accounted = GENERATE(true, false);
  CAPTURE(accounted);
  if (accounted) site.reply("sacct0", first.text() + last.text());
  else site.reply("sacct0", first.text());
  const std::string record = GENERATE("", "noclaim\n");
  CAPTURE(record);
  const auto end = [&] {
    site.reply("traces", left(token + ":41:0:start", record));
    (void)observe(site);
    site.now += seconds{600};
    return status(site);
  };
  SECTION("and what the wrapper took is no use of the job") {
    const auto now = end();
    CHECK(now.state == pb::JOB_STATE_FAILED);
    CHECK(now.exit_code == 0);
    CHECK(contains(now.reason, "the site's fault: its claim could not be replaced in "));
    REQUIRE(now.usage);
    CHECK(now.usage->wall_clock_seconds() == 500);
    REQUIRE(now.counted.size() == 1);
    CHECK(now.counted[0].started_at == from_us(1'799'999'000'000'000));
  }
  SECTION("and a claim that is not shown yet is waited for") {
    site.reply("traces", left(token + ":41:0:start", record.empty() ? "exit 75\n" : record));
    const auto first_look = status(site);
    CHECK(is_terminal(first_look.state) == (accounted && !record.empty()));
    site.reply("traces", left(token + ":41:1:start", "exit 75\n"));
    if (record.empty()) {
      site.now += seconds{600};
      const auto now = status(site);
      CHECK(now.exit_code == 75);
      CHECK_FALSE(contains(now.reason, "could not be replaced"));
    }
  }
  SECTION("but not when Slurm says that it ran") {
    last.elapsed_seconds = 400;
    last.cpu_time = "02:00.000";
    last.ended = moment(1010);
    site.reply("squeue", failed_again(75, 1, 600, 610, 1010).text());
    if (accounted) site.reply("sacct0", first.text() + last.text());
    const auto now = end();
    CHECK(now.exit_code == 75);
    CHECK_FALSE(contains(now.reason, "could not be replaced"));
    REQUIRE(now.usage);
    CHECK(now.usage->wall_clock_seconds() == 900);
  }
  SECTION("nor with a claim of this run, or another code") {
    if (GENERATE(true, false)) {
      site.reply("traces", left(token + ":41:1:start"));
    } else {
      site.reply("traces", left(token + ":41:0:start"));
      last.exit = "3:0";
      site.reply("squeue", failed_again(3, 1, 600, 610, 612).text());
      if (accounted) site.reply("sacct0", first.text() + last.text());
    }
    (void)observe(site);
    site.now += seconds{600};
    const auto now = status(site);
    CHECK(now.exit_code != 0);
    REQUIRE(now.usage);
    CHECK(now.usage->wall_clock_seconds() == 502);
  }
}
