#include <catch2/catch.hpp>

#include "actors/api/shell/rate_limiter.hpp"
#include "runtime/http/target.hpp"
#include "tests/runtime/http_support.hpp"

using namespace ved;
using namespace ved::http_test;
using std::chrono::milliseconds;

namespace {

std::string post(std::size_t length, std::string_view headers = {}) {
  return "POST /api/v1/hpc/jobs HTTP/1.1\r\nHost: x\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(length) + "\r\n\r\n";
}

}  // namespace

TEST_CASE("http limits: a body at the bound is taken, one byte more is 413 and closes",
          "[runtime][http]") {
  runtime::http_options options;
  options.body_bytes_max = 1000;
  running_server up(options);
  const std::string body = "{" + std::string(998, ' ') + "}";
  REQUIRE(up.ask("POST", "/api/v1/hpc/jobs", body).status == 422);
  raw_client client(up.port);
  client.send(post(1001));  // refused by its announced length, before any of it is sent
  const auto reply = client.read_response();
  REQUIRE(reply.status == 413);
  REQUIRE(reply.headers.at("connection") == "close");
  client.end_input();
  REQUIRE(client.closed_by_server());
}

TEST_CASE("http limits: a chunked body is held to the same bound", "[runtime][http]") {
  runtime::http_options options;
  options.body_bytes_max = 1000;
  running_server up(options);
  const std::string head =
      "POST /api/v1/hpc/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  raw_client good(up.port);
  good.send(head + "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n");
  REQUIRE(good.read_response().status == 422);
  raw_client big(up.port);
  big.send(head);
  for (int i = 0; i < 3; ++i) big.send("1f4\r\n" + std::string(500, ' ') + "\r\n");
  REQUIRE(big.read_response().status == 413);
}

TEST_CASE("http limits: the answer to a body that is too large survives the rest of it",
          "[runtime][http]") {
  runtime::http_options options;
  options.body_bytes_max = 1000;
  running_server up(options);
  raw_client client(up.port);
  client.send(post(500'000) + std::string(500'000, 'x'));
  REQUIRE(client.read_response().status == 413);
}

TEST_CASE("http limits: headers over the bound are 431", "[runtime][http]") {
  runtime::http_options options;
  options.header_bytes_max = 1024;
  running_server up(options);
  REQUIRE(up.ask("GET", "/health", "", "X-Long: " + std::string(600, 'x') + "\r\n").status == 200);
  REQUIRE(up.ask("GET", "/health", "", "X-Long: " + std::string(2000, 'x') + "\r\n").status == 431);
  REQUIRE(up.ask("GET", "/" + std::string(5000, 'a')).status == 431);
}

TEST_CASE("http limits: headers that drip are cut off with 408", "[runtime][http]") {
  runtime::http_options options;
  options.header_timeout = milliseconds(50);
  running_server up(options);
  raw_client client(up.port);
  client.send("GET /health HT");
  const auto reply = client.read_response();
  REQUIRE(reply.status == 408);
  client.end_input();
  REQUIRE(client.closed_by_server());
}

TEST_CASE("http limits: bytes that keep coming do not move the deadline", "[runtime][http]") {
  runtime::http_options options;
  options.header_timeout = milliseconds(60);
  running_server up(options);
  raw_client client(up.port);
  client.send("GET /health HTTP/1.1\r\n");
  std::atomic<bool> stop{false};
  std::thread drip([&] {
    while (!stop && client.send("X: y\r\n")) std::this_thread::sleep_for(milliseconds(5));
  });
  const auto status = client.read_response().status;
  stop = true;
  drip.join();
  REQUIRE(status == 408);
}

TEST_CASE("http limits: a body that does not arrive is 408", "[runtime][http]") {
  runtime::http_options options;
  options.body_timeout = milliseconds(50);
  running_server up(options);
  raw_client client(up.port);
  client.send(post(10) + "{");
  REQUIRE(client.read_response().status == 408);
  REQUIRE(up.api.last().operation_case() == pb::ApiRequest::OPERATION_NOT_SET);
}

TEST_CASE("http limits: an idle connection is closed without a word", "[runtime][http]") {
  runtime::http_options options;
  options.idle_timeout = milliseconds(50);
  running_server up(options);
  raw_client client(up.port);
  REQUIRE(client.closed_by_server());
  raw_client used(up.port);
  used.send(running_server::request("GET", "/health"));
  REQUIRE(used.read_response().status == 200);
  REQUIRE(used.closed_by_server());
}

