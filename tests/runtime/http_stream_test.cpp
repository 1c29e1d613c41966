#include <catch2/catch.hpp>

#include "runtime/http/sse.hpp"
#include "tests/runtime/http_support.hpp"

using namespace ved;
using namespace ved::http_test;
using std::chrono::milliseconds;

namespace {

constexpr std::string_view wants_stream = "Accept: text/event-stream\r\n";

std::string open_stream(std::string_view more = {}, const std::string& job = "j-1") {
  return running_server::request("GET", "/api/v1/hpc/jobs/" + job + "/events", "",
                                 std::string(wants_stream) + std::string(more));
}

}  // namespace

TEST_CASE("event stream: past events come first, new ones when they are committed, then the end",
          "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1");
  raw_client client(up.port);
  client.send(open_stream());
  const auto head = client.read_response();
  REQUIRE(head.status == 200);
  REQUIRE(head.headers.at("content-type") == "text/event-stream");
  const auto past = client.read_until("\n\n\r\n");
  REQUIRE(past.find("retry: 2000\n\nid: 1\nevent: job_observed\ndata: {") != std::string::npos);

  up.api.add_event("j-1");
  up.commit("j-1");
  REQUIRE(client.read_until("\n\n\r\n").find("id: 2\n") != std::string::npos);

  up.api.add_event("j-1", pb::JOB_STATE_FAILED);
  up.commit("other");
  up.commit("j-1");
  const auto last = client.read_until("0\r\n\r\n");
  REQUIRE(last.find("id: 3\nevent: job_finished\n") != std::string::npos);
  client.end_input();
  REQUIRE(client.closed_by_server());
}

TEST_CASE("event stream: it resumes after Last-Event-ID", "[runtime][http]") {
  running_server up;
  for (int i = 0; i < 4; ++i) up.api.add_event("j-1");
  up.api.add_event("j-1", pb::JOB_STATE_COMPLETED);
  raw_client client(up.port);
  client.send(open_stream("Last-Event-ID: 3\r\n"));
  const auto all = client.read_until("0\r\n\r\n");
  REQUIRE(all.find("id: 3\n") == std::string::npos);
  REQUIRE(all.find("id: 4\n") != std::string::npos);
  REQUIRE(all.find("id: 5\n") != std::string::npos);
}

TEST_CASE("event stream: a client that has the last event is told 204 to stay away",
          "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1", pb::JOB_STATE_COMPLETED);
  raw_client client(up.port);
  client.send(open_stream("Last-Event-ID: 1\r\n"));
  REQUIRE(client.read_response().status == 204);
}

TEST_CASE("event stream: behind an event that the job does not have it is refused, ended or not",
          "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1", GENERATE(pb::JOB_STATE_COMPLETED, pb::JOB_STATE_UNSPECIFIED));
  raw_client client(up.port);
  client.send(open_stream("Last-Event-ID: 21\r\n"));
  const auto said = client.read_response();
  REQUIRE(said.status == 400);
  REQUIRE(said.json()["error"] == "invalid");
}

TEST_CASE("event stream: one that is up to date with a running job waits for the next event",
          "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1");
  raw_client client(up.port);
  client.send(open_stream("Last-Event-ID: 1\r\n"));
  REQUIRE(client.read_response().status == 200);
  REQUIRE(client.read_until("retry: 2000\n\n\r\n").find("id:") == std::string::npos);
  up.api.add_event("j-1");
  up.commit("j-1");
  REQUIRE(client.read_until("\n\n\r\n").find("id: 2\n") != std::string::npos);
}

TEST_CASE("event stream: more events than one answer holds all come, in order", "[runtime][http]") {
  running_server up;
  for (int i = 0; i < 1000; ++i) up.api.add_event("j-1");
  up.api.add_event("j-1", pb::JOB_STATE_COMPLETED);
  raw_client client(up.port);
  client.send(open_stream());
  const auto all = client.read_until("\r\n0\r\n\r\n");
  std::size_t at = 0;
  for (int i = 1; i <= 1001; ++i) {
    at = all.find("id: " + std::to_string(i) + "\n", at);
    REQUIRE(at != std::string::npos);
  }
}

