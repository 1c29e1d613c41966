#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "messages/error.hpp"
#include "messages/time.hpp"

namespace ved::runtime {

/// PEM files of one side of the gateway's mutual TLS. Both sides trust one private CA alone, whose
/// certificates have one role each; host names are not compared: that CA must sign nothing else.
struct gateway_credentials {
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
};

/// Where a gateway listens, or is reached.
struct gateway_address {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
};

/// "127.0.0.1:8443", "[::1]:8443".
std::string to_string(const gateway_address& address);
/// Reads that form back; errc::invalid says what was expected.
result<gateway_address> parse_gateway_address(std::string_view text);

/// When a set has to be valid. A daemon starts with one that is not valid now, as it runs on with
/// one that has ended: TLS looks at the time itself, for every connection.
enum class validity { now, any_time };

/// Refuses what would make TLS fail later with a less clear message, or would silently turn it
/// anonymous: missing or unreadable files, a key that does not fit, a certificate that the CA did
/// not sign or that is outside its time. Errors: not_found, denied, invalid.
result<void> check_credentials(const gateway_credentials& credentials,
                               validity when = validity::now);

/// Connects once by hand to learn why a connection failed: refused, no route, time-out, not TLS,
/// certificate refused by us or by the other side. Blocks for at most `timeout`. The error is
/// what the operator should read; no error: this connection worked.
result<void> diagnose_connection(const gateway_address& address,
                                 const gateway_credentials& credentials, milliseconds timeout);

}  // namespace ved::runtime
