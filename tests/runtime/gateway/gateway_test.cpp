#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/gateway/client.hpp"
#include "runtime/gateway/server.hpp"
#include "runtime/gateway/system.hpp"
#include "tests/runtime/gateway/pki.hpp"

using namespace ved;
using namespace ved::runtime;
using namespace std::chrono_literals;

/// Asked by the leak sanitizer at the end of all tests: an actor system that CAF's TLS module hangs
/// in keeps all that it holds, and the sanitizer does not know CAF's threads. Without such a system
/// every leak counts.
extern "C" int __lsan_is_turned_off() { return ved::runtime::gateway_systems_left() > 0; }

namespace {

// Answers through a function, or keeps the answers back until it is told.
class scripted_api final : public api_port {
 public:
  std::function<pb::ApiReply(const pb::ApiRequest&)> answer;
  std::atomic<int> calls{0};

  void handle(pb::ApiRequest request, std::function<void(pb::ApiReply)> done) override {
    ++calls;
    if (answer) return done(answer(request));
    const std::lock_guard lock{guard_};
    kept_.push_back(std::move(done));
    came_.notify_all();
  }

  void wait_for_kept(std::size_t count) {
    std::unique_lock lock{guard_};
    came_.wait(lock, [&] { return kept_.size() >= count; });
  }

  void release(const pb::ApiReply& reply) {
    std::vector<std::function<void(pb::ApiReply)>> all;
    {
      const std::lock_guard lock{guard_};
      all.swap(kept_);
    }
    for (auto& done : all) done(reply);
  }

 private:
  std::mutex guard_;
  std::condition_variable came_;
  std::vector<std::function<void(pb::ApiReply)>> kept_;
};

pb::ApiReply status_reply(const std::string& status) {
  pb::ApiReply reply;
  reply.mutable_status()->set_status(status);
  return reply;
}

pb::ApiRequest status_request() {
  pb::ApiRequest request;
  request.mutable_get_status();
  return request;
}

struct fixture {
  test::private_ca ca;
  scripted_api api;
  gateway_options options;
  std::unique_ptr<gateway_server> server;

  fixture() { options.credentials = ca.issue("server"); }
  ~fixture() {
    server.reset();
    api.release({});  // answers after the server's end must find nothing to break
  }
  void start() {
    auto started = gateway_server::start(options, api);
    if (!started) FAIL(started.error().message);
    server = std::move(*started);
  }
  gateway_client_options client_options(const std::string& name = "client") {
    gateway_client_options how;
    how.address = server->address();
    how.credentials = ca.issue(name);
    return how;
  }
  std::unique_ptr<gateway_client> connect() {
    auto client = gateway_client::connect(client_options());
    if (!client) FAIL(client.error().message);
    return std::move(*client);
  }
};

// A port that nobody listens on: bound, so that nobody else gets it, but without listen().
class closed_port {
 public:
  closed_port() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    ::bind(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&where), &size);
    port_ = ntohs(where.sin_port);
  }
  ~closed_port() { ::close(fd_); }
  void listen() { ::listen(fd_, 4); }
  int fd() const { return fd_; }
  std::uint16_t port() const { return port_; }

 private:
  int fd_;
  std::uint16_t port_ = 0;
};

}  // namespace

TEST_CASE("gateway: a request goes through mutual TLS and its reply comes back",
          "[runtime][gateway]") {
  fixture f;
  f.api.answer = [](const pb::ApiRequest& request) {
    pb::ApiReply reply;
    reply.mutable_job()->mutable_job()->set_job_id(request.get_job().job_id());
    reply.mutable_job()->mutable_job()->set_reason(request.source() + "/" + request.token() + "/" +
                                                   (request.request_id().empty() ? "" : "id"));
    return reply;
  };
  f.start();
  CHECK(f.server->address().port != 0);
  auto client = f.connect();
  pb::ApiRequest request;
  request.mutable_get_job()->set_job_id("j-1");
  request.set_token("secret");
  request.set_source("http 10.0.0.1");
  const auto reply = client->call(request, 5s);
  REQUIRE(reply);
  CHECK(reply->job().job().job_id() == "j-1");
  // The source names the certificate: common name and the head of its fingerprint.
  CHECK_THAT(reply->job().job().reason(), Catch::StartsWith("gateway client "));
  CHECK_THAT(reply->job().job().reason(), Catch::EndsWith("/secret/id"));
}