TEST_CASE("http limits: a truncated request starts nothing", "[runtime][http]") {
  running_server up;
  raw_client body(up.port);
  body.send(post(100) + sample_spec().substr(0, 50));
  body.end_input();
  REQUIRE(body.closed_by_server());
  raw_client head(up.port);
  head.send("POST /api/v1/hpc/jo");
  head.end_input();
  REQUIRE(head.closed_by_server());
  REQUIRE(up.api.last().operation_case() == pb::ApiRequest::OPERATION_NOT_SET);
}

TEST_CASE("http limits: a client that ends its input still gets its answer", "[runtime][http]") {
  running_server up;
  raw_client client(up.port);
  client.send(running_server::request("GET", "/health"));
  client.end_input();
  REQUIRE(client.read_response().status == 200);
  REQUIRE(client.closed_by_server());
}

TEST_CASE("http limits: pipelined requests are answered in order", "[runtime][http]") {
  running_server up;
  raw_client client(up.port);
  std::string all;
  for (int i = 0; i < 50; ++i)
    all += running_server::request("GET", "/api/v1/hpc/jobs/j-" + std::to_string(i));
  all += "\r\n" + running_server::request("POST", "/api/v1/hpc/jobs", sample_spec("last"));
  client.send(all);
  for (int i = 0; i < 50; ++i)
    REQUIRE(client.read_response().json()["job_id"] == "j-" + std::to_string(i));
  REQUIRE(client.read_response().json()["job_id"] == "last");
}

TEST_CASE("http limits: a bucket refills with time and the table is bounded", "[runtime][http]") {
  using actors::rate_limiter;
  rate_limiter rate(10, 2);
  rate_limiter::moment now{std::chrono::hours(1)};
  REQUIRE(rate.admit("a", now));
  REQUIRE(rate.admit("a", now));
  REQUIRE_FALSE(rate.admit("a", now));
  REQUIRE(rate.admit("b", now));
  REQUIRE_FALSE(rate.admit("a", now + milliseconds(99)));
  REQUIRE(rate.admit("a", now + milliseconds(201)));
  for (std::size_t i = 0; i < rate_limiter::clients_max + 100; ++i)
    rate.admit(std::to_string(i), now);
  REQUIRE(rate.clients() == rate_limiter::clients_max);
  rate.admit("late", now + std::chrono::seconds(1));  // by now all buckets are full again
  REQUIRE(rate.clients() == 1);
  REQUIRE(rate_limiter(0, 0).admit("a", now));
}

