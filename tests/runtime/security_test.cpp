#include <catch2/catch.hpp>

#include <sodium.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "runtime/gateway/tls.hpp"
#include "runtime/event_logs.hpp"
#include "runtime/security/init.hpp"
#include "runtime/security/pki.hpp"
#include "runtime/security/private_file.hpp"
#include "runtime/security/signing_key.hpp"
#include "runtime/security/token_store.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved::runtime;
using ved::errc;
using ved::from_us;
using ved::secret;
using ved::time_point;

namespace {

// 2026-01-15T10:00:00Z
constexpr time_point now = from_us(1'768'471'200'000'000);
constexpr auto one_day = std::chrono::hours{24};

std::string text_of(const std::filesystem::path& file) {
  std::ostringstream out;
  out << std::ifstream(file).rdbuf();
  return out.str();
}

unsigned mode_of(const std::filesystem::path& path) {
  struct stat about {};
  REQUIRE(::stat(path.c_str(), &about) == 0);
  return about.st_mode & 07777;
}

init_options options_for(const std::filesystem::path& directory) {
  init_options options;
  options.directory = directory;
  options.now = now;
  return options;
}

}  // namespace

TEST_CASE("pki: a leaf passes under its own authority only, within its time",
          "[runtime][security]") {
  const auto authority = make_authority("ved private CA test", now);
  const auto other = make_authority("ved private CA test", now);
  REQUIRE(authority);
  REQUIRE(other);
  const auto leaf = issue_leaf(*authority, {"ved", {"localhost", "127.0.0.1", "::1"}, now,
                                            leaf_role::server});
  REQUIRE(leaf);
  CHECK(verify_certificate(*leaf, authority->certificate, now));
  CHECK(verify_certificate(*authority, authority->certificate, now));
  CHECK_FALSE(verify_certificate(*leaf, other->certificate, now));
  CHECK_FALSE(verify_certificate({leaf->certificate, other->key}, authority->certificate, now));
  CHECK_FALSE(verify_certificate(*leaf, authority->certificate, now + one_day * (leaf_days + 1)));
  CHECK_FALSE(verify_certificate(*leaf, authority->certificate, now - one_day));
  CHECK(certificate_expiry(leaf->certificate) == now + one_day * leaf_days);
  CHECK(certificate_expiry(authority->certificate) == now + one_day * ca_days);
  CHECK(certificate_fingerprint(leaf->certificate)->size() == 64);
  CHECK_FALSE(certificate_expiry("nonsense"));
  // A leaf is no authority.
  const auto forged = issue_leaf(*leaf, {"forged", {}, now, leaf_role::client});
  REQUIRE(forged);
  CHECK_FALSE(verify_certificate(*forged, leaf->certificate, now));
  CHECK_FALSE(issue_leaf({authority->certificate, other->key}, {"x", {}, now, leaf_role::client}));
  CHECK_FALSE(issue_leaf(*authority, {"x", {"bad name,IP:1.2.3.4\n"}, now,
                                       leaf_role::client}));
}

TEST_CASE("signing key: the file has the node agents' form and both halves must fit",
          "[runtime][security]") {
  const ved::tests::temp_dir dir;
  const auto file = dir.path() / "signing.key";
  const auto made = signing_key::generate();
  REQUIRE(made.save(file));
  CHECK(mode_of(file) == 0600);
  const auto text = text_of(file);
  CHECK(std::regex_match(text, std::regex("\\{\n  \"private_key\": \"[A-Za-z0-9+/]{86}==\",\n"
                                          "  \"public_key\": \"[A-Za-z0-9+/]{43}=\"\n\\}")));
  const auto loaded = signing_key::load(file);
  REQUIRE(loaded);
  CHECK(loaded->public_key() == made.public_key());
  const auto signature = loaded->sign("bytes");
  CHECK(verify_signature(made.public_key(), "bytes", signature));
  CHECK_FALSE(verify_signature(made.public_key(), "Bytes", signature));
  CHECK_FALSE(verify_signature("short", "bytes", signature));

  const auto again = signing_key::generate().save(file);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == errc::conflict);
  CHECK(again.error().message == "key file already exists: " + file.string());

