#include "tests/adapters/slurm/poll.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

// What looks like an empty cluster, or like somebody else's.
namespace {

std::string config(const std::string& name) {
  return "Configuration data as of 2026-11-29T04:00:00\nClusterName             = " + name +
         "\nSLURM_VERSION           = 22.05.8\n";
}

bool ever_gone(scripted_site& site) {
  for (int poll = 0; poll < 20; ++poll) {
    const auto seen = observe(site);
    const auto* gone = std::get_if<missing>(&seen);
    if (gone != nullptr && gone->confirmed) return true;
    site.now += seconds{30};
  }
  return false;
}

}  // namespace

TEST_CASE("slurm: commands that print nothing and end well make no job absent",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row(GENERATE("RUNNING", "PENDING")).text());
  (void)status(site);
  site.reply("squeue", "");
  site.reply("traces", left(""));
  site.reply("job41", "");
  if (GENERATE(true, false)) site.disable_accounting();
  const lookup what{job_id{"j-41"}, submission_token{token}};
  site.reply("files", no_files);
  const auto denied = [&] {
    return std::holds_alternative<absent>(site.port->find({&what, 1}, scripted_site::until())[0]);
  };
  SECTION("all of them") {
    site.reply("config", "");
    CHECK_FALSE(ever_gone(site));
    CHECK_FALSE(denied());
    CHECK(contains(absence(site).reason, "scontrol show config gives no configuration"));
  }
  SECTION("where the controller told more before") {
    site.reply("config", config("east"));
    (void)site.port->take_inventory(scripted_site::until());
    site.fails("config", no_controller);
    CHECK_FALSE(ever_gone(site));
    CHECK_FALSE(denied());
  }
  SECTION("but for the controller") {
    site.reply("config", config("east"));
    site.fails("job41", no_such_job);
    CHECK(ever_gone(site));
    CHECK(denied());
  }
}

TEST_CASE("slurm: a table without the names of its columns is no answer", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  (void)status(site);
  site.reply("config", config("east"));
  site.reply("job41", "");
  site.reply("traces", left(""));
  site.reply("files", no_files);
  site.reply("squeue", "");
  const lookup what{job_id{"j-41"}, submission_token{token}};
  const auto found = [&] { return site.port->find({&what, 1}, scripted_site::until())[0]; };
  SECTION("of squeue") {
    site.way->table["squeue"].mute = true;
    CHECK(contains(failed_poll(site), "squeue: it printed nothing"));
    CHECK(std::holds_alternative<not_known>(found()));
  }
  SECTION("of sacct") {
    site.way->table["sacct0"].mute = true;
    site.way->table["sacct"].mute = true;
    CHECK_FALSE(ever_gone(site));
    CHECK(contains(absence(site).reason, "accounting does not answer"));
    CHECK(contains(as<absent>(found()).sources, "the job directory"));
  }
  SECTION("but rows are, whatever stands above them") {
    site.way->table["squeue"] = {0, row("RUNNING").text()};
    site.way->table["squeue"].mute = true;
    CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  }
}

TEST_CASE("slurm: where scontrol is not for everybody absence is told without it",
          "[adapters][slurm]") {
  scripted_site site;
  site.fails("config", "scontrol: Permission denied\n", 126);
  site.reply("traces", left(""));
  CHECK(ever_gone(site));
}

TEST_CASE("slurm poll: a number that is another job's ends none that squeue shows elsewhere",
          "[adapters][slurm]") {
  scripted_site site;
  // sbatch said 41, which is a live job of ours; it is 42.
  auto other = row("RUNNING");
  other.name = "vebbbbbbbbbbbb";
  auto real = row("RUNNING");
  real.id = "42";
  site.reply("squeue", other.text() + real.text());
  site.reply("traces", left(""));
  // Its token is looked up: what is found there is followed.
  const auto is_looked_up = [&] {
    for (int poll = 0; poll < 20; ++poll) {
      const auto seen = observe(site);
      if (const auto* end = std::get_if<job_status>(&seen); end && end->lost_claim_to) {
        CHECK(end->lost_claim_to->str() == token);
        CHECK(contains(end->reason, "with job 42"));
        return true;
      }
      CHECK_FALSE(std::holds_alternative<job_status>(seen));
      const auto* gone = std::get_if<missing>(&seen);
      if (gone != nullptr && gone->confirmed) return false;
      site.now += seconds{10};
    }
    return false;
  };
  SECTION("while it runs, after more than one look") {
    CHECK_FALSE(std::holds_alternative<job_status>(observe(site)));
    CHECK(is_looked_up());
  }
  SECTION("also where that number is followed for yet another") {
    const std::vector<tracked_job> both{job(), job("42", "vecccccccccccc")};
    (void)site.port->observe(both, poll_kind::full, scripted_site::until());
    site.now += seconds{70};
    const auto seen = site.port->observe(both, poll_kind::full, scripted_site::until());
    REQUIRE(seen);
    CHECK(as<job_status>(seen->observations[0]).lost_claim_to);
    CHECK(as<missing>(seen->observations[1]).confirmed);
  }
  SECTION("also once it has ended there") {
    (void)observe(site);
    real.state = "COMPLETED";
    real.ended = "1799999500";
    const bool shown = GENERATE(true, false);
    site.reply("squeue", other.text() + (shown ? real.text() : std::string{}));
    CHECK(is_looked_up());
  }
  SECTION("not when the job itself claimed under its number") {
    site.reply("traces", left(token + ":41:0:x"));
    CHECK_FALSE(is_looked_up());
  }
}

