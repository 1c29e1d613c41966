#include "messages/json.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "messages/event.pb.h"
#include "messages/time.hpp"
#include "messages/utf8.hpp"

using nlohmann::json;
using namespace ved;

namespace {

std::string problem_at(const std::vector<pb::Problem>& problems, const std::string& field) {
  const auto found = std::find_if(problems.begin(), problems.end(),
                                  [&](const auto& problem) { return problem.field() == field; });
  return found == problems.end() ? "" : found->message();
}

std::vector<pb::Problem> read_spec(std::string_view text) {
  pb::JobSpec spec;
  return from_json(text, spec);
}

}  // namespace

TEST_CASE("json: a job shows every field, times as RFC 3339 and the state as a word",
          "[messages]") {
  pb::Job job;
  job.set_job_id("j-1");
  job.set_state(pb::JOB_STATE_RUNNING);
  job.set_accepted_at_us(1705312800000001);
  const auto shown = to_json(job);
  REQUIRE(shown["job_id"] == "j-1");
  REQUIRE(shown["state"] == "running");
  REQUIRE(shown["accepted_at"] == "2024-01-15T10:00:00.000001Z");
  REQUIRE(shown["finished_at"].is_null());
  REQUIRE(shown["usage"].is_null());
  REQUIRE(shown["exit_code"] == 0);
  REQUIRE_FALSE(shown.contains("accepted_at_us"));
}

TEST_CASE("json: an unset state is the word unspecified, an unknown number stays a number",
          "[messages]") {
  pb::Job job;
  REQUIRE(to_json(job)["state"] == "unspecified");
  job.set_state(static_cast<pb::JobState>(77));
  REQUIRE(to_json(job)["state"] == 77);
}

TEST_CASE("json: an envelope shows its event as type and data", "[messages]") {
  pb::Envelope envelope;
  envelope.set_position(7);
  envelope.set_prev_hash(std::string("\x00\xff\x1a", 3));
  envelope.mutable_job()->mutable_submitted()->set_scheduler_job_id("451");
  const auto shown = to_json(envelope);
  REQUIRE(shown["type"] == "job_submitted");
  REQUIRE(shown["data"]["scheduler_job_id"] == "451");
  REQUIRE(shown["prev_hash"] == "00ff1a");
  REQUIRE_FALSE(shown.contains("job_submitted"));

  pb::Envelope back;
  REQUIRE(from_json(shown.dump(), back).empty());
  REQUIRE(back.SerializeAsString() == envelope.SerializeAsString());
}

TEST_CASE("json: the environment is an object and comes back sorted by name", "[messages]") {
  pb::JobSpec spec;
  REQUIRE(from_json(R"({"workload_spec":{"environment":{"ZED":"1","ALPHA":"2"}}})", spec).empty());
  REQUIRE(spec.workload_spec().environment_size() == 2);
  REQUIRE(spec.workload_spec().environment(0).name() == "ALPHA");
  REQUIRE(spec.workload_spec().environment(1).name() == "ZED");
  REQUIRE(to_json(spec)["workload_spec"]["environment"] == json({{"ALPHA", "2"}, {"ZED", "1"}}));
}

TEST_CASE("json: output bytes are text in which invalid UTF-8 is replaced", "[messages]") {
  pb::OutputChunk chunk;
  chunk.set_data("ok\xff\n");
  REQUIRE(to_json(chunk)["data"] == "ok\xef\xbf\xbd\n");
  REQUIRE_NOTHROW(to_json_text(chunk));
}

TEST_CASE("json: what was written reads back as the same message", "[messages]") {
  pb::JobSpec spec;
  spec.set_job_id("j-1");
  spec.set_max_runtime_seconds(9007199254740993);  // not a double
  spec.mutable_workload_spec()->add_arguments("line 1\n\tline 2");
  auto* step = spec.mutable_workload_spec()->add_steps();
  step->set_command("/bin/true");
  spec.mutable_workload_spec()->set_is_preconfigured(true);
  spec.mutable_resources()->set_nodes(-3);
  pb::JobSpec back;
  REQUIRE(from_json(to_json_text(spec), back).empty());
  REQUIRE(back.SerializeAsString() == spec.SerializeAsString());
}

TEST_CASE("json: every problem is named at once with its path", "[messages]") {
  const auto problems = read_spec(R"({
    "job_id": 7, "colour": "red",
    "resources": {"nodes": "two", "gpus_per_node": 3000000000, "cpu_cores_per_node": 1.5},
    "workload_spec": {"steps": [{"command": "a"}, {"commnad": "b"}], "arguments": "x",
                      "environment": {"A": 1}, "is_preconfigured": "yes"},
    "max_runtime_seconds": null})");
  REQUIRE(problem_at(problems, "job_id") == "must be text, not 7");
  REQUIRE(problem_at(problems, "colour") == "is not a known field");
  REQUIRE(problem_at(problems, "resources.nodes") ==
          "must be a whole number from -2147483648 to 2147483647, not text");
  REQUIRE_FALSE(problem_at(problems, "resources.gpus_per_node").empty());
  REQUIRE_FALSE(problem_at(problems, "resources.cpu_cores_per_node").empty());
  REQUIRE(problem_at(problems, "workload_spec.steps[1].commnad") == "is not a known field");
  REQUIRE(problem_at(problems, "workload_spec.arguments") == "must be an array, not text");
  REQUIRE(problem_at(problems, "workload_spec.environment.A") == "must be text, not 1");
  REQUIRE_FALSE(problem_at(problems, "workload_spec.is_preconfigured").empty());
  REQUIRE_FALSE(problem_at(problems, "max_runtime_seconds").empty());
  REQUIRE(problems.size() == 10);
}

