#include "runtime/gateway/tls.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <thread>
#include <utility>

#include "runtime/security/pki.hpp"

namespace ved::runtime {
namespace {

// A renewal replaces two files within milliseconds.
constexpr int reads_max = 20;
constexpr milliseconds read_pause{25};
constexpr std::size_t file_bytes_max = 256 << 10;
constexpr std::size_t name_bytes_max = 64;

constexpr const char* renew_hint = "; `ved init --renew` makes certificates with one role each";

struct x509_deleter {
  void operator()(X509* certificate) const noexcept { ::X509_free(certificate); }
};
struct file_deleter {
  void operator()(FILE* file) const noexcept { std::fclose(file); }
};
using x509_ptr = std::unique_ptr<X509, x509_deleter>;
using file_ptr = std::unique_ptr<FILE, file_deleter>;

// -1, or a file in memory with what `path` holds.
int copy_to_memory(const std::string& path) {
  const file_ptr from{std::fopen(path.c_str(), "re")};
  const int to = from ? ::memfd_create("ved-credentials", MFD_CLOEXEC) : -1;
  if (to < 0) return -1;
  std::array<char, 4096> part;
  std::size_t all = 0;
  while (const auto got = std::fread(part.data(), 1, part.size(), from.get())) {
    all += got;
    if (all > file_bytes_max || ::write(to, part.data(), got) != static_cast<ssize_t>(got)) {
      ::close(to);
      return -1;
    }
  }
  OPENSSL_cleanse(part.data(), part.size());
  return to;
}

// Of the extended key usages, exactly the one of `role`; a certificate without any may do all.
bool has_role(X509* certificate, certificate_role role) {
  const auto uses = X509_get_extended_key_usage(certificate);
  if (uses == UINT32_MAX) return false;
  const bool server = (uses & (XKU_SSL_SERVER | XKU_ANYEKU)) != 0;
  const bool client = (uses & (XKU_SSL_CLIENT | XKU_ANYEKU)) != 0;
  return role == certificate_role::server ? server && !client : client && !server;
}

// OpenSSL asks for the right to be a client; that a server's certificate is none, we ask.
int verify_client(int good, X509_STORE_CTX* context) {
  if (good != 1 || X509_STORE_CTX_get_error_depth(context) != 0) return good;
  if (has_role(X509_STORE_CTX_get_current_cert(context), certificate_role::client)) return 1;
  X509_STORE_CTX_set_error(context, X509_V_ERR_INVALID_PURPOSE);
  return 0;
}

}  // namespace

held_credentials::held_credentials(held_credentials&& other) noexcept {
  *this = std::move(other);
}

held_credentials& held_credentials::operator=(held_credentials&& other) noexcept {
  std::swap(paths_, other.paths_);
  std::swap(files_, other.files_);
  return *this;
}

held_credentials::~held_credentials() {
  for (const int file : files_)
    if (file >= 0) ::close(file);
}

result<held_credentials> held_credentials::take(const gateway_credentials& files,
                                                validity when) {
  auto renewed = files;
  renewed.certificate_file = next_certificate(files.certificate_file);
  result<void> usable;
  for (int attempt = 0; attempt < reads_max; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(read_pause);
    usable = check_credentials(files, when);
    if (!usable && usable.error().code != errc::invalid) break;
    const bool is_cut = !usable && check_credentials(renewed, when);
    if (!usable && !is_cut) continue;
    const auto& set = is_cut ? renewed : files;
    held_credentials held;
    const std::string* from[] = {&set.ca_file, &set.certificate_file, &set.key_file};
    std::string* to[] = {&held.paths_.ca_file, &held.paths_.certificate_file,
                         &held.paths_.key_file};
    bool whole = true;
    for (int i = 0; i < 3; ++i) {
      held.files_[i] = copy_to_memory(*from[i]);
      whole = whole && held.files_[i] >= 0;
      *to[i] = "/proc/self/fd/" + std::to_string(held.files_[i]);
    }
    if (whole && check_credentials(held.paths_, when)) return held;
    usable = fail(errc::unavailable, "gateway: " + files.certificate_file +
                                         " and its key change while they are read, or there "
                                         "are no descriptors left to hold them");
  }
  return fail(usable.error());
}

result<void> check_role(const gateway_credentials& files, certificate_role role) {
  const file_ptr file{std::fopen(files.certificate_file.c_str(), "re")};
  const x509_ptr certificate{file ? PEM_read_X509(file.get(), nullptr, nullptr, nullptr)
                                  : nullptr};
  ERR_clear_error();
  if (certificate && has_role(certificate.get(), role)) return {};
  return fail(errc::invalid, std::string("gateway: the certificate is none of a ") +
                                 (role == certificate_role::server ? "server" : "client") +
                                 " alone" + renew_hint);
}

result<tls_context> make_server_context(const gateway_credentials& files, validity when) {
  if (auto usable = check_credentials(files, when); !usable) return fail(usable.error());
  if (auto fits = check_role(files, certificate_role::server); !fits) return fail(fits.error());
  tls_context out{::SSL_CTX_new(::TLS_server_method())};
  auto* context = out.get();
  if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL") != 1 ||
      SSL_CTX_load_verify_locations(context, files.ca_file.c_str(), nullptr) != 1 ||
      SSL_CTX_use_certificate_chain_file(context, files.certificate_file.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, files.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    const char* words = ERR_reason_error_string(ERR_peek_last_error());
    std::string cause = words ? words : "unknown reason";
    ERR_clear_error();
    return fail(errc::invalid, "gateway: TLS cannot use the certificates: " + cause);
  }
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Every connection proves its certificate anew.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_client);
  return out;
}

result<tls_identity> identify_client(SSL* session) {
  const x509_ptr certificate{SSL_get1_peer_certificate(session)};
  if (!certificate || SSL_get_verify_result(session) != X509_V_OK ||
      !has_role(certificate.get(), certificate_role::client))
    return fail(errc::denied, "no certificate of a client");
  std::array<char, name_bytes_max + 1> name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name.data(),
                            static_cast<int>(name.size()));
  tls_identity out{name.data(), {}};
  for (char& c : out.name)
    if (c < '!' || c > '~') c = '_';
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(certificate.get(), EVP_sha256(), digest, &size) != 1)
    return fail(errc::internal, "no fingerprint of the certificate");
  constexpr char digits[] = "0123456789abcdef";
  for (unsigned i = 0; i < size; ++i) {
    out.fingerprint += digits[digest[i] >> 4];
    out.fingerprint += digits[digest[i] & 15];
  }
  return out;
}

}  // namespace ved::runtime
