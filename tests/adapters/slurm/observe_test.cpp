#include "tests/adapters/slurm/poll.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

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

TEST_CASE("slurm poll: a job that waits by the log, and that a Slurm without its state does not "
          "know, never ran",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", "");
  auto told = job();
  CHECK_FALSE(absence(site, told).never_ran);
  told.waits = true;
  scripted_site restarted;
  restarted.reply("squeue", "");
  restarted.reply("traces", left(""));
  SECTION("as its directory shows") { CHECK(absence(restarted, told).never_ran); }
  SECTION("unless it had begun") {
    restarted.reply("traces", left("") + "began\n");
    CHECK_FALSE(absence(restarted, told).never_ran);
  }
  SECTION("unless squeue showed it held meanwhile") {
    restarted.reply("squeue",
                    row("PENDING", GENERATE("JobHeldAdmin", "JobHoldMaxRequeue",
                                            "launch failed requeued held"))
                        .text());
    CHECK(status(restarted, told).held);
    restarted.reply("squeue", "");
    CHECK_FALSE(absence(restarted, told).never_ran);
  }
  SECTION("unless nothing but Slurm knows of ends, and may have forgotten this one") {
    restarted.disable_accounting();
    restarted.fails("job41", no_such_job);
    (void)observe(restarted, told);
    const auto gone = absence(restarted, told);
    CHECK_FALSE(gone.never_ran);
    CHECK(contains(gone.reason, "it waited before ved was started"));
  }
}