  const auto write = [&](const std::string& content) {
    REQUIRE(write_private_file(file, content, if_exists::replace));
  };
  auto mixed = nlohmann::json::parse(text);
  REQUIRE(signing_key::generate().save(dir.path() / "other.key"));
  mixed["public_key"] = nlohmann::json::parse(text_of(dir.path() / "other.key"))["public_key"];
  write(mixed.dump());
  CHECK(signing_key::load(file).error().message.find("do not belong together") !=
        std::string::npos);
  for (const auto* bad : {"", "[]", "{}", R"({"private_key": 1, "public_key": "AA=="})",
                          R"({"private_key": "AA==", "public_key": "AA=="})"}) {
    write(bad);
    const auto refused = signing_key::load(file);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid);
  }
  write(text);
  ::chmod(file.c_str(), 0640);
  CHECK(signing_key::load(file).error().code == errc::denied);
  CHECK(signing_key::load(dir.path() / "none").error().code == errc::not_found);
}

TEST_CASE("signing key: signs like the reference vector of RFC 8032", "[runtime][security]") {
  // RFC 8032, 7.1, test 2: one byte 0x72.
  const ved::tests::temp_dir dir;
  const auto file = dir.path() / "signing.key";
  REQUIRE(write_private_file(
      file,
      "{\"private_key\": \"TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs9QBfD6EOJWpK3CqdNG368"
      "nJgszy7ElozAzVXxKvRmDA==\", "
      "\"public_key\": \"PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\"}",
      if_exists::replace));
  const auto key = signing_key::load(file);
  REQUIRE(key);
  const auto signature = key->sign("\x72");
  std::string hex(129, '\0');
  sodium_bin2hex(hex.data(), hex.size(), reinterpret_cast<const unsigned char*>(signature.data()),
                 signature.size());
  hex.pop_back();
  CHECK(hex ==
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
}

TEST_CASE("tokens: only a known token passes, with its scopes, until it expires",
          "[runtime][security]") {
  const ved::tests::temp_dir dir;
  const auto file = dir.path() / "tokens.json";
  const auto reader = add_token(file, {"reader", {true, false, false, false}, now, {}});
  const auto guest = add_token(file, {"guest", {true, true, false, false}, now, now + one_day});
  REQUIRE(reader);
  REQUIRE(guest);
  CHECK(mode_of(file) == 0600);
  CHECK(reader->reveal().starts_with("ved_"));
  CHECK(reader->size() == 47);
  CHECK(text_of(file).find(std::string(reader->reveal())) == std::string::npos);

  const auto store = token_store::open(file);
  REQUIRE(store);
  const auto who = (*store)->authenticate(guest->reveal(), now);
  REQUIRE(who);
  CHECK(who->name == "guest");
  CHECK(who->scopes == token_scopes{true, true, false, false});
  CHECK((*store)->authenticate(reader->reveal(), now + one_day * 3'650));
  const auto late = (*store)->authenticate(guest->reveal(), now + one_day);
  REQUIRE_FALSE(late);
  CHECK(late.error().code == errc::denied);
  CHECK(late.error().message == "token guest expired at 2026-01-16T10:00:00.000000Z");
  for (const auto& bad : {std::string(), std::string("ved_"), std::string(guest->reveal()) + "x",
                          std::string(guest->reveal().substr(0, 46)), std::string(300, 'a')}) {
    const auto refused = (*store)->authenticate(bad, now);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::denied);
  }
}

TEST_CASE("tokens: adding, listing and revoking", "[runtime][security]") {
  const ved::tests::temp_dir dir;
  const auto file = dir.path() / "tokens.json";
  const auto scopes = parse_scopes("submit,read");
  REQUIRE(scopes);
  CHECK(to_string(*scopes) == "read,submit");
  CHECK_FALSE(parse_scopes(""));
  CHECK_FALSE(parse_scopes("read,write"));
  CHECK_FALSE(parse_scopes("read,,submit"));

  const auto token = add_token(file, {"ci", *scopes, now, {}});
  REQUIRE(token);
  CHECK(add_token(file, {"ci", *scopes, now, {}}).error().code == errc::conflict);
  CHECK(add_token(file, {"a b", *scopes, now, {}}).error().code == errc::invalid);
  CHECK(add_token(file, {"", *scopes, now, {}}).error().code == errc::invalid);
  CHECK(add_token(file, {"x", {}, now, {}}).error().code == errc::invalid);
  CHECK(add_token(file, {"x", *scopes, now, now}).error().code == errc::invalid);
  const auto known = list_tokens(file);
  REQUIRE(known);
  REQUIRE(known->size() == 1);
  CHECK(known->front().name == "ci");
  CHECK(known->front().created_at == now);
  CHECK_FALSE(ved::is_set(known->front().expires_at));

  const auto store = token_store::open(file);
  REQUIRE(store);
  CHECK(revoke_token(file, "nobody").error().code == errc::not_found);
  REQUIRE(revoke_token(file, "ci"));
  REQUIRE((*store)->reload());
  CHECK_FALSE((*store)->authenticate(token->reveal(), now));
}

TEST_CASE("tokens: a changed file is noticed, a broken one changes nothing",
          "[runtime][security]") {
  const ved::tests::temp_dir dir;
  const auto file = dir.path() / "tokens.json";
  const auto first = add_token(file, {"first", {true, false, false, false}, now, {}});
  REQUIRE(first);
  const auto store = token_store::open(file);
  REQUIRE(store);
  const auto second = add_token(file, {"second", {true, false, false, false}, now, {}});
  REQUIRE(second);
  // The first call looks at the file.
  CHECK((*store)->authenticate(second->reveal(), now));
  REQUIRE(write_private_file(file, "{", if_exists::replace));
  const auto broken = (*store)->reload();
  REQUIRE_FALSE(broken);
  CHECK(broken.error().message.find(file.string()) != std::string::npos);
  CHECK((*store)->authenticate(first->reveal(), now));
}

TEST_CASE("tokens: a file that is not whole is refused with its place", "[runtime][security]") {
  const ved::tests::temp_dir dir;
  const auto file = dir.path() / "tokens.json";
  const std::string hash(64, 'a');
  const auto one = [&](const std::string& fields) {
    return R"({"version": 1, "tokens": [{)" + fields + "}]}";
  };
  const auto name = std::string(R"("name": "n", )");
  const auto rest = R"("hash": ")" + hash + R"(", "created_at": "2026-01-15T10:00:00Z")";
  for (const auto& bad :
       {std::string("{}"), std::string(R"({"version": 2, "tokens": []})"),
        std::string(R"({"version": 1, "tokens": {}})"), one(""),
        one(name + R"("scopes": ["root"], )" + rest), one(name + R"("scopes": [], )" + rest),
        one(R"("scopes": ["read"], )" + rest),
        one(name + R"("scopes": ["read"], "hash": "aa", "created_at": "2026-01-15T10:00:00Z")"),
        one(name + R"("scopes": ["read"], "created_at": "now", "hash": ")" + hash + '"'),
        one(name + R"("scopes": ["read"], "expires_at": 5, )" + rest)}) {
    INFO(bad);
    REQUIRE(write_private_file(file, bad, if_exists::replace));
    const auto refused = token_store::open(file);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid);
  }
  REQUIRE(write_private_file(file, one(name + R"("scopes": ["read"], )" + rest),
                             if_exists::replace));
  CHECK(token_store::open(file));
  ::chmod(file.c_str(), 0644);
  CHECK(token_store::open(file).error().code == errc::denied);
  // None at all: nobody gets in, but the jobs go on.
  CHECK(token_store::open(dir.path() / "none"));
}

TEST_CASE("private file: a file is never overwritten unless told, and never half written",
          "[runtime][security]") {
  const ved::tests::temp_dir dir;
  const auto file = dir.path() / "f";
  REQUIRE(write_private_file(file, "one", if_exists::refuse));
  CHECK(mode_of(file) == 0600);
  CHECK(write_private_file(file, "two", if_exists::refuse).error().code == errc::conflict);
  CHECK(text_of(file) == "one");
  // What a crash left behind is in nobody's way.
  std::ofstream(dir.path() / ".f.new") << "half";
  REQUIRE(write_private_file(file, "three", if_exists::replace));
  CHECK(text_of(file) == "three");
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
  CHECK_FALSE(write_private_file(dir.path() / "none" / "f", "x", if_exists::refuse));

  REQUIRE(make_private_directory(dir.path() / "a" / "b"));
  CHECK(mode_of(dir.path() / "a" / "b") == 0700);
  CHECK(make_private_directory(dir.path() / "a" / "b"));
  ::chmod((dir.path() / "a").c_str(), 0777);
  CHECK(make_private_directory(dir.path() / "a").error().code == errc::denied);
  CHECK_FALSE(make_private_directory(file));
}

TEST_CASE("init: makes everything a daemon needs, privately", "[runtime][security]") {
  const ved::tests::temp_dir dir;
  const auto report = initialise_state(options_for(dir.path() / "state"));
  REQUIRE(report);
  const auto& at = report->layout;
  CHECK(is_initialised(dir.path() / "state"));
  CHECK(mode_of(at.directory) == 0711);
  for (const auto& one : {at.pki, at.keys, at.client}) CHECK(mode_of(one) == 0700);
  for (const auto& one : {at.ca_key, at.server_key, at.signing_key, at.tokens, at.client_key,
                          at.client_token, at.client_gateway, at.marker}) {
    INFO(one);
    CHECK(mode_of(one) == 0600);
  }
  const auto ca = text_of(at.ca_certificate);
  CHECK(text_of(at.client_ca) == ca);
  CHECK(verify_certificate({text_of(at.server_certificate), secret(text_of(at.server_key))}, ca,
                           now));
  CHECK(verify_certificate({text_of(at.client_certificate), secret(text_of(at.client_key))}, ca,
                           now));
  CHECK(signing_key::load(at.signing_key));
  CHECK(text_of(at.client_gateway) == "127.0.0.1:8443\n");
  CHECK(certificate_fingerprint(ca) == report->ca_fingerprint);
  const auto store = token_store::open(at.tokens);
  REQUIRE(store);
  CHECK((*store)->authenticate(text_of(at.client_token), now)->scopes ==
        token_scopes{true, true, true, true});
  CHECK((*store)->authenticate(report->read_token.reveal(), now)->scopes ==
        token_scopes{true, false, false, false});

  const auto again = initialise_state(options_for(dir.path() / "state"));
  REQUIRE_FALSE(again);
  CHECK(again.error().code == errc::conflict);
  CHECK(text_of(at.ca_certificate) == ca);
}

TEST_CASE("init: a crash after any step is finished by the next call", "[runtime][security]") {
  struct crash {};
  std::set<std::string> steps;
  for (int survive = 0;; ++survive) {
    const ved::tests::temp_dir dir;
    auto options = options_for(dir.path() / "state");
    int made = 0;
    bool crashed = false;
    options.on_made = [&](const std::filesystem::path& path) {
      steps.insert(path.filename());
      if (made++ == survive) throw crash{};
    };
    try {
      const auto report = initialise_state(options);
      REQUIRE(report);
    } catch (const crash&) {
      crashed = true;
    }
    if (!crashed) {
      REQUIRE(survive > 8);
      break;
    }
    const bool last = is_initialised(options.directory);
    options.on_made = nullptr;
    const auto report = initialise_state(options);
    INFO("crashed after step " << survive);
    if (last) {
      CHECK(report.error().code == errc::conflict);
      continue;
    }
    REQUIRE(report);
    const auto& at = report->layout;
    const auto ca = text_of(at.ca_certificate);
    CHECK(verify_certificate({ca, secret(text_of(at.ca_key))}, ca, now));
    CHECK(verify_certificate({text_of(at.server_certificate), secret(text_of(at.server_key))}, ca,
                             now));
    CHECK(verify_certificate({text_of(at.client_certificate), secret(text_of(at.client_key))}, ca,
                             now));
    CHECK(text_of(at.client_ca) == ca);
    const auto store = token_store::open(at.tokens);
    REQUIRE(store);
    CHECK((*store)->authenticate(report->admin_token.reveal(), now));
    CHECK((*store)->authenticate(report->read_token.reveal(), now));
    CHECK(list_tokens(at.tokens)->size() == 2);
  }
  CHECK(steps == std::set<std::string>{"ca.key", "ca.pem", "server.key", "server.pem", "key.pem",
                                       "cert.pem", "gateway", "signing.key", "tokens.json",
                                       "token", "init.json", "log"});
}

namespace {
auto open_all(const std::string& state) {
  return open_event_logs(state, [](const std::string&) { return plain_log_options(); });
}
}  // namespace

TEST_CASE("init: where keys are and the log is not, only asked to it begins a new one",
          "[runtime][security]") {
  const ved::tests::temp_dir dir;
  auto options = options_for(dir.path() / "state");
  const auto report = initialise_state(options);
  REQUIRE(report);
  const auto& at = report->layout;
  const auto state = at.directory.string();
  REQUIRE(open_all(state));
  CHECK(begin_new_log(state, "daemon").error().code == errc::conflict);
  std::filesystem::remove_all(at.log);
  std::filesystem::remove(state + "/log.check");

  const auto started = open_all(state);
  REQUIRE_FALSE(started);
  CHECK(started.error().code == errc::not_found);
  CHECK_THAT(started.error().message,
             Catch::Contains("vectl log restore BACKUP --state " + state) &&
                 Catch::Contains("ved init --new-log --state " + state));
  CHECK_FALSE(std::filesystem::exists(at.log));
  SECTION("also when it does not know any more that it was initialised") {
    std::filesystem::remove(at.marker);
    CHECK(initialise_state(options).error().code == errc::conflict);
    CHECK_FALSE(std::filesystem::exists(at.log));
    options.new_log = true;
    REQUIRE(initialise_state(options));
  }
  SECTION("else") { REQUIRE(begin_new_log(state, "daemon")); }
  CHECK(open_all(state));
}

TEST_CASE("init: files that are not ours are not overwritten", "[runtime][security]") {
  const ved::tests::temp_dir dir;
  const state_layout at(dir.path());
  REQUIRE(make_private_directory(at.pki));
  REQUIRE(write_private_file(at.ca_certificate, "mine", if_exists::refuse));
  const auto refused = initialise_state(options_for(dir.path()));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::conflict);
  CHECK(text_of(at.ca_certificate) == "mine");
}

