#include "tests/adapters/slurm/poll.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

// What slurmdbd alone says of the end of a job that squeue never showed: rows as a real one writes
// them when a controller comes back without its state, and when an operator answers "y" to
// `sacctmgr show runawayjobs`.
namespace {

/// As slurmdbd writes them: ended when they began, or never begun.
account_line swept(const std::string& state, const std::string& started,
                   const std::string& ended = "1799999000", int elapsed = 0) {
  auto line = account(state);
  line.started = started;
  line.ended = ended;
  line.elapsed_seconds = elapsed;
  line.cpu_time = "00:00:00";
  return line;
}

/// It was seen like that, and then squeue shows it no more.
void was(scripted_site& site, const std::string& state) {
  site.reply("squeue", row(state).text());
  (void)status(site);
  site.reply("squeue", "");
}

}  // namespace

TEST_CASE("slurm poll: an end in accounting alone that cannot be is none", "[adapters][slurm]") {
  scripted_site site;
  std::string why;
  SECTION("waiting jobs") {
    was(site, "PENDING");
    site.reply("traces", left(""));
    SECTION("completed without a start") {
      site.reply("sacct0", swept("COMPLETED", "None").text());
      why = "COMPLETED, but nothing shows that it ended";
    }
    SECTION("and to come") {
      site.reply("sacct0", swept("COMPLETED", "None", "1800000600").text());
      why = "COMPLETED, but nothing shows that it ended";
    }
    SECTION("cancelled by nobody") {
      site.reply("sacct0", swept("CANCELLED", "None").text());
      why = "without its state";
    }
    const auto gone = absence(site);
    CHECK(gone.confirmed);
    CHECK(gone.never_ran);
    CHECK(contains(gone.reason, why));
  }
  SECTION("jobs that ran") {
    was(site, "RUNNING");
    site.reply("traces", left(token + ":41:0:x"));
    SECTION("completed as they began") {
      site.reply("sacct0", swept("COMPLETED", "1799999000").text());
      why = "COMPLETED, but nothing shows that it ended";
    }
    SECTION("completed in the future") {
      site.reply("sacct0", swept("COMPLETED", "1799999000", "1800000600", 1600).text());
      why = "2027-01-15T08:10:00";
    }
    SECTION("completed before they began") {
      site.reply("sacct0", swept("COMPLETED", "1799999000", "1799998000", 5).text());
      why = "contradict each other";
    }
    SECTION("cancelled by nobody, after a while") {
      site.reply("sacct0", swept("CANCELLED", "1799999000", "1799999500", 500).text());
      why = "without its state";
    }
    const auto gone = absence(site);
    CHECK(gone.confirmed);
    CHECK_FALSE(gone.never_ran);
    CHECK(contains(gone.reason, why));
  }
}

TEST_CASE("slurm poll: of a job that accounting swept away its own record tells the end",
          "[adapters][slurm]") {
  scripted_site site;
  was(site, "RUNNING");
  const std::string state = GENERATE("COMPLETED", "CANCELLED");
  const int code = GENERATE(0, 4);
  site.reply("sacct0", swept(state, "1799999000").text());
  auto record = left(token + ":41:0:x", "exit " + std::to_string(code) + "\n");
  record.replace(record.find("1799999600"), 10, "1799999990");
  site.reply("traces", record);
  (void)observe(site);
  site.now += seconds{5};
  const auto end = status(site);
  CHECK(end.state == (code == 0 ? pb::JOB_STATE_COMPLETED : pb::JOB_STATE_FAILED));
  CHECK(end.exit_code == code);
}

TEST_CASE("slurm poll: an end that accounting alone tells counts where it can be",
          "[adapters][slurm]") {
  scripted_site site;
  was(site, "RUNNING");
  auto line = swept("COMPLETED", "1799999000");
  SECTION("it took its time") {
    line = swept("COMPLETED", "1799999000", "1799999400", 400);
    site.reply("traces", left(token + ":41:0:x"));
    site.reply("sacct0", line.text());
  }
  SECTION("it took none, and left its record") {
    site.reply("traces", left(token + ":41:0:x", "exit 0\n"));
    site.reply("sacct0", line.text());
  }
  SECTION("it took none, and its batch step told what it used") {
    auto batch = line;
    batch.id = "41.batch";
    batch.name = "batch";
    batch.cpu_time = "00:00.012";
    site.reply("traces", left(token + ":41:0:x"));
    site.reply("sacct0", line.text() + batch.text());
  }
  CHECK(status(site).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("slurm poll: a cancel counts where squeue showed it or somebody is named",
          "[adapters][slurm]") {
  scripted_site site;
  was(site, "RUNNING");
  site.reply("traces", left(token + ":41:0:x"));
  SECTION("by squeue") {
    site.reply("squeue", ended_row("CANCELLED").text());
    site.reply("sacct0", swept("CANCELLED", "1799999000", "1799999500", 500).text());
  }
  SECTION("by name") {
    site.reply("sacct0", swept("CANCELLED by 0", "1799999000", "1799999500", 500).text());
  }
  CHECK(status(site).state == pb::JOB_STATE_CANCELLED);
}

TEST_CASE("slurm lookup: a record that was swept away before it began names no job",
          "[adapters][slurm]") {
  scripted_site site;
  const lookup what{job_id{"j-41"}, submission_token{token}};
  const auto found_now = [&](const account_line& line, const std::string& files) {
    site.reply("sacct", line.text());
    site.reply("files", files);
    return site.port->find({&what, 1}, scripted_site::until()).at(0);
  };
  CHECK(std::holds_alternative<absent>(found_now(swept("CANCELLED", "None"), no_files)));
  CHECK(std::holds_alternative<absent>(found_now(swept("COMPLETED", "None"), no_files)));
  CHECK(std::holds_alternative<found>(found_now(swept("CANCELLED by 0", "None"), no_files)));
  CHECK(std::holds_alternative<found>(found_now(swept("CANCELLED", "1799999000"), no_files)));
}

TEST_CASE("slurm poll: a record that is printed twice is counted once", "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("COMPLETED").text());
  auto requeued = account("REQUEUED");
  requeued.started = "1799998100";
  requeued.ended = "1799998200";
  requeued.elapsed_seconds = 100;
  const auto last = account("COMPLETED").text();
  auto batch = account("COMPLETED");
  batch.id = "41.batch";
  batch.name = "batch";
  SECTION("row by row") {
    site.reply("sacct0", requeued.text() + requeued.text() + last + last + batch.text() +
                             batch.text());
  }
  SECTION("all of them again") {
    const auto all = requeued.text() + last + batch.text();
    site.reply("sacct0", all + all);
  }
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(end.usage->wall_clock_seconds() == 600);
  CHECK(end.usage->cpu_time_us() == 21'000'000);
}
