#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "runtime/descriptors.hpp"
#include "runtime/http/addresses.hpp"
#include "runtime/http/connection_table.hpp"
#include "tests/runtime/http_support.hpp"

using namespace ved;
using namespace ved::http_test;
using runtime::http::connection_table;
using place = connection_table::place;

namespace {

runtime::http::address ip(const std::string& text) {
  return boost::asio::ip::make_address(text);
}

using runtime::http::forwarding_header;

/// Whom the requests of a server were counted against. Outlives it.
class seen_sources {
 public:
  void watch(runtime::http_options& options) {
    options.on_request = [this](const runtime::http_access& access) {
      const std::lock_guard lock(mutex_);
      all_.insert(std::string(access.source));
    };
  }
  std::set<std::string> all() {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  std::mutex mutex_;
  std::set<std::string> all_;
};

std::string client_told(const std::string& peer, const std::string& hops,
                        forwarding_header form = forwarding_header::x_forwarded_for) {
  const auto trusted =
      runtime::http::network_list::parse({"127.0.0.1", "10.0.0.0/9", "fd00::/8"}).value();
  return runtime::http::client_of(ip(peer), form, hops, trusted).to_string();
}

const std::string health = running_server::request("GET", "/health");
const std::string show = running_server::request("GET", "/api/v1/hpc/jobs/j-1");

/// Sockets of one address that hold what they got.
std::vector<std::unique_ptr<raw_client>> crowd(std::uint16_t port, int count, const char* from,
                                               const std::string& text) {
  std::vector<std::unique_ptr<raw_client>> all;
  for (int i = 0; i < count; ++i) {
    all.push_back(std::make_unique<raw_client>(port, 0, from));
    all.back()->send(text);
  }
  return all;
}

/// Takes every descriptor of the process but one.
class scarce_descriptors {
 public:
  scarce_descriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit small{256, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &small);
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) taken_.push_back(fd);
    if (taken_.empty()) return;
    ::close(taken_.back());
    taken_.pop_back();
  }
  ~scarce_descriptors() {
    for (const int fd : taken_) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

}  // namespace

TEST_CASE("http connections: who has waited longest loses its place, who is at work never",
          "[runtime][http]") {
  connection_table table({.open_max = 3, .per_address_max = 3, .reserve_max = 1});
  const auto a = table.enter("a", false).key;
  const auto b = table.enter("b", false).key;
  const auto c = table.enter("c", false).key;
  REQUIRE(table.works(a));
  const auto d = table.enter("d", false);
  CHECK(d.got == place::open);
  CHECK(d.evicted == b);
  CHECK_FALSE(table.works(b));  // too late: it must close itself
  table.waits(a);
  CHECK(table.enter("e", false).evicted == c);
  CHECK(table.enter("f", false).evicted == d.key);
  CHECK(table.enter("g", false).evicted == a);
  CHECK(table.open() == 3);
}

TEST_CASE("http connections: an address that has all it may have loses one of its own",
          "[runtime][http]") {
  connection_table table({.open_max = 10, .per_address_max = 2, .reserve_max = 1});
  const auto other = table.enter("other", false).key;
  const auto first = table.enter("greedy", false).key;
  const auto second = table.enter("greedy", false).key;
  CHECK(table.enter("greedy", false).evicted == first);
  CHECK(table.enter("greedy", false).evicted == second);
  CHECK(table.works(other));
  CHECK(table.open() == 3);
  for (int i = 0; i < 7; ++i) CHECK_FALSE(table.enter("proxy", true).evicted);
}

TEST_CASE("http connections: with all at work there is a reserve, and then none",
          "[runtime][http]") {
  connection_table table({.open_max = 2, .per_address_max = 2, .reserve_max = 1});
  for (const auto* name : {"a", "b"}) REQUIRE(table.works(table.enter(name, false).key));
  const auto spare = table.enter("c", false);
  CHECK(spare.got == place::reserve);
  const auto next = table.enter("d", false);
  CHECK(next.got == place::reserve);
  CHECK(next.evicted == spare.key);
  REQUIRE(table.works(next.key));
  CHECK(table.enter("e", false).got == place::none);
  table.leave(next.key);
  CHECK(table.enter("e", false).got == place::reserve);
}

TEST_CASE("http connections: everything that left is forgotten", "[runtime][http]") {
  connection_table table({.open_max = 4, .per_address_max = 2, .reserve_max = 1});
  std::vector<connection_table::id> keys;
  for (int i = 0; i < 1'000; ++i)
    keys.push_back(table.enter("a" + std::to_string(i % 5), false).key);
  CHECK(table.open() == 4);
  for (const auto key : keys) table.leave(key);
  CHECK(table.size() == 0);
  CHECK(table.open() == 0);
  CHECK_FALSE(table.enter("a0", false).evicted);
}

TEST_CASE("http: silent, partial and slow sockets of several addresses keep nobody out",
          "[runtime][http]") {
  runtime::http_options options;
  options.connections_max = 20;
  options.connections_per_address = 8;
  running_server up(options);
  const auto silent = crowd(up.port, 20, "127.0.0.2", "");
  const auto partial = crowd(up.port, 20, "127.0.0.3", "GET /health HT");
  const auto headers = crowd(up.port, 20, "127.0.0.4", "GET /health HTTP/1.1\r\nX-A: b\r\n");
  const auto bodies = crowd(up.port, 20, "127.0.0.5",
                            "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1");
  for (int i = 0; i < 30; ++i) {
    raw_client client(up.port);
    client.send(show);
    REQUIRE(client.read_response().status == 200);
  }
  CHECK(up.server.counts().connections <= 20 + 16);
  CHECK(up.server.counts().connections_rejected > 60);
}

TEST_CASE("http: one address with many sockets keeps not even itself out", "[runtime][http]") {
  runtime::http_options options;
  options.connections_max = 16;
  options.connections_per_address = 4;
  running_server up(options);
  raw_client other(up.port, 0, "127.0.0.9");
  const auto many = crowd(up.port, 200, nullptr, "POST /api/v1/hpc/jobs HTTP/1.1\r\nHo");
  CHECK(up.ask("GET", "/api/v1/hpc/jobs/j-1").status == 200);
  other.send(show);  // older than all of them, and of another address: still there
  CHECK(other.read_response().status == 200);
}

TEST_CASE("http: when all connections are at work, the health check still gets through",
          "[runtime][http]") {
  runtime::http_options options;
  options.connections_max = 3;
  running_server up(options);
  up.api.hold();
  const auto busy =
      crowd(up.port, 3, nullptr, running_server::request("GET", "/api/v1/hpc/jobs/j-1"));
  up.api.wait_for_requests(3);
  raw_client refused(up.port);
  refused.send(running_server::request("GET", "/api/v1/hpc/jobs/j-1"));
  CHECK(refused.read_response().status == 503);
  for (int i = 0; i < 20; ++i) CHECK(up.ask("GET", "/health").status == 200);
  const auto silent = crowd(up.port, 40, "127.0.0.2", "GE");
  CHECK(up.ask("GET", "/health").status == 200);
  for (const auto& done : up.api.release()) done({});
  for (const auto& one : busy) one->read_response();
  for (const auto& one : busy) one->send(health);
  for (const auto& one : busy) CHECK(one->read_response().status == 200);
}

TEST_CASE("http: answers that nobody takes give their connection up", "[runtime][http]") {
  runtime::http_options options;
  options.connections_max = 4;
  running_server up(options);
  std::string flood;
  for (int i = 0; i < 200; ++i) flood += running_server::request("GET", "/openapi.json");
  std::vector<std::unique_ptr<raw_client>> deaf;
  for (int i = 0; i < 4; ++i) {
    deaf.push_back(std::make_unique<raw_client>(up.port, 4'096));
    deaf.back()->send(flood);
  }
  for (int i = 0; i < 10; ++i) CHECK(up.ask("GET", "/api/v1/hpc/jobs/j-1").status == 200);
}

TEST_CASE("http: the metrics listener has places of its own", "[runtime][http]") {
  runtime::http_options options;
  options.connections_max = 2;
  options.metrics_port = 0;
  options.metrics_connections_max = 3;
  running_server up(options);
  up.api.hold();
  const auto busy =
      crowd(up.port, 4, nullptr, running_server::request("GET", "/api/v1/hpc/jobs/j-1"));
  up.api.wait_for_requests(2);
  const auto port = up.server.metrics_port().value();
  const auto silent = crowd(port, 50, "127.0.0.2", "GET");
  raw_client scraper(port);
  scraper.send(running_server::request("GET", "/metrics"));
  CHECK(scraper.read_response().body == "up 1\n");
}

TEST_CASE("http: a request is judged by its head, before its body comes", "[runtime][http]") {
  runtime::http_options options;
  options.body_bytes_max = 1'000'000;
  running_server up(options);
  up.api.set_refusal([](const pb::ApiRequest& head) -> std::optional<pb::ApiReply> {
    if (head.token() == "good") return std::nullopt;
    return fake_api::error(errc::denied, "no", head.token() == "weak" ? "scope" : "");
  });
  const auto answer = [&](const std::string& head) {
    raw_client client(up.port);
    client.send(head);  // no byte of a body
    auto reply = client.read_response();
    client.end_input();
    CHECK(client.closed_by_server());
    return reply.status;
  };
  const std::string jobs = "/api/v1/hpc/jobs";
  const auto head = [&](const std::string& line, const std::string& token) {
    return line + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token +
           "\r\nContent-Length: 900000\r\n";
  };
  for (const std::string expect : {"", "Expect: 100-continue\r\n"}) {
    CHECK(answer(head("POST " + jobs, "bad") + expect + "\r\n") == 401);
    CHECK(answer(head("POST " + jobs, "weak") + expect + "\r\n") == 403);
    CHECK(answer(head("POST /nothing", "good") + expect + "\r\n") == 404);
    CHECK(answer(head("DELETE " + jobs, "good") + expect + "\r\n") == 405);
    CHECK(answer(head("POST " + jobs + "/j-1/cancel?x=1", "good") + expect + "\r\n") == 400);
    CHECK(answer("POST " + jobs + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bad\r\n" +
                 "Transfer-Encoding: chunked\r\n" + expect + "\r\n") == 401);
  }
  CHECK(answer("POST " + jobs + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n"
               "Content-Length: 1000001\r\nExpect: 100-continue\r\n\r\n") == 413);
  raw_client good(up.port);
  good.send(head("POST " + jobs, "good") + "Expect: 100-continue\r\n\r\n");
  CHECK(good.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
}

TEST_CASE("http: HTTP/1.0 is never told to continue", "[runtime][http]") {
  runtime::http_options options;
  options.threads = 1;  // who has been answered was not served before the head that came first
  running_server up(options);
  raw_client client(up.port);
  client.send(
      "POST /api/v1/hpc/jobs HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  REQUIRE(up.ask("GET", "/health").status == 200);
  client.send("{}");
  CHECK(client.read_response().status == 422);
}

TEST_CASE("http: requests over an address's rate are 429, on loopback too", "[runtime][http]") {
  runtime::http_options options;
  options.rate_per_second = 1;
  options.rate_burst = 3;
  running_server up(options);
  const auto counted = [&](const std::string& path, const char* from) {
    std::map<int, int> seen;
    for (int i = 0; i < 20; ++i) {
      raw_client client(up.port, 0, from);
      client.send("GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n");
      ++seen[client.read_response().status];
    }
    return seen;
  };
  auto seen = counted("/api/v1/hpc/jobs/j-1", nullptr);
  CHECK(seen[429] >= 5);
  CHECK(seen[200] >= 3);
  CHECK(up.server.counts().requests_limited == static_cast<std::uint64_t>(seen[429]));
  CHECK(counted("/api/v1/hpc/jobs/j-1", "127.0.0.7")[200] >= 3);
  CHECK(counted("/openapi.json", nullptr)[200] >= 3);  // what needs no token counts for itself
}

TEST_CASE("http: refused requests have a rate of their own and do not starve good ones",
          "[runtime][http]") {
  runtime::http_options options;
  options.refusals_per_second = 1;
  options.refusals_burst = 4;
  running_server up(options);
  up.api.set_refusal([](const pb::ApiRequest& head) -> std::optional<pb::ApiReply> {
    if (head.token() == "secret") return std::nullopt;
    return fake_api::error(errc::denied, "unknown token");
  });
  std::map<int, int> seen;
  for (int i = 0; i < 20; ++i) {
    raw_client client(up.port);
    client.send("GET /api/v1/hpc/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer guess\r\n\r\n");
    const auto reply = client.read_response();
    ++seen[reply.status];
    if (reply.status == 429) {
      CHECK(reply.headers.at("connection") == "close");
      CHECK(reply.headers.contains("retry-after"));
    }
  }
  CHECK(seen[401] >= 4);
  CHECK(seen[429] >= 10);
  bool too_often = false;
  for (int i = 0; i < 10; ++i) too_often |= up.ask("GET", "/nothing").status == 429;
  CHECK(too_often);
  CHECK(up.ask("GET", "/api/v1/hpc/jobs").status == 200);
  CHECK(up.ask("GET", "/health").status == 200);
}

TEST_CASE("http: live streams of one address leave room for others", "[runtime][http]") {
  runtime::http_options options;
  options.streams_max = 4;
  options.streams_per_address = 2;
  running_server up(options);
  const auto listen = [&](const char* from) {
    auto client = std::make_unique<raw_client>(up.port, 0, from);
    client->send(running_server::request("GET", "/api/v1/hpc/jobs/j-1/events", "",
                                         "Accept: text/event-stream\r\n"));
    const int status = client->read_response().status;
    return std::make_pair(status, std::move(client));
  };
  const auto one = listen("127.0.0.2");
  const auto two = listen("127.0.0.2");
  CHECK(one.first == 200);
  CHECK(two.first == 200);
  CHECK(listen("127.0.0.2").first == 503);
  const auto three = listen("127.0.0.3");
  const auto four = listen("127.0.0.4");
  CHECK(three.first == 200);
  CHECK(four.first == 200);
  CHECK(listen("127.0.0.5").first == 503);
}

TEST_CASE("http addresses: only a trusted peer names its client, its last foreign hop",
          "[runtime][http]") {
  CHECK(client_told("192.0.2.1", "198.51.100.7") == "192.0.2.1");
  CHECK(client_told("127.0.0.1", "198.51.100.7") == "198.51.100.7");
  CHECK(client_told("::ffff:127.0.0.1", "198.51.100.7") == "198.51.100.7");
  CHECK(client_told("127.0.0.1", "6.6.6.6, 198.51.100.7") == "198.51.100.7");
  CHECK(client_told("127.0.0.1", "6.6.6.6,198.51.100.7, 10.1.2.3 ,127.0.0.1") == "198.51.100.7");
  CHECK(client_told("127.0.0.1", "6.6.6.6, 10.200.2.3") == "10.200.2.3");  // outside of /9
  CHECK(client_told("127.0.0.1", "10.1.1.1") == "10.1.1.1");
  CHECK(client_told("127.0.0.1", "198.51.100.7:4711") == "198.51.100.7");
  CHECK(client_told("127.0.0.1", "[2001:db8::7]:4711") == "2001:db8::7");
  CHECK(client_told("127.0.0.1", "2001:db8::7") == "2001:db8::7");
  CHECK(client_told("127.0.0.1", "2001:db8::7, fd00::1") == "2001:db8::7");
  CHECK(client_told("127.0.0.1", "") == "127.0.0.1");
  for (const std::string broken : {"unknown", "_hidden", "198.51.100.7:x", "1.2.3", "fe80::1%eth0",
                                   "[::1", ",", "198.51.100.7;", "' OR 1", "6.6.6.6,"})
    CHECK(client_told("127.0.0.1", broken) == "127.0.0.1");
  CHECK(client_told("127.0.0.1", "6.6.6.6, nonsense, 10.1.1.1") == "10.1.1.1");
}

TEST_CASE("http addresses: the Forwarded header is read by RFC 7239", "[runtime][http]") {
  const auto told = [](const std::string& hops) {
    return client_told("127.0.0.1", hops, forwarding_header::forwarded);
  };
  CHECK(told("for=198.51.100.7") == "198.51.100.7");
  CHECK(told("For=\"[2001:db8::7]:4711\";proto=https") == "2001:db8::7");
  CHECK(told("for=6.6.6.6, by=10.0.0.1;for=198.51.100.7") == "198.51.100.7");
  CHECK(told("for=6.6.6.6, proto=http") == "127.0.0.1");
  CHECK(told("for=_secret") == "127.0.0.1");
  // A proxy quotes what a client wrote into its Host.
  CHECK(told(R"(for=1.2.3.5;host="a,for=9.9.9.9;b=")") == "1.2.3.5");
  CHECK(told(R"(proto=http;host="a;for=9.9.9.8;b";for=1.2.3.6)") == "1.2.3.6");
  CHECK(told(R"(by="x;for=6.6.6.6;y";for=1.2.3.7)") == "1.2.3.7");
  CHECK(told(R"(for=1.2.3.8;host="a\",for=9.9.9.9;b=\"")") == "1.2.3.8");
  CHECK(told(R"(host="a" , FOR = "1.2.3.9" ; proto=https)") == "1.2.3.9");
  for (const std::string broken : {R"(for="1.2.3.4)", R"(for=1.2.3.4, host="a, for=9.9.9.9)",
                                   R"(for=)", R"(host="a"b;for=9.9.9.9)", R"(for="9.9.9.9\)",
                                   "9.9.9.9", "for=9.9.9.9 x", "=9.9.9.9"})
    CHECK(told(broken) == "127.0.0.1");
}

TEST_CASE("http addresses: a chain of trusted hops is followed only so far", "[runtime][http]") {
  std::string chain = "198.51.100.7";
  for (std::size_t i = 1; i < runtime::http::forwarded_hops_max; ++i) chain += ", 10.0.0.1";
  CHECK(client_told("127.0.0.1", chain) == "198.51.100.7");
  CHECK(client_told("127.0.0.1", chain + ", 10.0.0.1") == "10.0.0.1");
}

TEST_CASE("http addresses: an IPv6 customer is one /64, an IPv4 one an address",
          "[runtime][http]") {
  using runtime::http::limit_key;
  CHECK(limit_key(ip("2001:db8::1")) == limit_key(ip("2001:db8:0:0:ffff::2")));
  CHECK(limit_key(ip("2001:db8::1")) != limit_key(ip("2001:db8:0:1::1")));
  CHECK(limit_key(ip("192.0.2.1")) == limit_key(ip("::ffff:192.0.2.1")));
  CHECK(limit_key(ip("192.0.2.1")) != limit_key(ip("192.0.2.2")));
  for (const std::string bad : {"", "x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129",
                                "10.0.0.0/8x", "localhost"})
    CHECK_FALSE(runtime::http::network_list::parse({bad}));
}

TEST_CASE("http: behind a named proxy its clients are counted one by one",
          "[runtime][http]") {
  runtime::http_options options;
  options.rate_per_second = 1;
  options.rate_burst = 2;
  options.connections_per_address = 2;
  options.trusted_proxies = {"127.0.0.1"};
  seen_sources sources;
  sources.watch(options);
  running_server up(options);
  // How many of so many requests are served; `#` in the header is the number of each.
  constexpr int tries = 20;
  const auto served = [&](const char* from, const std::string& header) {
    int good = 0;
    for (int i = 0; i < tries; ++i) {
      auto told = header;
      if (const auto at = told.find('#'); at != std::string::npos)
        told.replace(at, 1, std::to_string(i));
      raw_client client(up.port, 0, from);
      client.send("GET /openapi.json HTTP/1.1\r\nHost: x\r\n" + told + "\r\n\r\n");
      good += client.read_response().status == 200 ? 1 : 0;
    }
    return good;
  };
  for (const std::string client : {"198.51.100.1", "198.51.100.2", "2001:db8::1"}) {
    const int good = served("127.0.0.1", "X-Forwarded-For: " + client);
    CHECK(good >= 2);
    CHECK(good < tries);
  }
  CHECK(served("127.0.0.1", "X-Forwarded-For: 198.51.101.#") == tries);
  // A forged left part makes nobody a new client, nor does a header line of its own.
  CHECK(served("127.0.0.1", "X-Forwarded-For: 6.6.6.#, 198.51.100.3") < tries);
  CHECK(served("127.0.0.1", "X-Forwarded-For: 6.6.6.#\r\nX-Forwarded-For: 198.51.100.4") < tries);
  // The header that its proxy does not set is its client's word, and changes nothing.
  CHECK(served("127.0.0.1", "X-Forwarded-For: 198.51.102.#\r\nForwarded: for=6.6.6.6") == tries);
  CHECK(served("127.0.0.1", "X-Forwarded-For: 198.51.100.5\r\nForwarded: for=6.6.6.#") < tries);
  // From elsewhere the header is nothing: one client, whatever it says.
  CHECK(served("127.0.0.2", "X-Forwarded-For: 203.0.113.#") < tries);
  CHECK(served("127.0.0.3", "Forwarded: for=203.0.113.#") < tries);
  raw_client last(up.port);
  last.send("GET /openapi.json HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.99\r\n\r\n");
  CHECK(last.read_response().status == 200);
  last.end_input();
  CHECK(last.closed_by_server());
  CHECK(sources.all().contains("http 203.0.113.99"));
  CHECK(sources.all().contains("http 127.0.0.2"));
  // Connections of the proxy are not held to the bound per address.
  std::vector<std::unique_ptr<raw_client>> pooled;
  for (int i = 0; i < 10; ++i) pooled.push_back(std::make_unique<raw_client>(up.port));
  pooled.front()->send("GET /openapi.json HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.98\r\n"
                       "Connection: close\r\n\r\n");
  CHECK(pooled.front()->read_response().status == 200);
}

TEST_CASE("http: a proxy may tell its client in the Forwarded header", "[runtime][http]") {
  runtime::http_options options;
  options.trusted_proxies = {"127.0.0.1"};
  options.proxy_header = "Forwarded";
  seen_sources sources;
  sources.watch(options);
  running_server up(options);
  raw_client client(up.port);
  client.send("GET /openapi.json HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\n"
              "Forwarded: for=203.0.113.97\r\n\r\n");
  CHECK(client.read_response().status == 200);
  client.end_input();
  CHECK(client.closed_by_server());
  CHECK(sources.all() == std::set<std::string>{"http 203.0.113.97"});
}

TEST_CASE("http: a proxy that is no address ends the start", "[runtime][http]") {
  fake_api api;
  runtime::http_options options;
  options.trusted_proxies = {"proxy.example"};
  runtime::http_server server(options, api, {}, nullptr);
  const auto started = server.start();
  REQUIRE_FALSE(started);
  CHECK(started.error().message.find("proxy.example") != std::string::npos);
}

TEST_CASE("http: without a token health is one word", "[runtime][http]") {
  running_server up;
  up.api.set_answer([](const pb::ApiRequest& request) {
    pb::ApiReply reply;
    reply.mutable_status()->set_status("degraded");
    if (request.token().empty()) return reply;
    reply.mutable_status()->set_boot_id("boot-1");
    reply.mutable_status()->add_problems("cluster c is down: /path");
    return reply;
  });
  raw_client client(up.port);
  client.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(client.read_response().json() == nlohmann::json{{"status", "degraded"}});
  CHECK(up.ask("GET", "/health").json()["problems"].size() == 1);
}

TEST_CASE("http: without descriptors the connection that has waited longest gives up its own",
          "[runtime][http]") {
  runtime::http_options options;
  options.idle_timeout = std::chrono::minutes(5);  // the want must do it, not the time
  running_server up(options);
  const auto waiting = crowd(up.port, 3, nullptr, show);
  for (const auto& one : waiting) REQUIRE(one->read_response().status == 200);
  const scarce_descriptors scarce;
  raw_client late(up.port);  // with the last one: accept fails now
  late.send(show);
  CHECK(late.read_response().status == 200);
}

TEST_CASE("descriptors: what HTTP may take leaves the reserve, or a quarter where there is none",
          "[runtime]") {
  using runtime::connections_that_fit;
  CHECK(connections_that_fit(65'536, 1'024) == 1'024);
  CHECK(connections_that_fit(2'048, 1'024) == 1'024);
  CHECK(connections_that_fit(2'047, 1'024) == 1'023);
  CHECK(connections_that_fit(1'024, 1'024) == 256);
  CHECK(connections_that_fit(64, 1'024) == 16);
  CHECK(connections_that_fit(16, 1'024) == 8);
  CHECK(connections_that_fit(64, 4) == 4);
  runtime::http_config http;
  CHECK_FALSE(runtime::too_many_connections(4'096, http));
  http.connections_max = 100'000;
  const auto told = runtime::too_many_connections(4'096, http);
  REQUIRE(told);
  CHECK(told->find("100000") != std::string::npos);
  CHECK(told->find("3072 are taken") != std::string::npos);
}
