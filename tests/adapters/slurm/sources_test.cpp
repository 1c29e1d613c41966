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
  site.reply("sacct0", account("FAILED", GENERATE("0:53", "0:52")).text());
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
