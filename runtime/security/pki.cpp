#include "runtime/security/pki.hpp"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

namespace ved::runtime {
namespace {

template <auto Free>
struct freer {
  template <class T>
  void operator()(T* p) const noexcept {
    Free(p);
  }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freer<&EVP_PKEY_free>>;
using x509_ptr = std::unique_ptr<X509, freer<&X509_free>>;
using bio_ptr = std::unique_ptr<BIO, freer<&BIO_vfree>>;
using extension_ptr = std::unique_ptr<X509_EXTENSION, freer<&X509_EXTENSION_free>>;
using number_ptr = std::unique_ptr<BIGNUM, freer<&BN_free>>;
using store_ptr = std::unique_ptr<X509_STORE, freer<&X509_STORE_free>>;
using store_context_ptr = std::unique_ptr<X509_STORE_CTX, freer<&X509_STORE_CTX_free>>;

// Clocks of two machines differ; a certificate is valid a little before it was made.
constexpr std::int64_t backdate_seconds = 3'600;
constexpr std::int64_t day_seconds = 86'400;

tl::unexpected<error> openssl_failure(const std::string& what) {
  char words[256] = "";
  if (const auto code = ERR_peek_last_error(); code != 0) {
    ERR_error_string_n(code, words, sizeof words);
  }
  ERR_clear_error();
  return fail(errc::internal, "certificates: " + what + (*words ? ": " + std::string(words) : ""));
}

int no_passphrase(char*, int, int, void*) { return -1; }

x509_ptr parse_certificate(const std::string& pem) {
  const bio_ptr input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  x509_ptr out(PEM_read_bio_X509(input.get(), nullptr, &no_passphrase, nullptr));
  ERR_clear_error();
  return out;
}

key_ptr parse_key(const secret& pem) {
  const auto text = pem.reveal();
  const bio_ptr input(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  key_ptr out(PEM_read_bio_PrivateKey(input.get(), nullptr, &no_passphrase, nullptr));
  ERR_clear_error();
  return out;
}

// BIO_s_secmem zeroes what it held.
std::string text_of(BIO* memory) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<std::size_t>(size)};
}

bool add_extension(X509* to, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  const extension_ptr extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && X509_add_ext(to, extension.get(), -1) == 1;
}

bool set_random_serial(X509* certificate) {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, full length
  const number_ptr number(BN_bin2bn(bytes.data(), bytes.size(), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate));
}

bool set_times(X509* certificate, time_point now, int days) {
  const auto start = to_us(now) / 1'000'000;
  return ASN1_TIME_set(X509_getm_notBefore(certificate), start - backdate_seconds) &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), start + days * day_seconds);
}

bool set_subject(X509* certificate, const std::string& common_name) {
  auto* name = X509_get_subject_name(certificate);
  const auto add = [&](const char* field, const std::string& value) {
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
  };
  return add("O", "ved") && add("CN", common_name);
}

// OpenSSL's text form of names has its own syntax; nothing may reach it that could be part of it.
result<std::string> subject_names(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) {
    const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '-' || c == '.' || c == ':' || c == '*';
    });
    if (name.empty() || name.size() > 253 || !plain) {
      return fail(errc::invalid, "certificates: '" + name.substr(0, 64) +
                                     "' is neither a host name nor an IP address");
    }
    unsigned char address[sizeof(in6_addr)];
    const bool is_address = inet_pton(AF_INET, name.c_str(), address) == 1 ||
                            inet_pton(AF_INET6, name.c_str(), address) == 1;
    out += (out.empty() ? "" : ",") + std::string(is_address ? "IP:" : "DNS:") + name;
  }
  return out;
}

result<issued_certificate> to_pem(X509* certificate, EVP_PKEY* key) {
  const bio_ptr public_text(BIO_new(BIO_s_mem()));
  const bio_ptr private_text(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_X509(public_text.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(private_text.get(), key, nullptr, nullptr, 0, nullptr,
                                    nullptr) != 1) {
    return openssl_failure("cannot be written as PEM");
  }
  auto key_text = text_of(private_text.get());
  issued_certificate out{text_of(public_text.get()), secret(key_text)};
  wipe(key_text);
  return out;
}

// A v3 certificate with everything but extensions and signature.
x509_ptr blank(EVP_PKEY* key, const std::string& common_name, time_point now, int days) {
  x509_ptr out(X509_new());
  if (!out || X509_set_version(out.get(), X509_VERSION_3) != 1 || !set_random_serial(out.get()) ||
      !set_times(out.get(), now, days) || !set_subject(out.get(), common_name) ||
      X509_set_pubkey(out.get(), key) != 1) {
    return nullptr;
  }
  return out;
}

}  // namespace

