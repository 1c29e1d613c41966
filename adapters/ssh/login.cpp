#include "adapters/ssh/login.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "adapters/ssh/agent.hpp"

namespace ved::adapters::ssh {
namespace {

constexpr milliseconds agent_step_max{5'000};

/// What proves who we are, read before a connection is made.
struct identity {
  std::optional<private_key> key;
  secret passphrase;
  std::optional<agent> signer;
  std::vector<public_key> offered;  ///< of the agent
  std::string from;                 ///< "key file /etc/ved/id_ed25519"
};

result<identity> identity_of_file(const ssh_options& options) {
  const auto path = expand_home(options.key_file);
  identity out;
  out.from = "key file " + shown_path(path);
  auto key = read_private_key(path);
  if (!key) return fail(key.error());
  if (!options.passphrase_file.empty()) {
    auto passphrase = read_secret_file(expand_home(options.passphrase_file));
    if (!passphrase) return fail_in("passphrase of " + out.from, passphrase.error());
    out.passphrase = *std::move(passphrase);
  } else if (key->encrypted) {
    return fail(errc::invalid,
                out.from + ": is encrypted, and neither a passphrase file nor an agent is named");
  }
  out.key = *std::move(key);
  return out;
}

result<identity> identity_of_agent(const ssh_options& options, const std::string& socket) {
  identity out;
  out.from = "ssh-agent " + shown_path(socket);
  auto signer = agent::connect(socket, std::min(options.timeout, agent_step_max));
  if (!signer) return fail(signer.error());
  auto keys = signer->list();
  if (!keys) return fail(keys.error());
  out.offered = *std::move(keys);
  if (!options.key_file.empty()) {
    const auto path = expand_home(options.key_file);
    auto wanted = read_public_half(path);
    if (!wanted) return fail(wanted.error());
    std::erase_if(out.offered, [&](const auto& one) { return one != *wanted; });
    out.from += " with " + shown_path(path);
  }
  if (out.offered.empty())
    return fail(errc::invalid, out.from + ": the agent holds no such ed25519 or ecdsa key");
  out.signer = *std::move(signer);
  return out;
}

result<identity> identity_of(const ssh_options& options) {
  if (!options.identity_agent.empty())
    return identity_of_agent(options, expand_home(options.identity_agent));
  if (!options.key_file.empty()) return identity_of_file(options);
  if (const char* socket = ::getenv("SSH_AUTH_SOCK"); socket != nullptr && *socket != '\0')
    return identity_of_agent(options, socket);
  return fail(errc::invalid, "host " + options.host + ": no key to log in with: name a key file");
}

struct signing {
  agent* with;
  const public_key* key;
  std::string problem;
};

/// libssh2 frees what it is given with free().
int sign_by_agent(LIBSSH2_SESSION*, unsigned char** signature, std::size_t* size,
                  const unsigned char* data, std::size_t data_size, void** context) {
  auto& job = *static_cast<signing*>(*context);
  const auto made = job.with->sign(*job.key, {reinterpret_cast<const char*>(data), data_size});
  if (!made) {
    job.problem = made.error().message;
    return -1;
  }
  *signature = static_cast<unsigned char*>(std::malloc(made->size()));
  if (*signature == nullptr) return -1;
  std::memcpy(*signature, made->data(), made->size());
  *size = made->size();
  return 0;
}

class login {
 public:
  login(session& with, const ssh_options& options, waiter& patience, steady::time_point until)
      : with_(with), options_(options), patience_(patience), until_(until) {}

  result<void> handshake(const host_key_rules& rules) {
    ::libssh2_session_method_pref(with_.raw(), LIBSSH2_METHOD_HOSTKEY, rules.algorithms.c_str());
    const auto rc =
        step("handshake", [&] { return ::libssh2_session_handshake(with_.raw(), with_.fd()); });
    if (!rc) return fail(rc.error());
    if (*rc == LIBSSH2_ERROR_KEX_FAILURE || *rc == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE)
      return fail(errc::denied, "handshake: " + with_.last_error() +
                                    ": the server may have no host key of type " +
                                    rules.algorithms);
    if (*rc != 0) return fail(errc::unavailable, "handshake: " + with_.last_error());
    return check_host_key(options_, rules, with_.host_key());
  }

  result<void> authenticate(identity& who) {
    if (who.key) return by_file(who);
    result<void> last;
    for (const auto& key : who.offered) {
      last = by_agent(who, key);
      if (last || last.error().code != errc::denied || further_) break;
    }
    return last;
  }

 private:
  result<int> step(const std::string& what, const std::function<int()>& call) {
    return with_.complete(what, call, patience_, until_);
  }

  result<void> by_file(const identity& who) {
    const auto user = user_of(options_);
    const auto text = who.key->text.reveal();
    // libssh2 wants an empty passphrase rather than none.
    const std::string_view passphrase = who.passphrase.reveal();
    const auto rc = step("login", [&] {
      return ::libssh2_userauth_publickey_frommemory(with_.raw(), user.data(), user.size(), nullptr,
                                                     0, text.data(), text.size(),
                                                     passphrase.data());
    });
    return judge(rc, who, who.key->key);
  }

  result<void> by_agent(identity& who, const public_key& key) {
    const auto user = user_of(options_);
    signing job{&*who.signer, &key, ""};
    void* context = &job;
    const auto rc = step("login", [&] {
      return ::libssh2_userauth_publickey(with_.raw(), user.c_str(),
                                          reinterpret_cast<const unsigned char*>(key.blob.data()),
                                          key.blob.size(), &sign_by_agent, &context);
    });
    if (rc && !job.problem.empty()) return fail(errc::unavailable, job.problem);
    return judge(rc, who, key);
  }

  result<void> judge(const result<int>& rc, const identity& who, const public_key& key) {
    if (!rc) return fail(rc.error());
    if (*rc == 0) return {};
    const auto which = who.from + ": the " + key.type + " key " + fingerprint(key);
    // libssh2 first asks whether the server would take the key, then signs with it.
    const bool signed_with = *rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED;
    if (*rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED || signed_with)
      return fail(errc::denied, which + why_denied(signed_with));
    if (who.key && who.key->encrypted)
      return fail(errc::invalid,
                  which + " cannot be opened: is the passphrase right? " + with_.last_error());
    return fail(errc::unavailable, which + ": " + with_.last_error());
  }

  /// Of a login that needs more than a key (sshd_config(5), AuthenticationMethods) the server takes
  /// the key and goes on asking, or takes none before something else.
  std::string why_denied(bool signed_with) {
    const auto user = user_of(options_);
    const auto left = methods_left();
    const bool takes_keys = ("," + left + ",").find(",publickey,") != std::string::npos;
    const std::string two_factors =
        ": this daemon logs in with a key alone: let its key do without more, as by a Match block "
        "with 'AuthenticationMethods publickey' in sshd_config";
    if (signed_with && !left.empty()) {
      further_ = true;
      return " was accepted for user " + user + ", the server asks for a further method: " + left +
             two_factors;
    }
    if (!left.empty() && !takes_keys)
      return " was not looked at for user " + user + ", the server asks for another method: " +
             left + two_factors;
    return " is refused for user " + user + ": is it in ~/.ssh/authorized_keys there?";
  }

  /// With which the server would go on, as "password,keyboard-interactive"; empty: it does not say.
  std::string methods_left() {
    const auto user = user_of(options_);
    const char* list = nullptr;
    const auto rc = step("login", [&] {
      list = ::libssh2_userauth_list(with_.raw(), user.data(), static_cast<unsigned>(user.size()));
      return 0;
    });
    if (!rc || list == nullptr) return {};
    constexpr std::size_t methods_bytes_max = 200;
    std::string out(list, ::strnlen(list, methods_bytes_max));
    std::erase_if(out, [](unsigned char c) { return c <= 0x20 || c >= 0x7f; });
    return out;
  }

  bool further_ = false;  ///< a key was accepted, and is not enough
  session& with_;
  const ssh_options& options_;
  waiter& patience_;
  steady::time_point until_;
};

}  // namespace

result<void> check_identity(const ssh_options& options) {
  if (const auto who = identity_of(options); !who) return fail(who.error());
  return {};
}

std::string user_of(const ssh_options& options) {
  if (!options.user.empty()) return options.user;
  std::array<char, 4096> space{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, space.data(), space.size(), &found) == 0 &&
      found != nullptr)
    return found->pw_name;
  return std::to_string(::geteuid());
}

result<logged_in> log_in(const ssh_options& options, waiter& patience, steady::time_point until) {
  const auto rules = host_keys_of(options);
  if (!rules) return fail(rules.error());
  auto who = identity_of(options);
  if (!who) return fail(who.error());
  auto socket = connect_to(options.host, options.port, options.timeout, patience, until);
  if (!socket) return fail(socket.error());
  auto with = std::make_unique<session>(*std::move(socket));
  login steps(*with, options, patience, until);
  if (with->broken()) return fail(errc::unavailable, with->why_broken());
  if (auto ok = steps.handshake(*rules); !ok) return fail(ok.error());
  if (auto ok = steps.authenticate(*who); !ok) return fail(ok.error());
  auto host_key = with->host_key();
  return logged_in{std::move(with), std::move(host_key)};
}

}  // namespace ved::adapters::ssh