TEST_CASE("event stream: errors before the first event are plain answers", "[runtime][http]") {
  running_server up;
  const auto missing = up.ask("GET", "/api/v1/hpc/jobs/missing/events", "", wants_stream);
  REQUIRE(missing.status == 404);
  REQUIRE(missing.json()["error"] == "not_found");
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1/events", "",
                 std::string(wants_stream) + "Last-Event-ID: x\r\n")
              .status == 400);
  up.api.fail_with(errc::denied, "no such token");
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1/events", "", wants_stream).status == 401);
}

TEST_CASE("event stream: quiet streams get comments, and events that no commit announced",
          "[runtime][http]") {
  runtime::http_options options;
  options.keep_alive_interval = milliseconds(30);
  running_server up(options);
  up.api.add_event("j-1");
  raw_client client(up.port);
  client.send(open_stream());
  client.read_until(": keep-alive\n\n");
  up.api.add_event("j-1", pb::JOB_STATE_COMPLETED);
  REQUIRE(client.read_until("0\r\n\r\n").find("id: 2\n") != std::string::npos);
}

TEST_CASE("event stream: a token that is revoked ends the stream", "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1");
  raw_client client(up.port);
  client.send(open_stream());
  client.read_until("id: 1\n");
  up.api.fail_with(errc::denied, "revoked");
  up.commit("j-1");
  REQUIRE(client.read_until("0\r\n\r\n").find(": denied\n") != std::string::npos);
}

TEST_CASE("event stream: a daemon that is busy for a moment does not end it", "[runtime][http]") {
  runtime::http_options options;
  options.keep_alive_interval = milliseconds(30);
  running_server up(options);
  up.api.add_event("j-1");
  raw_client client(up.port);
  client.send(open_stream());
  client.read_until("id: 1\n");
  up.api.fail_with(errc::overloaded, "busy");
  up.commit("j-1");
  client.read_until(": keep-alive\n\n");
  up.api.set_answer(nullptr);
  up.api.add_event("j-1", pb::JOB_STATE_COMPLETED);
  REQUIRE(client.read_until("0\r\n\r\n").find("id: 2\n") != std::string::npos);
}

TEST_CASE("event stream: streams over their bound are 503", "[runtime][http]") {
  runtime::http_options options;
  options.streams_max = 1;
  running_server up(options);
  up.api.add_event("j-1");
  raw_client one(up.port);
  one.send(open_stream());
  REQUIRE(one.read_response().status == 200);
  REQUIRE(up.server.counts().streams == 1);
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1/events", "", wants_stream).status == 503);
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1/events").status == 200);
}

TEST_CASE("event stream: a client that leaves frees its place", "[runtime][http]") {
  runtime::http_options options;
  options.streams_max = 1;
  running_server up(options);
  up.api.add_event("j-1");
  {
    raw_client gone(up.port);
    gone.send(open_stream());
    REQUIRE(gone.read_response().status == 200);
  }
  int status = 503;
  for (int i = 0; i < 1000 && status == 503; ++i) {
    raw_client next(up.port);
    next.send(open_stream());
    status = next.read_response().status;
    std::this_thread::yield();
  }
  REQUIRE(status == 200);
}

TEST_CASE("event stream: a client that does not read is cut, others go on", "[runtime][http]") {
  runtime::http_options options;
  options.write_timeout = milliseconds(100);
  running_server up(options);
  for (int i = 0; i < 50'000; ++i) up.api.add_event("j-1");
  raw_client stuck(up.port, 4096);
  stuck.send(open_stream());
  stuck.read_until("id: 1\n");
  REQUIRE(up.ask("GET", "/health").status == 200);
  while (up.server.counts().streams > 0) std::this_thread::yield();
  SUCCEED("the stream ended by its write timeout");
}

TEST_CASE("event stream: HTTP/1.0 clients get it without chunks", "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1", pb::JOB_STATE_COMPLETED);
  raw_client client(up.port);
  client.send("GET /api/v1/hpc/jobs/j-1/events HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n");
  const auto head = client.read_response();
  REQUIRE_FALSE(head.headers.contains("transfer-encoding"));
  client.end_input();
  const auto body = client.read_all();
  REQUIRE(body.starts_with("retry: 2000\n\nid: 1\n"));
  REQUIRE(body.ends_with("\n\n"));
}

