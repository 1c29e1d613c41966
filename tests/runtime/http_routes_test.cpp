#include <catch2/catch.hpp>

#include "tests/runtime/http_support.hpp"

using namespace ved;
using namespace ved::http_test;

TEST_CASE("http: a new job is 201 with its location, the same again 200, another spec 409",
          "[runtime][http]") {
  running_server up;
  const auto first = up.ask("POST", "/api/v1/hpc/jobs", sample_spec());
  REQUIRE(first.status == 201);
  REQUIRE(first.headers.at("location") == "/api/v1/hpc/jobs/j-1");
  REQUIRE(first.json()["job_id"] == "j-1");
  const auto again = up.ask("POST", "/api/v1/hpc/jobs", sample_spec());
  REQUIRE(again.status == 200);
  REQUIRE(again.body == first.body);
  const auto other = up.ask("POST", "/api/v1/hpc/jobs", sample_spec("j-1", 2));
  REQUIRE(other.status == 409);
  REQUIRE(other.json()["error"] == "conflict");
}

TEST_CASE("http: an invalid job is 422 with every reason", "[runtime][http]") {
  running_server up;
  const auto empty = up.ask("POST", "/api/v1/hpc/jobs", "{}");
  REQUIRE(empty.status == 422);
  REQUIRE(empty.json()["error"] == "invalid");
  REQUIRE(empty.json()["details"].size() == 7);
  const auto shape = up.ask("POST", "/api/v1/hpc/jobs", R"({"job_id":1,"colour":2})");
  REQUIRE(shape.status == 422);
  REQUIRE(shape.json()["details"].size() == 2);
}

TEST_CASE("http: a body that is not JSON is 400 and does not reach the API port",
          "[runtime][http]") {
  running_server up;
  for (const auto* body : {"{", "\xff", "[]", "{\"job_id\":\"\xc3\x28\"}"}) {
    const auto reply = up.ask("POST", "/api/v1/hpc/jobs", body);
    REQUIRE(reply.status == 400);
    REQUIRE_NOTHROW(reply.json());
  }
  REQUIRE(up.ask("POST", "/api/v1/hpc/jobs").status == 400);
  REQUIRE(up.api.last().operation_case() == pb::ApiRequest::OPERATION_NOT_SET);
}

TEST_CASE("http: identity travels to the API port and never comes back", "[runtime][http]") {
  running_server up;
  const auto reply =
      up.ask("POST", "/api/v1/hpc/jobs", sample_spec(), "Idempotency-Key: key-1\r\n");
  REQUIRE(up.api.last().token() == "secret");
  REQUIRE(up.api.last().request_id() == "key-1");
  REQUIRE(up.api.last().source() == "http 127.0.0.1");
  REQUIRE(reply.body.find("secret") == std::string::npos);
  // Proxies add trace ids to every request: they name no operation.
  up.ask("POST", "/api/v1/hpc/jobs", sample_spec(), "X-Request-Id: id-2\r\n");
  REQUIRE(up.api.last().request_id().empty());
  up.ask("GET", "/api/v1/hpc/jobs/j-1", "", "Idempotency-Key: id-3\r\n");
  REQUIRE(up.api.last().request_id().empty());
  REQUIRE(up.ask("POST", "/api/v1/hpc/jobs", sample_spec(),
                 "Idempotency-Key: " + std::string(129, 'k') + "\r\n")
              .status == 400);
}

TEST_CASE("http: a list passes its filters on", "[runtime][http]") {
  running_server up;
  const auto reply = up.ask("GET",
                            "/api/v1/hpc/jobs?state=running&cluster=local&customer=ve1c&limit=5"
                            "&since=2024-01-15T10:00:00%2B00:00&cursor=a%20b");
  REQUIRE(reply.status == 200);
  REQUIRE(reply.json()["next_cursor"] == "next");
  const auto list = up.api.last().list_jobs();
  REQUIRE(list.state() == pb::JOB_STATE_RUNNING);
  REQUIRE(list.cluster_id() == "local");
  REQUIRE(list.customer_address() == "ve1c");
  REQUIRE(list.since_us() == 1705312800000000);
  REQUIRE(list.cursor() == "a b");
  REQUIRE(list.limit() == 5);
}

TEST_CASE("http: wrong parameters are 400, all of them at once", "[runtime][http]") {
  running_server up;
  const auto reply =
      up.ask("GET", "/api/v1/hpc/jobs?state=flying&limit=1001&since=now&colour=red&limit=1");
  REQUIRE(reply.status == 400);
  REQUIRE(reply.json()["details"].size() == 5);
  REQUIRE(reply.json()["message"] == "the request has 5 problems");
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1?x=1").status == 400);
}

