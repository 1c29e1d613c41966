#include "runtime/security/init.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/system/owned_directory.hpp"
#include "runtime/event_logs.hpp"
#include "runtime/security/pki.hpp"
#include "runtime/security/private_file.hpp"
#include "runtime/security/signing_key.hpp"
#include "runtime/security/token_store.hpp"

namespace ved::runtime {
namespace {

constexpr std::size_t pem_bytes_max = 64 * 1024;
constexpr unsigned public_mode = 0644;

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// Certificates are no secrets; the directory around them is private.
result<std::string> read_certificate(const std::filesystem::path& path) {
  auto text = read_public_file(path, pem_bytes_max);
  if (text && text->empty()) return fail(errc::unavailable, path.string() + ": is empty");
  return text;
}

class initialiser {
 public:
  explicit initialiser(const init_options& options)
      : options_(options), layout_(options.directory) {}

  result<init_report> run() {
    if (auto made = directories(); !made) return fail(made.error());
    const auto lock = file_lock::take(layout_.lock);
    if (!lock) return fail(lock.error());
    if (is_there(layout_.marker)) {
      return fail(errc::conflict, options_.directory.string() +
                                      ": is initialised already; nothing was changed");
    }
    for (const auto step : {&initialiser::log, &initialiser::authority, &initialiser::server,
                            &initialiser::client, &initialiser::signing}) {
      if (auto done = (this->*step)(); !done) return fail(done.error());
    }
    return finish();
  }

  result<void> renew() {
    if (!is_there(layout_.marker)) {
      return fail(errc::not_found, options_.directory.string() + ": is not initialised");
    }
    const auto lock = file_lock::take(layout_.lock);
    if (!lock) return fail(lock.error());
    if (auto loaded = load_authority(); !loaded) return loaded;
    if (auto valid = verify_certificate(authority_, authority_.certificate, options_.now); !valid)
      return fail_in("authority " + layout_.ca_certificate.string(), valid.error());
    if (auto done = leaf(leaf_role::server, if_exists::replace); !done) return done;
    return leaf(leaf_role::client, if_exists::replace);
  }

 private:
  result<void> directories() {
    if (!is_there(layout_.marker)) {
      const auto ours = adapters::take_directory(layout_.directory, {"state", "ved"}, 0711);
      if (!ours) return fail_in("state directory", ours.error());
    }
    // Jobs that run as other users must pass through the state directory, never list it.
    if (auto made = make_private_directory(layout_.directory, 0711); !made) return made;
    for (const auto& one : {layout_.pki, layout_.keys, layout_.client}) {
      if (auto made = make_private_directory(one); !made) return made;
    }
    return {};
  }

  result<void> write(const std::filesystem::path& path, std::string_view bytes, if_exists what,
                     unsigned mode = 0600) {
    auto written = write_private_file(path, bytes, what, mode);
    if (written && options_.on_made) options_.on_made(path);
    return written;
  }

  // First of all, so that whoever finds a key and no log knows that there was one.
  result<void> log() {
    const auto state = layout_.directory.string();
    const std::string own(store::own_log_name);
    const bool made_before = has_event_log(state, own);
    if (!made_before) {
      for (const auto& key : {layout_.ca_key, layout_.signing_key, layout_.tokens}) {
        if (is_there(key) && !options_.new_log)
          return fail(errc::conflict,
                      key.string() + ": is there, but the event log that was made before it is "
                                     "not: restore a backup with `vectl log restore BACKUP "
                                     "--state " + state + "` first; only to give up all its jobs "
                                     "and begin anew, add --new-log");
      }
    }
    auto made = options_.new_log && !made_before ? begin_new_event_log(state, own)
                                                 : make_event_log(state);
    if (made && !made_before && options_.on_made) options_.on_made(layout_.log);
    return made;
  }

  result<void> load_authority() {
    auto key = read_secret_file(layout_.ca_key);
    if (!key) return fail(key.error());
    auto certificate = read_certificate(layout_.ca_certificate);
    if (!certificate) return fail(certificate.error());
    authority_ = {std::move(*certificate), std::move(*key)};
    return {};
  }

  result<void> authority() {
    if (is_there(layout_.ca_key) && is_there(layout_.ca_certificate)) {
      if (auto loaded = load_authority(); !loaded) return loaded;
      if (auto valid = verify_certificate(authority_, authority_.certificate, options_.now); !valid)
        return fail_in(layout_.ca_certificate.string(), valid.error());
      return {};
    }
    // A lone key is what a crash left; it has signed nothing. A lone certificate is not ours.
    auto fresh = make_authority("ved private CA " + host_name(), options_.now);
    if (!fresh) return fail(fresh.error());
    authority_ = std::move(*fresh);
    if (auto done = write(layout_.ca_key, authority_.key.reveal(), if_exists::replace); !done)
      return done;
    return write(layout_.ca_certificate, authority_.certificate, if_exists::refuse, public_mode);
  }