TEST_CASE("init: two at once do not mix", "[runtime][security]") {
  const ved::tests::temp_dir dir;
  const state_layout at(dir.path());
  const auto lock = file_lock::take(at.lock);
  REQUIRE(lock);
  const auto refused = initialise_state(options_for(dir.path()));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::conflict);
}

TEST_CASE("init: the daemon's certificate and vectl's have one role each, also renewed",
          "[runtime][security]") {
  const ved::tests::temp_dir dir;
  auto options = options_for(dir.path() / "state");
  const auto report = initialise_state(options);
  REQUIRE(report);
  const auto& at = report->layout;
  const gateway_credentials daemon{at.ca_certificate, at.server_certificate, at.server_key};
  const gateway_credentials vectl{at.client_ca, at.client_certificate, at.client_key};
  for (int round = 0; round < 2; ++round) {
    CHECK(check_role(daemon, certificate_role::server));
    CHECK_FALSE(check_role(daemon, certificate_role::client));
    CHECK(check_role(vectl, certificate_role::client));
    CHECK_FALSE(check_role(vectl, certificate_role::server));
    REQUIRE(renew_certificates(options));
  }
}

TEST_CASE("init: certificates can be renewed under the same authority", "[runtime][security]") {
  const ved::tests::temp_dir dir;
  auto options = options_for(dir.path() / "state");
  CHECK_FALSE(renew_certificates(options));
  const auto report = initialise_state(options);
  REQUIRE(report);
  const auto& at = report->layout;
  const auto before = text_of(at.server_certificate);
  options.now = now + one_day * 700;
  REQUIRE(renew_certificates(options));
  CHECK(text_of(at.server_certificate) != before);
  CHECK(certificate_expiry(text_of(at.server_certificate)) == options.now + one_day * leaf_days);
  CHECK(verify_certificate({text_of(at.client_certificate), secret(text_of(at.client_key))},
                           text_of(at.ca_certificate), options.now));
  options.now = now + one_day * (ca_days + 1);
  CHECK(renew_certificates(options).error().code == errc::invalid);
}