TEST_CASE("gateway: many calls from many threads share one connection", "[runtime][gateway]") {
  fixture f;
  f.api.answer = [](const pb::ApiRequest& request) { return status_reply(request.request_id()); };
  f.start();
  auto client = f.connect();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        auto request = status_request();
        request.set_request_id(std::to_string(t) + "-" + std::to_string(i));
        const auto reply = client->call(request, 10s);
        if (!reply || reply->status().status() != request.request_id()) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(f.api.calls == 400);
}

TEST_CASE("gateway: refuses to start without certificates", "[runtime][gateway]") {
  scripted_api api;
  const auto refused = gateway_server::start({}, api);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message, Catch::Contains("anonymous"));
}

TEST_CASE("gateway: a port in use is named", "[runtime][gateway]") {
  fixture f;
  closed_port taken;
  taken.listen();
  f.options.address.port = taken.port();
  const auto refused = gateway_server::start(f.options, f.api);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::unavailable);
  CHECK_THAT(refused.error().message, Catch::Contains("Address already in use"));
  CHECK_THAT(refused.error().message, Catch::Contains(std::to_string(taken.port())));
}

TEST_CASE("gateway: the port is free again after the server's end", "[runtime][gateway]") {
  fixture f;
  f.api.answer = [](const pb::ApiRequest&) { return status_reply("ok"); };
  f.start();
  REQUIRE(f.connect()->call(status_request(), 5s));
  f.options.address = f.server->address();
  f.server.reset();
  f.start();
  CHECK(f.connect()->call(status_request(), 5s));
}

TEST_CASE("gateway: a client with a certificate of another CA is refused and told why",
          "[runtime][gateway]") {
  fixture f;
  f.start();
  test::private_ca stranger;
  auto how = f.client_options();
  SECTION("its own CA is another: it does not trust the server") {
    how.credentials = stranger.issue("client");
    const auto refused = gateway_client::connect(how);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::unavailable);
    CHECK_THAT(refused.error().message, Catch::Contains("certificate is not trusted"));
  }
  SECTION("it knows the server's CA, but cannot show a certificate of it") {
    // The client would refuse such a set itself, so it speaks to the server by hand.
    auto foreign = stranger.issue("client");
    foreign.ca_file = how.credentials.ca_file;
    const auto refused = diagnose_connection(how.address, foreign, 5s);
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Contains("our certificate was refused"));
  }
  CHECK(f.api.calls == 0);
}

