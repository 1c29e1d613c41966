#pragma once

#include <memory>
#include <string>

#include "messages/error.hpp"
#include "runtime/api_port.hpp"
#include "runtime/gateway/credentials.hpp"
#include "runtime/gateway/limits.hpp"

namespace ved::runtime {

struct gateway_options {
  gateway_address address;  ///< port 0: any free port
  gateway_credentials credentials;
  /// Names this installation next to the protocol; a client that asks for a name is refused by
  /// every other daemon at the handshake. Empty: none.
  std::string instance;
  std::size_t in_flight_max = gateway_in_flight_max;
  milliseconds reply_timeout = gateway_reply_timeout;
};

/// The daemon's CAF gateway over mutual TLS. It owns an actor system of its own, so that neither
/// its load nor CAF's TLS threads can touch the job actors. The published actor is supervised: when
/// it dies, a new one takes its port.
/// Runs from `start` to destruction; may be used from any thread.
class gateway_server {
 public:
  /// Listens. `api` must outlive the server. Errors: invalid, not_found, denied (certificates;
  /// without them CAF would silently be anonymous), unavailable (address in use or not ours).
  static result<std::unique_ptr<gateway_server>> start(const gateway_options& options,
                                                       api_port& api);
  /// Closes the port first; takes at most a few seconds even when CAF's shutdown hangs.
  ~gateway_server();
  gateway_server(const gateway_server&) = delete;
  gateway_server& operator=(const gateway_server&) = delete;

  /// With the port that was really bound.
  const gateway_address& address() const noexcept;

 private:
  struct impl;
  explicit gateway_server(std::unique_ptr<impl> inner);

  std::unique_ptr<impl> impl_;
};

}  // namespace ved::runtime
