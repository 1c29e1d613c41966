#include <set>

#include "messages/job_state.hpp"
#include "messages/run_note.hpp"
#include "tests/adapters/slurm/poll.hpp"

/// What squeue shows of our jobs that nobody follows.
using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

namespace {

/// Of another job than the one that is followed.
queue_line other(const std::string& state) {
  auto line = row(state);
  line.id = "40";
  line.name = "vebbbbbbbbbbbb";
  line.path = "/jobs/j-40/vebbbbbbbbbbbb.%j.out";
  return line;
}

std::vector<stray> strays(scripted_site& site) {
  const auto what = job();
  const auto seen = site.port->observe({&what, 1}, poll_kind::full, scripted_site::until());
  REQUIRE(seen);
  return seen->strays;
}

/// What lasts is told with the second look.
std::vector<stray> lasting(scripted_site& site, const std::string& rows) {
  site.reply("squeue", row("RUNNING").text() + rows);
  CHECK(strays(site).empty());
  site.now += seconds{10};
  return strays(site);
}

}  // namespace

TEST_CASE("slurm poll: what bears the marks of a job that nobody follows is told",
          "[adapters][slurm]") {
  scripted_site site;
  auto shown = other(GENERATE("RUNNING", "PENDING", "SUSPENDED", "REQUEUE_HOLD"));
  shown.restarts = 2;
  shown.session = 77;
  if (GENERATE(true, false)) shown.path = "/jobs/j-40/vebbbbbbbbbbbb.40.out";
  const auto told = lasting(site, shown.text());
  REQUIRE(told.size() == 1);
  CHECK(told[0].job == job_id{"j-40"});
  CHECK(told[0].token == submission_token{"vebbbbbbbbbbbb"});
  CHECK(told[0].id == scheduler_job_id{"40"});
  CHECK(told[0].is_live);
  CHECK(told[0].enqueued_at == from_us(1'799'998'000'000'000));
  CHECK(told[0].note == run_note{shown.session, 2}.bits());
  // While it waits its StartTime is only a plan.
  const bool began = shown.state == "RUNNING" || shown.state == "SUSPENDED";
  CHECK(told[0].started_at == (began ? from_us(1'799'999'000'000'000) : time_point{}));
  site.now += seconds{5};
  CHECK(strays(site).empty());  // but once
  site.now += seconds{10};
  CHECK(strays(site).size() == 1);  // in case nobody heard
}

TEST_CASE("slurm poll: what another cluster of the site has again is told, though nobody is there",
          "[adapters][slurm]") {
  scripted_site site;
  tracked_job there = job();
  there.id = scheduler_job_id{"41@west"};
  auto line = row("RUNNING");
  site.reply("squeue", "");
  site.reply("squeue-west", line.text());
  REQUIRE(std::holds_alternative<job_status>(observe(site, there)));
  const auto polls = [&](std::span<const tracked_job> jobs) {
    const auto seen = site.port->observe(jobs, poll_kind::full, scripted_site::until());
    REQUIRE(seen);
    return *seen;
  };
  auto back = other("RUNNING");
  site.reply("squeue-west", back.text());
  CHECK(polls({}).suspects_strays);
  site.now += seconds{10};
  const auto told = polls({}).strays;
  REQUIRE(told.size() == 1);
  CHECK(told[0].id == scheduler_job_id{"40@west"});
  // While it is away it is asked again soon; and not for ever.
  site.fails("squeue-west", no_controller);
  CHECK(polls({}).suspects_strays);
  site.now += seconds{3'600};
  CHECK_FALSE(polls({}).suspects_strays);
  CHECK_FALSE(contains(site.way->programs.back(), "west"));
}

TEST_CASE("slurm poll: a number of another cluster hides none of this one's", "[adapters][slurm]") {
  scripted_site site;
  tracked_job there = job();
  there.id = scheduler_job_id{"40@west"};
  auto line = row("RUNNING");
  line.id = "40";
  site.reply("squeue-west", line.text());
  site.reply("squeue", other("RUNNING").text());
  const auto look = [&] {
    const auto seen = site.port->observe({&there, 1}, poll_kind::full, scripted_site::until());
    REQUIRE(seen);
    CHECK(std::holds_alternative<job_status>(seen->observations.at(0)));
    return seen->strays;
  };
  CHECK(look().empty());
  site.now += seconds{10};
  const auto told = look();
  REQUIRE(told.size() == 1);
  CHECK(told[0].id == scheduler_job_id{"40"});
}

TEST_CASE("slurm poll: what is no job's, or over, is no stray", "[adapters][slurm]") {
  scripted_site site;
  auto shown = other("RUNNING");
  SECTION("another path") { shown.path = "/home/x/slurm-40.out"; }
  SECTION("another kind of name") { shown.path = "/jobs/j-40/run.40.out"; }
  SECTION("another daemon's directory") {
    shown.path = "/other/j-40/vebbbbbbbbbbbb.40.out";
  }
  SECTION("one that only ends so") {
    shown.path = "/home/jobs/j-40/vebbbbbbbbbbbb.40.out";
  }
  SECTION("no directory") { shown.path = "vebbbbbbbbbbbb.40.out"; }
  SECTION("its nodes are cleaned up") { shown.state = "COMPLETING"; }
  SECTION("a word that is not known") { shown.state = "DREAMING"; }
  SECTION("it ended, as was told") {
    shown.state = "FAILED";
    shown.ended = "1799999500";
  }
  CHECK(lasting(site, shown.text()).empty());
}

TEST_CASE("slurm poll: what ended after a requeue may have been told before that",
          "[adapters][slurm]") {
  scripted_site site;
  auto shown = other("FAILED");
  shown.ended = "1799999500";
  shown.restarts = 1;
  const auto told = lasting(site, shown.text());
  REQUIRE(told.size() == 1);
  CHECK_FALSE(told[0].is_live);
}

TEST_CASE("slurm poll: one that is requeued faster than lists grow old is told",
          "[adapters][slurm]") {
  scripted_site site;
  auto shown = other("RUNNING");
  int told = 0;
  int polls = 0;
  for (; told == 0 && polls < 20; ++polls, site.now += seconds{2}) {
    shown.state = polls % 3 == 2 ? "FAILED" : "RUNNING";
    shown.ended = polls % 3 == 2 ? "1799999500" : "N/A";
    shown.restarts = 1 + polls / 3;
    shown.submitted = std::to_string(1'799'999'000 + polls / 3);
    site.reply("squeue", row("RUNNING").text() + shown.text());
    for (const auto& one : strays(site)) told += one.is_live;
  }
  CHECK(told == 1);
  CHECK(polls <= 5);
}

TEST_CASE("slurm poll: one whose runs are cleaned up between two looks is told",
          "[adapters][slurm]") {
  scripted_site site;
  auto shown = other("RUNNING");
  const std::string between = GENERATE("COMPLETING", "");
  std::vector<stray> told;
  for (int poll = 0; poll < 5 && told.empty(); ++poll, site.now += seconds{2}) {
    shown.state = poll % 2 == 1 ? "COMPLETING" : "RUNNING";
    shown.restarts = 1 + poll / 2;
    shown.submitted = std::to_string(1'799'999'000 + poll / 2);
    const bool away = poll % 2 == 1 && between.empty();
    site.reply("squeue", row("RUNNING").text() + (away ? "" : shown.text()));
    told = strays(site);
  }
  REQUIRE(told.size() == 1);
  CHECK(told[0].is_live);
}

TEST_CASE("slurm poll: what was followed is known by its number and submission, not by its marks",
          "[adapters][slurm]") {
  scripted_site site;
  const auto followed = job("40", "vebbbbbbbbbbbb");
  auto shown = other("RUNNING");
  site.reply("squeue", row("RUNNING").text() + shown.text());
  REQUIRE(std::holds_alternative<job_status>(observe(site, followed)));
  CHECK(lasting(site, "").empty());
  site.now += seconds{10};
  shown.name = "plain";
  shown.comment = "";
  shown.restarts = 1;
  shown.submitted = "1799999600";
  bool is_known = true;
  SECTION("none") { shown.path = "/dev/null"; }
  SECTION("those of another job") { shown.path = "/jobs/j-77/veccccccccccc.40.out"; }
  SECTION("another submission, to which the number was given") {
    shown.path = "/dev/null";
    shown.session = 5;
    is_known = false;
  }
  SECTION("one of before") {
    shown.path = "/dev/null";
    shown.submitted = "1799990000";
    is_known = false;
  }
  const auto told = lasting(site, shown.text());
  REQUIRE(told.size() == (is_known ? 1 : 0));
  if (!is_known) return;
  CHECK(told[0].job == followed.job);
  CHECK(told[0].token == followed.token);
  // Not for ever.
  site.now += seconds{3'600};
  CHECK(strays(site).empty());
}

TEST_CASE("slurm poll: a number that is given out again is another job's",
          "[adapters][slurm]") {
  scripted_site site;
  auto shown = other("RUNNING");
  site.reply("squeue", row("RUNNING").text() + shown.text());
  REQUIRE(std::holds_alternative<job_status>(observe(site, job("40", "vebbbbbbbbbbbb"))));
  CHECK(lasting(site, "").empty());
  site.now += seconds{10};
  shown.path = "/jobs/j-77/veccccccccccc.40.out";
  shown.submitted = "1799999600";
  const auto told = lasting(site, shown.text());
  REQUIRE(told.size() == 1);
  CHECK(told[0].job == job_id{"j-77"});
}

TEST_CASE("slurm poll: an old list that shows alive what has stood ended is no stray's",
          "[adapters][slurm]") {
  scripted_site site;
  auto shown = other("FAILED");
  shown.ended = "1799999500";
  shown.restarts = 1;
  REQUIRE(lasting(site, shown.text()).size() == 1);
  site.now += seconds{10};
  auto old = other("PENDING");
  old.submitted = "1799997000";
  site.reply("squeue", row("RUNNING").text() + old.text());
  CHECK(strays(site).empty());
  site.now += seconds{5};
  CHECK(strays(site).size() == 1);
}

TEST_CASE("slurm poll: it tells how long what has ended may come back", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  const auto what = job();
  const auto seen = site.port->observe({&what, 1}, poll_kind::full, scripted_site::until());
  REQUIRE(seen);
  // Slurm's default: no inventory was taken; and what is old is forgotten once a minute.
  CHECK(seen->returns_within == seconds{360});
}

TEST_CASE("slurm poll: of one that came back only what was not told counts", "[adapters][slurm]") {
  scripted_site site;
  auto told = job();
  told.told_until = from_us(1'799'998'000'000'000);
  auto first = account("FAILED");
  auto second = account("CANCELLED by 1000");
  second.submitted = "1799999600";
  second.started = "1799999601";
  second.ended = "1799999605";
  second.elapsed_seconds = 4;
  site.reply("squeue", "");
  site.reply("sacct0", first.text() + second.text());
  const auto end = status(site, told);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 4);
  CHECK(end.counted.size() == 1);
}

TEST_CASE("slurm poll: the record of a run that was told says nothing of one that came back",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  auto told = job();
  told.told_until = from_us(1'799'998'000'000'000);
  auto shown = ended_row("CANCELLED");
  shown.node_count = 1;
  shown.restarts = 1;
  shown.submitted = "1799999600";
  shown.started = "1799999700";
  shown.ended = "1799999760";
  site.reply("squeue", shown.text());
  const bool its_own = GENERATE(true, false);
  site.reply("traces", left(token + (its_own ? ":41:1:x" : ":41:0:x"), "exit 3\n"
                            "0m0.0s 0m0.0s\n0m7.0s 0m0.0s\n"));
  (void)observe(site, told);
  site.now += seconds{600};
  const auto end = status(site, told);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  CHECK(end.enqueued_at == from_us(1'799'999'600'000'000));
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 60);
  CHECK(end.usage->has_cpu_time_us() == its_own);
  CHECK(contains(end.reason, "exit code 3") == its_own);
}

TEST_CASE("slurm poll: however many are there, each is told in its turn", "[adapters][slurm]") {
  scripted_site site;
  std::string rows = row("RUNNING").text();
  constexpr int many = 2'500;
  for (int n = 0; n < many; ++n) {
    auto one = other("PENDING");
    one.id = std::to_string(100 + n);
    rows += one.text();
  }
  site.reply("squeue", rows);
  CHECK(strays(site).empty());
  std::set<std::string> told;
  for (int poll = 0; poll < 3; ++poll) {
    site.now += seconds{10};
    for (const auto& one : strays(site)) told.insert(one.id.str());
  }
  CHECK(told.size() == many);
}