TEST_CASE("gateway: a plain TCP client gets nothing and harms nobody", "[runtime][gateway]") {
  fixture f;
  f.api.answer = [](const pb::ApiRequest&) { return status_reply("ok"); };
  f.start();
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(f.server->address().port);
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0);
  const timeval limit{5, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const char hello[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  REQUIRE(::send(fd, hello, sizeof hello - 1, MSG_NOSIGNAL) > 0);
  // At most a TLS alert, then the end.
  char buffer[256];
  ssize_t total = 0;
  ssize_t got = 0;
  while ((got = ::recv(fd, buffer, sizeof buffer, 0)) > 0) total += got;
  CHECK(total < 64);
  ::close(fd);
  CHECK(f.connect()->call(status_request(), 5s));
}

TEST_CASE("gateway: a TLS client without a certificate, or without authentication, gets nothing",
          "[runtime][gateway]") {
  fixture f;
  f.start();
  const auto [ciphers, version] =
      GENERATE(std::pair{"HIGH", TLS1_3_VERSION}, std::pair{"HIGH", TLS1_2_VERSION},
               std::pair{"aNULL@SECLEVEL=0", TLS1_2_VERSION});
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(context, version);
  REQUIRE(SSL_CTX_set_cipher_list(context, ciphers) == 1);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(f.server->address().port);
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0);
  const timeval limit{5, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  SSL* session = SSL_new(context);
  SSL_set_fd(session, fd);
  // Under TLS 1.3 the refusal comes after the client's side of the handshake.
  char byte = 0;
  const bool connected = SSL_connect(session) == 1;
  CHECK_FALSE((connected && SSL_read(session, &byte, 1) > 0));
  SSL_free(session);
  ::close(fd);
  SSL_CTX_free(context);
  CHECK(f.api.calls == 0);
}

TEST_CASE("gateway: a client that asks for another installation is refused", "[runtime][gateway]") {
  fixture f;
  f.options.instance = "site-a";
  f.api.answer = [](const pb::ApiRequest&) { return status_reply("ok"); };
  f.start();
  CHECK(f.connect()->call(status_request(), 5s));
  auto how = f.client_options();
  how.instance = "site-a";
  CHECK(gateway_client::connect(how));
  how.instance = "site-b";
  how.timeout = 1s;
  const auto refused = gateway_client::connect(how);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message, Catch::Contains("another installation"));
}

TEST_CASE("gateway: says what to do when nobody listens", "[runtime][gateway]") {
  test::private_ca ca;
  closed_port nobody;
  gateway_client_options how;
  how.address.port = nobody.port();
  how.credentials = ca.issue("client");
  const auto refused = gateway_client::connect(how);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::unavailable);
  CHECK(refused.error().message ==
        "cannot reach ved at 127.0.0.1:" + std::to_string(nobody.port()) +
            ": connection refused; is it running? (systemctl status ved)");
}

TEST_CASE("gateway: a listener that never answers costs the time-out, not for ever",
          "[runtime][gateway]") {
  test::private_ca ca;
  closed_port silent;
  silent.listen();
  gateway_client_options how;
  how.address.port = silent.port();
  how.credentials = ca.issue("client");
  how.timeout = 300ms;
  const auto refused = gateway_client::connect(how);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::unavailable);
  CHECK_THAT(refused.error().message, Catch::Contains("no answer to the TLS handshake"));
}

TEST_CASE("gateway: a daemon that dies during a call ends the call", "[runtime][gateway]") {
  fixture f;  // answers nothing
  f.start();
  auto client = f.connect();
  auto reply = std::async(std::launch::async, [&] { return client->call(status_request(), 60s); });
  f.api.wait_for_kept(1);
  f.server.reset();
  REQUIRE(reply.wait_for(20s) == std::future_status::ready);
  const auto ended = reply.get();
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code == errc::unknown_outcome);
  CHECK_THAT(ended.error().message, Catch::Contains("may have taken effect"));
}

TEST_CASE("gateway: a call that finds its daemon gone was surely not sent", "[runtime][gateway]") {
  fixture f;
  f.api.answer = [](const pb::ApiRequest&) { return status_reply("ok"); };
  f.start();
  auto client = f.connect();
  REQUIRE(client->call(status_request(), 20s));
  f.server.reset();
  // The first call after the end may still go into the closing connection.
  (void)client->call(status_request(), 20s);
  const auto refused = client->call(status_request(), 20s);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::unavailable);
  CHECK_THAT(refused.error().message, Catch::Contains("connection refused; is it running?"));
}

TEST_CASE("gateway: a call survives a restart of the daemon under the same request id",
          "[runtime][gateway]") {
  fixture f;
  f.start();
  auto client = f.connect();
  f.options.address = f.server->address();
  f.server.reset();
  std::string seen;
  f.api.answer = [&](const pb::ApiRequest& request) {
    seen = request.request_id();
    return status_reply("ok");
  };
  f.start();
  auto request = status_request();
  request.set_request_id("r-1");
  const auto reply = client->call(request, 10s);
  if (!reply) FAIL(reply.error().message);
  CHECK(reply->status().status() == "ok");
  CHECK(seen == "r-1");
}