TEST_CASE("http: 100-continue is answered before the body, other expectations are 417",
          "[runtime][http]") {
  running_server up;
  const auto spec = sample_spec();
  raw_client client(up.port);
  client.send(post(spec.size(), "Expect: 100-continue\r\n"));
  REQUIRE(client.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  client.send(spec);
  REQUIRE(client.read_response().status == 201);
  raw_client other(up.port);
  other.send(post(10, "Expect: tea\r\n"));
  REQUIRE(other.read_response().status == 417);
}

TEST_CASE("http: what is not HTTP is 400, a foreign version 505", "[runtime][http]") {
  running_server up;
  for (const auto* text :
       {"hello\r\n\r\n", "GET\r\n\r\n", "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost x\r\n\r\n", "GET /he\001alth HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /api/v1/hpc/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        "POST /api/v1/hpc/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: "
        "2\r\n\r\n",
        "POST /api/v1/hpc/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01\r\n\r\n"}) {
    raw_client client(up.port);
    client.send(text);
    INFO(text);
    const auto reply = client.read_response();
    REQUIRE(reply.status == 400);
    REQUIRE(reply.json()["error"] == "invalid");
  }
  raw_client client(up.port);
  client.send("GET /health HTTP/2.0\r\n\r\n");
  REQUIRE(client.read_response().status == 505);
}

TEST_CASE("http: HTTP/1.0 is served and closed unless it asks to stay", "[runtime][http]") {
  running_server up;
  raw_client client(up.port);
  client.send("GET /health HTTP/1.0\r\n\r\n");
  REQUIRE(client.read_response().headers.at("connection") == "close");
  client.end_input();
  REQUIRE(client.closed_by_server());
  raw_client staying(up.port);
  staying.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  REQUIRE(staying.read_response().headers.at("connection") == "keep-alive");
  staying.send("GET /health HTTP/1.0\r\n\r\n");
  REQUIRE(staying.read_response().status == 200);
}

TEST_CASE("http: encoded bodies are 415", "[runtime][http]") {
  running_server up;
  REQUIRE(up.ask("POST", "/api/v1/hpc/jobs", "x", "Content-Encoding: gzip\r\n").status == 415);
}

TEST_CASE("http: no answer in time is 504 for a change and 503 for a query, late ones are dropped",
          "[runtime][http]") {
  runtime::http_options options;
  options.reply_timeout = milliseconds(50);
  running_server up(options);
  up.api.hold();
  raw_client client(up.port);
  client.send(running_server::request("POST", "/api/v1/hpc/jobs", sample_spec()));
  REQUIRE(client.read_response().status == 504);
  client.send(running_server::request("GET", "/api/v1/hpc/jobs/j-1"));
  REQUIRE(client.read_response().status == 503);
  for (const auto& late : up.api.release()) late({});
  client.send(running_server::request("GET", "/api/v1/hpc/jobs/j-1"));
  REQUIRE(client.read_response().json()["job_id"] == "j-1");
}

TEST_CASE("http: a port in use is named with its address", "[runtime][http]") {
  running_server up;
  fake_api api;
  runtime::http_options options;
  options.port = up.port;
  runtime::http_server second(options, api, {}, nullptr);
  const auto started = second.start();
  REQUIRE_FALSE(started.has_value());
  REQUIRE(started.error().code == errc::unavailable);
  REQUIRE(started.error().message == "HTTP server: cannot listen on 127.0.0.1:" +
                                         std::to_string(up.port) + ": Address already in use");
  options.address = "nowhere";
  runtime::http_server third(options, api, {}, nullptr);
  REQUIRE(third.start().error().code == errc::invalid);
}

TEST_CASE("http: a stop lets a request in flight finish and takes no new ones", "[runtime][http]") {
  running_server up;
  up.api.hold();
  raw_client busy(up.port);
  busy.send(running_server::request("GET", "/api/v1/hpc/jobs/j-1"));
  raw_client idle(up.port);
  up.api.wait_for_requests(1);
  std::thread stopping([&] { up.server.stop(std::chrono::seconds(5)); });
  REQUIRE(idle.closed_by_server());  // idle connections end at once: the stop has begun
  pb::ApiReply reply;
  reply.mutable_job()->mutable_job()->set_job_id("j-1");
  for (const auto& done : up.api.release()) done(reply);
  const auto got = busy.read_response();
  stopping.join();
  REQUIRE(got.status == 200);
  REQUIRE(got.headers.at("connection") == "close");
  REQUIRE(busy.closed_by_server());
  REQUIRE_THROWS(raw_client(up.port));
}

TEST_CASE("http: a stop cuts what outlives its grace, and answers after the end do no harm",
          "[runtime][http]") {
  std::vector<fake_api::callback> late;
  {
    running_server up;
    up.api.hold();
    raw_client busy(up.port);
    busy.send(running_server::request("GET", "/api/v1/hpc/jobs/j-1"));
    up.api.wait_for_requests(1);
    up.server.stop(milliseconds(10));
    REQUIRE(busy.closed_by_server());
    late = up.api.release();
  }
  REQUIRE(late.size() == 1);
  late.front()({});
}

TEST_CASE("http: each answer is reported with its route, never with its ids", "[runtime][http]") {
  std::mutex mutex;
  std::vector<std::string> seen;
  runtime::http_options options;
  options.on_request = [&](const runtime::http_access& access) {
    const std::lock_guard lock(mutex);
    seen.push_back(std::string(access.method) + " " + std::string(access.route) + " " +
                   std::to_string(access.status));
  };
  {
    running_server up(options);
    up.ask("GET", "/api/v1/hpc/jobs/j-1");
    up.ask("GET", "/nothing");
    up.server.stop(std::chrono::seconds(5));
    REQUIRE(up.server.counts().requests_total == 2);
  }
  std::sort(seen.begin(), seen.end());
  REQUIRE(seen == std::vector<std::string>{"GET /api/v1/hpc/jobs/{job_id} 200", "GET other 404"});
}

TEST_CASE("http target: paths and queries are split before they are decoded", "[runtime][http]") {
  using runtime::http::parse_target;
  const auto parsed = parse_target("/a%2Fb/c?x=1%262&y&z=+").value();
  REQUIRE(parsed.segments == std::vector<std::string>{"a/b", "c"});
  REQUIRE(parsed.query ==
          std::vector<std::pair<std::string, std::string>>{{"x", "1&2"}, {"y", ""}, {"z", "+"}});
  REQUIRE(parse_target("/").value().segments == std::vector<std::string>{""});
  REQUIRE_FALSE(parse_target("a").has_value());
  REQUIRE_FALSE(parse_target("").has_value());
  std::string deep;
  for (int i = 0; i < 33; ++i) deep += "/a";
  REQUIRE_FALSE(parse_target(deep).has_value());
  std::string wide = "/?";
  for (int i = 0; i < 33; ++i) wide += "a=1&";
  REQUIRE_FALSE(parse_target(wide).has_value());
}
