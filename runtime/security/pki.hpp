#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "messages/error.hpp"
#include "messages/secret.hpp"
#include "messages/time.hpp"

/// A private certificate authority for the gateway: EC P-256, SHA-256, X.509 v3 (RFC 5280).
namespace ved::runtime {

constexpr int ca_days = 3'652;
constexpr int leaf_days = 730;

/// A certificate and its key, both PEM.
struct issued_certificate {
  std::string certificate;
  secret key;
};

/// A new authority; it signs leaves only (path length 0).
result<issued_certificate> make_authority(const std::string& common_name, time_point now);

/// Which side of mutual TLS a leaf may be: the extended key usage of RFC 5280, 4.2.1.12. One each:
/// what a client holds cannot play the daemon, and the daemon's cannot log in.
enum class leaf_role { server, client };

struct leaf_request {
  std::string common_name;
  std::vector<std::string> names;  ///< DNS names and IP addresses
  time_point now;
  leaf_role role;
};

/// A leaf for one side of mutual TLS.
/// Error: invalid, when certificate and key of the authority are not PEM or not a pair.
result<issued_certificate> issue_leaf(const issued_certificate& authority,
                                      const leaf_request& request);

/// Whether the PEM certificate belongs to the key, is signed by the authority (itself for an
/// authority) and is within its time. Error: invalid, with the reason.
result<void> verify_certificate(const issued_certificate& subject,
                                const std::string& authority_certificate, time_point now);

/// Where a renewal puts a certificate before the key that it fits is in its place.
std::string next_certificate(const std::string& certificate_file);

/// When a PEM certificate begins to be valid. Error: invalid.
result<time_point> certificate_begin(const std::string& certificate);

/// When a PEM certificate ends. Error: invalid.
result<time_point> certificate_expiry(const std::string& certificate);

/// SHA-256 of the DER form, lower-case hex. Error: invalid.
result<std::string> certificate_fingerprint(const std::string& certificate);

}  // namespace ved::runtime