TEST_CASE("gateway: comes back on its port after its actor has died", "[runtime][gateway]") {
  fixture f;
  f.api.answer = [](const pb::ApiRequest& request) -> pb::ApiReply {
    if (request.has_verify_log()) throw std::runtime_error("an API that breaks its promise");
    return status_reply("ok");
  };
  f.start();
  const auto how = f.client_options();
  pb::ApiRequest deadly;
  deadly.mutable_verify_log();
  for (int round = 0; round < 2; ++round) {
    CHECK_FALSE(f.connect()->call(deadly, 300ms));
    bool back = false;
    for (int attempt = 0; attempt < 100 && !back; ++attempt) {
      auto client = gateway_client::connect(how);
      back = client && (*client)->call(status_request(), 5s);
      if (!back) std::this_thread::sleep_for(50ms);
    }
    REQUIRE(back);
  }
}

TEST_CASE("gateway: a reply that never comes is an unknown outcome on both sides",
          "[runtime][gateway]") {
  fixture f;
  f.options.reply_timeout = 100ms;
  f.start();
  auto client = f.connect();
  SECTION("the server gives up first") {
    const auto reply = client->call(status_request(), 20s);
    REQUIRE(reply);
    CHECK(reply->error().error() == "unknown_outcome");
  }
  SECTION("the client gives up first") {
    const auto reply = client->call(status_request(), 50ms);
    REQUIRE_FALSE(reply);
    CHECK(reply.error().code == errc::unknown_outcome);
    CHECK_THAT(reply.error().message, Catch::Contains("50 ms"));
  }
}

TEST_CASE("gateway: above the window a request is refused, and the window opens again",
          "[runtime][gateway]") {
  fixture f;
  f.options.in_flight_max = 2;
  f.start();
  auto client = f.connect();
  auto first = std::async(std::launch::async, [&] { return client->call(status_request(), 20s); });
  auto second = std::async(std::launch::async, [&] { return client->call(status_request(), 20s); });
  f.api.wait_for_kept(2);
  const auto third = client->call(status_request(), 20s);
  REQUIRE(third);
  CHECK(third->error().error() == "overloaded");
  f.api.release(status_reply("ok"));
  CHECK(first.get()->status().status() == "ok");
  CHECK(second.get()->status().status() == "ok");
  f.api.answer = [](const pb::ApiRequest&) { return status_reply("ok"); };
  CHECK(client->call(status_request(), 20s)->status().status() == "ok");
}

TEST_CASE("gateway: messages are bounded in both directions", "[runtime][gateway]") {
  fixture f;
  f.api.answer = [](const pb::ApiRequest& request) {
    return status_reply(std::string(request.get_job_output().bytes_max(), 'x'));
  };
  f.start();
  auto client = f.connect();
  SECTION("a request that is too large is not sent") {
    auto request = status_request();
    request.set_token(std::string(gateway_message_bytes_max + 1, 'x'));
    const auto refused = client->call(request, 5s);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid);
    CHECK(f.api.calls == 0);
  }
  SECTION("a request just below the bound arrives") {
    auto request = status_request();
    request.set_token(std::string(gateway_message_bytes_max - 256, 'x'));
    CHECK(client->call(request, 10s));
  }
  SECTION("an answer that is too large becomes an error") {
    pb::ApiRequest request;
    request.mutable_get_job_output()->set_bytes_max(gateway_message_bytes_max + 1);
    const auto reply = client->call(request, 10s);
    REQUIRE(reply);
    CHECK(reply->error().error() == "invalid");
  }
  CHECK(client->call(status_request(), 10s));
}
