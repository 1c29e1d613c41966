#include "adapters/ssh/socket.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace ved::adapters::ssh {
namespace {

constexpr std::size_t addresses_max = 8;
/// getaddrinfo cannot be interrupted: a name service that hangs keeps its threads.
constexpr int resolvers_max = 16;

struct address {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

struct lookup {
  std::vector<address> found;
  std::string problem;
};

lookup resolve_now(const std::string& host, int port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* list = nullptr;
  lookup out;
  if (const int rc = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
      rc != 0) {
    out.problem = rc == EAI_SYSTEM ? errno_text(errno) : ::gai_strerror(rc);
    return out;
  }
  for (const auto* one = list; one != nullptr && out.found.size() < addresses_max;
       one = one->ai_next) {
    address a;
    if (one->ai_addrlen > sizeof a.bytes) continue;
    std::memcpy(&a.bytes, one->ai_addr, one->ai_addrlen);
    a.size = one->ai_addrlen;
    out.found.push_back(a);
  }
  ::freeaddrinfo(list);
  return out;
}

/// What a resolver thread and the one that waits for it share; the last one frees it.
struct resolver {
  std::mutex mutex;
  lookup answer;
  unique_fd done{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

std::atomic<int> resolvers_running{0};

result<std::vector<address>> resolve(const std::string& host, int port, waiter& patience,
                                     steady::time_point until) {
  if (auto numeric = resolve_now(host, port, AI_NUMERICHOST); !numeric.found.empty())
    return std::move(numeric.found);
  const auto failed = [&](const std::string& why) {
    return fail(errc::unavailable, "cannot resolve " + host + ": " + why);
  };
  if (resolvers_running.fetch_add(1) >= resolvers_max) {
    --resolvers_running;
    return failed("the name service hangs");
  }
  auto shared = std::make_shared<resolver>();
  try {
    std::thread([shared, host, port] {
      sigset_t all;
      ::sigfillset(&all);
      ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
      auto answer = resolve_now(host, port, AI_ADDRCONFIG);
      {
        const std::lock_guard lock(shared->mutex);
        shared->answer = std::move(answer);
      }
      ::eventfd_write(shared->done.get(), 1);
      --resolvers_running;
    }).detach();
  } catch (const std::system_error& problem) {
    --resolvers_running;
    return failed(problem.what());
  }
  if (!patience.wait(shared->done.get(), POLLIN, until)) return failed("no answer in time");
  const std::lock_guard lock(shared->mutex);
  if (shared->answer.found.empty()) return failed(shared->answer.problem);
  return std::move(shared->answer.found);
}

void configure(int fd, milliseconds stall_max) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  const auto stall = static_cast<unsigned>(stall_max.count());
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall, sizeof stall);
}

/// An errno, ETIMEDOUT when the waiter gave up.
int connect_one(int fd, const address& to, waiter& patience, steady::time_point until) {
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to.bytes), to.size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!patience.wait(fd, POLLOUT, until)) return ETIMEDOUT;
  int problem = 0;
  socklen_t size = sizeof problem;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size);
  return problem;
}

}  // namespace

result<unique_fd> connect_to(const std::string& host, int port, milliseconds stall_max,
                             waiter& patience, steady::time_point until) {
  const auto addresses = resolve(host, port, patience, until);
  if (!addresses) return fail(addresses.error());
  int problem = 0;
  for (std::size_t i = 0; i < addresses->size(); ++i) {
    const auto& one = (*addresses)[i];
    unique_fd fd{::socket(one.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd) {
      problem = errno;
      continue;
    }
    configure(fd.get(), stall_max);
    // An address that swallows everything must leave time for the next one.
    const auto share = (until - steady::now()) / static_cast<long>(addresses->size() - i);
    problem = connect_one(fd.get(), one, patience, steady::now() + share);
    if (problem == 0) return fd;
  }
  return fail(errc::unavailable, "cannot connect to " + host + " port " + std::to_string(port) +
                                     ": " + errno_text(problem));
}

void abort_socket(unique_fd& fd) {
  if (!fd) return;
  const linger at_once{1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  fd.reset();
}

}  // namespace ved::adapters::ssh
