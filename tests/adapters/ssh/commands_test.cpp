#include <catch2/catch.hpp>

#include "tests/adapters/ssh/support.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::tests;

TEST_CASE("ssh: exit codes, signals and both outputs come back", "[adapters][ssh]") {
  ssh_server server;
  const auto login = make_ssh_transport(options_for(server));
  const auto usual =
      finished(login->run({"cat; echo problem >&2; exit 3", "from us\n"}, patiently()));
  CHECK(usual.exit_code == 3);
  CHECK(usual.signal == 0);
  CHECK(usual.out == "from us\n");
  CHECK(usual.err == "problem\n");
  CHECK(finished(login->run({"true", ""}, patiently())).exit_code == 0);
  const auto killed = finished(login->run({"kill -9 $$", ""}, patiently()));
  CHECK(killed.signal == SIGKILL);
  CHECK(finished(login->run({"kill -15 $$", ""}, patiently())).signal == SIGTERM);
  CHECK(finished(login->run({"no-such-program", ""}, patiently())).exit_code == 127);
  CHECK(login->place().starts_with("ssh "));
  CHECK(login->place().ends_with("@127.0.0.1:" + std::to_string(server.port())));
  CHECK(server.logins() == 1);
  const auto status = login->status();
  CHECK(status.connected);
  CHECK(status.connections == 1);
  CHECK(status.failures == 0);
  CHECK(status.commands == 5);
  CHECK(eventually([&] { return login->status().running == 0; }));
  CHECK(status.host_key.starts_with("ssh-ed25519 SHA256:"));
  CHECK(status.warnings.empty());
}

TEST_CASE("ssh: what a site greets with is no answer", "[adapters][ssh]") {
  tests::temp_dir place;
  std::string text;
  for (int line = 0; line < 60; ++line) text += "Willkommen! Nur für Befugte \xe2\x82\xac\n";
  write_text(place.path() / "banner", text);
  ssh_server server("Banner " + (place.path() / "banner").string() + "\n");
  const auto login = make_ssh_transport(options_for(server));
  const auto told = finished(login->run({"cat", "x"}, patiently()));
  CHECK(told.exit_code == 0);
  CHECK(told.out == "x");
  CHECK(told.err.empty());
}

TEST_CASE("ssh: ten megabytes go both ways", "[adapters][ssh]") {
  ssh_server server;
  const auto login = make_ssh_transport(options_for(server));
  std::string input(10u << 20, 'x');
  for (std::size_t i = 0; i < input.size(); i += 997) input[i] = static_cast<char>(i);
  const auto echoed =
      finished(login->run({"cat; head -c 10485760 /dev/zero >&2", input}, patiently()));
  CHECK(echoed.out == input);
  CHECK(echoed.err == std::string(10u << 20, '\0'));
  // A command that does not read its input must not hang us.
  CHECK(finished(login->run({"exit 4", input}, patiently())).exit_code == 4);
  CHECK(server.logins() == 1);
}

TEST_CASE("ssh: twenty commands at once share one connection", "[adapters][ssh]") {
  ssh_server server;
  const auto login = make_ssh_transport(options_for(server));
  std::vector<command_outcome> outcomes(20, command_not_started{});
  std::vector<std::jthread> callers;
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    callers.emplace_back([&, i] {
      outcomes[i] = login->run({"cat; sleep 0.05", std::to_string(i)}, patiently());
    });
  for (auto& one : callers) one.join();
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    CHECK(finished(outcomes[i]).out == std::to_string(i));
  CHECK(server.logins() == 1);
  CHECK(login->status().connections == 1);
}

TEST_CASE("ssh: a server that allows fewer sessions gets fewer, and it is told",
          "[adapters][ssh]") {
  ssh_server server("MaxSessions 2\n");
  const auto login = make_ssh_transport(options_for(server));
  std::vector<command_outcome> outcomes(8, command_not_started{});
  std::vector<std::jthread> callers;
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    callers.emplace_back([&, i] {
      outcomes[i] = login->run({"echo " + std::to_string(i), ""}, patiently());
    });
  for (auto& one : callers) one.join();
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    CHECK(finished(outcomes[i]).out == std::to_string(i) + "\n");
  CHECK(server.logins() == 1);
  REQUIRE(login->status().warnings.size() == 1);
  CHECK(has(login->status().warnings.front(), "allows only 2 commands at once"));
}