result<issued_certificate> make_authority(const std::string& common_name, time_point now) {
  const key_ptr key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failure("no key can be made");
  const auto certificate = blank(key.get(), common_name, now, ca_days);
  if (!certificate) return openssl_failure("authority '" + common_name + "' cannot be made");
  auto* x = certificate.get();
  if (X509_set_issuer_name(x, X509_get_subject_name(x)) != 1 ||
      !add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(x, x, NID_subject_key_identifier, "hash") ||
      X509_sign(x, key.get(), EVP_sha256()) == 0) {
    return openssl_failure("authority '" + common_name + "' cannot be signed");
  }
  return to_pem(x, key.get());
}

result<issued_certificate> issue_leaf(const issued_certificate& authority,
                                      const leaf_request& request) {
  const auto issuer = parse_certificate(authority.certificate);
  const auto issuer_key = parse_key(authority.key);
  if (!issuer || !issuer_key || X509_check_private_key(issuer.get(), issuer_key.get()) != 1) {
    ERR_clear_error();
    return fail(errc::invalid, "certificates: the authority's certificate and key are not a pair");
  }
  const auto names = subject_names(request.names);
  if (!names) return fail(names.error());
  const key_ptr key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failure("no key can be made");
  const auto certificate = blank(key.get(), request.common_name, request.now, leaf_days);
  if (!certificate) {
    return openssl_failure("certificate '" + request.common_name + "' cannot be made");
  }
  auto* x = certificate.get();
  if (X509_set_issuer_name(x, X509_get_subject_name(issuer.get())) != 1 ||
      !add_extension(x, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(x, issuer.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(x, issuer.get(), NID_ext_key_usage,
                     request.role == leaf_role::server ? "serverAuth" : "clientAuth") ||
      !add_extension(x, issuer.get(), NID_subject_key_identifier, "hash") ||
      !add_extension(x, issuer.get(), NID_authority_key_identifier, "keyid:always") ||
      (!request.names.empty() &&
       !add_extension(x, issuer.get(), NID_subject_alt_name, *names)) ||
      X509_sign(x, issuer_key.get(), EVP_sha256()) == 0) {
    return openssl_failure("certificate '" + request.common_name + "' cannot be signed");
  }
  return to_pem(x, key.get());
}

result<void> verify_certificate(const issued_certificate& subject,
                                const std::string& authority_certificate, time_point now) {
  const auto certificate = parse_certificate(subject.certificate);
  const auto key = parse_key(subject.key);
  const auto authority = parse_certificate(authority_certificate);
  if (!certificate || !key || !authority) {
    return fail(errc::invalid, "certificates: not PEM");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    ERR_clear_error();
    return fail(errc::invalid, "certificates: the key does not belong to the certificate");
  }
  const store_ptr trusted(X509_STORE_new());
  const store_context_ptr context(X509_STORE_CTX_new());
  if (!trusted || !context || X509_STORE_add_cert(trusted.get(), authority.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), trusted.get(), certificate.get(), nullptr) != 1) {
    return openssl_failure("cannot be checked");
  }
  X509_STORE_CTX_set_time(context.get(), 0, to_us(now) / 1'000'000);
  if (X509_verify_cert(context.get()) != 1) {
    ERR_clear_error();
    return fail(errc::invalid, std::string("certificates: ") +
                                   X509_verify_cert_error_string(
                                       X509_STORE_CTX_get_error(context.get())));
  }
  return {};
}

std::string next_certificate(const std::string& certificate_file) {
  return certificate_file + ".next";
}

namespace {

result<time_point> time_of(const std::string& pem, const ASN1_TIME* (*which)(const X509*)) {
  const auto certificate = parse_certificate(pem);
  std::tm broken{};
  if (!certificate || ASN1_TIME_to_tm(which(certificate.get()), &broken) != 1) {
    ERR_clear_error();
    return fail(errc::invalid, "certificates: not PEM");
  }
  return from_us(std::int64_t{::timegm(&broken)} * 1'000'000);
}

}  // namespace

result<time_point> certificate_begin(const std::string& pem) {
  return time_of(pem, X509_get0_notBefore);
}

result<time_point> certificate_expiry(const std::string& pem) {
  return time_of(pem, X509_get0_notAfter);
}

result<std::string> certificate_fingerprint(const std::string& pem) {
  const auto certificate = parse_certificate(pem);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (!certificate || X509_digest(certificate.get(), EVP_sha256(), digest, &size) != 1) {
    ERR_clear_error();
    return fail(errc::invalid, "certificates: not PEM");
  }
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    constexpr char digits[] = "0123456789abcdef";
    out += digits[digest[i] >> 4];
    out += digits[digest[i] & 15];
  }
  return out;
}

}  // namespace ved::runtime
