#pragma once

#include <cstddef>

#include "messages/time.hpp"

namespace ved::runtime {

/// Largest request or reply. BASP has no flow control, so the bound is ours; above an HTTP body
/// (1 MiB) and a chunk of job output (1 MiB), below what would stall other clients.
inline constexpr std::size_t gateway_message_bytes_max = 4 << 20;
/// Requests that one daemon works on at the same time; more are answered `overloaded`.
inline constexpr std::size_t gateway_in_flight_max = 256;
/// The same, of one principal, from any connections: three others have as many.
inline constexpr std::size_t gateway_in_flight_per_principal_max = gateway_in_flight_max / 4;
/// Requests of one connection that are not answered yet; further ones wait on the wire.
inline constexpr std::size_t gateway_in_flight_per_connection_max = 16;
/// A request that the daemon has not answered by then gets an error; its outcome is unknown.
inline constexpr seconds gateway_reply_timeout{30};

/// What keeps strangers from taking the gateway's place. A connection is *unfinished* until its
/// client has proved a certificate and said hello; an unfinished one makes room for a new one.
struct entrance_limits {
  std::size_t unfinished_max = 256;
  std::size_t serving_max = 128;
  std::size_t per_address_max = 64;  ///< of both, from one address
  std::size_t per_certificate_max = 64;  ///< that serve, from any addresses
  milliseconds hello_timeout{5'000};  ///< for TLS, and again for the handshake of BASP
  /// A client sends a heartbeat every 2 s (middleman.heartbeat-interval).
  milliseconds idle_timeout{15'000};
  milliseconds frame_timeout{30'000};  ///< for one frame, however it trickles
  milliseconds write_timeout{30'000};  ///< for a client that does not read
  /// Frames of all clients that have come in part; a quarter of it for one certificate.
  std::size_t buffered_bytes_max = 64 << 20;
  /// Answers that clients have not taken yet; a quarter of it for one certificate. Small ones and
  /// those to changes go in any case.
  std::size_t answers_bytes_max = 128 << 20;
  milliseconds accept_pause{100};  ///< after an accept without descriptors or memory
};

/// Takes at most half of `descriptors`: a serving connection needs three.
entrance_limits fit_to_descriptors(entrance_limits limits, std::size_t descriptors);

}  // namespace ved::runtime
