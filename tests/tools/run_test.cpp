#include "tools/vectl/run.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

using namespace vectl;
namespace pb = ved::pb;

namespace {

// Answers from a list, and keeps what was asked.
class scripted final : public channel {
 public:
  using step = std::function<ved::result<pb::ApiReply>(const pb::ApiRequest&)>;
  std::deque<step> steps;
  std::vector<pb::ApiRequest> seen;

  ved::result<pb::ApiReply> call(pb::ApiRequest request) override {
    seen.push_back(request);
    if (steps.empty()) {
      FAIL("a request too many: " << request.ShortDebugString());
    }
    auto next = std::move(steps.front());
    steps.pop_front();
    return next(request);
  }
  void reply(pb::ApiReply what) {
    steps.push_back([what = std::move(what)](const auto&) { return what; });
  }
  void fail(ved::errc code, std::string message) {
    steps.push_back(
        [=](const auto&) -> ved::result<pb::ApiReply> { return ved::fail(code, message); });
  }
};

struct fixture {
  scripted requests;
  std::ostringstream out;
  std::ostringstream err;
  std::istringstream in;
  int sleeps = 0;
  bool interrupted = false;
  context with;

  fixture() {
    with.requests = &requests;
    with.out = &out;
    with.err = &err;
    with.in = &in;
    with.user = "Ada.L";
    with.now = [] { return ved::from_us(1'768'478'460'000'000); };
    with.sleep = [this](ved::milliseconds) { ++sleeps; };
    with.interrupted = [this] { return interrupted; };
  }
};

pb::ApiReply refusal(ved::errc code, const std::string& message) {
  pb::ApiReply reply;
  reply.mutable_error()->set_error(std::string(ved::to_string(code)));
  reply.mutable_error()->set_message(message);
  return reply;
}

pb::ApiReply job_reply(pb::JobState state, std::uint64_t version) {
  pb::ApiReply reply;
  auto& job = *reply.mutable_job()->mutable_job();
  job.set_job_id("j");
  job.set_cluster_id("c");
  job.set_state(state);
  job.set_version(version);
  return reply;
}

pb::ApiReply events_reply(std::uint64_t first, std::uint64_t last) {
  pb::ApiReply reply;
  reply.mutable_events();
  for (auto version = first; version <= last; ++version) {
    auto& event = *reply.mutable_events()->add_events();
    event.set_version(version);
    event.mutable_job()->mutable_held()->set_reason("reason " + std::to_string(version));
  }
  return reply;
}

pb::ApiReply output_reply(const std::string& data, std::uint64_t offset, std::uint64_t size,
                          bool finished) {
  pb::ApiReply reply;
  reply.mutable_output()->set_data(data);
  reply.mutable_output()->set_offset(offset);
  reply.mutable_output()->set_size(size);
  reply.mutable_output()->set_job_finished(finished);
  return reply;
}

std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("vectl: a daemon's refusal is told with its details and its exit code",
          "[tools][vectl]") {
  fixture f;
  auto refused = refusal(ved::errc::conflict, "job j: exists with another spec");
  auto& detail = *refused.mutable_error()->add_details();
  detail.set_field("resources.nodes");
  detail.set_message("differs");
  f.requests.reply(refused);
  CHECK(run(job_show{"j"}, f.with) == exit_code::conflict);
  CHECK(f.err.str() == "vectl: job j: exists with another spec\n  resources.nodes: differs\n");
  CHECK(f.out.str().empty());
}

TEST_CASE("vectl: no daemon is another exit code than a daemon that cannot now", "[tools][vectl]") {
  fixture f;
  f.requests.fail(ved::errc::unavailable, "cannot reach ved at 127.0.0.1:1: connection refused");
  CHECK(run(job_show{"j"}, f.with) == exit_code::unreachable);
  f.requests.reply(refusal(ved::errc::overloaded, "too many requests"));
  CHECK(run(job_show{"j"}, f.with) == exit_code::unavailable);
  f.requests.fail(ved::errc::unknown_outcome, "did not answer");
  CHECK(run(job_show{"j"}, f.with) == exit_code::unreachable);
  f.requests.fail(ved::errc::unknown_outcome, "did not answer");
  CHECK(run(job_cancel{"j", ""}, f.with) == exit_code::unknown_outcome);
}

TEST_CASE("vectl: with -o json replies and errors are JSON", "[tools][vectl]") {
  fixture f;
  f.with.global.json = true;
  f.requests.reply(job_reply(pb::JOB_STATE_RUNNING, 3));
  CHECK(run(job_show{"j"}, f.with) == exit_code::ok);
  CHECK(nlohmann::json::parse(f.out.str())["state"] == "running");
  f.requests.reply(refusal(ved::errc::not_found, "job j: not known"));
  CHECK(run(job_show{"j"}, f.with) == exit_code::not_found);
  CHECK(nlohmann::json::parse(f.err.str())["error"] == "not_found");
}

TEST_CASE("vectl job list: follows the cursor up to its bound", "[tools][vectl]") {
  fixture f;
  const auto page = [](int from, int count, const std::string& cursor) {
    pb::ApiReply reply;
    for (int i = from; i < from + count; ++i)
      reply.mutable_jobs()->add_jobs()->set_job_id("j" + std::to_string(i));
    reply.mutable_jobs()->set_next_cursor(cursor);
    return reply;
  };
  SECTION("to the end") {
    f.requests.reply(page(0, 2, "a"));
    f.requests.reply(page(2, 0, "b"));  // a page may be empty although more follow
    f.requests.reply(page(2, 1, ""));
    job_list what;
    what.ids = true;
    what.state = "running";
    CHECK(run(what, f.with) == exit_code::ok);
    CHECK(f.out.str() == "j0\nj1\nj2\n");
    CHECK(f.requests.seen[2].list_jobs().cursor() == "b");
    CHECK(f.requests.seen[2].list_jobs().state() == pb::JOB_STATE_RUNNING);
    CHECK(f.err.str().empty());
  }
  SECTION("to the limit, which it says") {
    f.requests.reply(page(0, 2, "a"));
    f.requests.reply(page(2, 1, "b"));
    job_list what;
    what.ids = true;
    what.limit = 3;
    CHECK(run(what, f.with) == exit_code::ok);
    CHECK(f.requests.seen[1].list_jobs().limit() == 1);
    CHECK_THAT(f.err.str(), Catch::Contains("bound of 3"));
  }
  SECTION("a cursor that stands still ends it") {
    f.requests.reply(page(0, 1, "a"));
    f.requests.reply(page(1, 1, "a"));
    CHECK(run(job_list{}, f.with) == exit_code::ok);
  }
}

TEST_CASE("vectl job submit: a quick job goes to the only cluster and its own queue",
          "[tools][vectl]") {
  fixture f;
  pb::ApiReply clusters;
  auto& cluster = *clusters.mutable_clusters()->add_clusters();
  cluster.set_cluster_id("only");
  auto& open = *cluster.add_queues();
  open.set_name("batch");
  open.set_accepts_jobs(true);
  f.requests.reply(clusters);
  pb::ApiReply accepted;
  accepted.mutable_accepted()->mutable_job()->set_job_id("j");
  accepted.mutable_accepted()->mutable_job()->set_cluster_id("only");
  f.requests.reply(accepted);
  job_submit what;
  what.name = "j";
  what.command = {"sh", "-c", "exit 0"};
  what.environment = {"A=1=2"};
  what.cpus = 4;
  CHECK(run(what, f.with) == exit_code::ok);
  CHECK(f.out.str() == "job j accepted for cluster only\n");
  const auto& spec = f.requests.seen[1].submit_job().spec();
  CHECK(spec.cluster_id() == "only");
  CHECK(spec.queue_name() == "default");
  CHECK(spec.customer_address() == "ve1da");
  CHECK(spec.workload_spec().command() == "sh");
  CHECK(spec.workload_spec().arguments_size() == 2);
  CHECK(spec.workload_spec().environment(0).value() == "1=2");
  CHECK(spec.resources().cpu_cores_per_node() == 4);
  CHECK(spec.max_runtime_seconds() == 3600);  // the daemon knows its default
}

TEST_CASE("vectl job submit: among several clusters one must be chosen", "[tools][vectl]") {
  fixture f;
  pb::ApiReply clusters;
  clusters.mutable_clusters()->add_clusters()->set_cluster_id("a");
  clusters.mutable_clusters()->add_clusters()->set_cluster_id("b");
  f.requests.reply(clusters);
  job_submit what;
  what.command = {"true"};
  CHECK(run(what, f.with) == exit_code::usage);
  CHECK_THAT(f.err.str(), Catch::Contains("--cluster: a, b"));
}

TEST_CASE("vectl job submit: every problem of a spec file is listed before anything is sent",
          "[tools][vectl]") {
  fixture f;
  f.in.str(R"({"job_id": 5, "nonsense": true})");
  job_submit what;
  what.file = "-";
  CHECK(run(what, f.with) == exit_code::usage);
  CHECK_THAT(f.err.str(), Catch::Contains("job_id: "));
  CHECK_THAT(f.err.str(), Catch::Contains("nonsense: "));
  CHECK(f.requests.seen.empty());
  what.file = "/nonexistent/spec.json";
  CHECK(run(what, f.with) == exit_code::not_found);
}

TEST_CASE("vectl job watch: prints each event once and ends with the job", "[tools][vectl]") {
  fixture f;
  f.requests.reply(job_reply(pb::JOB_STATE_QUEUED, 2));
  f.requests.reply(events_reply(1, 2));
  f.requests.reply(job_reply(pb::JOB_STATE_RUNNING, 2));  // nothing new: no events are asked for
  f.requests.reply(job_reply(pb::JOB_STATE_FAILED, 3));
  f.requests.reply(events_reply(3, 3));
  CHECK(run(job_watch{"j"}, f.with) == exit_code::failed);
  CHECK(f.requests.seen[4].get_job_events().after_version() == 2);
  const auto text = f.out.str();
  for (const char* reason : {"reason 1", "reason 2", "reason 3"})
    CHECK(count_of(text, reason) == 1);
  CHECK_THAT(text, Catch::EndsWith("job j failed\n"));
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(f.sleeps == 2);
}

TEST_CASE("vectl job watch: on a terminal the last lines are redrawn in place", "[tools][vectl]") {
  fixture f;
  f.with.look.live = true;
  f.requests.reply(job_reply(pb::JOB_STATE_QUEUED, 1));
  f.requests.reply(events_reply(1, 1));
  f.requests.reply(job_reply(pb::JOB_STATE_COMPLETED, 2));
  f.requests.reply(events_reply(2, 2));
  CHECK(run(job_watch{"j"}, f.with) == exit_code::ok);
  // Two lines were drawn below the first event and erased before the second.
  CHECK(count_of(f.out.str(), "\x1b[2A\x1b[J") == 1);
}

TEST_CASE("vectl job watch: outlives a restart of the daemon", "[tools][vectl]") {
  fixture f;
  f.requests.reply(job_reply(pb::JOB_STATE_RUNNING, 1));
  f.requests.reply(events_reply(1, 1));
  f.requests.fail(ved::errc::unavailable, "connection refused");
  f.requests.fail(ved::errc::unavailable, "connection refused");
  f.requests.reply(refusal(ved::errc::unavailable, "starting"));
  f.requests.reply(job_reply(pb::JOB_STATE_COMPLETED, 1));
  CHECK(run(job_watch{"j"}, f.with) == exit_code::ok);
  CHECK(count_of(f.err.str(), "trying again") == 1);
}

TEST_CASE("vectl: a daemon that is away from the start is told at once, by every command",
          "[tools][vectl]") {
  const auto tries = [](auto what, bool refused) {
    fixture f;
    for (int i = 0; i < 200; ++i) {
      if (refused) f.requests.reply(refusal(ved::errc::unavailable, "not while stopped"));
      else f.requests.fail(ved::errc::unavailable, "connection refused");
    }
    CHECK(run(what, f.with) == (refused ? exit_code::unavailable : exit_code::unreachable));
    CHECK(f.sleeps == 0);
    return f.requests.seen.size();
  };
  for (const bool refused : {false, true}) {
    CHECK(tries(job_watch{"j"}, refused) == 1);
    CHECK(tries(job_output{"j"}, refused) == 1);
    CHECK(tries(job_output{"j", false, true}, refused) == 1);
    CHECK(tries(job_events{"j"}, refused) == 1);
    CHECK(tries(job_events{"j", true}, refused) == 1);
  }
}

TEST_CASE("vectl job watch: gives up on a daemon that stays away", "[tools][vectl]") {
  fixture f;
  f.requests.reply(job_reply(pb::JOB_STATE_RUNNING, 1));
  f.requests.reply(events_reply(1, 1));
  for (int i = 0; i < 1'000; ++i) f.requests.fail(ved::errc::unavailable, "connection refused");
  CHECK(run(job_watch{"j"}, f.with) == exit_code::unreachable);
  CHECK(f.requests.seen.size() == 2 + 121);  // a minute at two tries a second
}

TEST_CASE("vectl job watch: Ctrl-C leaves the job alone and says so", "[tools][vectl]") {
  fixture f;
  f.interrupted = true;
  f.requests.reply(job_reply(pb::JOB_STATE_RUNNING, 1));
  f.requests.reply(events_reply(1, 1));
  CHECK(run(job_watch{"j"}, f.with) == exit_code::interrupted);
  CHECK_THAT(f.err.str(), Catch::Contains("the job goes on"));
}

TEST_CASE("vectl job events: pages are read to the end, as one JSON document", "[tools][vectl]") {
  fixture f;
  f.with.global.json = true;
  auto first = events_reply(1, 2);
  first.mutable_events()->set_more(true);
  f.requests.reply(first);
  f.requests.reply(events_reply(3, 3));
  CHECK(run(job_events{"j"}, f.with) == exit_code::ok);
  CHECK(nlohmann::json::parse(f.out.str())["events"].size() == 3);
}

TEST_CASE("vectl job output: bytes pass unchanged, and following ends with the job",
          "[tools][vectl]") {
  fixture f;
  f.requests.reply(output_reply(std::string("a\0b\x1b", 4), 0, 4, false));
  f.requests.reply(output_reply("", 4, 4, false));
  f.requests.reply(output_reply("cd", 4, 8, true));
  f.requests.reply(output_reply("ef", 6, 8, true));
  CHECK(run(job_output{"j", true, true}, f.with) == exit_code::ok);
  CHECK(f.out.str() == std::string("a\0b\x1b"
                                   "cdef",
                                   8));
  CHECK(f.requests.seen[3].get_job_output().offset() == 6);
  CHECK(f.requests.seen[3].get_job_output().standard_error());
  CHECK(f.sleeps == 2);
}

TEST_CASE("vectl hpc health-check: a sick scheduler is exit code 1", "[tools][vectl]") {
  fixture f;
  pb::ApiReply reply;
  reply.mutable_health()->add_clusters()->set_connection("refused");
  f.requests.reply(reply);
  CHECK(run(health_check{}, f.with) == exit_code::failed);
  reply.mutable_health()->mutable_clusters(0)->clear_connection();
  f.requests.reply(reply);
  CHECK(run(health_check{}, f.with) == exit_code::ok);
}

TEST_CASE("vectl log verify: a broken log is exit code 8", "[tools][vectl]") {
  fixture f;
  pb::ApiReply reply;
  reply.mutable_verification()->set_first_problem("position 3");
  f.requests.reply(reply);
  CHECK(run(log_verify{}, f.with) == exit_code::corrupt);
}

TEST_CASE("vectl log dump: pages on and stops at its limit", "[tools][vectl]") {
  fixture f;
  const auto page = [](std::uint64_t first, std::uint64_t last, bool more) {
    pb::ApiReply reply;
    for (auto position = first; position <= last; ++position)
      reply.mutable_events()->add_events()->set_position(position);
    reply.mutable_events()->set_more(more);
    return reply;
  };
  f.requests.reply(page(8, 9, true));
  f.requests.reply(page(10, 10, true));
  CHECK(run(log_dump{"daemon", 7, 3}, f.with) == exit_code::ok);
  CHECK(f.requests.seen[0].dump_log().after_position() == 7);
  CHECK(f.requests.seen[1].dump_log().after_position() == 9);
  CHECK(f.requests.seen[1].dump_log().limit() == 1);
}

TEST_CASE("vectl log events: pages on, and says what comes next and what is missing",
          "[tools][vectl]") {
  fixture f;
  const auto page = [](const std::string& next, bool more) {
    pb::ApiReply reply;
    auto& out = *reply.mutable_event_page();
    out.add_events()->mutable_event()->set_stream("job/" + next);
    out.set_next(next);
    out.set_more(more);
    return reply;
  };
  f.requests.reply(page("p1", true));
  auto last = page("p2", false);
  SECTION("all are there") {
    f.requests.reply(last);
    CHECK(run(log_events{"p0", "c"}, f.with) == exit_code::ok);
  }
  SECTION("a log is missing") {
    last.mutable_event_page()->add_missing_logs("cluster/b");
    f.requests.reply(last);
    CHECK(run(log_events{"p0", "c"}, f.with) == exit_code::unavailable);
    CHECK(f.err.str().find("log cluster/b cannot be read") != std::string::npos);
  }
  CHECK(f.requests.seen[0].list_events().after() == "p0");
  CHECK(f.requests.seen[0].list_events().cluster_id() == "c");
  CHECK(f.requests.seen[1].list_events().after() == "p1");
  CHECK(f.out.str().find("job/p2") != std::string::npos);
  CHECK(f.err.str().find("--after p2") != std::string::npos);
}

TEST_CASE("vectl log backup: says what is not in it, with an exit code of its own",
          "[tools][vectl]") {
  fixture f;
  pb::ApiReply reply;
  reply.mutable_backup()->set_directory("/b");
  f.requests.reply(reply);
  CHECK(run(log_backup{"/b"}, f.with) == exit_code::ok);
  auto& missing = *reply.mutable_backup()->add_missing_logs();
  missing.set_log("cluster/c");
  missing.set_problem("its disk is gone");
  f.requests.reply(reply);
  CHECK(run(log_backup{"/b"}, f.with) == exit_code::incomplete);
  CHECK_THAT(f.out.str(), Catch::Contains("cluster/c: its disk is gone") &&
                              Catch::Contains("keep the last whole one"));
}

TEST_CASE("vectl log rebuild and restore: need a state directory", "[tools][vectl]") {
  fixture f;
  CHECK(run(log_rebuild{}, f.with) == exit_code::usage);
  CHECK(run(log_restore{"/b", "", false, false}, f.with) == exit_code::usage);
  CHECK_THAT(f.err.str(), Catch::Contains("--state DIR"));
}
