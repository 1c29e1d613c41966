#include "tests/adapters/slurm/poll.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

// A hold or the like that Slurm took, and that squeue does not show.
namespace {

constexpr std::int64_t told_at = 1'799'999'000;  // the site's clock and ours are one

std::string config(std::int64_t booted_at, const std::string& name = "east") {
  return "Configuration data as of 2026-11-29T04:00:00\nBOOT_TIME               = " +
         std::to_string(booted_at) + "\nClusterName             = " + name +
         "\nSLURM_VERSION           = 22.05.8\n";
}

struct told_site : scripted_site {
  tracked_job what = job();

  explicit told_site(pb::JobControl control) {
    what.taken = control;
    what.taken_at = time_point{seconds{told_at}};
    booted(told_at + 60);
  }
  void booted(std::int64_t at) { reply("config", config(at)); }
  undoing told(const std::string& state, const std::string& reason,
               const std::string& priority = "1") {
    auto shown = row(state, reason);
    shown.priority = priority;
    reply("squeue", shown.text());
    return status(*this, what).undone;
  }
};

}  // namespace

TEST_CASE("slurm poll: a hold is lost when the controller that lacks it started after it",
          "[adapters][slurm]") {
  told_site site(pb::JOB_CONTROL_HOLD);
  CHECK(site.told("PENDING", "Resources") == undoing::by_loss);
  site.booted(told_at - 3600);
  CHECK(site.told("PENDING", "Resources") == undoing::by_somebody);
  site.reply("config", config(0));
  CHECK(site.told("PENDING", "Resources") == undoing::by_somebody);
  SECTION("not when it has shown it since") {
    site.booted(told_at + 60);
    site.now += seconds{100};
    CHECK(site.told("PENDING", "JobHeldUser", "0") == undoing::none);
    CHECK(site.told("PENDING", "Resources") == undoing::by_somebody);
    site.booted(1'800'000'200);
    CHECK(site.told("PENDING", "Resources") == undoing::by_loss);
  }
  SECTION("not when another reason hides it") {
    CHECK(site.told("PENDING", "Dependency", "0") == undoing::none);
  }
  SECTION("not when it runs by now") {
    CHECK(site.told("RUNNING", "None") == undoing::none);
    CHECK(site.told("RUNNING", "JobHeldUser", "0") == undoing::none);
  }
  SECTION("not as long as the controller does not answer") {
    site.fails("config", no_controller);
    CHECK(site.told("PENDING", "Resources") == undoing::none);
    site.booted(told_at + 60);
    CHECK(site.told("PENDING", "Resources") == undoing::by_loss);
  }
  SECTION("not when it is not told whether anybody holds it") {
    CHECK(site.told("PENDING", "Resources", "N/A") == undoing::none);
  }
  SECTION("not when nobody asked for one") {
    site.what.taken = pb::JOB_CONTROL_UNSPECIFIED;
    const auto before = site.commands["scontrol"];
    CHECK(site.told("PENDING", "Resources") == undoing::none);
    CHECK(site.commands["scontrol"] == before);
  }
}

TEST_CASE("slurm poll: a release is lost when our own hold is there again after a start",
          "[adapters][slurm]") {
  told_site site(pb::JOB_CONTROL_RELEASE);
  CHECK(site.told("PENDING", "JobHeldUser", "0") == undoing::by_loss);
  SECTION("somebody else's hold is no business of ours") {
    const auto asked = site.commands["scontrol"];
    CHECK(site.told("PENDING", "JobHeldAdmin", "0") == undoing::none);
    CHECK(site.told("PENDING", "launch failed requeued held", "0") == undoing::none);
    CHECK(site.commands["scontrol"] == asked);
  }
  SECTION("nor is one by hand") {
    site.booted(told_at - 3600);
    CHECK(site.told("PENDING", "JobHeldUser", "0") == undoing::by_somebody);
  }
  SECTION("nor one by hand after a start that did not lose it") {
    CHECK(site.told("PENDING", "Resources") == undoing::none);
    CHECK(site.told("PENDING", "JobHeldUser", "0") == undoing::by_somebody);
  }
  SECTION("where the account is an administrator's, ours looks like that") {
    site.what.taken = pb::JOB_CONTROL_HOLD;
    CHECK(site.told("PENDING", "JobHeldAdmin", "0") == undoing::none);
    site.what.taken = pb::JOB_CONTROL_RELEASE;
    site.booted(1'800'000'100);
    CHECK(site.told("PENDING", "JobHeldAdmin", "0") == undoing::by_loss);
  }
}

TEST_CASE("slurm poll: what is lost of a suspend or a resume is told, too", "[adapters][slurm]") {
  const bool suspends = GENERATE(true, false);
  told_site site(suspends ? pb::JOB_CONTROL_SUSPEND : pb::JOB_CONTROL_RESUME);
  const std::string wanted = suspends ? "SUSPENDED" : "RUNNING";
  const std::string other = suspends ? "RUNNING" : "SUSPENDED";
  CHECK(site.told(other, "None") == undoing::by_loss);
  CHECK(site.told(wanted, "None") == undoing::none);
  CHECK(site.told(other, "None") == undoing::by_somebody);
}

TEST_CASE("slurm poll: that a control was undone is told once, not remembered",
          "[adapters][slurm]") {
  told_site site(pb::JOB_CONTROL_HOLD);
  CHECK(site.told("PENDING", "Resources") == undoing::by_loss);
  site.reply("squeue", row("SOMETHING_NEW").text());
  CHECK(status(site, site.what).undone == undoing::none);
}

TEST_CASE("slurm poll: however many controls were undone, one question tells why",
          "[adapters][slurm]") {
  told_site site(pb::JOB_CONTROL_HOLD);
  const bool undone = GENERATE(true, false);
  std::vector<tracked_job> all;
  std::string rows;
  for (int i = 0; i < 30; ++i) {
    auto shown = row("PENDING", "Dependency");
    shown.id = std::to_string(100 + i);
    shown.name = token + std::to_string(i);
    shown.priority = undone ? "1" : "0";
    rows += shown.text();
    all.push_back(job(shown.id, shown.name));
    all.back().taken = site.what.taken;
    all.back().taken_at = site.what.taken_at;
  }
  site.reply("squeue", rows);
  const auto seen = site.port->observe(all, poll_kind::full, scripted_site::until());
  REQUIRE(seen);
  for (const auto& one : seen->observations)
    CHECK(as<job_status>(one).undone == (undone ? undoing::by_loss : undoing::none));
  CHECK(site.commands["squeue"] == 1);
  CHECK(site.commands["scontrol"] == (undone ? 1 : 0));
}
