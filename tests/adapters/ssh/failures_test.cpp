#include <atomic>
#include <catch2/catch.hpp>

#include "tests/adapters/ssh/support.hpp"
#include "tests/support/tcp_proxy.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::tests;

namespace {

/// Accepts connections, does one thing with each and counts them.
class peer {
 public:
  explicit peer(std::function<void(int)> with_each)
      : thread_([this, act = std::move(with_each)] {
          for (;;) {
            const int fd = ::accept(listener_.fd(), nullptr, nullptr);
            if (fd < 0) return;
            ++accepted;
            act(fd);
          }
        }) {}
  ~peer() {
    ::shutdown(listener_.fd(), SHUT_RDWR);
    thread_.join();
  }
  int port() const { return listener_.port(); }

  std::atomic<int> accepted{0};

 private:
  listener listener_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("ssh: a peer that stays silent ends in a time-out, not in a hang", "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  const listener silent;
  options.port = silent.port();
  options.timeout = milliseconds{200};
  const auto login = make_ssh_transport(options);
  const auto slow = login->run({"true", ""}, patiently());
  REQUIRE(std::holds_alternative<command_not_started>(slow));
  CHECK(has(reason_of(slow), "handshake: no answer in time"));

  options.timeout = milliseconds{60'000};
  const auto other = make_ssh_transport(options);
  const auto quick = other->run({"true", ""}, within(milliseconds{50}));
  REQUIRE(std::holds_alternative<command_not_started>(quick));
  CHECK(has(reason_of(quick), "while the connection was made"));
}

TEST_CASE("ssh: a peer that hangs up is not called in a storm", "[adapters][ssh]") {
  ssh_server server;
  peer rude([](int fd) { ::close(fd); });
  auto options = options_for(server);
  options.port = rude.port();
  options.backoff_min = options.backoff_max = milliseconds{60'000};
  const auto login = make_ssh_transport(options);
  for (int i = 0; i < 200; ++i)
    REQUIRE(std::holds_alternative<command_not_started>(login->run({"true", ""}, patiently())));
  CHECK(rude.accepted == 1);
  const auto outcome = login->run({"true", ""}, patiently());
  CHECK(has(reason_of(outcome), "handshake: the "));
  CHECK(has(reason_of(outcome), "; next try in "));
  CHECK(login->status().failures == 1);
  CHECK(login->status().next_try > milliseconds{40'000});
}

TEST_CASE("ssh: a refused login backs off for longer than a broken line", "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  options.key_file = server.make_key("unknown", "ed25519");
  options.backoff_min = options.backoff_max = milliseconds{1};
  options.backoff_refused = milliseconds{60'000};
  const auto login = make_ssh_transport(options);
  for (int i = 0; i < 100; ++i)
    REQUIRE(std::holds_alternative<command_not_started>(login->run({"true", ""}, patiently())));
  CHECK(login->status().failures == 1);
  CHECK(login->status().next_try > milliseconds{40'000});
}

TEST_CASE("ssh: text that is no ssh, without end, is given up", "[adapters][ssh]") {
  ssh_server server;
  peer chatty([](int fd) {
    const std::string line(1'000, 'x');
    for (int i = 0; i < 1'000; ++i)
      if (::send(fd, line.data(), line.size(), MSG_NOSIGNAL) <= 0) break;
    ::close(fd);
  });
  auto options = options_for(server);
  options.port = chatty.port();
  options.timeout = milliseconds{5'000};
  const auto login = make_ssh_transport(options);
  CHECK(std::holds_alternative<command_not_started>(login->run({"true", ""}, patiently())));
}

TEST_CASE("ssh: without a server commands are not started, and it is found again",
          "[adapters][ssh]") {
  ssh_server server;
  const auto login = make_ssh_transport(options_for(server));
  server.stop();
  const auto outcome = login->run({"true", ""}, patiently());
  REQUIRE(std::holds_alternative<command_not_started>(outcome));
  CHECK(has(reason_of(outcome), "Connection refused"));
  CHECK_FALSE(login->status().connected);
  server.start();
  CHECK(works_again(*login));
  CHECK(login->status().last_error.empty());

  // An idle connection that dies is noticed, and a command after it does not count as begun.
  server.stop();
  CHECK(eventually([&] { return !login->status().connected; }));
  CHECK(std::holds_alternative<command_not_started>(login->run({"true", ""}, patiently())));
  server.start();
  CHECK(works_again(*login));
}

TEST_CASE("ssh: a connection that dies interrupts its commands", "[adapters][ssh]") {
  ssh_server server;
  const auto login = make_ssh_transport(options_for(server));
  REQUIRE(works_again(*login));
  std::vector<command_outcome> outcomes(3, command_not_started{});
  std::vector<std::jthread> callers;
  for (auto& one : outcomes)
    callers.emplace_back([&] { one = login->run({"echo begun; sleep 600", ""}, patiently()); });
  REQUIRE(eventually([&] { return login->status().running == 3; }));
  server.signal_connections(SIGKILL);
  for (auto& one : callers) one.join();
  for (const auto& one : outcomes) CHECK(std::holds_alternative<command_interrupted>(one));
  CHECK(works_again(*login));
  CHECK(login->status().connections == 2);
  CHECK(login->status().failures == 1);
}

TEST_CASE("ssh: a line that stops in mid-input cannot hold a command, nor deliver the rest later",
          "[adapters][ssh]") {
  ssh_server server;
  tcp_proxy line(server.port());
  auto options = options_for(server);
  options.port = line.port();
  const auto login = make_ssh_transport(options);
  REQUIRE(works_again(*login));
  const auto file = server.path("got");
  constexpr std::size_t size = 1'500'000;
  line.freeze_after(100'000);
  const auto outcome =
      login->run({"wc -c > " + file, std::string(size, 'x')}, within(milliseconds{500}));
  CHECK(line.frozen());
  REQUIRE(std::holds_alternative<command_interrupted>(outcome));
  line.resume();
  // The command itself goes on until its input ends: with what had passed, and no more.
  REQUIRE(eventually([&] { return !read_text(file).empty(); }));
  CHECK(std::stoul(read_text(file)) < size / 2);
  CHECK(works_again(*login));
  CHECK(login->status().connections == 2);
}

TEST_CASE("ssh: what a stopped line never took surely did not start", "[adapters][ssh]") {
  ssh_server server;
  tcp_proxy line(server.port());
  auto options = options_for(server);
  options.port = line.port();
  options.channels_max = 1;
  const auto login = make_ssh_transport(options);
  REQUIRE(works_again(*login));
  const auto file = server.path("never");
  line.freeze_after(0);
  // The only channel has to be opened anew, and the server hears nothing of that.
  const auto outcome = login->run({"touch " + file, ""}, within(milliseconds{300}));
  CHECK_FALSE(std::holds_alternative<command_finished>(outcome));
  line.resume();
  CHECK(works_again(*login));
  if (std::holds_alternative<command_not_started>(outcome))
    CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE("ssh: a server that goes silent is noticed by its missing keep-alives",
          "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  options.keepalive = milliseconds{100};
  const auto login = make_ssh_transport(options);
  REQUIRE(works_again(*login));
  server.signal_connections(SIGSTOP);
  CHECK(eventually([&] { return !login->status().connected; }));
  CHECK(has(login->status().last_error, "answered no keep-alive"));
  server.signal_connections(SIGCONT);
  CHECK(works_again(*login));
}

TEST_CASE("ssh: options without sense are told before any connection", "[adapters][ssh]") {
  CHECK_FALSE(check_ssh_options({}));
  ssh_options options;
  options.host = "127.0.0.1";
  options.host_keys = host_key_policy::insecure;
  options.key_file = "/nowhere/to/be/found";
  const auto problem = check_ssh_options(options);
  REQUIRE_FALSE(problem);
  CHECK(has(problem.error().message, "(20 bytes, not shown"));
}

TEST_CASE("ssh: a host that cannot be resolved is a reason like any other", "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  options.host = "no-such-host.invalid";
  const auto outcome = make_ssh_transport(options)->run({"true", ""}, patiently());
  REQUIRE(std::holds_alternative<command_not_started>(outcome));
  CHECK(has(reason_of(outcome), "cannot resolve no-such-host.invalid"));
}
