#include "adapters/ssh/keys.hpp"

#include <catch2/catch.hpp>

#include "adapters/ssh/known_hosts.hpp"
#include "tests/adapters/ssh/support.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::tests;

/// libssh2 1.10 forgets two numbers at every login with an ecdsa key; the stack that the leak
/// checker sees begins in OpenSSL, so nothing narrower names them.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:CRYPTO_zalloc\n";
}

namespace {

/// The reason of a command that surely did not start.
std::string refusal(const ssh_options& options) {
  const auto outcome = make_ssh_transport(options)->run({"true", ""}, patiently());
  REQUIRE(std::holds_alternative<command_not_started>(outcome));
  return std::get<command_not_started>(outcome).reason;
}

bool logs_in(const ssh_options& options) {
  const auto outcome = make_ssh_transport(options)->run({"echo in", ""}, patiently());
  UNSCOPED_INFO(reason_of(outcome));
  return std::holds_alternative<command_finished>(outcome);
}

ssh_options with_known_hosts(ssh_server& server, const std::string& text) {
  auto options = options_for(server);
  options.host_keys = host_key_policy::known_hosts;
  options.known_hosts_path = server.known_hosts(text);
  return options;
}

}  // namespace

TEST_CASE("ssh keys: ed25519 and ecdsa log in, with and without a passphrase", "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  write_text(server.path("passphrase"), "open sesame\n", 0600);
  for (const std::string type : {"ed25519", "ecdsa"}) {
    INFO(type);
    options.key_file = server.make_key("plain_" + type, type);
    options.passphrase_file.clear();
    server.authorize("plain_" + type);
    CHECK(logs_in(options));
    CHECK(check_ssh_options(options));
    options.key_file = server.make_key("locked_" + type, type, "open sesame");
    server.authorize("locked_" + type);
    CHECK(has(refusal(options), "is encrypted, and neither a passphrase file nor an agent"));
    options.passphrase_file = server.path("passphrase");
    CHECK(logs_in(options));
    write_text(server.path("wrong"), "something else\n", 0600);
    options.passphrase_file = server.path("wrong");
    CHECK(has(refusal(options), "is the passphrase right?"));
  }
}

TEST_CASE("ssh keys: an agent signs, with all of its keys or with the named one",
          "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  const auto socket = server.path("agent");
  child_process agent({"/usr/bin/ssh-agent", "-D", "-a", socket});
  REQUIRE(eventually([&] { return std::filesystem::exists(socket); }));
  options.identity_agent = socket;
  // Its socket is there before it listens.
  CHECK(eventually([&] { return has(refusal(options), "holds no such ed25519 or ecdsa key"); }));
  server.make_key("stranger", "ed25519");
  const auto ecdsa = server.make_key("id_ecdsa", "ecdsa");
  for (const std::string name : {"stranger", "id_ed25519", "id_ecdsa"})
    ssh_server::shell("SSH_AUTH_SOCK=" + socket + " ssh-add -q " + server.path(name));
  CHECK(logs_in(options));
  options.key_file.clear();
  CHECK(logs_in(options));
  options.key_file = server.path("stranger");
  CHECK(has(refusal(options), "is refused for user"));
  server.authorize("id_ecdsa");
  options.key_file = ecdsa;
  CHECK(logs_in(options));
  agent.stop();
  CHECK(has(refusal(options), "ssh-agent " + socket));
}

TEST_CASE("ssh keys: an agent that never answers does not hang us", "[adapters][ssh]") {
  ssh_server server;
  const auto silent = server.path("silent");
  ssh_server::shell("test ! -e " + silent);
  child_process mute({"/usr/bin/python3", "-c",
                      "import socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])"
                      "\ns.listen(5)\ntime.sleep(600)",
                      silent});
  REQUIRE(eventually([&] { return std::filesystem::exists(silent); }));
  auto options = options_for(server);
  options.identity_agent = silent;
  options.timeout = milliseconds{100};
  CHECK(has(refusal(options), "ssh-agent " + silent));
}

