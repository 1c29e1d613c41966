#include "tools/vectl/render.hpp"

#include <catch2/catch.hpp>
#include <sstream>

using namespace vectl;
namespace pb = ved::pb;

namespace {

constexpr std::int64_t second = 1'000'000;
const std::int64_t start = 1'768'478'400 * second;  // 2026-01-15T12:00:00Z
const ved::time_point now = ved::from_us(start + 60 * second);

pb::Job running_job() {
  pb::Job job;
  job.set_job_id("j-17");
  job.set_state(pb::JOB_STATE_RUNNING);
  job.set_phase("running");
  job.set_cluster_id("c1");
  job.set_queue_name("batch");
  job.set_scheduler_job_id("4711");
  job.set_accepted_at_us(start);
  job.set_started_at_us(start + 30 * second);
  job.set_max_runtime_seconds(60);
  job.set_version(5);
  return job;
}

pb::ClusterHealth well(const std::string& id) {
  pb::ClusterHealth cluster;
  cluster.set_cluster_id(id);
  cluster.set_scheduler_type("slurm");
  cluster.set_last_poll_at_us(1'705'312'800 * second);
  cluster.set_active_jobs(15);
  return cluster;
}

}  // namespace

TEST_CASE("vectl health: one cluster prints what the operations guide shows, and no report count",
          "[tools][vectl]") {
  pb::HealthReport report;
  *report.add_clusters() = well("hpc");
  CHECK(render_health(report, {}) ==
        "Scheduler Type: SLURM\n"
        "Connection: OK\n"
        "Authentication: OK\n"
        "Queue Access: OK\n"
        "Last Job Poll: 2024-01-15T10:00:00Z\n"
        "Active Jobs: 15\n");
  CHECK(healthy(report));
}

TEST_CASE("vectl health: several clusters are told apart, and one problem is not well",
          "[tools][vectl]") {
  pb::HealthReport report;
  *report.add_clusters() = well("a");
  *report.add_clusters() = well("b");
  report.mutable_clusters(1)->set_authentication("munge: socket missing\x1b[2J");
  report.mutable_clusters(1)->set_last_poll_at_us(0);
  const auto text = render_health(report, {});
  CHECK_THAT(text, Catch::StartsWith("Cluster: a\nScheduler Type: SLURM\n"));
  CHECK_THAT(text, Catch::Contains("\n\nCluster: b\n"));
  CHECK_THAT(text, Catch::Contains("Authentication: FAILED (munge: socket missing?[2J)\n"));
  CHECK_THAT(text, Catch::Contains("Last Job Poll: never\n"));
  CHECK_FALSE(healthy(report));
}

TEST_CASE("vectl health: a repeated answer has its age, and an idle cluster needs no poll",
          "[tools][vectl]") {
  pb::HealthReport report;
  *report.add_clusters() = well("hpc");
  auto& cluster = *report.mutable_clusters(0);
  cluster.set_checked_at_us(60'000'000);
  const auto then = ved::from_us(69'000'000);
  CHECK_THAT(render_health(report, {}, then), Catch::Contains("Checked: 9s ago\n"));
  cluster.set_last_poll_at_us(0);
  CHECK_THAT(render_health(report, {}, then), Catch::Contains("Last Job Poll: never\n"));
  cluster.set_active_jobs(0);
  CHECK_THAT(render_health(report, {}, then),
             Catch::Contains("Last Job Poll: none, no job is followed\n"));
}

TEST_CASE("vectl health: what is missing, but no job needs, is named and is no failure",
          "[tools][vectl]") {
  pb::HealthReport report;
  *report.add_clusters() = well("hpc");
  report.mutable_clusters(0)->add_notes("sinfo: Access/permission denied");
  CHECK_THAT(render_health(report, {}),
             Catch::Contains("\nMissing, no job needs it: sinfo: Access/permission denied\n"));
  CHECK(healthy(report));
}

TEST_CASE("vectl cluster: a figure that the scheduler does not tell is no zero",
          "[tools][vectl]") {
  pb::Cluster cluster;
  CHECK_THAT(render_cluster(cluster, now, {}), !Catch::Contains("0 running"));
  cluster.set_gpus_total(4);
  cluster.add_notes("sinfo: no answer");
  const auto text = render_cluster(cluster, now, {});
  CHECK_THAT(text, Catch::Contains("?/4"));
  CHECK_THAT(text, Catch::Contains("sinfo: no answer"));
}

TEST_CASE("vectl jobs: the table shows state, phase and reason", "[tools][vectl]") {
  pb::JobList jobs;
  CHECK(render_jobs(jobs, now, {}) == "no jobs\n");
  *jobs.add_jobs() = running_job();
  auto& held = *jobs.add_jobs();
  held = running_job();
  held.set_job_id("j-18");
  held.set_state(pb::JOB_STATE_PENDING);
  held.set_phase("held");
  held.set_started_at_us(0);
  held.set_reason("retries are used up: connection refused");
  std::istringstream lines(render_jobs(jobs, now, {}));
  std::string head, first, second_line;
  std::getline(lines, head);
  std::getline(lines, first);
  std::getline(lines, second_line);
  CHECK_THAT(head, Catch::StartsWith("JOB   STATE           CLUSTER  QUEUE"));
  CHECK_THAT(first, Catch::StartsWith("j-17  running         c1       batch"));
  CHECK_THAT(first, Catch::EndsWith("30s"));
  CHECK_THAT(second_line, Catch::StartsWith("j-18  pending (held)  c1       batch"));
  CHECK_THAT(second_line, Catch::EndsWith("-         retries are used up: connection refused"));
}

TEST_CASE("vectl watch: a bar against the time limit, never wider than the terminal",
          "[tools][vectl]") {
  style look;
  look.width = 60;
  CHECK(render_watch(running_job(), now, look) ==
        "j-17  running on c1, scheduler job 4711\n"
        "[#################------------------]  30s of at most 1m 00s\n");
  look.unicode = true;
  look.width = 46;
  std::istringstream lines(render_watch(running_job(), now, look));
  for (std::string line; std::getline(lines, line);) CHECK(columns_of(line) <= 46);
}

TEST_CASE("vectl watch: a waiting job shows how long and why", "[tools][vectl]") {
  auto job = running_job();
  job.set_state(pb::JOB_STATE_QUEUED);
  job.set_phase("queued");
  job.set_started_at_us(0);
  job.set_reason("Priority");
  CHECK(render_watch(job, now, {}) ==
        "j-17  queued on c1, scheduler job 4711\nwaiting for 1m 00s: Priority\n");
}

TEST_CASE("vectl watch: the end names state, time and reason", "[tools][vectl]") {
  auto job = running_job();
  job.set_state(pb::JOB_STATE_FAILED);
  job.set_finished_at_us(start + 42 * second);
  job.set_exit_signal(9);
  CHECK(render_end(job, {}) == "job j-17 failed after 12s: signal 9\n");
  job.set_reason("out of memory");
  CHECK(render_end(job, {}) == "job j-17 failed after 12s: out of memory\n");
  job.set_state(pb::JOB_STATE_COMPLETED);
  job.clear_reason();
  CHECK(render_end(job, {}) == "job j-17 completed after 12s\n");
}

TEST_CASE("vectl explain: summary, what comes next, and the way there", "[tools][vectl]") {
  pb::Explanation why;
  why.set_job_id("j-17");
  *why.mutable_job() = running_job();
  why.set_summary("running: since 12:00:30");
  why.add_next("it ends at its limit");
  auto& step = *why.add_steps();
  step.set_at_us(start);
  step.set_text("accepted");
  step.set_principal("alice");
  const auto text = render_explanation(why, {});
  CHECK_THAT(text, Catch::StartsWith("j-17  running\nrunning: since 12:00:30\n\nWhat happens next\n"
                                     "  - it ends at its limit\n\nHow it came here\n"));
  CHECK_THAT(text, Catch::EndsWith("  accepted  [alice]\n"));
}

TEST_CASE("vectl events: those of daemon and clusters have words too", "[tools][vectl]") {
  pb::Envelope event;
  event.set_position(9);
  event.set_version(1);
  event.set_stream("daemon");
  event.set_recorded_at_us(start);
  event.set_principal("ved");
  event.mutable_daemon()->mutable_started()->set_ved_version("1.0");
  event.mutable_daemon()->mutable_started()->set_pid(42);
  event.mutable_daemon()->mutable_started()->set_live_jobs(3);
  CHECK_THAT(render_event(event, true, {}),
             Catch::EndsWith("  9  daemon  ved 1.0 started with 3 live jobs, process 42\n"));
  event.mutable_cluster()->mutable_down()->set_reason("ssh: no route");
  CHECK_THAT(render_event(event, true, {}),
             Catch::EndsWith("the cluster stopped answering: ssh: no route\n"));
}

TEST_CASE("vectl clusters: a cluster that is down says why", "[tools][vectl]") {
  pb::ClusterList clusters;
  CHECK(render_clusters(clusters, now, {}) == "no clusters are configured\n");
  auto& cluster = *clusters.add_clusters();
  cluster.set_cluster_id("c1");
  cluster.set_scheduler_type("slurm");
  cluster.set_breaker("open");
  cluster.set_reason("connection refused");
  cluster.set_last_poll_at_us(start);
  CHECK_THAT(render_clusters(clusters, now, {}), Catch::Contains("down"));
  const auto text = render_cluster(cluster, now, {});
  CHECK_THAT(text, Catch::Contains("Circuit breaker:      open\n"));
  CHECK_THAT(text, Catch::Contains("Last failure:         connection refused\n"));
  CHECK_THAT(text, Catch::Contains("Last poll:            1m 00s ago\n"));
}

TEST_CASE("vectl clusters: figures bear the time when they were observed", "[tools][vectl]") {
  pb::ClusterList clusters;
  auto& cluster = *clusters.add_clusters();
  cluster.set_cpus_total(8);
  CHECK_THAT(render_cluster(cluster, now, {}), Catch::Contains("Observed:             never\n"));
  cluster.set_inventory_at_us(start);
  cluster.set_last_answer_at_us(ved::to_us(now));
  CHECK_THAT(render_clusters(clusters, now, {}), Catch::Contains("1m 00s ago"));
  CHECK_THAT(render_cluster(cluster, now, {}),
             Catch::Contains("Observed:             1m 00s ago, what follows\n"));
}

TEST_CASE("vectl log: a verification that failed names the first problem", "[tools][vectl]") {
  pb::LogVerification seen;
  seen.set_ok(false);
  seen.set_events(12);
  seen.set_first_problem("position 7: hash does not match");
  const auto text = render_verification(seen, {});
  CHECK_THAT(text, Catch::Contains("CORRUPT"));
  CHECK_THAT(text, Catch::Contains("position 7: hash does not match"));
}
