#include "messages/job_state.hpp"
#include "tests/adapters/slurm/poll.hpp"

/// Jobs that Slurm runs more than once.
using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

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
  CHECK(end.usage->wall_clock_seconds() == 160);
  CHECK(end.usage->cpu_time_us() == 25'000'000);
  CHECK(end.usage->memory_bytes_max() == 9'000);
}

TEST_CASE("slurm poll: a run that ended long before its requeue counts to its end",
          "[adapters][slurm]") {
  scripted_site site;
  // Slurm makes the requeue the record's end; its batch step keeps the true one.
  auto first = account("REQUEUED");
  first.ended = "1799999500";
  first.elapsed_seconds = 500;
  auto batch = account("FAILED", "4:0");
  batch.id = "41.batch";
  batch.ended = "1799999007";
  batch.elapsed_seconds = 7;
  auto second = account("COMPLETED");
  second.submitted = "1799999500";
  second.started = "1799999600";
  second.ended = "1799999660";
  second.elapsed_seconds = 60;
  std::int64_t used = 67;
  SECTION("its batch step tells when that was") {}
  SECTION("a step that another run's would be says nothing") {
    batch.started = "1799998990";
    used = 560;
  }
  SECTION("nor one that has not ended") {
    batch.state = "RUNNING";
    batch.ended = "Unknown";
    used = 560;
  }
  SECTION("nor another step") {
    batch.id = "41.0";
    used = 560;
  }
  SECTION("time that it stood still is none") {
    first.elapsed_seconds = 3;
    used = 63;
  }
  SECTION("nor is it where it waited long for its requeue") {
    batch.elapsed_seconds = 4;
    used = 64;
  }
  site.reply("sacct0", first.text() + batch.text() + second.text());
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == used);
}

