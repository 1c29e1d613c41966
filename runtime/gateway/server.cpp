#include "runtime/gateway/server.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <caf/openssl/manager.hpp>
#include <caf/openssl/publish.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
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

}  // namespace

struct gateway_server::impl {
  gateway_address address;
  std::unique_ptr<gateway_system> caf;
  actors::gateway_actor front;
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
  inner->front = spawn_gateway_front(inner->caf->get(), api, limits);
  const auto port =
      caf::openssl::publish(inner->front, options.address.port, options.address.host.c_str(), true);
  if (!port) {
    auto problem =
        fail(errc::unavailable, "gateway: cannot listen on " + to_string(options.address) + ": " +
                                    why_not_listening(options.address) +
                                    "; change gateway.address or gateway.port, or "
                                    "stop the program that has it");
    caf::anon_send_exit(inner->front, caf::exit_reason::user_shutdown);
    inner->front = nullptr;
    return problem;
  }
  inner->address.port = *port;
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
  caf::anon_send_exit(impl_->front, caf::exit_reason::user_shutdown);
  impl_->front = nullptr;
}

const gateway_address& gateway_server::address() const noexcept {
  return impl_->address;
}

}  // namespace ved::runtime
