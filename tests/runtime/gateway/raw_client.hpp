#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "runtime/gateway/credentials.hpp"

/// Clients that keep to no rules, on sockets of 127.0.0.1. Reads wait for at most 10 s.
namespace ved::test {

class raw_socket {
 public:
  explicit raw_socket(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0;
    const timeval limit{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  ~raw_socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  raw_socket(raw_socket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  raw_socket& operator=(raw_socket&&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  /// Whether the other side has ended it, within `wait_ms`.
  bool is_over(int wait_ms) const {
    pollfd entry{fd_, POLLIN, 0};
    if (::poll(&entry, 1, wait_ms) != 1) return false;
    char byte;
    return ::recv(fd_, &byte, 1, MSG_PEEK) <= 0;
  }

 private:
  int fd_;
  bool connected_ = false;
};

/// TLS with a client's files, or without any.
class raw_client {
 public:
  explicit raw_client(std::uint16_t port, const runtime::gateway_credentials& files = {})
      : socket_(port), context_(SSL_CTX_new(TLS_client_method())) {
    if (!files.certificate_file.empty()) {
      SSL_CTX_use_certificate_chain_file(context_.get(), files.certificate_file.c_str());
      SSL_CTX_use_PrivateKey_file(context_.get(), files.key_file.c_str(), SSL_FILETYPE_PEM);
    }
    session_.reset(SSL_new(context_.get()));
    SSL_set_fd(session_.get(), socket_.fd());
    connected_ = SSL_connect(session_.get()) == 1;
  }

  bool connected() const { return connected_; }
  bool send(const std::string& bytes) {
    return SSL_write(session_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
  }
  /// Exactly so many bytes, or less when the connection ends.
  std::string receive(std::size_t bytes) {
    std::string out(bytes, '\0');
    std::size_t got = 0;
    while (got < bytes) {
      const int part = SSL_read(session_.get(), out.data() + got, static_cast<int>(bytes - got));
      if (part <= 0) break;
      got += static_cast<std::size_t>(part);
    }
    out.resize(got);
    return out;
  }
  /// Header and payload of the next frame; empty: the connection is over.
  std::string frame() {
    auto out = receive(32);
    if (out.size() < 32) return {};
    std::size_t payload = 0;
    for (int i = 4; i < 8; ++i) payload = payload << 8 | static_cast<unsigned char>(out[i]);
    return out + receive(payload);
  }
  /// Whether the server ends it; what comes before is skipped.
  bool ends() {
    while (true) {
      char bytes[4096];
      if (const int got = SSL_read(session_.get(), bytes, sizeof bytes); got <= 0) {
        const int why = SSL_get_error(session_.get(), got);
        // A time-out of the socket is no end.
        return !(why == SSL_ERROR_WANT_READ ||
                 (why == SSL_ERROR_SYSCALL && (errno == EAGAIN || errno == EWOULDBLOCK)));
      }
    }
  }
  raw_socket& socket() { return socket_; }

 private:
  struct freer {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* session) const { SSL_free(session); }
  };
  raw_socket socket_;
  std::unique_ptr<SSL_CTX, freer> context_;
  std::unique_ptr<SSL, freer> session_;
  bool connected_ = false;
};

}  // namespace ved::test
