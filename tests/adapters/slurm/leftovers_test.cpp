#include "tests/adapters/slurm/poll.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

// What Slurm 22.05 shows of a job that may be requeued when its controller was killed within a
// second of its start: the second start fails, as the first one runs, and is held for ever.
namespace {

const std::string held = "launch failed requeued held";

struct held_site : scripted_site {
  held_site() { reply("squeue", row("PENDING", held).text()); }
};

}  // namespace

TEST_CASE("slurm poll: of a second start that failed and is held the record of the first tells",
          "[adapters][slurm]") {
  held_site site;
  SECTION("it has completed") {
    site.reply("leftovers", left(token + ":41:0:x", "exit 0\n"));
    const auto end = status(site);
    CHECK(end.state == pb::JOB_STATE_COMPLETED);
    CHECK(end.leftover);
    CHECK(contains(end.reason, "its own record"));
    // Who follows what is left of it sees when that is gone.
    auto cancelled = row("CANCELLED");
    cancelled.ended = cancelled.started;
    cancelled.nodes = "";
    site.reply("squeue", cancelled.text());
    site.reply("traces", left(token + ":41:0:x", "exit 0\n"));
    site.now += seconds{60};
    (void)observe(site);
    site.now += seconds{60};
    const auto over = status(site);
    CHECK(over.state == pb::JOB_STATE_COMPLETED);
    CHECK_FALSE(over.leftover);
  }
  SECTION("it had only saved its state, as it was told") {
    site.reply("leftovers", left(token + ":41:0:x", "exit 0\ntold 15\n"));
    CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  }
  SECTION("what accounting measured counts, if it answers in time") {
    site.reply("leftovers", left(token + ":41:0:x", "exit 0\n"));
    auto ran = account("REQUEUED");
    ran.elapsed_seconds = 602;
    ran.cpu_time = "00:09:50";
    const bool answers = GENERATE(true, false);
    if (answers) {
      site.reply("sacct0", ran.text());
    } else {
      site.fails("sacct0", no_database);
      CHECK(status(site).state == pb::JOB_STATE_QUEUED);
      site.now += seconds{15};
    }
    const auto end = status(site);
    CHECK(end.leftover);
    REQUIRE(end.usage);
    CHECK((end.usage->wall_clock_seconds() == 602) == answers);
    CHECK((end.usage->cpu_time_us() == 590'000'000) == answers);
  }
  SECTION("the times of its run are told") {
    std::string restart = "0";
    std::string since = "1799999400";
    std::int64_t began_at = 1799999400;
    const auto seen = [&](const std::string& started) {
      auto runs = row("RUNNING");
      runs.started = started;
      site.reply("squeue", runs.text());
      CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    };
    SECTION("as its claim tells") {}
    SECTION("as squeue told before, whatever it showed of the second start") {
      seen("1799999399");
      if (GENERATE(true, false)) seen("1799999500");
      began_at = 1799999399;
    }
    SECTION("not of the second start") { seen("1799999500"); }
    SECTION("not of a run before it") {
      seen("1799990000");
      restart = "1";
    }
    SECTION("a claim that is younger than the record tells no time") {
      since = "1799999700";
      began_at = 0;
    }
    site.reply("squeue", row("PENDING", held).text());
    site.reply("leftovers", "{nonce} j 0\nclaim " + token + ":41:" + restart + ":x\nsince " +
                                since + "\nat 1799999600\nexit 0\nsince 5\n");
    const auto end = status(site);
    CHECK(end.leftover);
    CHECK(end.started_at == time_point{seconds{began_at}});
    CHECK(end.finished_at == time_point{seconds{1799999600}});
    REQUIRE(end.usage);
    CHECK(end.usage->wall_clock_seconds() == (began_at == 0 ? 0 : 1799999600 - began_at));
  }
  SECTION("it may still run, or never have") {
    const auto trace = GENERATE(left(token + ":41:0:x"), left(""), std::string{});
    site.reply("leftovers", trace);
    CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  }
  SECTION("what failed may be run again, as it was wished") {
    site.reply("leftovers", left(token + ":41:0:x", "exit 3\n"));
    CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  }
  SECTION("another copy's claim is not its") {
    site.reply("leftovers", left(token + ":42:0:x", "exit 0\n"));
    CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  }
  SECTION("a hold for another reason is looked at nowhere") {
    site.reply("squeue", row("PENDING", GENERATE("JobHeldUser", "Resources")).text());
    CHECK(status(site).state == pb::JOB_STATE_QUEUED);
    CHECK_FALSE(site.was_asked("leftovers"));
  }
  CHECK_FALSE(site.was_asked("job41"));
}

TEST_CASE("slurm poll: a held second start is of the run that seemed to be requeued, however long "
          "its prolog took",
          "[adapters][slurm]") {
  held_site site;
  site.disable_accounting();
  auto runs = row("RUNNING");
  runs.restarts = 1;
  runs.started = "1799999000";
  site.reply("squeue", runs.text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  auto waits = row("PENDING", held);
  waits.restarts = 2;
  waits.submitted = "1799999610";
  waits.started = "N/A";
  site.reply("squeue", waits.text());
  site.reply("leftovers", "{nonce} j 0\nclaim " + token +
                              ":41:1:x\nsince 1799999100\nat 1799999600\nexit 0\nsince 5\n");
  const auto end = status(site);
  CHECK(end.leftover);
  CHECK(end.started_at == from_us(1'799'999'000'000'000));
  REQUIRE(end.counted.size() == 1);
  CHECK(end.counted[0].started_at == end.started_at);
}
