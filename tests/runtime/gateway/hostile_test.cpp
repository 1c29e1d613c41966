#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/descriptors.hpp"
#include "runtime/gateway/client.hpp"
#include "runtime/gateway/server.hpp"
#include "tests/runtime/gateway/basp_bytes.hpp"
#include "tests/runtime/gateway/pki.hpp"
#include "tests/runtime/gateway/raw_client.hpp"

using namespace ved;
using namespace ved::runtime;
using namespace ved::test;
using namespace std::chrono_literals;

namespace {

pb::ApiRequest status_request() {
  pb::ApiRequest request;
  request.mutable_get_status();
  return request;
}

// Answers every request with where it came from.
class telling_api final : public api_port {
 public:
  std::atomic<int> calls{0};
  std::size_t answer_bytes = 0;
  void handle(pb::ApiRequest request, std::function<void(pb::ApiReply)> done) override {
    ++calls;
    pb::ApiReply reply;
    reply.mutable_status()->set_status(request.source() + std::string(answer_bytes, 'x'));
    done(std::move(reply));
  }
};

struct site {
  private_ca ca;
  telling_api api;
  gateway_options options;
  std::mutex guard;
  std::vector<refusal> refusals;
  std::unique_ptr<gateway_server> server;

  site() {
    ::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    options.credentials = ca.issue("server");
    options.refused = [this](refusal what) {
      const std::lock_guard lock{guard};
      refusals.push_back(std::move(what));
    };
  }
  void start() {
    auto started = gateway_server::start(options, api);
    if (!started) FAIL(started.error().message);
    server = std::move(*started);
  }
  std::uint16_t port() const { return server->address().port; }
  gateway_client_options how(const std::string& name = "client") {
    gateway_client_options out;
    out.address = server->address();
    out.credentials = ca.issue(name);
    out.timeout = 20s;
    return out;
  }
  /// Whether a client with a certificate is served.
  bool serves() {
    auto client = gateway_client::connect(how());
    if (!client) UNSCOPED_INFO(client.error().message);
    return client && (*client)->call(status_request(), 20s);
  }
  bool was_refused(const std::string& why) {
    const std::lock_guard lock{guard};
    for (const auto& one : refusals)
      if (one.reason.find(why) != std::string::npos) return true;
    return false;
  }
};

// A client that has shown its certificate and said hello; knows the gateway's actor.
struct greeted_client {
  raw_client wire;
  std::uint64_t front = 0;
  std::string daemon_node;