TEST_CASE("slurm poll: a waiting job that is lost never ran, without accounting only if its end "
          "would be shown",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.fails("job41", no_such_job);
  site.reply("clock", "1800000000\n");
  site.reply("squeue", row("PENDING", "Resources").text());
  status(site);
  const auto lost_after = [&](int seconds_later, const std::string& min_job_age) {
    site.reply("config", "ClusterName = east\nMinJobAge = " + min_job_age +
                             " sec\nSLURM_VERSION = 22.05.8\n");
    site.reply("clock", std::to_string(1'800'000'000 + seconds_later) + "\n");
    site.reply("squeue", "");
    const auto gone = absence(site);
    CHECK(gone.confirmed);
    return gone;
  };
  site.reply("traces", left(""));
  site.reply("squeue", "");
  (void)observe(site);  // that there is no accounting is known from now on
  CHECK(lost_after(299, "300").never_ran);
  CHECK(lost_after(9000, "0").never_ran);
  const auto late = lost_after(301, "300");
  CHECK_FALSE(late.never_ran);
  CHECK(contains(late.reason, "that it never ran is not proven"));
  site.reply("traces", GENERATE(left(token + ":41:0:x"), left("") + "began\n",
                                std::string("{nonce} j 0\n")));
  CHECK_FALSE(lost_after(60, "300").never_ran);
}

TEST_CASE("slurm poll: without accounting the controller is asked for each lost job in its turn",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  site.reply("squeue", "");
  std::vector<tracked_job> all;
  for (int i = 0; i < 45; ++i) all.push_back(job(std::to_string(100 + i)));
  const auto look = [&] {
    REQUIRE(site.port->observe(all, poll_kind::full, scripted_site::until()));
    site.now += seconds{1};
  };
  look();  // learns that nothing is accounted
  for (int i = 0; i < 3; ++i) look();
  for (const auto& one : all) CHECK(site.was_asked("job" + one.id.str()));
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
  SECTION("its directory is gone") { site.reply("traces", "{nonce} j 0\n"); }
  CHECK(absence(site).confirmed);
  CHECK_FALSE(absence(site).never_ran);
}

TEST_CASE("slurm poll: what Slurm has forgotten is not called gone before its directory was read",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", "");
  const auto record = left(token + ":41", "exit 7\n");
  site.reply("traces", record);
  const std::string way = GENERATE("the connection is cut", "there is no getting at them",
                                   "accounting calls it alive, long after its end");
  INFO(way);
  if (way == "the connection is cut") site.way->table["traces"].cut = true;
  else site.fails("traces", "cd: no such directory");
  if (way.starts_with("accounting")) {
    site.reply("sacct0", running_account().text());
    site.fails("job41", no_such_job);
  }
  for (int i = 0; i < 2; ++i) {
    CHECK_FALSE(absence(site).confirmed);
    CHECK(contains(absence(site).reason, "its directory was not read"));
    site.now += seconds{299};
  }
  CHECK_FALSE(absence(site).confirmed);
  site.reply("traces", record);
  site.reply("sacct0", "");
  observe(site);
  site.now += seconds{5};
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 7);
}

TEST_CASE("slurm poll: a directory that nobody can read does not keep a job for ever",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", "");
  site.fails("traces", "cd: no such directory");
  CHECK_FALSE(absence(site).confirmed);
  site.now += seconds{600};
  CHECK(absence(site).confirmed);
  CHECK(absence(site).reason == "neither squeue nor sacct know it");
}

TEST_CASE("slurm poll: one that accounting calls alive is missing only after long",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("sacct0", running_account().text());
  CHECK_FALSE(absence(site).confirmed);
  site.now += seconds{899};
  CHECK_FALSE(absence(site).confirmed);
  site.now += seconds{1};
  // Nor then while the controller, asked for that number, does not answer, or shows it.
  CHECK_FALSE(absence(site).confirmed);
  site.reply("job41", "JobId=41 JobName=" + token + " JobState=RUNNING\n");
  CHECK_FALSE(absence(site).confirmed);
  CHECK(contains(absence(site).reason, "so does scontrol"));
  // One that may not be asked, or says nothing, denies nothing.
  for (const auto* words : {"scontrol: error: Access/permission denied\n",
                            "sh: scontrol: Permission denied\n", "the moon is full\n"}) {
    site.fails("job41", words);
    CHECK_FALSE(absence(site).confirmed);
  }
  site.reply("job41", "");
  CHECK_FALSE(absence(site).confirmed);
  site.reply("job41", "JobId=41 JobName=another JobState=RUNNING\n");
  CHECK(absence(site).confirmed);
  site.fails("job41", no_such_job);
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

TEST_CASE("slurm poll: a job that squeue shows under a number that sbatch did not name is there",
          "[adapters][slurm]") {
  scripted_site site;
  auto shown = row("RUNNING");
  shown.id = "1001";
  shown.path = "/jobs/j-41/" + token + ".1001.out";
  site.reply("squeue", shown.text());
  site.reply("traces", left(""));
  SECTION("it is looked up by its token") {
    CHECK(std::holds_alternative<no_news>(observe(site)));
    site.now += seconds{61};
    const auto seen = status(site);
    CHECK(seen.lost_claim_to == submission_token{token});
    CHECK(contains(seen.reason, "squeue shows its token with job 1001"));
  }
  SECTION("an ended copy of it is not alive") {
    shown.state = "COMPLETED";
    site.reply("squeue", shown.text());
    CHECK(absence(site).confirmed);
  }
  SECTION("nor one that only calls itself so") {
    shown.path = "/jobs/j-9/vebbbbbbbbbbbb.1001.out";
    site.reply("squeue", shown.text());
    CHECK(absence(site).confirmed);
  }
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
  SECTION("as the lines of their submissions say") {
    site.reply("names", columns("41|COMPLETED|1799990000|sbatch -J 'a shell'|41\n"));
    CHECK(absence(site).confirmed);
  }
  SECTION("as long as nobody says whose they are nothing is known") {
    if (GENERATE(true, false)) site.fails("names", no_database);
    CHECK_FALSE(absence(site).confirmed);
  }
}

TEST_CASE("slurm poll: where another Slurm answers nothing is known of our jobs",
          "[adapters][slurm]") {
  adapters::slurm::slurm_options options;
  enum class known { by_setting, by_live_jobs, by_two_answers };
  const auto how = GENERATE(known::by_setting, known::by_live_jobs, known::by_two_answers);
  if (how == known::by_setting) options.cluster_name = "west";
  if (how == known::by_live_jobs) options.home = "west";
  scripted_site site(options);
  const auto say = [&](const std::string& name) {
    site.reply("config", "ClusterName = " + name + "\nSLURM_VERSION = 22.05.8\n");
  };
  if (how == known::by_two_answers) {
    say("liar");  // once is no knowledge
    CHECK(absence(site).confirmed);
    say("west");
    CHECK(absence(site).confirmed);
    CHECK(absence(site).confirmed);
  }
  say("east");
  CHECK(failed_poll(site).find("but the Slurm that answers is east") != std::string::npos);
  say("west");
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