TEST_CASE("init: a renewal that was cut anywhere leaves certificates that work",
          "[runtime][security]") {
  struct cut {};
  bool whole = false;
  for (int survive = 0; !whole; ++survive) {
    INFO("cut after step " << survive);
    const ved::tests::temp_dir dir;
    auto options = options_for(dir.path() / "state");
    const auto report = initialise_state(options);
    REQUIRE(report);
    const auto& at = report->layout;
    const auto before = text_of(at.server_certificate);
    int made = 0;
    options.on_made = [&](const std::filesystem::path&) {
      if (made++ == survive) throw cut{};
    };
    try {
      const auto renewed = renew_certificates(options);
      REQUIRE(renewed);
      whole = true;
    } catch (const cut&) {
      CHECK(made == survive + 1);
    }
    REQUIRE(survive <= 6);
    for (const auto& one :
         {gateway_credentials{at.ca_certificate, at.server_certificate, at.server_key},
          gateway_credentials{at.client_ca, at.client_certificate, at.client_key}})
      CHECK(held_credentials::take(one));
    options.on_made = nullptr;
    REQUIRE(renew_certificates(options));
    CHECK(text_of(at.server_certificate) != before);
    CHECK(check_credentials({at.ca_certificate, at.server_certificate, at.server_key}));
    CHECK(check_credentials({at.client_ca, at.client_certificate, at.client_key}));
    for (const auto* directory : {&at.pki, &at.client})
      for (const auto& entry : std::filesystem::directory_iterator(*directory))
        CHECK(entry.path().extension() != ".next");
  }
}

TEST_CASE("secret: copies are whole and moved-from ones are empty", "[messages][security]") {
  secret a("short");
  const secret copy = a;
  secret b = std::move(a);
  CHECK(a.empty());  // NOLINT: that it is empty is what is tested
  CHECK(b == copy);
  a = secret(std::string(200, 'x'));
  CHECK(a.size() == 200);
  CHECK_FALSE(a == copy);
  a = copy;
  CHECK(a == b);
}
