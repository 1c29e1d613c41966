#pragma once

#include <functional>
#include <memory>
#include <string>

#include "messages/error.hpp"
#include "runtime/api_port.hpp"
#include "runtime/gateway/credentials.hpp"
#include "runtime/gateway/limits.hpp"
#include "runtime/security/refusal_tally.hpp"

namespace ved::runtime {

struct gateway_options {
  gateway_address address;  ///< port 0: any free port
  gateway_credentials credentials;
  /// Names this installation next to the protocol; a client that asks for a name is refused by
  /// every other daemon at the handshake. Empty: none.
  std::string instance;
  std::size_t in_flight_max = gateway_in_flight_max;
  milliseconds reply_timeout = gateway_reply_timeout;
  entrance_limits limits;  ///< lowered to what the process's descriptors allow
  /// Hears of every connection that was turned away or ended for its client's fault. Any thread.
  std::function<void(refusal what)> refused;
};

/// The daemon's gateway over mutual TLS: an `entrance`, whose limits and checks are ours, in front
/// of a CAF actor. CAF sees no byte of an unknown client and no frame that a client does not need.
/// It owns an actor system of its own, so that its load cannot touch the job actors. The published
/// actor is supervised: when it dies, a new one takes its place.
/// Runs from `start` to destruction; may be used from any thread.
class gateway_server {
 public:
  /// Listens. `api` must outlive the server. Where the certificate is not valid now no client gets
  /// through: not before it is, by the clock, or `reload` finds one that is. Errors: invalid,
  /// not_found, denied (certificates; one of another role), unavailable (address in use or not
  /// ours).
  static result<std::unique_ptr<gateway_server>> start(const gateway_options& options,
                                                       api_port& api);
  /// Closes the port first; takes at most a few seconds even when CAF's shutdown hangs.
  ~gateway_server();
  gateway_server(const gateway_server&) = delete;
  gateway_server& operator=(const gateway_server&) = delete;

  /// Reads the certificates again: connections from now on use the new ones, if they are whole, fit
  /// together and are valid now; else the old ones stay. Errors as of `start`.
  result<void> reload();

  /// With the port that was really bound.
  const gateway_address& address() const noexcept;

 private:
  struct impl;
  explicit gateway_server(std::unique_ptr<impl> inner);

  std::unique_ptr<impl> impl_;
};

}  // namespace ved::runtime
