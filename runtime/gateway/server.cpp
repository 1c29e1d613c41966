#include "runtime/gateway/server.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <caf/actor_cast.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/openssl/manager.hpp>
#include <caf/openssl/publish.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <cerrno>
#include <cstring>

#include "runtime/gateway/front.hpp"
#include "runtime/gateway/system.hpp"

namespace ved::runtime {
namespace {

// CAF says only that it could not open the port; the same call by hand says why.
std::string why_not_listening(const gateway_address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int problem =
          ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
      problem != 0)
    return ::gai_strerror(problem);
  std::string cause = "CAF refused to listen";
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      ::bind(fd, found->ai_addr, found->ai_addrlen) != 0)
    cause = std::strerror(errno);
  if (fd >= 0) ::close(fd);
  ::freeaddrinfo(found);
  return cause;
}

using respawn_atom = caf::atom_constant<caf::atom("respawn")>;

// Pause before a new front, so that one that dies at once costs little.
constexpr milliseconds respawn_delay{100};
constexpr seconds publish_timeout{5};

struct keeper_state {
  static inline const char* name = "gateway-keeper";
  actors::gateway_actor front;
};

// Supervises the published actor: a peer may kill it, a failing API too. Nobody else must have to
// notice, so the keeper puts a new one on the same port. It is never published itself.
caf::behavior keeper(caf::stateful_actor<keeper_state>* self, actors::gateway_actor front,
                     gateway_address where, api_port* api, front_limits limits) {
  self->state.front = std::move(front);
  self->monitor(self->state.front);
  self->set_down_handler([self](caf::down_msg& down) {
    if (down.source != self->state.front.address()) return;
    self->delayed_send(self, respawn_delay, respawn_atom::value);
  });
  self->set_exit_handler([self](caf::exit_msg& end) {
    self->send_exit(self->state.front, end.reason);
    self->quit(end.reason);
  });
  return {
      [=](respawn_atom) {
        const auto manager = self->system().openssl_manager().actor_handle();
        const auto publish = [=] {
          self->state.front = spawn_gateway_front(self->system(), *api, limits);
          self->monitor(self->state.front);
          self->request(manager, publish_timeout, caf::publish_atom::value, where.port,
                        caf::actor_cast<caf::strong_actor_ptr>(self->state.front),
                        self->system().message_types(self->state.front), where.host, true)
              .then([](std::uint16_t) {},
                    // Ends the new front too, which asks for the next try.
                    [=](const caf::error&) {
                      self->send_exit(self->state.front, caf::exit_reason::user_shutdown);
                    });
        };
        // The port still leads to the dead actor.
        self->request(manager, publish_timeout, caf::close_atom::value, where.port)
            .then(publish, [=](const caf::error&) { publish(); });
      },
  };
}

}  // namespace

struct gateway_server::impl {
  gateway_address address;
  std::unique_ptr<gateway_system> caf;
  caf::actor keeper;
};

gateway_server::gateway_server(std::unique_ptr<impl> inner) : impl_(std::move(inner)) {}

result<std::unique_ptr<gateway_server>> gateway_server::start(const gateway_options& options,
                                                              api_port& api) {
  if (auto usable = check_credentials(options.credentials); !usable) return fail(usable.error());
  if (options.address.host.empty())
    return fail(errc::invalid, "gateway: gateway.address is empty; use 127.0.0.1 or 0.0.0.0");
  auto inner = std::make_unique<impl>();
  inner->address = options.address;
  const caf_visit visit;
  inner->caf = std::make_unique<gateway_system>(options.credentials,
                                                server_identifiers(options.instance), seconds{3});
  front_limits limits;
  limits.in_flight_max = options.in_flight_max;
  limits.reply_timeout = options.reply_timeout;
  auto front = spawn_gateway_front(inner->caf->get(), api, limits);
  const auto port =
      caf::openssl::publish(front, options.address.port, options.address.host.c_str(), true);
  if (!port) {
    caf::anon_send_exit(front, caf::exit_reason::user_shutdown);
    return fail(errc::unavailable,
                "gateway: cannot listen on " + to_string(options.address) + ": " +
                    why_not_listening(options.address) +
                    "; change gateway.address or gateway.port, or stop the program that has it");
  }
  inner->address.port = *port;
  inner->keeper = inner->caf->get().spawn(keeper, std::move(front), inner->address, &api, limits);
  return std::unique_ptr<gateway_server>{new gateway_server(std::move(inner))};
}

gateway_server::~gateway_server() {
  {
    const caf_visit visit;
    // By hand: caf::openssl::unpublish of 0.17.6 does not compile. Late is as good as done.
    caf::scoped_actor self{impl_->caf->get()};
    self->request(impl_->caf->get().openssl_manager().actor_handle(), seconds{1},
                  caf::close_atom::value, impl_->address.port)
        .receive([] {}, [](const caf::error&) {});
  }
  caf::anon_send_exit(impl_->keeper, caf::exit_reason::user_shutdown);
}

const gateway_address& gateway_server::address() const noexcept {
  return impl_->address;
}

}  // namespace ved::runtime
