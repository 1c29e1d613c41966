#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

#include "runtime/gateway/credentials.hpp"

// CAF reports every failed connection as `cannot_connect_to_node`. This file asks the same
// question again by hand, where errno and TLS alerts are visible. Only failures pay for it.

namespace ved::runtime {
namespace {

using clock = std::chrono::steady_clock;

class unique_fd {
 public:
  explicit unique_fd(int fd) : fd_(fd) {}
  unique_fd(const unique_fd&) = delete;
  unique_fd& operator=(const unique_fd&) = delete;
  ~unique_fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

struct addresses_deleter {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
struct context_deleter {
  void operator()(SSL_CTX* context) const noexcept { ::SSL_CTX_free(context); }
};
struct session_deleter {
  void operator()(SSL* session) const noexcept { ::SSL_free(session); }
};

bool wait_for(int fd, short what, clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(until - clock::now()).count();
    if (left <= 0) return false;
    pollfd entry{fd, what, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

// 0, or the errno of the connection attempt.
int connect_within(int fd, const addrinfo& where, clock::time_point until) {
  if (::connect(fd, where.ai_addr, where.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!wait_for(fd, POLLOUT, until)) return ETIMEDOUT;
  int problem = 0;
  socklen_t size = sizeof problem;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) != 0) return errno;
  return problem;
}

std::string tls_problem(SSL* session) {
  const long verdict = SSL_get_verify_result(session);
  if (verdict != X509_V_OK)
    return std::string("its certificate is not trusted here: ") +
           X509_verify_cert_error_string(verdict) +
           "; is this the client directory of that daemon?";
  const auto code = ERR_get_error();
  if (code == 0)
    return "the connection was closed during the TLS handshake; is this ved's gateway?";
  const int reason = ERR_GET_REASON(code);
  if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_UNEXPECTED_MESSAGE)
    return "this is not a TLS port; is another program listening there?";
  // Reasons from 1000 on are alerts that the other side sent (openssl/sslerr.h).
  if (reason >= 1000)
    return std::string("our certificate was refused (") + ERR_reason_error_string(code) +
           "); take the client directory that this daemon's `ved init` made";
  const char* words = ERR_reason_error_string(code);
  return std::string("TLS handshake failed: ") + (words ? words : "unknown reason");
}

}  // namespace

result<void> diagnose_connection(const gateway_address& address,
                                 const gateway_credentials& credentials, milliseconds timeout) {
  const auto until = clock::now() + timeout;
  const auto where = "cannot reach ved at " + to_string(address) + ": ";
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int problem =
          ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
      problem != 0)
    return fail(errc::unavailable, where + ::gai_strerror(problem) + "; check --address");
  const std::unique_ptr<addrinfo, addresses_deleter> owner{found};

  int problem = EADDRNOTAVAIL;
  for (const addrinfo* next = found; next != nullptr; next = next->ai_next) {
    const unique_fd fd{::socket(next->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (fd.get() < 0) {
      problem = errno;
      continue;
    }
    problem = connect_within(fd.get(), *next, until);
    if (problem != 0) continue;

    ERR_clear_error();
    const std::unique_ptr<SSL_CTX, context_deleter> context{::SSL_CTX_new(TLS_client_method())};
    if (!context ||
        SSL_CTX_load_verify_locations(context.get(), credentials.ca_file.c_str(), nullptr) != 1 ||
        SSL_CTX_use_certificate_chain_file(context.get(), credentials.certificate_file.c_str()) !=
            1 ||
        SSL_CTX_use_PrivateKey_file(context.get(), credentials.key_file.c_str(),
                                    SSL_FILETYPE_PEM) != 1) {
      ERR_clear_error();
      return check_credentials(credentials);
    }
    // Like CAF's sessions: under TLS 1.2 a refused client certificate fails the handshake itself.
    SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    const std::unique_ptr<SSL, session_deleter> session{::SSL_new(context.get())};
    if (!session || SSL_set_fd(session.get(), fd.get()) != 1)
      return fail(errc::internal, where + "OpenSSL cannot start a session");
    for (;;) {
      const int done = SSL_connect(session.get());
      if (done == 1) return {};
      const int want = SSL_get_error(session.get(), done);
      if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE) {
        auto words = tls_problem(session.get());
        ERR_clear_error();
        return fail(errc::unavailable, where + words);
      }
      if (!wait_for(fd.get(), want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until))
        return fail(errc::unavailable, where + "no answer to the TLS handshake within " +
                                           std::to_string(timeout.count()) +
                                           " ms; the daemon hangs or this is another program");
    }
  }
  std::string advice;
  if (problem == ECONNREFUSED) advice = "; is it running? (systemctl status ved)";
  if (problem == ETIMEDOUT) advice = "; check --address and firewalls";
  std::string cause = std::strerror(problem);
  cause[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(cause[0])));
  return fail(errc::unavailable, where + cause + advice);
}

}  // namespace ved::runtime
