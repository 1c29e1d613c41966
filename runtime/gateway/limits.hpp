#pragma once

#include <cstddef>

#include "messages/time.hpp"

namespace ved::runtime {

/// Largest request or reply. BASP has no flow control, so the bound is ours; above an HTTP body
/// (1 MiB) and a chunk of job output (1 MiB), below what would stall other clients.
inline constexpr std::size_t gateway_message_bytes_max = 4 << 20;
/// Requests that one daemon works on at the same time; more are answered `overloaded`.
inline constexpr std::size_t gateway_in_flight_max = 256;
/// A request that the daemon has not answered by then gets an error; its outcome is unknown.
inline constexpr seconds gateway_reply_timeout{30};

}  // namespace ved::runtime