TEST_CASE("ssh keys: what cannot work is refused with what to do about it", "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  options.key_file = server.make_key("id_rsa", "rsa");
  CHECK(has(refusal(options), "OpenSSH 8.8 and later refuse; use ed25519 (ssh-keygen -t ed25519)"));
  CHECK_FALSE(check_ssh_options(options));

  options.key_file = server.path("id_ed25519");
  ::chmod(options.key_file.c_str(), 0640);
  CHECK(has(refusal(options), "chmod 600"));
  ::chmod(options.key_file.c_str(), 0600);

  options.key_file = server.path("absent");
  CHECK(has(refusal(options), "No such file"));
  CHECK(has(refusal(options), options.key_file));
  options.key_file = "/hunter2";
  CHECK(has(refusal(options), "No such file"));
  CHECK_FALSE(has(refusal(options), "hunter2"));
  options.key_file = server.path("id_ed25519");
  options.passphrase_file = "/hunter2";
  CHECK(has(refusal(options), "No such file"));
  CHECK_FALSE(has(refusal(options), "hunter2"));
  options.passphrase_file.clear();

  write_text(server.path("nonsense"), "not a key\n", 0600);
  options.key_file = server.path("nonsense");
  CHECK(has(refusal(options), "holds no private key"));

  ssh_server::shell("ssh-keygen -q -t ecdsa -m PEM -N '' -f " + server.path("pem"));
  options.key_file = server.path("pem");
  CHECK(has(refusal(options), "convert it: ssh-keygen -p -f"));

  options.key_file = server.make_key("unknown", "ed25519");
  CHECK(has(refusal(options), "is it in ~/.ssh/authorized_keys there?"));
}

TEST_CASE("ssh host keys: plain and hashed known_hosts are accepted, of each type",
          "[adapters][ssh]") {
  ssh_server server;
  for (const std::string type : {"ed25519", "ecdsa"}) {
    INFO(type);
    const auto line = server.host_name() + " " + server.host_key(type) + "\n";
    CHECK(logs_in(with_known_hosts(server, "# a comment\n\n" + line)));
    const auto options =
        with_known_hosts(server, "other.example " + server.host_key() + "\n" + line);
    ssh_server::shell("ssh-keygen -q -H -f " + options.known_hosts_path + " >/dev/null 2>&1");
    CHECK(has(read_text(options.known_hosts_path), "|1|"));
    CHECK(logs_in(options));
  }
  auto options = with_known_hosts(server, "127.0.0.1 " + server.host_key() + "\n");
  CHECK(logs_in(options));
  // Written on Windows.
  CHECK(logs_in(with_known_hosts(server, "# hosts\r\n127.0.0.1 " + server.host_key() + "\r\n")));
  // A site's own may be a link.
  const auto link = server.path("link");
  std::filesystem::create_symlink(options.known_hosts_path, link);
  options.known_hosts_path = link;
  CHECK(logs_in(options));
}

TEST_CASE("ssh host keys: a missing, a different and a revoked key are refused",
          "[adapters][ssh]") {
  ssh_server server;
  const auto missing = refusal(with_known_hosts(server, "other.example " + server.host_key()));
  CHECK(has(missing, server.host_name() + ": its key is not known"));
  CHECK(has(missing, "ssh-keyscan -t ed25519 -p " + std::to_string(server.port()) + " 127.0.0.1"));

  server.make_key("other", "ed25519");
  auto other = read_text(server.path("other.pub"));
  const auto options = with_known_hosts(server, server.host_name() + " " + other);
  const auto mismatch = refusal(options);
  CHECK(has(mismatch, server.host_name()));
  CHECK(has(mismatch, options.known_hosts_path + ":1"));
  const auto shown = ssh::parse_public_key(server.host_key());
  REQUIRE(shown);
  CHECK(has(mismatch, ssh::fingerprint(*shown)));
  CHECK(has(mismatch, "expected " + ssh::fingerprint(*ssh::parse_public_key(other))));

  const auto line = server.host_name() + " " + server.host_key() + "\n";
  CHECK(has(refusal(with_known_hosts(server, line + "@revoked " + line)), "has revoked"));

  auto gone = options;
  gone.known_hosts_path = server.path("absent");
  CHECK(has(refusal(gone), "(no such file)"));
  gone.known_hosts_path = "/hunter2";
  CHECK(has(refusal(gone), "(no such file)"));
  CHECK_FALSE(has(refusal(gone), "hunter2"));
  CHECK(server.logins() == 0);
}

TEST_CASE("ssh host keys: a host with only an RSA key is refused with the reason",
          "[adapters][ssh]") {
  ssh_server server("", {"rsa"});
  auto options = with_known_hosts(server, server.host_name() + " " + server.host_key("rsa") + "\n");
  CHECK(has(refusal(options), "libssh2 1.10 signs RSA with SHA-1 only"));
  options.host_keys = host_key_policy::pinned;
  options.host_public_key = server.host_key("rsa");
  CHECK(has(refusal(options), "libssh2 1.10 signs RSA with SHA-1 only"));
  options.host_keys = host_key_policy::insecure;
  CHECK(has(refusal(options), "may have no host key of type"));
}