  // Two files, one after the other. Who reads them meanwhile, or after a cut between them, finds
  // the certificate that fits the new key beside them (held_credentials).
  result<void> leaf(leaf_role role, if_exists what) {
    const bool server = role == leaf_role::server;
    const auto& certificate = server ? layout_.server_certificate : layout_.client_certificate;
    const auto& key = server ? layout_.server_key : layout_.client_key;
    if (what == if_exists::refuse && is_there(certificate) && is_there(key)) {
      auto known_key = read_secret_file(key);
      auto known = read_certificate(certificate);
      if (!known_key) return fail(known_key.error());
      if (!known) return fail(known.error());
      auto valid =
          verify_certificate({*known, *known_key}, authority_.certificate, options_.now);
      return valid ? result<void>{} : fail_in(certificate.string(), valid.error());
    }
    auto names = options_.names;
    for (const auto* name : {"localhost", "127.0.0.1", "::1"}) names.emplace_back(name);
    if (const auto host = host_name(); host != "localhost") names.push_back(host);
    auto fresh = issue_leaf(authority_, {server ? "ved" : "vectl", std::move(names), options_.now,
                                         role});
    if (!fresh) return fail(fresh.error());
    const std::filesystem::path next = next_certificate(certificate.string());
    if (what == if_exists::replace)
      if (auto done = write(next, fresh->certificate, what, public_mode); !done) return done;
    // The key goes first: a lone key is what a crash left, a lone certificate is not ours.
    if (auto done = write(key, fresh->key.reveal(), if_exists::replace); !done) return done;
    if (auto done = write(certificate, fresh->certificate, what, public_mode); !done) return done;
    std::error_code ignored;  // it is the same as the other
    std::filesystem::remove(next, ignored);
    return {};
  }

  result<void> server() {
    return leaf(leaf_role::server, if_exists::refuse);
  }

  result<void> client() {
    auto done = leaf(leaf_role::client, if_exists::refuse);
    if (!done) return done;
    done = write(layout_.client_ca, authority_.certificate, if_exists::replace, public_mode);
    if (!done) return done;
    return write(layout_.client_gateway, options_.gateway + "\n", if_exists::replace);
  }

  result<void> signing() {
    if (is_there(layout_.signing_key)) {
      const auto known = signing_key::load(layout_.signing_key);
      return known ? result<void>{} : result<void>(fail(known.error()));
    }
    auto saved = signing_key::generate().save(layout_.signing_key);
    if (saved && options_.on_made) options_.on_made(layout_.signing_key);
    return saved;
  }

  // Tokens of an interrupted run were never printed: they are replaced.
  result<secret> token(const std::string& name, const token_scopes& scopes) {
    if (is_there(layout_.tokens)) {
      auto revoked = revoke_token(layout_.tokens, name);
      if (!revoked && revoked.error().code != errc::not_found) return fail(revoked.error());
    }
    auto made = add_token(layout_.tokens, {name, scopes, options_.now, {}});
    if (made && options_.on_made) options_.on_made(layout_.tokens);
    return made;
  }

  result<init_report> finish() {
    auto admin = token("admin", {true, true, true, true});
    if (!admin) return fail(admin.error());
    auto read = token("read", {true, false, false, false});
    if (!read) return fail(read.error());
    if (auto done = write(layout_.client_token, admin->reveal(), if_exists::replace); !done)
      return fail(done.error());
    auto fingerprint = certificate_fingerprint(authority_.certificate);
    if (!fingerprint) return fail(fingerprint.error());
    const auto marker = nlohmann::json{{"version", 1},
                                       {"initialised_at", to_rfc3339(options_.now)},
                                       {"ca_sha256", *fingerprint}}
                            .dump(2) +
                        "\n";
    if (auto done = write(layout_.marker, marker, if_exists::refuse); !done)
      return fail(done.error());
    return init_report{layout_, std::move(*admin), std::move(*read), std::move(*fingerprint)};
  }

  static std::string host_name() {
    std::array<char, 65> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
    std::string out(name.data());
    // What is no host name would spoil the certificate.
    const bool plain = std::all_of(out.begin(), out.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '-' || c == '.';
    });
    return plain && out.size() <= 40 ? out : "localhost";
  }

  const init_options& options_;
  const state_layout layout_;
  issued_certificate authority_;
};

}  // namespace

result<init_report> initialise_state(const init_options& options) {
  return initialiser(options).run();
}

bool is_initialised(const std::filesystem::path& directory) {
  return is_there(state_layout(directory).marker);
}

result<void> begin_new_log(const std::filesystem::path& directory, const std::string& log_name) {
  if (!is_initialised(directory))
    return fail(errc::not_found, directory.string() + ": is not initialised");
  const auto lock = file_lock::take(state_layout(directory).lock);
  if (!lock) return fail(lock.error());
  return begin_new_event_log(directory.string(), log_name);
}

result<void> renew_certificates(const init_options& options) {
  return initialiser(options).renew();
}

}  // namespace ved::runtime