TEST_CASE("http: a list's limit is held to its bound before anybody is asked", "[runtime][http]") {
  running_server up;
  for (const auto* limit : {"1", "1000"}) {
    REQUIRE(up.ask("GET", "/api/v1/hpc/jobs?limit=" + std::string(limit)).status == 200);
    CHECK(std::to_string(up.api.last().list_jobs().limit()) == limit);
  }
  for (const auto* limit : {"0", "1001", "4294967297", "18446744073709551617", "-1", "+5", "1e3",
                            "0x10", "", "%31%30%30%31", "5%00", "1000.0", "٣"}) {
    INFO(limit);
    for (const auto* list : {"/api/v1/hpc/jobs", "/api/v1/hpc/jobs/j-1/events"}) {
      const auto reply = up.ask("GET", list + std::string("?limit=") + limit);
      CHECK(reply.status == 400);
      CHECK(up.api.last().has_list_jobs());
      CHECK(up.api.last().list_jobs().limit() == 1000);
    }
  }
}

TEST_CASE("http: one job, its actions, explanation and clusters are reached by their paths",
          "[runtime][http]") {
  running_server up;
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1").json()["state"] == "running");
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/missing").status == 404);
  REQUIRE(up.ask("POST", "/api/v1/hpc/jobs/j-1/cancel", R"({"reason":"too long"})").status == 200);
  REQUIRE(up.api.last().cancel_job().reason() == "too long");
  // What HTTP does not carry is refused, not left out without a word.
  const auto given_up = up.ask("POST", "/api/v1/hpc/jobs/j-1/cancel", R"({"give_up":true})");
  REQUIRE(given_up.status == 422);
  REQUIRE(given_up.json()["details"][0]["field"] == "give_up");
  REQUIRE(up.ask("POST", "/api/v1/hpc/jobs/j-1/hold").status == 200);
  REQUIRE(up.api.last().hold_job().job_id() == "j-1");
  REQUIRE(up.ask("POST", "/api/v1/hpc/jobs/j-1/release", "{}").status == 200);
  REQUIRE(up.api.last().release_job().job_id() == "j-1");
  REQUIRE(up.ask("POST", "/api/v1/hpc/jobs/j-1/hold", R"({"job_id":"j-2"})").status == 422);
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1/explain?at=2024-01-15T10:00:00Z").status == 200);
  REQUIRE(up.api.last().explain_job().at_us() == 1705312800000000);
  REQUIRE(up.ask("GET", "/api/v1/hpc/clusters").json()["clusters"][0]["cluster_id"] == "local");
  REQUIRE(up.ask("GET", "/api/v1/hpc/clusters/local").json()["cluster_id"] == "local");
}

TEST_CASE("http: events come as JSON after a version", "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1");
  up.api.add_event("j-1", pb::JOB_STATE_COMPLETED);
  const auto reply = up.ask("GET", "/api/v1/hpc/jobs/j-1/events?after=1&limit=10").json();
  REQUIRE(reply["events"].size() == 1);
  REQUIRE(reply["events"][0]["type"] == "job_finished");
  REQUIRE(reply["events"][0]["data"]["state"] == "completed");
}

TEST_CASE("http: output is raw bytes with its place in the headers", "[runtime][http]") {
  running_server up;
  const auto reply = up.ask("GET", "/api/v1/hpc/jobs/j-1/output?stream=stderr&offset=7&limit=100");
  REQUIRE(reply.status == 200);
  REQUIRE(reply.body == std::string("a\0\xff\n", 4));
  REQUIRE(reply.headers.at("content-type") == "text/plain");
  REQUIRE(reply.headers.at("x-output-offset") == "7");
  REQUIRE(reply.headers.at("x-output-size") == "4096");
  REQUIRE(up.api.last().get_job_output().standard_error());
  REQUIRE(up.api.last().get_job_output().bytes_max() == 100);
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1/output?stream=both").status == 400);
}

TEST_CASE("http: health needs no token and is 503 when no job is accepted", "[runtime][http]") {
  running_server up;
  raw_client client(up.port);
  client.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto good = client.read_response();
  REQUIRE(good.status == 200);
  REQUIRE(good.json()["status"] == "ok");
  REQUIRE(up.api.last().token().empty());
  for (const auto& [status, code] :
       std::map<std::string, int>{{"degraded", 200}, {"stopping", 503}, {"full", 503}}) {
    up.api.set_answer([status = status](const auto&) {
      pb::ApiReply reply;
      reply.mutable_status()->set_status(status);
      return reply;
    });
    REQUIRE(up.ask("GET", "/health").status == code);
  }
}