TEST_CASE("ssh host keys: a pinned key is the only one accepted", "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  CHECK(logs_in(options));
  server.make_key("other", "ed25519");
  options.host_public_key = read_text(server.path("other.pub"));
  CHECK(has(refusal(options), "the pinned host key"));
  options.host_public_key = "ssh-ed25519 nonsense";
  CHECK(has(refusal(options), "is no line like"));
}

TEST_CASE("ssh host keys: insecure accepts any key and says so loudly", "[adapters][ssh]") {
  ssh_server server;
  auto options = options_for(server);
  options.host_keys = host_key_policy::insecure;
  options.host_public_key.clear();
  const auto login = make_ssh_transport(options);
  REQUIRE(login->status().warnings.size() == 1);
  CHECK(has(login->status().warnings.front(), "THE HOST KEY IS NOT CHECKED"));
  CHECK(finished(login->run({"echo in", ""}, patiently())).out == "in\n");
}

TEST_CASE("ssh keys: a login that asks for more than a key says so, and which key was taken",
          "[adapters][ssh]") {
  const auto refusal_with = [](const std::string& methods) {
    ssh_server server(
        "PasswordAuthentication yes\nKbdInteractiveAuthentication yes\n"
        "AuthenticationMethods " + methods + "\n");
    return refusal(options_for(server));
  };
  for (const std::string further : {"password", "keyboard-interactive", "publickey"}) {
    const auto words = refusal_with("publickey," + further);
    INFO(words);
    CHECK(has(words, "id_ed25519: the ssh-ed25519 key"));
    CHECK(has(words, "was accepted for user"));
    CHECK(has(words, "asks for a further method: " + further));
    CHECK_FALSE(has(words, "refused"));
  }
  const auto either = refusal_with("publickey,password publickey,keyboard-interactive");
  CHECK(has(either, "asks for a further method: password,keyboard-interactive"));
  for (const std::string first : {"password", "keyboard-interactive"}) {
    const auto words = refusal_with(first + ",publickey");
    INFO(words);
    CHECK(has(words, "asks for another method: " + first));
    CHECK_FALSE(has(words, "refused"));
  }
}

TEST_CASE("ssh host keys: a host that only a certificate authority vouches for is told as such",
          "[adapters][ssh]") {
  ssh_server server;
  const auto line = server.host_name() + " " + server.host_key() + "\n";
  for (const auto& names : {server.host_name(), std::string("127.0.0.1"), std::string("*")}) {
    const auto words =
        refusal(with_known_hosts(server, "@cert-authority " + names + " " + server.host_key()));
    INFO(words);
    CHECK(has(words, "known_hosts:1 names only an authority for certificates of hosts"));
    CHECK(has(words, "ssh-keyscan"));
  }
  CHECK(logs_in(with_known_hosts(server, "@cert-authority * " + server.host_key() + "\n" + line)));
}

TEST_CASE("known_hosts: lists, wildcards, negation, ports and case", "[adapters][ssh]") {
  const std::string key =
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
  const auto count = [&](const std::string& names, const std::string& host, int port = 22) {
    return ssh::find_known(names + " " + key + " comment\n", "file", host, port).size();
  };
  CHECK(count("login1,login2.example", "login2.example") == 1);
  CHECK(count("login1", "LOGIN1") == 1);
  CHECK(count("login1", "login10") == 0);
  CHECK(count("*.example", "a.b.example") == 1);
  CHECK(count("login?", "login7") == 1);
  CHECK(count("*.example,!bad.example", "bad.example") == 0);
  CHECK(count("!bad.example,*.example", "good.example") == 1);
  CHECK(count("[login1]:2222", "login1", 2222) == 1);
  CHECK(count("[login1]:2222", "login1") == 0);
  CHECK(count("login1", "login1", 2222) == 1);
  CHECK(ssh::find_known("@cert-authority * " + key, "file", "login1", 22).at(0).authority);
  CHECK_FALSE(ssh::find_known("login1 " + key, "file", "login1", 22).at(0).authority);
  CHECK(count("|1|nonsense", "login1") == 0);
  CHECK(count("|1|", "login1") == 0);
  CHECK(ssh::find_known("login1 ssh-ed25519\nlogin1\n\n@revoked\n", "file", "login1", 22).empty());
  CHECK(ssh::find_known("@revoked login1 " + key, "file", "login1", 22).at(0).revoked);
}