TEST_CASE("json: a key that occurs twice is refused with its path", "[messages]") {
  const auto problems = read_spec(R"({"resources":{"nodes":1,"nodes":2}})");
  REQUIRE(problem_at(problems, "resources.nodes") == "occurs more than once");
}

TEST_CASE("json: control characters and invalid UTF-8 in strings are refused", "[messages]") {
  REQUIRE(problem_at(read_spec(R"({"job_id":"a\u0000b"})"), "job_id") == "has a control character");
  REQUIRE(problem_at(read_spec(R"({"job_id":"a\u001b"})"), "job_id") == "has a control character");
  REQUIRE(read_spec("{\"job_id\":\"a\xff\"}").size() == 1);
  REQUIRE(read_spec("{\"job_id\":\"\\ud800\"}").size() == 1);
  for (const auto& problem : read_spec("{\"job_id\":\"a\xff\"}"))
    REQUIRE(is_utf8(problem.message()));
}

TEST_CASE("json: what is not one JSON object is one problem of the whole text", "[messages]") {
  for (const auto* text : {"", "{", "{} {}", "{\"job_id\":}", "[1,", "\xef\xbb", "nul"}) {
    const auto problems = read_spec(text);
    REQUIRE(problems.size() == 1);
    REQUIRE(problems[0].field().empty());
  }
  REQUIRE(read_spec("[]")[0].message() == "must be an object, not an array");
}

TEST_CASE("json: nesting is bounded", "[messages]") {
  const auto nested = [](std::size_t depth) {
    return "{\"x\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  REQUIRE(problem_at(read_spec(nested(json_depth_max)), "x") == "is not a known field");
  REQUIRE(read_spec(nested(json_depth_max + 1))[0].message() == "is nested deeper than 16 levels");
  REQUIRE(read_spec(std::string(100000, '['))[0].message() == "is nested deeper than 16 levels");
}

TEST_CASE("json: a figure that nobody told is null, one that is zero is zero", "[messages]") {
  pb::Cluster cluster;
  REQUIRE(to_json(cluster)["gpus_allocated"].is_null());
  cluster.set_gpus_allocated(0);
  REQUIRE(to_json(cluster)["gpus_allocated"] == 0);
}

TEST_CASE("json: length and number of problems are bounded", "[messages]") {
  REQUIRE(read_spec(std::string(json_bytes_max + 1, ' '))[0].message().starts_with("is longer"));
  std::string many = "{";
  for (int i = 0; i < 500; ++i) many += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":1";
  REQUIRE(read_spec(many + "}").size() == json_problems_max);
}

TEST_CASE("json: words and times read back, wrong ones are refused", "[messages]") {
  pb::Job job;
  REQUIRE(
      from_json(R"({"state":"cancelled","started_at":"2024-01-15T11:30:00+01:30"})", job).empty());
  REQUIRE(job.state() == pb::JOB_STATE_CANCELLED);
  REQUIRE(job.started_at_us() == 1705312800000000);
  const auto problems = from_json(R"({"state":"RUNNING","started_at":"yesterday","finished_at":3,
                                      "accepted_at_us":1})",
                                  job);
  REQUIRE(problems.size() == 4);
  REQUIRE(problem_at(problems, "state").starts_with("must be one of unspecified, pending"));
  REQUIRE(problem_at(problems, "accepted_at_us") == "is not a known field");
  REQUIRE(job.started_at_us() == 0);
}

TEST_CASE("time: RFC 3339 reads back what it wrote and refuses what is no time", "[messages]") {
  const auto moment = from_us(1705312800123456);
  REQUIRE(from_rfc3339(to_rfc3339(moment)).value() == moment);
  REQUIRE(from_rfc3339("2024-01-15T10:00:00Z").value() == from_us(1705312800000000));
  for (const auto* text : {"", "2024-01-15", "2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z",
                           "2024-01-15T10:00:00", "2024-01-15T10:00:00Zx", "2024-01-15T24:00:00Z"})
    REQUIRE_FALSE(from_rfc3339(text).has_value());
}

TEST_CASE("utf8: overlong forms, surrogates and cut sequences are not UTF-8", "[messages]") {
  REQUIRE(is_utf8("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"));
  for (const auto* text : {"\xc0\x80", "\xed\xa0\x80", "\xe2\x82", "\xf4\x90\x80\x80", "\x80"})
    REQUIRE_FALSE(is_utf8(text));
  REQUIRE(to_valid_utf8("a\xe2\x82") == "a\xef\xbf\xbd\xef\xbf\xbd");
}