  greeted_client(std::uint16_t port, const gateway_credentials& files,
                 const runtime::basp::node_bytes& node = node_number(4'242))
      : wire(port, files) {
    const auto hello = wire.frame();
    if (hello.size() < 79) return;
    daemon_node = hello.substr(32, 32);
    // One identifier, "ved/1", stands between the node and the actor.
    for (std::size_t i = 71; i < 79; ++i) front = front << 8 | static_cast<unsigned char>(hello[i]);
    wire.send(client_hello(node));
  }
  /// The answer's payload; empty: the connection is over.
  std::string ask(const pb::ApiRequest& request = status_request()) {
    wire.send(request_frame(front, request));
    return answer();
  }
  std::string answer() {
    for (auto next = wire.frame(); !next.empty(); next = wire.frame())
      if (next[0] == 2) return next.substr(32);
    return {};
  }
};

}  // namespace

TEST_CASE("gateway: 1,500 silent connections shut out no client, and are dropped",
          "[runtime][gateway]") {
  site s;
  s.options.limits.hello_timeout = 60s;  // the limits must do it, not the time
  s.start();
  std::vector<raw_socket> flood;
  flood.reserve(1'500);
  for (int i = 0; i < 500; ++i) flood.emplace_back(s.port());
  CHECK(s.serves());
  std::atomic<bool> stop{false};
  std::thread more{[&] {
    for (int i = 0; i < 1'000 && !stop; ++i) {
      raw_socket next(s.port());
      flood.push_back(std::move(next));
    }
  }};
  CHECK(s.serves());
  more.join();
  CHECK(s.serves());
  CHECK(flood.front().is_over(5'000));
  CHECK(s.was_refused("dropped an unfinished one"));
}

TEST_CASE("gateway: silent and slow strangers are dropped in time", "[runtime][gateway]") {
  site s;
  s.options.limits.hello_timeout = 200ms;
  s.start();
  raw_socket silent(s.port());
  CHECK(silent.is_over(10'000));
  raw_socket slow(s.port());
  const char part[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01};  // a ClientHello begins
  REQUIRE(::send(slow.fd(), part, sizeof part, MSG_NOSIGNAL) == sizeof part);
  CHECK(slow.is_over(10'000));
  raw_client mute(s.port(), s.ca.issue("mute client"));
  REQUIRE(mute.connected());
  CHECK(mute.ends());
  CHECK(s.was_refused("said nothing"));
  CHECK(s.was_refused("no TLS handshake in time"));
  CHECK(s.was_refused("no handshake of the gateway's protocol"));
}

TEST_CASE("gateway: a client without heartbeats, and one that trickles a frame, are dropped",
          "[runtime][gateway]") {
  site s;
  s.options.limits.idle_timeout = 300ms;
  s.options.limits.frame_timeout = 300ms;
  s.start();
  greeted_client idle(s.port(), s.ca.issue("client"));
  CHECK(idle.wire.ends());
  greeted_client trickles(s.port(), s.ca.issue("client"));
  const auto frame = request_frame(trickles.front, status_request());
  bool open = true;
  for (std::size_t i = 0; open && i + 1 < frame.size(); ++i) {
    open = trickles.wire.send(frame.substr(i, 1));
    std::this_thread::sleep_for(50ms);
  }
  CHECK_FALSE(open);
  CHECK(s.was_refused("no heartbeat in time"));
  CHECK(s.was_refused("did not end in time"));
}

TEST_CASE("gateway: one address has a bounded number of clients", "[runtime][gateway]") {
  site s;
  s.options.limits.per_address_max = 3;
  s.start();
  const auto files = s.ca.issue("client");
  std::vector<std::unique_ptr<greeted_client>> clients;
  for (std::uint32_t i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<greeted_client>(s.port(), files, node_number(500 + i)));
    REQUIRE_FALSE(clients.back()->ask().empty());
  }
  raw_client one_more(s.port(), files);
  CHECK((!one_more.connected() || one_more.ends()));
  CHECK(s.was_refused("too many connections of one address"));
  for (auto& client : clients) CHECK_FALSE(client->ask().empty());
  clients.pop_back();
  bool again = false;
  for (int attempt = 0; attempt < 100 && !again; ++attempt)
    again = !greeted_client(s.port(), files, node_number(600)).ask().empty();
  CHECK(again);
}

TEST_CASE("gateway: accept survives the want of descriptors", "[runtime][gateway]") {
  site s;
  s.start();
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  raw_socket waiting(s.port());
  // Every descriptor of the process is taken.
  const rlimit small{256, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &small) == 0);
  std::vector<int> taken;
  for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) taken.push_back(fd);
  if (!taken.empty()) {
    ::close(taken.back());
    taken.pop_back();
  }
  raw_socket knock(s.port());  // the last descriptor: accept() fails now
  CHECK(knock.is_over(10'000));
  for (const int fd : taken) ::close(fd);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(s.serves());
}

TEST_CASE("gateway: certificates have one role each, on both sides", "[runtime][gateway]") {
  site s;
  s.start();
  const auto refuses = [&](const gateway_credentials& files) {
    raw_client client(s.port(), files);
    return !client.connected() || client.ends();
  };
  private_ca stranger;
  CHECK(refuses({}));
  CHECK(refuses(s.ca.issue("a server")));
  CHECK(refuses(s.ca.issue("both", 24, "serverAuth,clientAuth")));
  CHECK(refuses(s.ca.issue("any", 24, "clientAuth,anyExtendedKeyUsage")));
  CHECK(refuses(s.ca.issue("without", 24, "none")));
  CHECK(refuses(s.ca.issue("mail", 24, "emailProtection")));
  CHECK(refuses(s.ca.issue("old", 0)));
  CHECK(refuses(stranger.issue("client")));
  CHECK(s.api.calls == 0);
  CHECK(s.serves());
  // Nor does a client's certificate make a gateway, for ved or for vectl.
  auto options = s.options;
  options.credentials = s.ca.issue("client");
  const auto refused = gateway_server::start(options, s.api);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message, Catch::Contains("none of a server"));
  CHECK_THAT(refused.error().message, Catch::Contains("ved init --renew"));
}

TEST_CASE("gateway: vectl talks to no daemon that shows a client's certificate",
          "[runtime][gateway]") {
  ::signal(SIGPIPE, SIG_IGN);
  private_ca ca;
  const auto files = ca.issue("client");
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_server_method()),
                                                             SSL_CTX_free);
  SSL_CTX_use_certificate_chain_file(context.get(), files.certificate_file.c_str());
  SSL_CTX_use_PrivateKey_file(context.get(), files.key_file.c_str(), SSL_FILETYPE_PEM);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof where;
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size) == 0);
  REQUIRE(::listen(listener, 8) == 0);
  std::atomic<bool> believed{false};
  std::thread impostor{[&] {
    for (int fd = ::accept(listener, nullptr, nullptr); fd >= 0;
         fd = ::accept(listener, nullptr, nullptr)) {
      SSL* session = SSL_new(context.get());
      SSL_set_fd(session, fd);
      if (SSL_accept(session) == 1) {
        char byte;
        if (SSL_read(session, &byte, 1) > 0) believed = true;
      }
      SSL_free(session);
      ::close(fd);
    }
  }};
  gateway_client_options how;
  how.address.port = ntohs(where.sin_port);
  how.credentials = ca.issue("vectl");
  how.timeout = 3s;
  CHECK_FALSE(gateway_client::connect(how));
  ::shutdown(listener, SHUT_RDWR);
  impostor.join();
  ::close(listener);
  CHECK_FALSE(believed);
}

TEST_CASE("gateway: certificates renewed in a loop break neither the daemon nor a client",
          "[runtime][gateway]") {
  site s;
  s.start();
  auto how = s.how();
  std::atomic<bool> stop{false};
  // As `ved init --renew`: the key first, then the certificate, each by a rename.
  const auto renew = [&](const std::string& name) {
    const auto fresh = s.ca.issue(name + " next");
    const auto at = s.ca.directory();
    std::filesystem::rename(fresh.key_file, at / (name + ".key"));
    std::this_thread::yield();
    std::filesystem::rename(fresh.certificate_file, at / (name + ".pem"));
  };
  std::thread renewing{[&] {
    while (!stop) {
      renew("server");
      renew("client");
      (void)s.server->reload();
    }
  }};
  int served = 0;
  for (int i = 0; i < 20; ++i) {
    auto client = gateway_client::connect(how);
    if (client && (*client)->call(status_request(), 20s)) ++served;
  }
  stop = true;
  renewing.join();
  CHECK(served == 20);
  CHECK(s.server->reload());
}

TEST_CASE("gateway: a set that is gone or does not fit leaves the old one in use",
          "[runtime][gateway]") {
  site s;
  s.start();
  const auto how = s.how();
  const auto serves = [&] {
    auto client = gateway_client::connect(how);
    return client && (*client)->call(status_request(), 20s);
  };
  std::filesystem::copy_file(s.ca.issue("other server").key_file, s.options.credentials.key_file,
                             std::filesystem::copy_options::overwrite_existing);
  const auto mixed = s.server->reload();
  REQUIRE_FALSE(mixed);
  CHECK_THAT(mixed.error().message, Catch::Contains("does not belong"));
  CHECK(serves());
  std::filesystem::remove(s.options.credentials.certificate_file);
  CHECK_FALSE(s.server->reload());
  CHECK(serves());
  std::filesystem::remove(s.options.credentials.ca_file);
  std::filesystem::remove(s.options.credentials.key_file);
  CHECK_FALSE(s.server->reload());
  CHECK(raw_client(s.port(), how.credentials).connected());
}

TEST_CASE("gateway: one whose certificate is not valid now listens, and serves once it has one",
          "[runtime][gateway]") {
  site s;
  const bool over = GENERATE(true, false);
  s.options.credentials = over ? s.ca.issue("server", 0) : s.ca.issue("server", 24, {}, 1);
  s.start();
  const auto how = s.how();
  CHECK_FALSE(gateway_client::connect(how));
  const auto same = s.server->reload();
  REQUIRE_FALSE(same);
  CHECK_THAT(same.error().message, Catch::Contains(over ? "expired" : "not yet valid"));
  s.ca.issue("server");
  REQUIRE(s.server->reload());
  auto client = gateway_client::connect(how);
  REQUIRE(client);
  CHECK((*client)->call(status_request(), 20s));
  s.ca.issue("server", 0);  // does not take the place of one that is valid
  CHECK_FALSE(s.server->reload());
  CHECK(gateway_client::connect(how));
}

TEST_CASE("gateway: after the handshake no header of any operation harms the daemon",
          "[runtime][gateway]") {
  site s;
  s.start();
  const auto files = s.ca.issue("client");
  for (unsigned operation = 0; operation < 9; ++operation)
    for (const std::uint32_t announced : {0U, 1U, 32U, 0x7fff'ffffU, 0xffff'ffffU})
      for (const bool greets : {false, true}) {
        CAPTURE(operation, announced, greets);
        std::unique_ptr<greeted_client> greeted;
        std::unique_ptr<raw_client> bare;
        if (greets) greeted = std::make_unique<greeted_client>(s.port(), files);
        else bare = std::make_unique<raw_client>(s.port(), files);
        auto& wire = greets ? greeted->wire : *bare;
        REQUIRE(wire.connected());
        wire.send(basp_header({static_cast<std::uint8_t>(operation), 0, 3, 9, 7, {}}, announced));
      }
  CHECK(s.serves());
  CHECK(s.was_refused("frame: "));
}

TEST_CASE("gateway: what a header announces costs no memory", "[runtime][gateway]") {
  site s;
  s.start();
  const auto peak_kib = [] {
    std::ifstream status("/proc/self/status");
    std::string word;
    long kib = 0;
    while (status >> word)
      if (word == "VmPeak:") status >> kib;
    return kib;
  };
  const auto files = s.ca.issue("client");
  REQUIRE(s.serves());
  const auto before = peak_kib();
  for (int i = 0; i < 4; ++i) {
    greeted_client bomb(s.port(), files);
    bomb.wire.send(basp_header({2, 0, request_id, 9, bomb.front, {}}, 0xffff'ffff));
    CHECK(bomb.wire.ends());
  }
  CHECK(peak_kib() - before < 1 << 20);  // four of them would be 16 GiB
}

TEST_CASE("gateway: messages of a client with a certificate reach the gateway's actor alone",
          "[runtime][gateway]") {
  site s;
  s.start();
  const auto files = s.ca.issue("client");
  const auto exit_payload = std::string(3, '\0') + basp_text("@<>+@exit_msg") + "x";
  for (std::uint64_t actor = 0; actor < 64; ++actor) {
    greeted_client client(s.port(), files);
    const auto to = actor == 0 ? client.front : actor;
    client.wire.send(basp_frame({2, 0, 0x1000'0000'0000'0000, 9, to, exit_payload}));
    CHECK(client.wire.ends());
  }
  // Atoms of CAF's registry: the configuration server and a spawn server.
  greeted_client client(s.port(), files);
  client.wire.send(basp_frame({2, 1, 0, 9, 0x00f3'5e2c'1234'5678, exit_payload}));
  CHECK(client.wire.ends());
  CHECK(s.serves());
}

TEST_CASE("gateway: a request tells which certificate it came over, whatever node it claims",
          "[runtime][gateway]") {
  site s;
  s.start();
  const auto node = node_number(77);
  greeted_client ann(s.port(), s.ca.issue("ann"), node);
  CHECK_THAT(ann.ask(), Catch::Contains("gateway ann "));
  // The same process may connect again; another certificate under its node is a lie.
  greeted_client again(s.port(), {s.ca.directory() / "ca.pem", s.ca.directory() / "ann.pem",
                                  s.ca.directory() / "ann.key"},
                       node);
  CHECK_THAT(again.ask(), Catch::Contains("gateway ann "));
  greeted_client bob(s.port(), s.ca.issue("bob"), node);
  CHECK(bob.ask().empty());
  CHECK(s.was_refused("another certificate"));
  CHECK_THAT(ann.ask(), Catch::Contains("gateway ann "));
  greeted_client bob_himself(s.port(), s.ca.issue("bob"), node_number(78));
  CHECK_THAT(bob_himself.ask(), Catch::Contains("gateway bob "));
}

TEST_CASE("gateway: a client that does not read is not worked for without end",
          "[runtime][gateway]") {
  site s;
  s.api.answer_bytes = 1 << 20;
  s.options.limits.write_timeout = 500ms;
  s.options.limits.buffered_bytes_max = 256 << 10;  // what it sends meanwhile stays on the wire
  s.start();
  greeted_client greedy(s.port(), s.ca.issue("client"));
  auto request = status_request();
  request.set_token(std::string(4'000, 't'));
  std::string requests;
  for (int i = 0; i < 200; ++i) requests += request_frame(greedy.front, request);
  greedy.wire.send(requests);
  bool told = false;
  for (int attempt = 0; attempt < 200 && !told; ++attempt) {
    std::this_thread::sleep_for(50ms);
    told = s.was_refused("does not read");
  }
  CHECK(told);
  // What fits the sockets, and what may be open at once.
  CHECK(s.api.calls < 64);
  s.api.answer_bytes = 0;
  CHECK(s.serves());
}

TEST_CASE("gateway: answers that are not read are bounded for each certificate, and come back",
          "[runtime][gateway]") {
  site s;
  s.api.answer_bytes = 600 << 10;
  s.options.limits.answers_bytes_max = 4 << 20;
  s.start();
  greeted_client greedy(s.port(), s.ca.issue("greedy"), node_number(601));
  const int little = 64 << 10;  // what it does not read stays with the daemon
  ::setsockopt(greedy.wire.socket().fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  std::string requests;
  for (int i = 0; i < 16; ++i) requests += request_frame(greedy.front, status_request());
  greedy.wire.send(requests);
  while (s.api.calls < 16) std::this_thread::sleep_for(10ms);
  greeted_client modest(s.port(), s.ca.issue("modest"), node_number(602));
  CHECK(modest.ask().size() > s.api.answer_bytes);
  int whole = 0;
  int refused = 0;
  for (int i = 0; i < 16; ++i) {
    const auto answer = greedy.answer();
    whole += answer.size() > s.api.answer_bytes ? 1 : 0;
    refused += answer.find("not read yet") != std::string::npos ? 1 : 0;
  }
  CHECK(whole + refused == 16);
  CHECK(whole > 0);
  CHECK(refused > 0);
  for (int i = 0; i < 8; ++i) CHECK(greedy.ask().size() > s.api.answer_bytes);
}

TEST_CASE("gateway: unfinished connections are bounded, whatever one address may have",
          "[runtime][gateway]") {
  site s;
  s.options.limits.hello_timeout = 60s;  // the limit must do it, not the time
  s.options.limits.unfinished_max = 3;
  s.start();
  std::vector<raw_socket> silent;
  for (int i = 0; i < 4; ++i) silent.emplace_back(s.port());
  CHECK(silent.front().is_over(10'000));
  CHECK(s.was_refused("too many connections: dropped an unfinished one"));
  CHECK(s.serves());
}

TEST_CASE("gateway: clients that are served are bounded, and a place comes back",
          "[runtime][gateway]") {
  site s;
  s.options.limits.serving_max = 2;
  s.start();
  const auto files = s.ca.issue("client");
  greeted_client first(s.port(), files, node_number(501));
  REQUIRE_FALSE(first.ask().empty());
  {
    greeted_client second(s.port(), files, node_number(502));
    REQUIRE_FALSE(second.ask().empty());
    CHECK(greeted_client(s.port(), files, node_number(503)).ask().empty());
    CHECK(s.was_refused("too many connections of clients"));
    CHECK_FALSE(second.ask().empty());
  }
  bool again = false;
  for (int attempt = 0; attempt < 100 && !again; ++attempt)
    again = !greeted_client(s.port(), files, node_number(504)).ask().empty();
  CHECK(again);
  CHECK_FALSE(first.ask().empty());
}

TEST_CASE("gateway: connections of one certificate leave room for others, from all addresses",
          "[runtime][gateway]") {
  site s;
  s.options.limits.per_certificate_max = 2;
  s.start();
  const auto files = s.ca.issue("greedy");
  greeted_client first(s.port(), files, node_number(501));
  greeted_client second(s.port(), files, node_number(502));
  REQUIRE_FALSE(first.ask().empty());
  REQUIRE_FALSE(second.ask().empty());
  CHECK(greeted_client(s.port(), files, node_number(503)).ask().empty());
  CHECK(s.was_refused("too many connections of one certificate"));
  CHECK(s.serves());
  CHECK_FALSE(first.ask().empty());
}

TEST_CASE("gateway: what clients have sent of unfinished messages is bounded, in all and for each",
          "[runtime][gateway]") {
  site s;
  s.options.limits.buffered_bytes_max = 4'000;
  s.start();
  const auto part = [](const greeted_client& of, std::size_t bytes) {
    return basp_header({2, 0, request_id, 9, of.front, {}}, 10'000) + std::string(bytes, 'x');
  };
  {
    const auto files = s.ca.issue("greedy");
    greeted_client greedy(s.port(), files, node_number(501));
    REQUIRE_FALSE(greedy.ask().empty());
    greedy.wire.send(part(greedy, 900));
    greeted_client more(s.port(), files, node_number(502));
    REQUIRE_FALSE(more.ask().empty());
    more.wire.send(part(more, 200));
    CHECK(more.wire.ends());
    CHECK(s.was_refused("no memory for more unfinished messages"));
    std::vector<std::unique_ptr<greeted_client>> others;
    for (std::uint32_t i = 0; i < 4; ++i) {
      others.push_back(std::make_unique<greeted_client>(
          s.port(), s.ca.issue("other-" + std::to_string(i)), node_number(510 + i)));
      REQUIRE_FALSE(others.back()->ask().empty());
      others.back()->wire.send(part(*others.back(), i < 3 ? 900 : 600));
    }
    CHECK(others.back()->wire.ends());
  }
  CHECK(s.serves());
}

TEST_CASE("gateway: its limits take half of the descriptors at most", "[runtime][gateway]") {
  const entrance_limits usual;
  const auto enough = fit_to_descriptors(usual, 65'536);
  CHECK(enough.unfinished_max == usual.unfinished_max);
  CHECK(enough.serving_max == usual.serving_max);
  for (const std::size_t descriptors : {1'024, 512, 200}) {
    CAPTURE(descriptors);
    const auto cut = fit_to_descriptors(usual, descriptors);
    CHECK(3 * (cut.unfinished_max + cut.serving_max) <= descriptors / 2);
    CHECK(cut.per_address_max <= std::max(cut.unfinished_max, cut.serving_max));
    CHECK(2 * cut.per_certificate_max <= cut.serving_max);
  }
  CHECK(fit_to_descriptors(usual, 16).serving_max == 8);
}