TEST_CASE("event stream: a stop ends streams with a comment, at once", "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1");
  raw_client client(up.port);
  client.send(open_stream());
  client.read_until("id: 1\n");
  client.read_until("\n\n\r\n");
  up.server.stop(std::chrono::seconds(5));
  REQUIRE(client.read_until("0\r\n\r\n").find(": the server is stopping\n") != std::string::npos);
  REQUIRE(client.closed_by_server());
}

TEST_CASE("event stream: commits while it asks are not missed", "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1");
  raw_client client(up.port);
  client.send(open_stream());
  client.read_until("id: 1\n");
  for (int i = 2; i <= 200; ++i) {
    up.api.add_event("j-1", i == 200 ? pb::JOB_STATE_COMPLETED : pb::JOB_STATE_UNSPECIFIED);
    up.commit("j-1");
  }
  REQUIRE(client.read_until("\r\n0\r\n\r\n").find("id: 200\n") != std::string::npos);
}

TEST_CASE("event stream: an event that the client has is not sent again", "[runtime][http]") {
  pb::ApiRequest question;
  question.mutable_get_job_events()->set_after_version(1);
  runtime::http::sse_cursor cursor(question);
  pb::ApiReply answer;
  for (std::uint64_t version = 1; version <= 3; ++version)
    answer.mutable_events()->add_events()->set_version(version);
  const auto text = cursor.take(answer);
  REQUIRE(text);
  REQUIRE(text->starts_with("id: 2\nevent: unknown\ndata: {"));
  REQUIRE(cursor.version() == 3);
  REQUIRE(cursor.take(answer) == "");
  REQUIRE_FALSE(cursor.finished());
  pb::ApiReply other;
  other.mutable_event_page();
  REQUIRE_FALSE(cursor.take(other));
}

TEST_CASE("event stream: of all logs it goes on behind a position, and has no end",
          "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1");
  up.api.add_event("j-2", pb::JOB_STATE_COMPLETED);
  const auto open = [](std::string_view more) {
    return running_server::request("GET", "/api/v1/hpc/events?after=p0", "",
                                   std::string(wants_stream) + std::string(more));
  };
  raw_client client(up.port);
  client.send(open(""));
  REQUIRE(client.read_response().status == 200);
  const auto past = client.read_until("id: p2\n");
  REQUIRE(past.find("id: p1\nevent: job_observed\ndata: {") != std::string::npos);
  REQUIRE(past.find("\"log\":\"cluster/c\"") != std::string::npos);
  // Any commit brings news of it, whatever stream it is of.
  up.api.add_event("j-3");
  up.commit("other");
  client.read_until("id: p3\n");

  raw_client again(up.port);
  again.send(open("Last-Event-ID: p2\r\n"));
  REQUIRE(again.read_until("id: p3\n").find("id: p2\n") == std::string::npos);
  REQUIRE(up.ask("GET", "/api/v1/hpc/events", "",
                 std::string(wants_stream) + "Last-Event-ID: " + std::string(8'193, 'a') + "\r\n")
              .status == 400);
  const auto page = up.ask("GET", "/api/v1/hpc/events?after=p2");
  REQUIRE(page.status == 200);
  REQUIRE(page.json()["events"].size() == 1);
  REQUIRE(page.json()["next"] == "p3");
}

TEST_CASE("event stream: of all logs a client without events learns where to go on",
          "[runtime][http]") {
  pb::ApiRequest question;
  question.mutable_list_events()->set_after("latest");
  runtime::http::sse_cursor cursor(question);
  pb::ApiReply answer;
  answer.mutable_event_page()->set_next("p7");
  CHECK(cursor.take(answer) == "");
  CHECK(cursor.mark() == "id: p7\n\n");
  answer.mutable_event_page()->add_missing_logs("cluster/a");
  CHECK(cursor.take(answer) == "event: missing_logs\ndata: [\"cluster/a\"]\n\n");
  CHECK(cursor.take(answer) == "");

  running_server up;
  raw_client client(up.port);
  client.send(running_server::request("GET", "/api/v1/hpc/events?after=p0", "", wants_stream));
  REQUIRE(client.read_response().status == 200);
  client.read_until("id: p0\n\n");
  const auto api = up.ask("GET", "/openapi.json").json();
  for (const auto& one : api["paths"]["/api/v1/hpc/events"]["get"]["parameters"])
    if (one["name"] == "Last-Event-ID") CHECK_FALSE(one["schema"].contains("pattern"));
}

