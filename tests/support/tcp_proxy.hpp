#pragma once

#include <poll.h>

#include <array>
#include <atomic>
#include <thread>

#include "tests/support/ssh_server.hpp"

namespace ved::tests {

/// Passes one connection at a time on to a port of this machine, with small buffers, so that it
/// can stand for a network that stops in mid-stream.
class tcp_proxy {
 public:
  explicit tcp_proxy(int to) : to_(to), thread_([this] { work(); }) {
    const int small = 4'096;
    ::setsockopt(listener_.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  }
  ~tcp_proxy() {
    stop_ = true;
    thread_.join();
  }

  int port() const { return listener_.port(); }
  /// Reads no more of the client once it has passed on so many of its bytes; until resume().
  void freeze_after(std::size_t bytes) { limit_ = passed_ + bytes; }
  bool frozen() const { return passed_ >= limit_; }
  void resume() { limit_ = SIZE_MAX; }

 private:
  void work() {
    while (!stop_) {
      pollfd waiting{listener_.fd(), POLLIN, 0};
      if (::poll(&waiting, 1, 5) != 1) continue;
      const int client = ::accept(listener_.fd(), nullptr, nullptr);
      const int server = ::socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<std::uint16_t>(to_));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      if (::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
        while (!stop_ && pass(client, server)) {
        }
      ::close(client);
      ::close(server);
    }
  }

  /// One look at both directions; false when either side has ended.
  bool pass(int client, int server) {
    std::array<pollfd, 2> ends{{{frozen() ? -1 : client, POLLIN, 0}, {server, POLLIN, 0}}};
    ::poll(ends.data(), ends.size(), 5);
    std::array<char, 4'096> bytes;
    for (const auto& end : ends) {
      if (end.revents == 0) continue;
      const auto n = ::recv(end.fd, bytes.data(), bytes.size(), 0);
      if (n <= 0) return false;
      const int other = end.fd == client ? server : client;
      if (::send(other, bytes.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) return false;
      if (end.fd == client) passed_ += static_cast<std::size_t>(n);
    }
    return true;
  }

  listener listener_;
  int to_;
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> passed_{0};
  std::atomic<std::size_t> limit_{SIZE_MAX};
  std::thread thread_;
};

}  // namespace ved::tests