TEST_CASE("ssh: a flood of output ends its command and no other", "[adapters][ssh]") {
  ssh_server server;
  const auto login = make_ssh_transport(options_for(server));
  command_outcome other = command_not_started{};
  std::jthread caller([&] { other = login->run({"sleep 0.3; echo done", ""}, patiently()); });
  const auto outcome = login->run({"yes >&2", "", 1u << 20}, patiently());
  caller.join();
  REQUIRE(std::holds_alternative<command_interrupted>(outcome));
  CHECK(has(reason_of(outcome), "wrote more than 1048576 bytes"));
  CHECK(std::get<command_interrupted>(outcome).err.size() == 1u << 20);
  CHECK(finished(other).out == "done\n");
  CHECK(server.logins() == 1);
}

TEST_CASE("ssh: at its deadline a command is interrupted and its channel closed",
          "[adapters][ssh]") {
  ssh_server server;
  const auto login = make_ssh_transport(options_for(server));
  REQUIRE(works_again(*login));
  const auto file = server.path("pid");
  const auto outcome =
      login->run({"echo $$ > " + file + "; while sleep 0.02; do echo tick; done", ""},
                 within(milliseconds{400}));
  REQUIRE(std::holds_alternative<command_interrupted>(outcome));
  CHECK(has(reason_of(outcome), "had not ended at its deadline"));
  CHECK(std::get<command_interrupted>(outcome).out.starts_with("tick\n"));
  const auto pid = static_cast<pid_t>(std::stol(read_text(file)));
  CHECK(eventually([&] {
    return ::kill(pid, 0) != 0 || has(read_text("/proc/" + std::to_string(pid) + "/stat"), ") Z ");
  }));
  CHECK(finished(login->run({"echo works", ""}, patiently())).out == "works\n");
  CHECK(server.logins() == 1);
}

TEST_CASE("ssh: commands that outlive their deadlines do not take all sessions for ever",
          "[adapters][ssh]") {
  ssh_server server("MaxSessions 2\n");
  const auto login = make_ssh_transport(options_for(server));
  REQUIRE(works_again(*login));
  // They hear nothing of a closed channel, and sshd counts them until they end.
  for (int i = 0; i < 2; ++i)
    CHECK(std::holds_alternative<command_interrupted>(
        login->run({"exec sleep 600", ""}, within(milliseconds{300}))));
  CHECK(works_again(*login));
  CHECK(login->status().connections == 2);
}

TEST_CASE("ssh: what waits for a channel until its deadline surely never started",
          "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  options.channels_max = 1;
  const auto login = make_ssh_transport(options);
  REQUIRE(works_again(*login));
  command_outcome first = command_not_started{};
  std::jthread caller([&] { first = login->run({"sleep 1; echo done", ""}, patiently()); });
  REQUIRE(eventually([&] { return login->status().commands == 2; }));
  const auto file = server.path("never");
  const auto outcome = login->run({"touch " + file, ""}, within(milliseconds{50}));
  caller.join();
  REQUIRE(std::holds_alternative<command_not_started>(outcome));
  CHECK(has(reason_of(outcome), "before a channel was free"));
  CHECK(finished(first).out == "done\n");
  CHECK(finished(login->run({"echo works", ""}, patiently())).out == "works\n");
  CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE("ssh: an unused connection is closed, and made again when needed", "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  options.idle_timeout = milliseconds{30};
  const auto login = make_ssh_transport(options);
  REQUIRE(works_again(*login));
  CHECK(eventually([&] { return !login->status().connected; }));
  CHECK(login->status().failures == 0);
  CHECK(finished(login->run({"echo works", ""}, patiently())).out == "works\n");
  CHECK(login->status().connections == 2);
}

TEST_CASE("ssh: keep-alives of both sides leave a connection as it is", "[adapters][ssh]") {
  ssh_server server("ClientAliveInterval 1\nClientAliveCountMax 1\n");
  auto options = options_for(server);
  options.keepalive = milliseconds{100};
  const auto login = make_ssh_transport(options);
  CHECK(finished(login->run({"sleep 2.5; echo done", ""}, patiently())).out == "done\n");
  std::this_thread::sleep_for(milliseconds{2'500});
  CHECK(finished(login->run({"echo works", ""}, patiently())).out == "works\n");
  CHECK(server.logins() == 1);
}
