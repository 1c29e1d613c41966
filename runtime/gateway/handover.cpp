#include "runtime/gateway/handover.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <caf/io/basp_broker.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/network/acceptor_impl.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/scribe_impl.hpp>
#include <caf/make_counted.hpp>
#include <caf/send.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <utility>

namespace ved::runtime {

/// Sockets on their way to CAF's thread, and the end of a pair that wakes it.
struct handover::queue {
  ~queue() {
    if (wake >= 0) ::close(wake);
    for (const int socket : sockets) ::close(socket);
  }
  std::mutex guard;
  std::deque<int> sockets;
  int wake = -1;
};

namespace {

namespace network = caf::io::network;

// What CAF calls where it would accept: one byte of the pair stands for one socket.
class next_of_queue {
 public:
  explicit next_of_queue(std::shared_ptr<handover::queue> from) : from_(std::move(from)) {}

  bool try_accept(network::native_socket& out, network::native_socket pair) {
    char byte = 0;
    if (::recv(pair, &byte, 1, MSG_DONTWAIT) != 1) return false;
    const std::lock_guard lock{from_->guard};
    if (from_->sockets.empty()) return false;
    out = from_->sockets.front();
    from_->sockets.pop_front();
    return true;
  }

 private:
  std::shared_ptr<handover::queue> from_;
};

class inner_door final : public caf::io::doorman {
 public:
  inner_door(network::default_multiplexer& backend, network::native_socket pair,
             std::shared_ptr<handover::queue> from, std::uint16_t port)
      : doorman(network::accept_hdl_from_socket(pair)),
        source_(backend, pair, std::move(from)),
        port_(port) {}

  bool new_connection() override {
    const auto socket = source_.accepted_socket();
    if (detached()) {
      ::close(socket);
      return false;
    }
    auto& backend = source_.backend();
    auto connection = caf::make_counted<network::scribe_impl>(backend, socket);
    const auto handle = connection->hdl();
    parent()->add_scribe(std::move(connection));
    return doorman::new_connection(&backend, handle);
  }
  void graceful_shutdown() override {
    source_.graceful_shutdown();
    detach(&source_.backend(), false);
  }
  void launch() override { source_.start(this); }
  std::string addr() const override { return {}; }
  std::uint16_t port() const override { return port_; }
  void add_to_loop() override { source_.activate(this); }
  void remove_from_loop() override { source_.passivate(); }

 private:
  network::acceptor_impl<next_of_queue> source_;
  const std::uint16_t port_;
};

}  // namespace

handover::handover() = default;
handover::~handover() = default;

result<void> handover::publish(caf::actor_system& system, caf::strong_actor_ptr whom,
                               std::set<std::string> interface) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
    return fail(errc::unavailable,
                std::string("gateway: no descriptors for CAF: ") + std::strerror(errno));
  auto fresh = std::make_shared<queue>();
  fresh->wake = pair[1];
  auto& middleman = system.middleman();
  auto& backend = static_cast<network::default_multiplexer&>(middleman.backend());
  // CAF names published actors by port; these are no ports of any network. A new one each time:
  // what CAF does late about the port of the actor before must not meet this one.
  const auto before_port = port_;
  if (++port_ == 0) ++port_;
  caf::io::doorman_ptr door = caf::make_counted<inner_door>(backend, pair[0], fresh, port_);
  const auto broker = middleman.named_broker<caf::io::basp_broker>(caf::atom("BASP"));
  std::shared_ptr<queue> before;
  {
    const std::lock_guard lock{guard_};
    before = std::exchange(queue_, fresh);
  }
  if (before) caf::anon_send(broker, caf::close_atom::value, before_port);
  caf::anon_send(broker, caf::publish_atom::value, std::move(door), port_, std::move(whom),
                 std::move(interface));
  return {};
}

bool handover::give(int socket) {
  std::shared_ptr<queue> to;
  {
    const std::lock_guard lock{guard_};
    to = queue_;
  }
  if (to) {
    const std::lock_guard lock{to->guard};
    to->sockets.push_back(socket);
    if (::send(to->wake, "+", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) return true;
    to->sockets.pop_back();
  }
  ::close(socket);
  return false;
}

}  // namespace ved::runtime