TEST_CASE("slurm poll: a job that was requeued and is held has not begun", "[adapters][slurm]") {
  scripted_site site;
  auto held = row(GENERATE("SPECIAL_EXIT", "REQUEUE_HOLD"), "JobHeldUser");
  held.started = "1800000120";
  held.nodes = "";
  site.reply("squeue", held.text());
  const auto seen = status(site);
  CHECK(seen.state == pb::JOB_STATE_SUSPENDED);
  CHECK_FALSE(is_set(seen.started_at));
}

TEST_CASE("slurm poll: a directory that may not be read is not untouched", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("PENDING").text());
  (void)status(site);
  site.reply("squeue", "");
  site.reply("traces", "{nonce} j 0\nshut\n");
  const auto gone = absence(site);
  CHECK_FALSE(gone.confirmed);
  CHECK_FALSE(gone.never_ran);
  site.now += seconds{600};
  CHECK(absence(site).confirmed);
  CHECK_FALSE(absence(site).never_ran);
}

TEST_CASE("slurm lookup: a copy that could make no claim is none", "[adapters][slurm]") {
  scripted_site site;
  const lookup what{job_id{"j-41"}, submission_token{token}};
  const auto look = [&] { return site.port->find({&what, 1}, scripted_site::until())[0]; };
  const bool in_queue = GENERATE(true, false);
  const bool by_slurmd = GENERATE(false, true);
  const std::string exit = by_slurmd ? "0:53" : "75:0";
  // Slurm's own error stands where else a wait status does.
  const int status = by_slurmd ? 4021 : 75 << 8;
  const std::string file = by_slurmd ? "" : "file 41\n";
  const auto lasts = [&](const std::string& until) {
    auto row = ended_row("FAILED");
    row.status = status;
    auto record = brief_account("FAILED", exit);
    row.ended = record.ended = until;
    site.reply("squeue", in_queue ? row.text() : "");
    site.reply("sacct", record.text());
  };
  site.reply("files", "{nonce} j 0\nclaim \n" + file);
  lasts("1799999601");  // it ran for too long for that
  CHECK(std::holds_alternative<found>(look()));
  lasts("1799999600");
  CHECK(std::holds_alternative<absent>(look()));
  site.reply("files", "{nonce} j 0\nclaim " + token + ":41:0:x\nfile 41\n");
  CHECK(std::holds_alternative<found>(look()));
  site.reply("files", "{nonce} j 0\n");
  CHECK(std::holds_alternative<found>(look()));
}

TEST_CASE("slurm submit: the first job goes where the cluster's name was told twice",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("config", config("east"));
  REQUIRE(site.port->take_inventory(scripted_site::until()));
  submission what;
  what.job = job_id{"j-41"};
  what.token = submission_token{token};
  what.spec.mutable_workload_spec()->set_command("true");
  const bool same = GENERATE(true, false);
  if (!same) site.reply("config", config("west"));
  site.way->table[token] = {0, "41\n"};
  const auto sent = site.port->submit({&what, 1}, scripted_site::until())[0];
  const auto* no = std::get_if<not_sent>(&sent);
  CHECK((no != nullptr && contains(no->reason, "was east")) != same);
  // And from then on it is known.
  site.reply("config", config("west"));
  site.reply("traces", left(""));
  const auto gone = job();
  const auto seen = site.port->observe({&gone, 1}, poll_kind::full, scripted_site::until());
  CHECK(seen.has_value() != same);
}
