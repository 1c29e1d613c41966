#include "tests/runtime/gateway/pki.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <stdexcept>

namespace ved::test {

struct private_ca::keys {
  EVP_PKEY* key = nullptr;
  X509* certificate = nullptr;
  long serial = 1;
};

namespace {

void require(bool good) {
  if (!good) throw std::runtime_error("test CA: OpenSSL failed");
}

void extend(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  require(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* make_certificate(EVP_PKEY* key, const std::string& name, long serial, int from, int hours,
                       X509* issuer, EVP_PKEY* issuer_key, const std::string& uses) {
  X509* made = X509_new();
  require(made != nullptr);
  X509_set_version(made, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made), serial);
  X509_gmtime_adj(X509_getm_notBefore(made), 3600L * from);
  X509_gmtime_adj(X509_getm_notAfter(made), 3600L * hours);
  X509_NAME* subject = X509_get_subject_name(made);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(made, issuer ? X509_get_subject_name(issuer) : subject);
  X509_set_pubkey(made, key);
  extend(made, issuer ? issuer : made, NID_basic_constraints,
         issuer ? "CA:FALSE" : "critical,CA:TRUE");
  if (issuer && uses != "none") extend(made, issuer, NID_ext_key_usage, uses.c_str());
  require(X509_sign(made, issuer ? issuer_key : key, EVP_sha256()) > 0);
  return made;
}

template <class Write>
std::string write_pem(const std::filesystem::path& path, Write write) {
  FILE* file = std::fopen(path.c_str(), "w");
  require(file != nullptr);
  require(write(file) == 1);
  std::fclose(file);
  std::filesystem::permissions(
      path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  return path.string();
}

}  // namespace

private_ca::private_ca() : ca_(new keys) {
  std::string pattern = (std::filesystem::temp_directory_path() / "ved-pki-XXXXXX").string();
  require(::mkdtemp(pattern.data()) != nullptr);
  directory_ = pattern;
  ca_->key = EVP_EC_gen("P-256");
  ca_->certificate = make_certificate(ca_->key, "ved test CA", 1, -1, 48, nullptr, nullptr, "none");
  write_pem(directory_ / "ca.pem",
            [&](FILE* file) { return PEM_write_X509(file, ca_->certificate); });
}

private_ca::~private_ca() {
  X509_free(ca_->certificate);
  EVP_PKEY_free(ca_->key);
  delete ca_;
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

runtime::gateway_credentials private_ca::issue(const std::string& name, int hours,
                                               std::string uses, int from) {
  if (uses.empty()) uses = name.find("server") != std::string::npos ? "serverAuth" : "clientAuth";
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* made = make_certificate(key, name, ++ca_->serial, from, hours, ca_->certificate, ca_->key,
                                uses);
  runtime::gateway_credentials credentials;
  credentials.ca_file = (directory_ / "ca.pem").string();
  credentials.certificate_file = write_pem(directory_ / (name + ".pem"),
                                           [&](FILE* file) { return PEM_write_X509(file, made); });
  credentials.key_file = write_pem(directory_ / (name + ".key"), [&](FILE* file) {
    return PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  X509_free(made);
  EVP_PKEY_free(key);
  return credentials;
}

}  // namespace ved::test

using namespace ved;
using namespace ved::runtime;

TEST_CASE("gateway credentials: a full set passes", "[runtime][gateway]") {
  test::private_ca ca;
  REQUIRE(check_credentials(ca.issue("server")));
}

TEST_CASE("gateway credentials: what TLS would silently ignore is refused", "[runtime][gateway]") {
  test::private_ca ca;
  test::private_ca stranger;
  auto good = ca.issue("server");

  SECTION("nothing at all, which CAF would take as anonymous") {
    const auto refused = check_credentials({});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid);
    CHECK_THAT(refused.error().message, Catch::Contains("anonymous"));
  }
  SECTION("a missing key file") {
    good.key_file += ".gone";
    const auto refused = check_credentials(good);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::not_found);
    CHECK_THAT(refused.error().message, Catch::Contains(good.key_file));
  }
  SECTION("the key of another certificate") {
    good.key_file = ca.issue("other").key_file;
    const auto refused = check_credentials(good);
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Contains("does not belong"));
  }
  SECTION("a certificate of another CA") {
    const auto foreign = stranger.issue("server");
    good.certificate_file = foreign.certificate_file;
    good.key_file = foreign.key_file;
    const auto refused = check_credentials(good);
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Contains("does not pass under the CA"));
  }
  SECTION("a certificate that has expired") {
    const auto old = ca.issue("old", 0);
    const auto refused = check_credentials(old);
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Contains("expired"));
  }
  SECTION("a certificate that is of the future, and so the clock is asked for") {
    const auto refused = check_credentials(ca.issue("server", 24, {}, 1));
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message,
               Catch::Contains("not yet valid") && Catch::Contains("timedatectl"));
  }
  SECTION("a file that is no certificate") {
    good.certificate_file = good.key_file;
    CHECK_FALSE(check_credentials(good));
  }
}

TEST_CASE("gateway address: reads host and port, also of IPv6, and nothing else",
          "[runtime][gateway]") {
  const auto v4 = parse_gateway_address("127.0.0.1:8443");
  REQUIRE(v4);
  CHECK(v4->host == "127.0.0.1");
  CHECK(v4->port == 8443);
  const auto v6 = parse_gateway_address("[::1]:1");
  REQUIRE(v6);
  CHECK(v6->host == "::1");
  CHECK(to_string(*v6) == "[::1]:1");
  for (const char* bad : {"", ":", "host", "host:", ":80", "host:0", "host:65536", "host:8x",
                          "::1:80", "[]:80", "[::1:80", "host:-1"})
    CHECK_FALSE(parse_gateway_address(bad));
}
