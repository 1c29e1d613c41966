#include <stdio.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "runtime/followers/followers.hpp"
#include "runtime/metrics/metrics.hpp"
#include "runtime/metrics/metrics_consumer.hpp"
#include "tests/runtime/followers_support.hpp"
#include "tests/support/golden_events.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::runtime;
using tests::completed_job;
using tests::driver;
using tests::sample_spec;
using tests::test_log;
using sub = tests::job::submission_result;

namespace {

pb::Status status() {
  pb::Status now;
  now.set_status("degraded");
  now.set_log_position(42);
  now.add_problems("cluster hpc-1 is down");
  auto& c = *now.add_clusters();
  c.set_cluster_id("hpc-1");
  c.set_breaker("open");
  c.set_queries(7);
  c.set_submissions_waiting(3);
  c.set_last_poll_at_us(1'768'471'200'000'000);
  c.set_inventory_at_us(to_us(tests::t0 - seconds{3'600}));
  auto& audit = *now.add_followers();
  audit.set_name("audit");
  audit.set_log("cluster/hpc-1");
  audit.set_position(17);
  audit.set_behind(25);
  audit.set_failing_since_us(to_us(tests::t0 - seconds{40}));
  auto& hook = *now.add_followers();
  hook.set_name("hook/site");
  hook.set_log("cluster/hpc-1");
  hook.set_waiting(4);
  hook.set_oldest_at_us(to_us(tests::t0 - seconds{90}));
  return now;
}

metrics::sources sources() {
  metrics::sources from;
  from.version = "1.2";
  from.started_at = tests::t0;
  from.clusters = {cluster_id{"hpc-1"}};
  from.log_bytes = [] { return 1000; };
  from.disk_free_bytes = [] { return 2000; };
  from.now = [] { return tests::t0; };
  from.clock_offset = [] { return microseconds{-2'500'000}; };
  from.damaged_reads = [] { return std::map<std::string, std::uint64_t>{{"index", 3}}; };
  from.certificates = [] {
    return std::vector<std::pair<std::string, time_point>>{{"server", tests::t0 + seconds{86'400}}};
  };
  return from;
}

/// The value of a series as it stands in the text; -1 when there is none.
double value(const std::string& text, const std::string& series) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(series + " ")) return std::stod(line.substr(series.size() + 1));
  return -1;
}

/// Takes everything of the log into `numbers`, as its follower would from position `from`.
void take_all(const test_log& world, metrics_consumer& reader, std::uint64_t from = 0) {
  job_tracker tracker(*world.log);
  committed_batch all;
  auto events = *world.log->read(from, 10'000);
  for (auto& event : events)
    all.push_back(std::make_shared<const committed>(*to_committed(std::move(event), tracker)));
  if (!all.empty()) REQUIRE(reader.take(all));
}

std::string all_of(const test_log& world) {
  const auto numbers = std::make_shared<metrics>(sources());
  metrics_consumer reader(world.log, numbers);
  take_all(world, reader);
  return numbers->text(status());
}

}  // namespace

TEST_CASE("metrics: the guide's names are there from the start", "[runtime][metrics]") {
  const metrics numbers(sources());
  const auto text = numbers.text(status());
  for (const char* series :
       {R"(hpc_jobs_submitted_total{cluster="hpc-1"})",
        R"(hpc_jobs_completed_total{cluster="hpc-1"})", R"(hpc_jobs_failed_total{cluster="hpc-1"})",
        R"(hpc_job_duration_seconds_count{cluster="hpc-1"})",
        R"(hpc_scheduler_poll_duration_seconds_count{cluster="hpc-1"})",
        R"(hpc_scheduler_connected{cluster="hpc-1"})",
        R"(hpc_jobs{cluster="hpc-1",state="running"})"})
    CHECK(value(text, series) == 0);
  CHECK(value(text, R"(hpc_scheduler_breaker_state{cluster="hpc-1",state="open"})") == 1);
  CHECK(value(text, R"(hpc_scheduler_breaker_state{cluster="hpc-1",state="closed"})") == 0);
  CHECK(value(text, R"(hpc_scheduler_queries_total{cluster="hpc-1"})") == 7);
  CHECK(value(text, R"(hpc_submissions_waiting{cluster="hpc-1"})") == 3);
  CHECK(value(text, R"(hpc_cluster_inventory_age_seconds{cluster="hpc-1"})") == 3'600);
  CHECK(value(text, R"(ved_status{status="degraded"})") == 1);
  CHECK(value(text, "ved_log_events_total") == 42);
  CHECK(value(text, "ved_log_size_bytes") == 1000);
  CHECK(value(text, "ved_state_disk_free_bytes") == 2000);
  CHECK(value(text, R"(ved_build_info{version="1.2"})") == 1);
  CHECK(value(text, "process_start_time_seconds") == 1'768'471'200);
}

TEST_CASE("metrics: what nothing counts yet is absent, not zero", "[runtime][metrics]") {
  const metrics numbers(sources());
  const auto text = numbers.text(status());
  CHECK_THAT(text, !Catch::Contains("hpc_usage_reports_sent_total"));
  CHECK_THAT(text, !Catch::Contains("hpc_pending_usage_reports"));
}

TEST_CASE("metrics: a figure that the scheduler does not tell has no series",
          "[runtime][metrics]") {
  const metrics numbers(sources());
  auto now = status();
  now.mutable_clusters(0)->set_gpus_total(4);
  now.mutable_clusters(0)->set_jobs_running(0);
  const auto text = numbers.text(now);
  CHECK(value(text, R"(hpc_cluster_gpus{cluster="hpc-1"})") == 4);
  CHECK(value(text, R"(hpc_cluster_jobs{cluster="hpc-1",state="running"})") == 0);
  CHECK(value(text, R"(hpc_cluster_gpus_allocated{cluster="hpc-1"})") == -1);
  CHECK(value(text, R"(hpc_cluster_jobs{cluster="hpc-1",state="queued"})") == -1);
}

TEST_CASE("metrics: live jobs of a cluster that is not configured are known",
          "[runtime][metrics]") {
  test_log world;
  auto spec = tests::sample_spec("j-1");
  spec.set_cluster_id("gone");
  tests::driver left(spec);
  world.add(left);
  world.add(tests::driver(tests::sample_spec("j-2")));
  const auto numbers = std::make_shared<metrics>(sources());
  metrics_consumer reader(world.log, numbers);
  REQUIRE(reader.begin());
  CHECK(numbers->unfollowed_jobs() == std::map<std::string, std::uint64_t>{{"gone", 1}});
  const auto before = world.log->last_position();
  left.submission(tests::job::submission_result::refused_permanent, "no such queue");
  world.add_again("job/j-1", left.log[left.log.size() - 2]);
  world.add_again("job/j-1", left.log.back());
  take_all(world, reader, before);
  CHECK(numbers->unfollowed_jobs().empty());
}

TEST_CASE("metrics: events of jobs are counted by what they mean", "[runtime][metrics]") {
  test_log world;
  world.begin();
  world.add(completed_job("j-1"));
  driver refused(sample_spec("j-2"));
  refused.submission(sub::refused_permanent, "invalid partition");
  world.add(refused);
  driver lost(sample_spec("j-3"));
  lost.submission(sub::unknown, "cut");
  lost.pass(seconds{30}).lookup(tests::job::lookup_result::absent);
  lost.pass(seconds{5})
      .lookup(tests::job::lookup_result::found, {scheduler_job_id{"17"}, scheduler_job_id{"18"}});
  CHECK(lost.missing(false) == "went_missing");
  CHECK(lost.pass(seconds{1000}).run(tests::job::report_missing{lost.state.scheduler_id, false,
                                                               "another reason"}) ==
        "went_missing");
  world.add(lost);
  driver held(sample_spec("j-4"));
  while (held.phase() != "held") {
    held.submission(sub::not_sent, "connection refused");
    held.pass(seconds{40}).run(tests::job::advance{});
  }
  world.add(held);
  world.add("cluster/hpc-1", [](auto& e) {
    e.mutable_cluster()->mutable_down()->set_cluster_id("hpc-1");
  });
  world.add("hook/site", [](auto& e) {
    e.mutable_hook()->mutable_delivered()->set_hook("site");
    e.mutable_hook()->mutable_delivered()->set_attempts(3);
  });

  const auto text = all_of(world);
  const auto of = [&](const std::string& name, const std::string& more = "") {
    return value(text, name + "{cluster=\"hpc-1\"" + more + "}");
  };
  CHECK(of("hpc_jobs_submitted_total") == 4);
  CHECK(of("hpc_jobs_completed_total") == 1);
  CHECK(of("hpc_jobs_failed_total") == 1);
  CHECK(of("hpc_jobs_held_total") == 1);
  CHECK(of("hpc_submissions_total", R"(,outcome="accepted")") == 1);
  CHECK(of("hpc_submissions_total", R"(,outcome="adopted")") == 1);
  CHECK(of("hpc_submissions_total", R"(,outcome="refused_permanent")") == 1);
  CHECK(of("hpc_submissions_total", R"(,outcome="not_sent")") == 4);
  CHECK(of("hpc_submissions_total", R"(,outcome="unresolved")") == 1);
  CHECK(of("hpc_submission_lookups_total", R"(,result="absent")") == 1);
  CHECK(of("hpc_submission_lookups_total", R"(,result="found")") == 1);
  CHECK(of("hpc_duplicates_found_total") == 1);
  CHECK(of("hpc_jobs_missing_total") == 1);
  CHECK(of("hpc_job_duration_seconds_count") == 1);
  CHECK(of("hpc_job_duration_seconds_sum") == 1);
  CHECK(of("hpc_job_wait_seconds_sum") == 2);
  CHECK(of("hpc_scheduler_outages_total") == 1);
  CHECK(of("hpc_jobs", R"(,state="pending")") == 1);
  CHECK(of("hpc_jobs", R"(,state="queued")") == 1);
  CHECK(of("hpc_held_jobs") == 1);
  CHECK(value(text, R"(ved_hook_deliveries_total{hook="site",result="given_up"})") == 1);
  CHECK(value(text, R"(ved_hook_attempts_total{hook="site"})") == 3);
}

TEST_CASE("metrics: live jobs are counted right, wherever the log was when the count began",
          "[runtime][metrics]") {
  // j-1 ends, j-2 goes on, j-3 and j-4 come: before, during or after the count.
  test_log world;
  world.begin();
  driver one(sample_spec("j-1"));
  one.submission(sub::accepted, "1");
  driver two(sample_spec("j-2"));
  two.submission(sub::accepted, "2");
  driver three(sample_spec("j-3"));
  driver four(sample_spec("j-4"));
  std::vector<std::function<void()>> happenings{
      [&] { world.add(one); },
      [&] { world.add(two); },
      [&] { world.add(three); },
      [&] { one.status(pb::JOB_STATE_COMPLETED), world.add(one); },
      [&] { two.status(pb::JOB_STATE_RUNNING), world.add(two); },
      [&] { world.add(four); },
      [&] { four.submission(sub::refused_permanent, "no"), world.add(four); }};
  const auto follows_from = GENERATE(range(std::size_t{0}, std::size_t{8}));
  const auto counts_at = GENERATE(range(std::size_t{0}, std::size_t{8}));
  if (counts_at < follows_from) return;

  const auto numbers = std::make_shared<metrics>(sources());
  metrics_consumer reader(world.log, numbers);
  std::uint64_t from = world.log->last_position();
  for (std::size_t i = 0; i <= happenings.size(); ++i) {
    if (i == follows_from) from = world.log->last_position();
    if (i == counts_at) REQUIRE(reader.begin());
    if (i < happenings.size()) happenings[i]();
  }
  take_all(world, reader, from);
  const auto text = numbers->text(status());
  CAPTURE(follows_from, counts_at);
  CHECK(value(text, R"(hpc_jobs{cluster="hpc-1",state="pending"})") == 1);
  CHECK(value(text, R"(hpc_jobs{cluster="hpc-1",state="queued"})") == 0);
  CHECK(value(text, R"(hpc_jobs{cluster="hpc-1",state="running"})") == 1);
}

TEST_CASE("metrics: what the daemon's parts report shows", "[runtime][metrics]") {
  metrics numbers(sources());
  numbers.poll_took(cluster_id{"hpc-1"}, milliseconds{30});
  numbers.actor_restarted("link");
  numbers.http_request("/api/v1/hpc/jobs", "POST", 201, milliseconds{3});
  numbers.http_request("other", "BREW", 405, milliseconds{1});
  numbers.watch_http([] { return http_counts{.connections = 5}; });
  numbers.committed();
  numbers.hook_failed("site");
  const auto text = numbers.text(status());
  CHECK(value(text, R"(hpc_scheduler_poll_duration_seconds_bucket{cluster="hpc-1",le="0.05"})") ==
        1);
  CHECK(value(text, R"(hpc_scheduler_poll_duration_seconds_bucket{cluster="hpc-1",le="0.025"})") ==
        0);
  CHECK(value(text, R"(ved_actor_restarts_total{actor="link"})") == 1);
  CHECK(value(text,
              R"(ved_http_requests_total{method="POST",route="/api/v1/hpc/jobs",status="201"})") ==
        1);
  CHECK(value(text, R"(ved_http_requests_total{method="other",route="other",status="405"})") == 1);
  CHECK(value(text, "ved_http_connections") == 5);
  CHECK(value(text, "ved_log_commits_total") == 1);
  const auto of_follower = [&](const char* what, const char* name) {
    return value(text, std::string("ved_follower_") + what + R"({follower=")" + name +
                           R"(",log="cluster/hpc-1"})");
  };
  CHECK(of_follower("position", "audit") == 17);
  CHECK(of_follower("behind_events", "audit") == 25);
  CHECK(of_follower("failing_seconds", "audit") == 40);
  CHECK(of_follower("failing_seconds", "hook/site") == 0);
  CHECK(value(text, R"(ved_hook_waiting{hook="site",log="cluster/hpc-1"})") == 4);
  CHECK(value(text, R"(ved_hook_oldest_age_seconds{hook="site",log="cluster/hpc-1"})") == 90);
  CHECK(value(text, R"(ved_hook_failures_total{hook="site"})") == 1);
  CHECK(value(text, R"(ved_certificate_expiry_seconds{certificate="server"})") == 86'400);
  CHECK(value(text, "ved_clock_offset_seconds") == -2.5);
  CHECK(value(text, R"(ved_log_damaged_reads_total{table="index"})") == 3);
}

TEST_CASE("metrics: without an answer of the actors their series are missing, not zero",
          "[runtime][metrics]") {
  const metrics numbers(sources());
  const auto text = numbers.text({});
  CHECK(value(text, "ved_log_events_total") == -1);
  CHECK(value(text, "ved_problems") == -1);
  CHECK(value(text, "process_start_time_seconds") == 1'768'471'200);
  CHECK(value(text, R"(hpc_jobs{cluster="hpc-1",state="running"})") == 0);
}

TEST_CASE("metrics: the running followers count a job as it goes", "[runtime][metrics]") {
  test_log world;
  world.begin();
  driver old(sample_spec("old"));
  world.add(old);
  config settings;
  settings.hpc.audit.enabled = false;
  const auto numbers = std::make_shared<metrics>(sources());
  const auto before = world.log->last_position();
  auto all = followers::start({settings, {world.followed()}, world.logs, numbers,
                               [] { return tests::t0; }, "instance"});
  REQUIRE(all);
  world.add(completed_job("new"));
  const auto until = std::chrono::steady_clock::now() + tests::patience;
  while ((*all)->seen().at(0).behind() > 0 && std::chrono::steady_clock::now() < until) {
  }
  const auto text = numbers->text(status());
  CHECK(world.log->last_position() > before);
  CHECK(value(text, R"(hpc_jobs_submitted_total{cluster="hpc-1"})") == 1);
  CHECK(value(text, R"(hpc_jobs_completed_total{cluster="hpc-1"})") == 1);
  CHECK(value(text, R"(hpc_jobs{cluster="hpc-1",state="pending"})") == 1);
  CHECK(value(text, "ved_log_commits_total") == 1);
}

TEST_CASE("metrics: promtool finds nothing to complain about", "[runtime][metrics]") {
  if (std::system("promtool --version > /dev/null 2>&1") != 0) {
    WARN("promtool is not installed: the text was not checked");
    return;
  }
  test_log world;
  world.begin();
  for (const auto& [name, d] : tests::golden_streams()) {
    for (std::size_t i = 0; i < d.log.size(); ++i)
      world.add_again("job/" + name, d.log[i]);
  }
  const auto numbers = std::make_shared<metrics>(sources());
  metrics_consumer reader(world.log, numbers);
  take_all(world, reader);
  numbers->poll_took(cluster_id{"odd \"name\"\n"}, milliseconds{30});
  numbers->actor_restarted("link");
  numbers->http_request("/api/v1/hpc/jobs/{job_id}", "GET", 200, milliseconds{3});
  numbers->watch_http([] { return http_counts{}; });
  numbers->hook_failed("site");
  numbers->security_event("authentication_failed");
  tests::temp_dir dir;
  const auto file = (dir.path() / "metrics").string();
  std::ofstream(file) << numbers->text(status());
  FILE* check = ::popen(("promtool check metrics < " + file + " 2>&1").c_str(), "r");
  REQUIRE(check != nullptr);
  std::string said;
  for (int c = 0; (c = ::fgetc(check)) != EOF;) said += static_cast<char>(c);
  const int code = ::pclose(check);
  CHECK(said.empty());
  CHECK(code == 0);
}
