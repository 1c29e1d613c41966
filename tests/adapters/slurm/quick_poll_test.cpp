#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "tests/adapters/slurm/poll.hpp"

/// A quick poll leaves accounting alone while there are jobs to wait for.
namespace ved::tests {
namespace {

using namespace adapters;
using namespace poll;

const std::string other_token = "vebbbbbbbbbbbb";

/// Job 41 is what the tests speak of, job 42 runs until told otherwise.
class two_jobs {
 public:
  scripted_site site;

  void show(const queue_line& first, const std::string& other_state = "RUNNING") {
    auto other = row(other_state);
    if (other_state == "COMPLETED") other = ended_row(other_state);
    other.id = "42";
    other.name = other_token;
    site.reply("squeue", first.text() + other.text());
  }
  poll_result poll(poll_kind kind) {
    asked_before_ = asked();
    auto seen = site.port->observe(jobs_, kind, scripted_site::until());
    REQUIRE(seen);
    REQUIRE(seen->observations.size() == 2);
    return *seen;
  }
  bool asked_accounting() const { return asked() > asked_before_; }

 private:
  std::ptrdiff_t asked() const {
    const auto& all = site.way->asked;
    return std::count(all.begin(), all.end(), "sacct0");
  }

  const std::vector<tracked_job> jobs_{job(), job("42", other_token)};
  std::ptrdiff_t asked_before_ = 0;
};

const job_status& first_of(const poll_result& seen) {
  return std::get<job_status>(seen.observations.at(0));
}

}  // namespace

TEST_CASE("slurm quick poll: it leaves an ended job as it was, the full one asks for its accounts",
          "[adapters][slurm]") {
  two_jobs here;
  here.show(row("PENDING", "Priority"));
  CHECK(first_of(here.poll(poll_kind::full)).state == pb::JOB_STATE_QUEUED);
  here.site.reply("sacct0", account("COMPLETED").text());
  SECTION("ended") { here.show(ended_row("COMPLETED")); }
  SECTION("being cleaned up") { here.show(row("COMPLETING")); }
  const auto quick = here.poll(poll_kind::quick);
  CHECK_FALSE(here.asked_accounting());
  CHECK(quick.settling == 1);
  CHECK(first_of(quick).state == pb::JOB_STATE_QUEUED);
  CHECK(first_of(quick).reason == first_of(here.poll(poll_kind::quick)).reason);
  const auto full = here.poll(poll_kind::full);
  CHECK(here.asked_accounting());
  CHECK(full.settling == 0);
  CHECK(first_of(full).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("slurm quick poll: a job that it sees first when it has ended runs, if it had nodes",
          "[adapters][slurm]") {
  two_jobs here;
  auto line = ended_row("COMPLETED");
  bool had_nodes = true;
  SECTION("ended") {}
  SECTION("being cleaned up") { line = row("COMPLETING"); }
  SECTION("cancelled before it had nodes") {
    line = ended_row("CANCELLED");
    line.nodes = "";
    had_nodes = false;
  }
  here.show(line);
  for (int i = 0; i < 2; ++i) {
    const auto seen = here.poll(poll_kind::quick);
    if (had_nodes) {
      CHECK(first_of(seen).state == pb::JOB_STATE_RUNNING);
      CHECK(is_set(first_of(seen).started_at));
    } else {
      CHECK(std::holds_alternative<no_news>(seen.observations.at(0)));
    }
    CHECK(seen.settling == 1);
  }
  CHECK_FALSE(here.asked_accounting());
}

TEST_CASE("slurm quick poll: what a full one has shown running does not wait again",
          "[adapters][slurm]") {
  two_jobs here;
  here.show(row("PENDING", "Priority"));
  CHECK(first_of(here.poll(poll_kind::full)).state == pb::JOB_STATE_QUEUED);
  here.show(ended_row("COMPLETED"));  // accounting is late
  CHECK(first_of(here.poll(poll_kind::full)).state == pb::JOB_STATE_RUNNING);
  CHECK(first_of(here.poll(poll_kind::quick)).state == pb::JOB_STATE_RUNNING);
  CHECK(first_of(here.poll(poll_kind::full)).state == pb::JOB_STATE_RUNNING);
}

TEST_CASE("slurm quick poll: it asks accounting when nothing is left to wait for",
          "[adapters][slurm]") {
  two_jobs here;
  here.show(ended_row("COMPLETED"), "COMPLETED");
  here.site.reply("sacct0", account("COMPLETED").text());
  CHECK(first_of(here.poll(poll_kind::quick)).state == pb::JOB_STATE_COMPLETED);
  CHECK(here.asked_accounting());
}

TEST_CASE("slurm quick poll: it asks accounting for a job that squeue does not show, and no other",
          "[adapters][slurm]") {
  scripted_site site;
  auto ended = ended_row("COMPLETED");
  ended.id = "42";
  auto live = row("RUNNING");
  live.id = "43";
  site.reply("squeue", ended.text() + live.text());
  const std::vector<tracked_job> jobs{job("41"), job("42"), job("43")};
  const auto seen = site.port->observe(jobs, poll_kind::quick, scripted_site::until());
  REQUIRE(seen);
  CHECK(seen->settling == 1);
  const auto& asked = site.way->programs.back();
  CHECK(contains(asked, "-j '41'"));
}

TEST_CASE("slurm quick poll: accounting has its time from when it was first asked",
          "[adapters][slurm]") {
  two_jobs here;
  here.show(ended_row("COMPLETED"));
  here.poll(poll_kind::quick);
  here.site.now += seconds{60};
  CHECK(here.poll(poll_kind::quick).settling == 1);
  CHECK(here.poll(poll_kind::full).settling == 1);
  SECTION("and again after it was requeued") {
    here.site.now += seconds{10};
    here.show(row("RUNNING"));
    here.poll(poll_kind::full);
    here.show(ended_row("COMPLETED"));
    CHECK(here.poll(poll_kind::full).settling == 1);
  }
  SECTION("once") {}
  here.site.now += milliseconds{14'999};
  CHECK(here.poll(poll_kind::full).settling == 1);
  here.site.now += milliseconds{1};
  const auto seen = here.poll(poll_kind::full);
  CHECK(seen.settling == 0);
  CHECK(first_of(seen).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("slurm quick poll: without accounting it tells an end at once", "[adapters][slurm]") {
  two_jobs here;
  here.show(row("RUNNING"));
  here.site.disable_accounting();
  here.show(ended_row("COMPLETED"));
  here.poll(poll_kind::full);
  CHECK(first_of(here.poll(poll_kind::quick)).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("slurm poll: a job that was cancelled before it had nodes never runs",
          "[adapters][slurm]") {
  two_jobs here;
  here.show(row("PENDING", "Priority"));
  here.poll(poll_kind::full);
  auto cancelled = ended_row("CANCELLED");
  cancelled.nodes = "";
  here.show(cancelled);
  const auto waits = here.poll(poll_kind::full);
  CHECK(waits.settling == 1);
  CHECK(first_of(waits).state == pb::JOB_STATE_QUEUED);
  here.site.now += seconds{15};
  const auto end = first_of(here.poll(poll_kind::full));
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  CHECK_FALSE(is_set(end.started_at));
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 0);
}

}  // namespace ved::tests
