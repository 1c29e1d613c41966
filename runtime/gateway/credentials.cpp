#include "runtime/gateway/credentials.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <charconv>
#include <memory>

#include "messages/secret.hpp"

namespace ved::runtime {
namespace {

template <auto Free>
struct freer {
  template <class T>
  void operator()(T* p) const noexcept {
    Free(p);
  }
};
using bio_ptr = std::unique_ptr<BIO, freer<&BIO_free_all>>;
using x509_ptr = std::unique_ptr<X509, freer<&X509_free>>;
using key_ptr = std::unique_ptr<EVP_PKEY, freer<&EVP_PKEY_free>>;
using store_ptr = std::unique_ptr<X509_STORE, freer<&X509_STORE_free>>;
using store_ctx_ptr = std::unique_ptr<X509_STORE_CTX, freer<&X509_STORE_CTX_free>>;

constexpr const char* remake_hint = "; `ved init` makes a new set";

/// Larger files are none of certificates.
constexpr std::size_t pem_bytes_max = 256 * 1024;

result<std::string> read_pem(const char* what, const std::string& path) {
  if (path.empty())
    return fail(errc::invalid, std::string("gateway: no ") + what +
                                   " is set; without it TLS would be anonymous" + remake_hint);
  auto text = read_public_file(path, pem_bytes_max);
  if (!text)
    return fail(text.error().code, std::string("gateway: the ") + what + ": " +
                                       text.error().message +
                                       (text.error().code == errc::not_found ? remake_hint : ""));
  return text;
}

bio_ptr over(const std::string& text) {
  return bio_ptr{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

result<x509_ptr> read_certificate(const char* what, const std::string& path) {
  const auto text = read_pem(what, path);
  if (!text) return fail(text.error());
  x509_ptr certificate{PEM_read_bio_X509(over(*text).get(), nullptr, nullptr, nullptr)};
  ERR_clear_error();
  if (!certificate)
    return fail(errc::invalid, std::string("gateway: ") + path + " is not a PEM certificate");
  return certificate;
}

// A key with a passphrase must not stop the daemon at a terminal prompt.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

}  // namespace

std::string to_string(const gateway_address& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

result<gateway_address> parse_gateway_address(std::string_view text) {
  const auto bad = [&] {
    return fail(errc::invalid, "gateway address '" + std::string(text) +
                                   "' is not HOST:PORT, for example 127.0.0.1:8443 or [::1]:8443");
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return bad();
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']') return bad();
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad();
  }
  std::uint16_t port = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (problem != std::errc{} || end != digits.data() + digits.size() || port == 0) return bad();
  return gateway_address{std::string(host), port};
}

result<void> check_credentials(const gateway_credentials& credentials, validity when) {
  auto ca = read_certificate("CA certificate", credentials.ca_file);
  if (!ca) return fail(ca.error());
  auto certificate = read_certificate("certificate", credentials.certificate_file);
  if (!certificate) return fail(certificate.error());
  auto key_text = read_pem("private key", credentials.key_file);
  if (!key_text) return fail(key_text.error());
  key_ptr key{PEM_read_bio_PrivateKey(over(*key_text).get(), nullptr, &no_passphrase, nullptr)};
  wipe(*key_text);
  ERR_clear_error();
  if (!key)
    return fail(errc::invalid, "gateway: " + credentials.key_file +
                                   " is not a PEM private key without passphrase");
  if (X509_check_private_key(certificate->get(), key.get()) != 1) {
    ERR_clear_error();
    return fail(errc::invalid, "gateway: the private key " + credentials.key_file +
                                   " does not belong to the certificate " +
                                   credentials.certificate_file +
                                   "; a renewal was cut off: run `ved init --renew` again");
  }
  store_ptr trusted{X509_STORE_new()};
  store_ctx_ptr context{X509_STORE_CTX_new()};
  if (!trusted || !context || X509_STORE_add_cert(trusted.get(), ca->get()) != 1 ||
      X509_STORE_CTX_init(context.get(), trusted.get(), certificate->get(), nullptr) != 1)
    return fail(errc::internal, "gateway: OpenSSL cannot check " + credentials.certificate_file);
  if (when == validity::any_time)
    X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_NO_CHECK_TIME);
  if (X509_verify_cert(context.get()) != 1) {
    const int cause = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    return fail(errc::invalid, "gateway: the certificate " + credentials.certificate_file +
                                   " does not pass under the CA " + credentials.ca_file + ": " +
                                   X509_verify_cert_error_string(cause) +
                                   (cause == X509_V_ERR_CERT_NOT_YET_VALID
                                        ? "; is the system clock right? See `timedatectl`"
                                        : "; `ved init --renew` issues it anew"));
  }
  return {};
}

}  // namespace ved::runtime
