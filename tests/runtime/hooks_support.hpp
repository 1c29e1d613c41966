#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/runtime/followers_support.hpp"

/// A small HTTP receiver on 127.0.0.1 that remembers what it was told.
namespace ved::tests {

struct http_request {
  std::string line;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
};

class receiver {
 public:
  /// The raw answer to a request; empty: none at all, the connection stays open.
  using answer = std::function<std::string(const http_request&)>;

  explicit receiver(answer how) : answer_(std::move(how)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_, any, size) != 0 || ::listen(socket_, 16) != 0 ||
        ::getsockname(socket_, any, &size) != 0)
      throw std::runtime_error("cannot listen");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~receiver() {
    stopping_ = true;
    thread_.join();
    ::close(socket_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/hook?x=1"; }
  watched<std::vector<http_request>> requests;

  static std::string status(int code, const std::string& body = "", const std::string& more = "") {
    return "HTTP/1.1 " + std::to_string(code) +
           " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n" +
           more + "\r\n" + body;
  }

 private:
  static bool readable(int fd, const std::atomic<bool>& stopping) {
    while (!stopping) {
      pollfd p{fd, POLLIN, 0};
      if (::poll(&p, 1, 20) > 0) return true;
    }
    return false;
  }

  void serve() {
    std::vector<int> open;
    while (readable(socket_, stopping_)) {
      const int client = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      const auto request = read_request(client);
      const auto text = answer_(request);
      requests.change([&](auto& all) { all.push_back(request); });
      if (text.empty()) {
        open.push_back(client);
        continue;
      }
      for (std::size_t done = 0; done < text.size();) {
        const auto n = ::send(client, text.data() + done, text.size() - done, MSG_NOSIGNAL);
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
      }
      ::close(client);
    }
    for (const int fd : open) ::close(fd);
  }

  http_request read_request(int client) const {
    std::string all;
    http_request out;
    std::size_t end = std::string::npos;
    std::size_t length = 0;
    std::array<char, 4096> buffer;
    while (end == std::string::npos || all.size() < end + 4 + length) {
      if (!readable(client, stopping_)) return out;
      const auto n = ::read(client, buffer.data(), buffer.size());
      if (n <= 0) return out;
      all.append(buffer.data(), static_cast<std::size_t>(n));
      if (end == std::string::npos && (end = all.find("\r\n\r\n")) != std::string::npos) {
        parse_head(all.substr(0, end), out);
        if (out.headers.contains("content-length"))
          length = std::stoul(out.headers["content-length"]);
      }
    }
    out.body = all.substr(end + 4);
    return out;
  }

  static void parse_head(const std::string& head, http_request& out) {
    std::size_t at = head.find("\r\n");
    out.line = head.substr(0, at);
    while (at != std::string::npos) {
      const auto next = head.find("\r\n", at + 2);
      const auto line = head.substr(at + 2, next == std::string::npos ? next : next - at - 2);
      const auto colon = line.find(": ");
      auto name = line.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      out.headers[name] = line.substr(colon + 2);
      at = next;
    }
  }

  answer answer_;
  int socket_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace ved::tests
