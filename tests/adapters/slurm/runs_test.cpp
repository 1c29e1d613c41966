#include "messages/job_state.hpp"
#include "tests/adapters/slurm/poll.hpp"

/// Which run of a job it is that a list, an account or a record tells of.
using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

TEST_CASE("slurm poll: of a renamed job all runs count after a restart, too", "[adapters][slurm]") {
  scripted_site site;
  auto told = job();
  told.first_enqueued_at = from_us(1'799'998'000'000'000);
  told.enqueued_at = from_us(1'799'999'600'000'000);
  site.reply("sacct0", renamed_runs("REQUEUED"));
  site.reply("squeue", "");
  (void)observe(site, told);
  site.now += seconds{10};
  const auto end = status(site, told);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 504);
  REQUIRE(end.counted.size() == 2);
  CHECK(end.counted[0].enqueued_at == told.first_enqueued_at);
}

TEST_CASE("slurm poll: what accounting knows of runs before counts, whatever it lacks of the last",
          "[adapters][slurm]") {
  scripted_site site;
  auto shown = ended_row("COMPLETED");
  shown.submitted = "1799999600";
  shown.started = "1799999700";
  shown.ended = "1799999760";
  site.reply("squeue", shown.text());
  auto first = account("REQUEUED");
  first.elapsed_seconds = 400;
  std::string rows = first.text();
  SECTION("nothing") {}
  SECTION("its end") {
    auto begun = running_account();
    begun.submitted = "1799999600";
    begun.started = "1799999700";
    rows += begun.text();
  }
  site.reply("sacct0", rows);
  (void)observe(site);
  site.now += seconds{600};
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.counted.size() == 1);
  CHECK(end.counted[0].enqueued_at == from_us(1'799'998'000'000'000));
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 460);
  CHECK(end.usage->cpu_time_us() == 10'500'000);
}

TEST_CASE("slurm poll: the record of a run before is no end of one that waits again",
          "[adapters][slurm]") {
  scripted_site site;
  const bool accounting = GENERATE(true, false);
  if (!accounting) site.disable_accounting();
  auto waits = row("PENDING", "BeginTime");
  waits.restarts = 1;
  waits.submitted = "1799999610";  // ten seconds after the record
  auto told = job();
  const bool by_log = GENERATE(true, false);
  if (!by_log) {
    site.reply("squeue", waits.text());
    CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  } else {
    told.waits = true;
    told.enqueued_at = from_us(1'799'999'610'000'000);
    told.note = (std::uint64_t{4711} << 16) + 1;
  }
  site.reply("squeue", "");
  site.reply("job41", "");
  site.fails("job41", no_such_job);
  const auto restart = GENERATE("0", "1");
  site.reply("traces", left(token + ":41:" + restart + ":x", "exit 0\ntold 15\n"));
  for (int poll = 0; poll < 5; ++poll, site.now += seconds{10}) {
    const auto seen = observe(site, told);
    if (*restart == '0') CHECK(!(std::holds_alternative<job_status>(seen) &&
                                 is_terminal(std::get<job_status>(seen).state)));
  }
  if (!by_log) return;  // it was seen waiting long after either record
  // A record of this very run is its end.
  const auto seen = observe(site, told);
  const auto* end = std::get_if<job_status>(&seen);
  CHECK((end != nullptr && end->state == pb::JOB_STATE_COMPLETED) == (*restart == '1'));
}

TEST_CASE("slurm poll: a claim that tells of a requeue makes accounting wait for its run",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("sacct0", account("NODE_FAIL").text());
  site.reply("traces", left(token + ":41:1:x", "exit 0\n"));
  CHECK(std::holds_alternative<no_news>(observe(site)));
  auto second = account("COMPLETED");
  second.submitted = second.started = "1799999501";
  second.ended = "1799999601";
  SECTION("it comes") {
    site.reply("sacct0", account("NODE_FAIL").text() + second.text());
    CHECK(status(site).state == pb::JOB_STATE_COMPLETED);
  }
  SECTION("it does not") {
    site.now += seconds{60};
    CHECK(status(site).state == pb::JOB_STATE_FAILED);
  }
}

TEST_CASE("slurm poll: one list of before a requeue changes nothing, a lasting one does",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  (void)status(site);
  auto second = row("RUNNING");
  second.submitted = "1799999600";
  second.started = "1799999601";
  site.reply("squeue", second.text());
  const auto known = status(site);
  REQUIRE(known.run_before);
  CHECK(known.run_before->enqueued_at_us() == 1'799'998'000'000'000);
  site.reply("squeue", row("RUNNING").text());
  CHECK(status(site).enqueued_at == known.enqueued_at);
  SECTION("it was old") {
    site.now += seconds{3};
    site.reply("squeue", second.text());
    const auto seen = status(site);
    CHECK(seen.enqueued_at == known.enqueued_at);
    REQUIRE(seen.run_before);
    CHECK(seen.run_before->usage().wall_clock_seconds() == 600);
    site.now += seconds{60};
    site.reply("squeue", row("RUNNING").text());
    CHECK(status(site).enqueued_at == known.enqueued_at);
  }
  SECTION("the controller has lost the requeue") {
    site.now += seconds{5};
    CHECK(status(site).enqueued_at == from_us(1'799'998'000'000'000));
  }
}

TEST_CASE("slurm poll: what tells a job without its marks is noted for the time after a restart",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("squeue", row("RUNNING").text());
  auto told = job();
  const auto seen = status(site);
  told.enqueued_at = told.first_enqueued_at = seen.enqueued_at;
  told.note = seen.note;
  auto plain = row("RUNNING");
  plain.name = "plain";
  plain.submitted = "1799999600";
  plain.restarts = 1;
  scripted_site after;
  after.disable_accounting();
  SECTION("it is the same") {
    after.reply("squeue", plain.text());
    CHECK(status(after, told).state == pb::JOB_STATE_RUNNING);
  }
  SECTION("it is another's") {
    plain.session = 5;
    after.reply("squeue", plain.text());
    CHECK(!std::holds_alternative<job_status>(observe(after, told)));
  }
}

TEST_CASE("slurm poll: a run before whose end accounting never heard of does not count on",
          "[adapters][slurm]") {
  scripted_site site;
  auto first = account("RUNNING");
  first.ended = "Unknown";
  first.elapsed_seconds = 4'000;
  auto last = account("COMPLETED");
  last.submitted = "1799999600";
  last.started = "1799999601";
  last.ended = "1799999605";
  last.elapsed_seconds = 4;
  SECTION("it goes on there") {
    site.reply("sacct0", first.text() + last.text());
    const auto end = status(site);
    REQUIRE(end.usage);
    CHECK(end.usage->wall_clock_seconds() == 604);  // 1799999000 to the requeue
    CHECK(end.counted.size() == 2);
  }
  SECTION("it was swept away: what squeue showed of it is told") {
    first.state = "COMPLETED";
    first.ended = first.started;
    first.elapsed_seconds = 0;
    site.reply("sacct0", first.text() + last.text());
    const auto end = status(site);
    REQUIRE(end.usage);
    CHECK(end.usage->wall_clock_seconds() == 4);
    REQUIRE(end.counted.size() == 1);
    CHECK(end.counted[0].enqueued_at == from_us(1'799'999'600'000'000));
  }
}

TEST_CASE("slurm poll: a job without its marks is followed where its requeue was seen completing",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("squeue", row("RUNNING").text());
  (void)status(site);
  auto shown = row("COMPLETING");
  shown.restarts = 1;  // counted as the requeue begins, submitted anew at its end
  site.reply("squeue", shown.text());
  (void)status(site);
  shown.state = "RUNNING";
  shown.name = "plain";
  shown.submitted = "1799999600";
  shown.started = "1799999601";
  site.reply("squeue", shown.text());
  CHECK(status(site).enqueued_at == from_us(1'799'999'600'000'000));
}

TEST_CASE("slurm poll: what a run held that a restart forgot is what it asks for again",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  auto told = job();
  told.started_at = from_us(1'799'999'000'000'000);
  told.enqueued_at = from_us(1'799'998'000'000'000);
  auto waits = row("PENDING", "BeginTime");
  waits.submitted = "1799999600";
  waits.nodes = "";
  waits.started = "N/A";
  site.reply("squeue", waits.text());
  const auto seen = status(site, told);
  REQUIRE(seen.run_before);
  CHECK(seen.run_before->usage().gpus() == 2);
  CHECK(seen.run_before->usage().memory_bytes_allocated() == std::int64_t{16} << 30);
  CHECK(seen.run_before->usage().wall_clock_seconds() == 600);
}

TEST_CASE("slurm poll: a renamed job's runs that nobody saw are known by their submission",
          "[adapters][slurm]") {
  scripted_site site;
  auto told = job();
  told.first_enqueued_at = told.enqueued_at = from_us(1'799'998'000'000'000);
  told.started_at = from_us(1'799'999'000'000'000);
  site.reply("sacct0", renamed_runs("NODE_FAIL"));
  site.reply("names", columns("41|NODE_FAIL|1799998000|sbatch --comment=ved:" + token + "|41\n" +
                              "41|COMPLETED|1799999600|sbatch --comment=ved:" + token + "|41\n"));
  site.reply("squeue", "");
  SECTION("accounting answers both times") {
    const auto end = status(site, told);
    CHECK(end.state == pb::JOB_STATE_COMPLETED);
    REQUIRE(end.usage);
    CHECK(end.usage->wall_clock_seconds() == 504);
  }
  SECTION("it is gone the second time: then it knows nothing, and denies nothing") {
    site.way->afterwards["sacct0"] = {.exit_code = 1, .err = no_database};
    CHECK_FALSE(absence(site, told).confirmed);
  }
}

TEST_CASE("slurm poll: an earlier run whose end nobody knows is named", "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  auto told = job();
  told.started_at = from_us(1'799'990'000'000'000);
  told.enqueued_at = from_us(1'799'989'000'000'000);
  told.note = std::uint64_t{4711} << 16;
  site.fails("job41", no_such_job);
  const bool later = GENERATE(true, false);
  site.reply("traces", "{nonce} j 0\nclaim " + token + (later ? ":41:1:x" : ":41:0:x") +
                           "\nsince 1799999400\nat 1799999600\nexit 0\nsince 5\n");
  (void)observe(site, told);
  site.now += seconds{10};
  const auto end = status(site, told);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(contains(end.reason, "is not known, and not counted in") == later);
}

TEST_CASE("slurm poll: what a run held is told, and known after a restart", "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("squeue", row("RUNNING").text());
  const auto seen = status(site);
  REQUIRE(seen.allocated);
  CHECK(seen.allocated->gpus() == 2);
  CHECK_FALSE(seen.allocated->has_wall_clock_seconds());
  auto told = job();
  told.started_at = seen.started_at;
  told.enqueued_at = told.first_enqueued_at = seen.enqueued_at;
  told.note = seen.note;
  told.allocated = std::make_shared<const pb::JobUsage>(*seen.allocated);
  scripted_site after;
  after.disable_accounting();
  SECTION("of one that was requeued, and asks for less now") {
    auto waits = row("PENDING", "BeginTime");
    waits.submitted = "1799999600";
    waits.restarts = 1;
    waits.nodes = "";
    waits.started = "N/A";
    waits.allocated = "cpu=1,mem=1G,node=1";
    after.reply("squeue", waits.text());
    const auto again = status(after, told);
    REQUIRE(again.run_before);
    CHECK(again.run_before->usage().gpus() == 2);
    CHECK(again.run_before->usage().memory_bytes_allocated() == std::int64_t{16} << 30);
    CHECK(again.run_before->usage().wall_clock_seconds() == 600);
  }
  SECTION("of one that its own record ends") {
    after.fails("job41", no_such_job);
    after.reply("traces", "{nonce} j 0\nclaim " + token + ":41:0:x\nsince 1799999400\n" +
                              "at 1799999600\nexit 0\nsince 5\n");
    (void)observe(after, told);
    after.now += seconds{10};
    const auto end = status(after, told);
    REQUIRE(end.usage);
    CHECK(end.usage->gpus() == 2);
    CHECK(end.usage->cpu_cores() == 8);
    CHECK(end.usage->nodes_used() == 2);
    CHECK(end.usage->memory_bytes_allocated() == std::int64_t{16} << 30);
  }
}

TEST_CASE("slurm poll: of two requeues between two looks the first one's moment is not known",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  auto told = job();
  told.started_at = from_us(1'799'999'000'000'000);
  told.enqueued_at = from_us(1'799'998'000'000'000);
  told.note = std::uint64_t{4711} << 16;
  const bool seen_before = GENERATE(true, false);
  if (seen_before) {
    site.reply("squeue", row("RUNNING").text());
    (void)status(site, told);
  }
  const auto looked_at = site.now;
  site.now += seconds{3'600};
  auto waits = row("PENDING", "BeginTime");
  waits.restarts = 2;
  waits.submitted = std::to_string(to_us(site.now) / 1'000'000);
  waits.nodes = "";
  waits.started = "N/A";
  site.reply("squeue", waits.text());
  const auto again = status(site, told);
  REQUIRE(again.run_before);
  CHECK(again.run_before->usage().has_wall_clock_seconds() == seen_before);
  CHECK(again.run_before->finished_at_us() == (seen_before ? to_us(looked_at) : 0));
}

TEST_CASE("slurm poll: a run that squeue showed ended counts to its end, not to its requeue",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  const auto told = job();
  site.reply("squeue", row("RUNNING").text());
  (void)status(site, told);
  auto over = ended_row("FAILED", 4);
  over.ended = "1799999004";
  site.reply("squeue", over.text());
  (void)observe(site, told);
  auto waits = row("REQUEUE_HOLD", "job_requeued_in_held_state");
  waits.submitted = "1799999007";
  waits.started = "N/A";
  waits.restarts = 1;
  waits.nodes = "";
  site.reply("squeue", waits.text());
  const auto seen = status(site, told);
  REQUIRE(seen.run_before);
  CHECK(seen.run_before->usage().wall_clock_seconds() == 4);
  CHECK(from_us(seen.run_before->finished_at_us()) == from_us(1'799'999'004'000'000));
}

TEST_CASE("slurm poll: a run that is requeued in the second of its start took none",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("squeue", row("RUNNING").text());
  (void)status(site);
  site.now += seconds{30};
  auto waits = row("PENDING", "BeginTime");
  waits.submitted = "1799999000";
  waits.restarts = 1;
  waits.nodes = "";
  waits.started = "N/A";
  site.reply("squeue", waits.text());
  const auto seen = status(site);
  REQUIRE(seen.run_before);
  CHECK(seen.run_before->usage().wall_clock_seconds() == 0);
}

TEST_CASE("slurm poll: of a requeued job that was cancelled while it waited the last run is no run",
          "[adapters][slurm]") {
  scripted_site site;
  auto first = account("REQUEUED");
  auto last = account("CANCELLED by 1000");
  last.submitted = "1799999600";
  last.started = "Unknown";
  last.ended = "1799999900";
  last.elapsed_seconds = 0;
  site.reply("sacct0", first.text() + last.text());
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  CHECK_FALSE(is_set(end.started_at));
  REQUIRE(end.counted.size() == 2);
  CHECK(end.counted[0].started_at == from_us(1'799'999'000'000'000));
  CHECK(end.counted[0].finished_at == from_us(1'799'999'500'000'000));
}
