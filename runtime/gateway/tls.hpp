#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "messages/error.hpp"
#include "runtime/gateway/credentials.hpp"

namespace ved::runtime {

/// Copies of a set of credentials that fitted together when they were read, in memory. CAF reads
/// its files anew for every connection: from these it reads the same ones always, whatever
/// `ved init --renew` does to the originals.
class held_credentials {
 public:
  /// Reads and checks. Between a renewed key and its certificate, also for good where the renewal
  /// was cut there, the certificate is the one of next_certificate. A set that does not fit is
  /// read again for a moment. Errors: as check_credentials.
  static result<held_credentials> take(const gateway_credentials& files,
                                       validity when = validity::now);
  held_credentials(held_credentials&& other) noexcept;
  held_credentials& operator=(held_credentials&& other) noexcept;
  ~held_credentials();

  /// Paths that this process alone can read, while this object lives.
  const gateway_credentials& files() const noexcept { return paths_; }

 private:
  held_credentials() = default;

  gateway_credentials paths_;
  int files_[3] = {-1, -1, -1};
};

/// What one side of a connection may be: certificates of `ved init` are one or the other.
enum class certificate_role { server, client };

/// Refuses a certificate file whose extended key usage (RFC 5280, 4.2.1.12) lets it be something
/// else than `role`, or not that. Error: invalid, with what to do.
result<void> check_role(const gateway_credentials& files, certificate_role role);

struct context_deleter {
  void operator()(SSL_CTX* context) const noexcept { ::SSL_CTX_free(context); }
};
using tls_context = std::unique_ptr<SSL_CTX, context_deleter>;

/// The gateway's side: TLS 1.2 or newer, forward secrecy, no resumption, a certificate of a client
/// of the same CA required. Errors: as check_credentials, and a certificate of another role.
result<tls_context> make_server_context(const gateway_credentials& files,
                                        validity when = validity::now);

/// Who is at the other end of a finished handshake.
struct tls_identity {
  std::string name;         ///< common name; printable, cut
  std::string fingerprint;  ///< SHA-256 of the certificate, lower-case hex
};
/// Error: denied, when there is no certificate of a client.
result<tls_identity> identify_client(SSL* session);

}  // namespace ved::runtime