TEST_CASE("http: every error word has its status", "[runtime][http]") {
  running_server up;
  const std::vector<std::pair<errc, int>> expected = {
      {errc::not_found, 404},  {errc::conflict, 409},    {errc::denied, 401},
      {errc::overloaded, 429}, {errc::unavailable, 503}, {errc::unknown_outcome, 504},
      {errc::corrupt, 500},    {errc::internal, 500},    {errc::invalid, 422}};
  for (const auto& [code, status] : expected) {
    up.api.fail_with(code, "because");
    const auto reply = up.ask("POST", "/api/v1/hpc/jobs", sample_spec());
    REQUIRE(reply.status == status);
    REQUIRE(reply.json()["error"] == std::string(to_string(code)));
    REQUIRE(reply.json()["message"] == "because");
    REQUIRE(reply.json()["details"].is_array());
    REQUIRE(reply.headers.contains("retry-after") == (status == 429 || status == 503));
    REQUIRE(reply.headers.contains("www-authenticate") == (status == 401));
  }
  up.api.fail_with(errc::invalid, "because");
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs").status == 400);
  up.api.fail_with(errc::denied, "because", "scope");
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs").status == 403);
}

TEST_CASE("http: an answer of the wrong kind or an exception is 500, and the server goes on",
          "[runtime][http]") {
  running_server up;
  up.api.set_answer([](const auto&) { return pb::ApiReply{}; });
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1").status == 500);
  up.api.set_answer([](const auto&) -> pb::ApiReply { throw std::runtime_error("broken"); });
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1").status == 500);
  up.api.set_answer(nullptr);
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/j-1").status == 200);
}

TEST_CASE("http: unknown paths are 404, wrong methods 405 with Allow", "[runtime][http]") {
  running_server up;
  for (const auto* path : {"/", "/api", "/api/v1/hpc/jobs/", "/api/v1/hpc/jobs/j-1/events/x",
                           "/health/", "//health"}) {
    const auto reply = up.ask("GET", path);
    REQUIRE((reply.status == 404 || reply.status == 400));
    REQUIRE(reply.json().contains("error"));
  }
  const auto reply = up.ask("DELETE", "/api/v1/hpc/jobs/j-1");
  REQUIRE(reply.status == 405);
  REQUIRE(reply.headers.at("allow") == "OPTIONS, GET, HEAD");
  REQUIRE(up.ask("BREW", "/api/v1/hpc/jobs").headers.at("allow") == "OPTIONS, POST, GET, HEAD");
  const auto options = up.ask("OPTIONS", "/api/v1/hpc/jobs/j-1/cancel");
  REQUIRE(options.status == 204);
  REQUIRE(options.headers.at("allow") == "OPTIONS, POST");
}

TEST_CASE("http: HEAD answers like GET without the body", "[runtime][http]") {
  running_server up;
  const auto get = up.ask("GET", "/api/v1/hpc/jobs/j-1");
  raw_client client(up.port);
  client.send(running_server::request("HEAD", "/api/v1/hpc/jobs/j-1"));
  const auto head = client.read_response(true);
  REQUIRE(head.status == 200);
  REQUIRE(head.headers.at("content-length") == std::to_string(get.body.size()));
  client.send(running_server::request("GET", "/health"));
  REQUIRE(client.read_response().status == 200);  // nothing of a body came in between
}

TEST_CASE("http: path ids that could leave their place are 400", "[runtime][http]") {
  running_server up;
  for (const auto* id : {"..%2f..%2fetc", "%2e%2e", "a%00b", "a%0ab", "-x", ".x", "a%20b", "%ff",
                         "%c3%28", "%", "%4", "%zz", "%c3%bc"})
    REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/" + std::string(id)).status == 400);
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/" + std::string(65, 'a')).status == 400);
  REQUIRE(up.ask("GET", "/api/v1/hpc/jobs/%6a-1").status == 200);
  REQUIRE(up.ask("GET", "http://test/api/v1/hpc/jobs/j-1").status == 200);
}

TEST_CASE("http: metrics stand on a listener of their own, without one nowhere",
          "[runtime][http]") {
  {
    running_server up;
    REQUIRE(up.ask("GET", "/metrics").status == 404);
    REQUIRE_FALSE(up.server.metrics_port());
  }
  runtime::http_options options;
  options.metrics_port = 0;
  options.metrics_path = "/prometheus";
  running_server up(options);
  REQUIRE(up.ask("GET", "/metrics").status == 404);
  REQUIRE(up.ask("GET", "/prometheus").status == 404);
  raw_client client(up.server.metrics_port().value());
  client.send(running_server::request("GET", "/prometheus"));
  const auto metrics = client.read_response();
  REQUIRE(metrics.body == "up 1\n");
  REQUIRE(metrics.headers.at("content-type") == "text/plain; version=0.0.4; charset=utf-8");
  client.send(running_server::request("GET", "/health"));
  REQUIRE(client.read_response().status == 200);
  client.send(running_server::request("GET", "/api/v1/hpc/jobs"));
  REQUIRE(client.read_response().status == 404);
}