TEST_CASE("slurm poll: accounting that lags behind a requeue does not end the run that follows",
          "[adapters][slurm]") {
  for (const std::string word : {"NODE_FAIL", "PREEMPTED", "FAILED", "COMPLETED"}) {
    scripted_site site;
    site.reply("squeue", row("RUNNING").text());
    CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    const auto first = account(word).text();  // 1799999000 to 1799999500
    site.reply("sacct0", first);
    auto second = row("PENDING", "BeginTime");
    second.submitted = "1799999500";  // a requeue submits it anew
    site.reply("squeue", second.text());
    CHECK(status(site).state == pb::JOB_STATE_QUEUED);
    second.state = "RUNNING";
    second.reason = "None";
    second.started = "1799999500";  // in the very second
    SECTION(word + ": an empty list") {
      site.reply("squeue", second.text());
      CHECK(status(site).state == pb::JOB_STATE_RUNNING);
      site.reply("squeue", "");
      CHECK(contains(absence(site).reason, "the record of a run before this one only"));
      site.reply("squeue", second.text());
      CHECK(status(site).state == pb::JOB_STATE_RUNNING);
    }
    SECTION(word + ": an empty list while it waits") {
      site.reply("squeue", "");
      CHECK(contains(absence(site).reason, "the record of a run before this one only"));
    }
    SECTION(word + ": squeue shows its end") {
      second = ended_row("COMPLETED");
      second.submitted = second.started = "1799999500";
      second.ended = "1799999560";
      site.reply("squeue", second.text());
      CHECK(status(site).state == pb::JOB_STATE_RUNNING);
      SECTION("and accounting catches up") {
        auto late = account("COMPLETED");
        late.submitted = late.started = "1799999500";
        late.ended = "1799999560";
        late.elapsed_seconds = 60;
        site.reply("sacct0", first + late.text());
        const auto end = status(site);
        CHECK(end.state == pb::JOB_STATE_COMPLETED);
        REQUIRE(end.usage);
        CHECK(end.usage->wall_clock_seconds() == 560);  // both runs
      }
      SECTION("and accounting never does") {
        site.now += seconds{600};
        const auto end = status(site);
        CHECK(end.state == pb::JOB_STATE_COMPLETED);
        CHECK(end.started_at == from_us(1'799'999'500'000'000));
        CHECK(contains(end.reason, "accounting has the record of a run before this one only"));
        // What it knows is of the run before.
        REQUIRE(end.counted.size() == 1);
        CHECK(end.counted[0].started_at == from_us(1'799'999'000'000'000));
        REQUIRE(end.usage);
        CHECK(end.usage->wall_clock_seconds() == 560);
        CHECK(end.usage->cpu_time_us() == 10'500'000);
      }
    }
  }
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

TEST_CASE("slurm poll: what was told before a restart keeps a run from ending by the one before it",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", "");
  site.reply("sacct0", account("NODE_FAIL").text());  // 1799999000 to 1799999500
  auto told = job();
  told.started_at = from_us(1'799'999'600'000'000);
  CHECK(contains(absence(site, told).reason, "the record of a run before this one only"));
  told.started_at = from_us(1'799'999'000'000'000);
  site.now += seconds{15};
  CHECK(status(site, told).state == pb::JOB_STATE_FAILED);
}

TEST_CASE("slurm poll: a requeue that was told before a restart keeps a run from ending by the one "
          "before it",
          "[adapters][slurm]") {
  scripted_site site;
  auto told = job();
  told.waits = GENERATE(true, false);
  told.enqueued_at = from_us(1'799'999'501'000'000);
  site.reply("squeue", "");
  auto first = account("NODE_FAIL");  // 1799999000 to 1799999500, submitted at 1799998000
  site.reply("sacct0", first.text());
  for (int poll = 0; poll < 3; ++poll, site.now += seconds{60})
    CHECK(contains(absence(site, told).reason, "the record of a run before this one only"));
  auto second = account("COMPLETED");
  second.submitted = second.started = "1799999501";
  second.ended = "1799999601";
  second.elapsed_seconds = 100;
  site.reply("sacct0", first.text() + second.text());
  (void)observe(site, told);
  site.now += seconds{10};
  const auto end = status(site, told);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 600);
}

TEST_CASE("slurm poll: a job without its marks is known after a restart by its submission",
          "[adapters][slurm]") {
  scripted_site site;
  if (GENERATE(true, false)) site.disable_accounting();
  auto plain = row(GENERATE("PENDING", "RUNNING"));
  plain.name = "plain";
  plain.submitted = "1799999501";
  site.reply("squeue", plain.text());
  auto told = job();
  CHECK(!std::holds_alternative<job_status>(observe(site, told)));
  scripted_site after;
  after.reply("squeue", plain.text());
  told.enqueued_at = from_us(1'799'999'501'000'000);
  const auto seen = status(after, told);
  CHECK(seen.enqueued_at == told.enqueued_at);
  told.enqueued_at += seconds{1};
  scripted_site other;
  other.reply("squeue", plain.text());
  CHECK(!std::holds_alternative<job_status>(observe(other, told)));
}

TEST_CASE("slurm poll: a job that loses its marks and is requeued between two polls is followed on",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row(GENERATE("PENDING", "RUNNING")).text());
  (void)status(site);
  auto plain = row("PENDING", "BeginTime");
  plain.name = GENERATE("plain", "vebbbbbbbbbbbb");
  plain.submitted = "1799999600";
  plain.restarts = 1;
  site.reply("squeue", plain.text());
  CHECK(status(site).enqueued_at == from_us(1'799'999'600'000'000));
  SECTION("and again") {
    plain.submitted = "1799999700";
    plain.restarts = 3;
    plain.state = "RUNNING";
    plain.started = "1799999701";
    site.reply("squeue", plain.text());
    CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  }
  SECTION("its number is another job's, of another session") {
    plain.submitted = "1799999700";
    plain.restarts = 3;
    plain.session = 4712;
    site.reply("squeue", plain.text());
    CHECK(!std::holds_alternative<job_status>(observe(site)));
  }
  SECTION("its number is another job's that was not requeued") {
    plain.submitted = "1799999700";
    site.reply("squeue", plain.text());
    CHECK(!std::holds_alternative<job_status>(observe(site)));
  }
  SECTION("its number is another job's that is followed, too") {
    plain.submitted = "1799999700";
    plain.restarts = 3;
    plain.name = "vecccccccccccc";
    site.reply("squeue", plain.text());
    const std::vector<tracked_job> both{job(), job("41", "vecccccccccccc")};
    const auto seen = site.port->observe(both, poll_kind::full, scripted_site::until());
    REQUIRE(seen);
    CHECK(!std::holds_alternative<job_status>(seen->observations[0]));
    CHECK(std::holds_alternative<job_status>(seen->observations[1]));
  }
}

TEST_CASE("slurm poll: a job that waits does not end by a run that nobody saw",
          "[adapters][slurm]") {
  scripted_site site;
  auto waits = row("PENDING", "BeginTime");
  waits.submitted = "1799999911";  // a requeue submits it anew
  site.reply("squeue", waits.text());
  CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  auto unseen = account("NODE_FAIL");
  unseen.started = "1799999900";
  unseen.ended = "1799999910";
  site.reply("sacct0", unseen.text());
  site.reply("squeue", "");
  CHECK(contains(absence(site).reason, "the record of a run before this one only"));
}

TEST_CASE("slurm poll: a job that ended between two polls has ended, whatever the clocks say",
          "[adapters][slurm]") {
  scripted_site site;
  const auto ahead = GENERATE(-280, 0, 90, 280);  // munge allows 300
  site.reply("clock", std::to_string(1'800'000'000 + ahead) + "\n");
  site.reply("squeue", row("PENDING", "Resources").text());
  CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  auto done = account("COMPLETED");
  done.started = "1800000002";
  done.ended = "1800000004";
  done.elapsed_seconds = 2;
  site.reply("sacct0", done.text());
  site.reply("squeue", "");
  site.now += seconds{10};
  site.reply("clock", std::to_string(1'800'000'010 + ahead) + "\n");
  (void)observe(site);
  site.now += seconds{5};
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 2);
}

TEST_CASE("slurm poll: a run that was requeued is told with the next state",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  auto told = job();
  const bool by_log = GENERATE(true, false);
  if (by_log) {
    told.started_at = from_us(1'799'999'000'000'000);
  } else {
    site.reply("squeue", row("RUNNING").text());
    CHECK_FALSE(status(site).run_before);
  }
  auto next = row("PENDING", "BeginTime");
  next.submitted = "1799999400";
  next.started = "N/A";
  const auto of_first = [&](const job_status& seen) {
    REQUIRE(seen.run_before);
    CHECK(seen.run_before->started_at_us() == 1'799'999'000'000'000);
    CHECK(seen.run_before->finished_at_us() == 1'799'999'400'000'000);
    CHECK(seen.run_before->usage().wall_clock_seconds() == 400);
    if (!by_log) CHECK(seen.run_before->usage().cpu_cores() == 8);
  };
  SECTION("it waits") {
    site.reply("squeue", next.text());
    of_first(status(site, told));
  }
  SECTION("it runs again") {
    next.state = "RUNNING";
    next.started = "1799999500";
    site.reply("squeue", next.text());
    of_first(status(site, told));
  }
  SECTION("it was cancelled while it waited") {
    next.state = "CANCELLED";
    next.ended = "1799999450";
    next.nodes = "";
    site.reply("squeue", next.text());
    (void)observe(site, told);
    site.now += seconds{20};
    of_first(status(site, told));
  }
}

TEST_CASE("slurm poll: while a requeued job is completing its start is only a plan",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("squeue", row("RUNNING").text());
  const auto began = status(site).started_at;
  auto shown = row("COMPLETING");
  for (const char* plan : {"1799999390", "1799999395"}) {
    shown.started = plan;
    site.reply("squeue", shown.text());
    const auto seen = status(site);
    CHECK(seen.started_at == began);
    CHECK_FALSE(seen.run_before);
  }
  shown.state = "PENDING";
  shown.submitted = "1799999400";
  site.reply("squeue", shown.text());
  const auto seen = status(site);
  REQUIRE(seen.run_before);
  CHECK(seen.run_before->usage().wall_clock_seconds() == 400);
  // Its own record, of that run, is not the end of one that is cancelled while it waits.
  site.reply("traces", left(token + ":41:0:x", GENERATE("exit 0\n", "exit 0\ntold 15\n")));
  shown.state = "CANCELLED";
  shown.nodes = "";
  shown.started = shown.ended = "1799999450";
  site.reply("squeue", shown.text());
  (void)observe(site);
  site.now += seconds{20};
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  REQUIRE(end.run_before);
  CHECK(end.run_before->started_at_us() == to_us(began));
}

TEST_CASE("slurm poll: what the cleaning of its nodes takes is no use of a requeued run",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("squeue", row("RUNNING").text());
  (void)status(site);
  auto shown = row("COMPLETING");
  const bool tells_end = GENERATE(true, false);
  if (tells_end) shown.ended = "1799999300";
  const auto seen_at = site.now += seconds{10};
  site.reply("squeue", shown.text());
  (void)status(site);
  site.now += seconds{300};
  shown = row("PENDING", "BeginTime");
  shown.restarts = 1;
  shown.submitted = std::to_string(to_us(site.now) / 1'000'000);
  shown.nodes = "";
  shown.started = "N/A";
  site.reply("squeue", shown.text());
  const auto seen = status(site);
  REQUIRE(seen.run_before);
  CHECK(seen.run_before->finished_at_us() ==
        (tells_end ? 1'799'999'300'000'000 : to_us(seen_at)));
}

TEST_CASE("slurm poll: an old list takes no run's use away", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", row("PENDING", "Resources").text());
  CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  site.reply("squeue", row("RUNNING").text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", "");
  site.reply("sacct0", account("COMPLETED").text());
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 500);
}

TEST_CASE("slurm poll: of a renamed job all runs count that squeue showed", "[adapters][slurm]") {
  scripted_site site;
  auto shown = row("RUNNING");
  site.reply("squeue", shown.text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  shown.name = "plain";
  shown.submitted = "1799999600";
  shown.started = "1799999601";
  shown.path = "/jobs/j-41/" + token + ".41.out";
  site.reply("squeue", shown.text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.reply("sacct0", renamed_runs("REQUEUED"));
  site.reply("squeue", "");
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 504);
}

TEST_CASE("slurm poll: accounting counts all runs of a job", "[adapters][slurm]") {
  scripted_site site;
  auto first = account("REQUEUED");
  first.started = "1799998500";
  first.ended = "1799998900";
  site.reply("sacct0", first.text() + account("COMPLETED").text());
  site.reply("squeue", "");
  CHECK(status(site).counted.size() == 2);
  site.reply("squeue", ended_row("COMPLETED").text());
  site.fails("sacct0", no_database);
  (void)observe(site);
  site.now += seconds{20};
  CHECK(status(site).counted.empty());
}

TEST_CASE("slurm poll: a run that nobody saw, near the wait by the clocks, ends no job by one "
          "empty list",
          "[adapters][slurm]") {
  scripted_site site;
  auto told = job();
  const auto before = GENERATE(-30, 0, 30, 59);
  auto unseen = account("NODE_FAIL");
  unseen.started = std::to_string(to_us(site.now) / 1'000'000 - before - 5);
  unseen.ended = std::to_string(to_us(site.now) / 1'000'000 - before);
  told.waits = GENERATE(true, false);  // by the log, or else by squeue
  if (!told.waits) {
    site.reply("squeue", row("PENDING", "BeginTime").text());
    CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  }
  site.reply("sacct0", unseen.text());
  site.reply("squeue", "");
  const auto unchanged = [&] {
    const auto seen = observe(site, told);
    if (told.waits) return std::holds_alternative<no_news>(seen);
    const auto* same = std::get_if<job_status>(&seen);
    return same != nullptr && same->state == pb::JOB_STATE_QUEUED;
  };
  CHECK(unchanged());
  SECTION("it comes back") {
    site.reply("squeue", row("PENDING", "BeginTime").text());
    CHECK(status(site, told).state == pb::JOB_STATE_QUEUED);
    site.now += seconds{10};
    site.reply("squeue", "");
    CHECK(!std::holds_alternative<missing>(observe(site, told)));
  }
  SECTION("it stays away") {
    site.now += seconds{4};
    CHECK(unchanged());
    site.now += seconds{1};
    CHECK(status(site, told).state == pb::JOB_STATE_FAILED);
  }
}

TEST_CASE("slurm poll: a requeued job that is cancelled while it waits is told with its use",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue", row("PENDING", "BeginTime").text());
  CHECK(status(site).state == pb::JOB_STATE_QUEUED);
  auto ran = account("REQUEUED");
  auto waited = account("CANCELLED by 0");
  waited.started = "None";
  waited.elapsed_seconds = 0;
  waited.cpu_time = "00:00";
  site.reply("sacct0", ran.text() + waited.text());
  site.reply("squeue", "");
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 500);
}

TEST_CASE("slurm poll: time that a run stood suspended is none, where squeue alone tells it",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.now = from_us(1'799'999'030'000'000);
  auto shown = row("SUSPENDED");
  shown.time_used = "0:10";
  site.reply("squeue", shown.text());
  (void)status(site);
  SECTION("it ends") {
    auto over = ended_row("FAILED", 4);
    over.time_used = "8:00";
    site.reply("squeue", over.text());
    (void)observe(site);
    site.now += seconds{60};
    CHECK(status(site).usage->wall_clock_seconds() == 480);
  }
  SECTION("it is requeued") {
    site.now += seconds{70};
    int used = 380;
    SECTION("as it stands") {}
    SECTION("and ran again before: by squeue's own clock") {
      shown.state = "RUNNING";
      shown.time_used = "1:15";  // of 100 s
      site.reply("squeue", shown.text());
      (void)status(site);
      used = 375;
    }
    auto next = row("PENDING", "BeginTime");
    next.submitted = "1799999400";
    next.started = "N/A";
    next.restarts = 1;
    next.time_used = "0:00";
    site.reply("squeue", next.text());
    const auto seen = status(site);
    REQUIRE(seen.run_before);
    CHECK(seen.run_before->usage().wall_clock_seconds() == used);
  }
}

TEST_CASE("slurm poll: a run before a requeue that accounting never closed ends with that",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  auto open = running_account();
  open.elapsed_seconds = 1000;
  site.reply("sacct0", open.text());
  (void)status(site);
  site.reply("squeue", failed_again(4, 1, 400, 450, 500).text());
  (void)observe(site);
  site.now += seconds{60};
  const auto end = status(site);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 400 + 50);
  CHECK(end.counted.size() == 1);
}
