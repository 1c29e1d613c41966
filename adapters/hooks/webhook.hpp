#pragma once

#include <stop_token>
#include <string>
#include <string_view>

#include "adapters/hooks/delivery.hpp"
#include "messages/secret.hpp"
#include "messages/time.hpp"

namespace ved::adapters::hooks {

/// A receiver over HTTP.
struct webhook_target {
  std::string url;  ///< http or https
  secret key;       ///< of the signature; empty: unsigned
  milliseconds timeout{10'000};
  std::string user_agent = "ved";
};

/// Posts the body as application/json with the headers
///
///     X-Ved-Delivery: <delivery id>
///     X-Ved-Callback: <callback>
///     X-Ved-Attempt: <1, 2 ...>
///     X-Ved-Signature: sha256=<hex HMAC-SHA256 of the raw body>
///
/// Any 2xx means delivered; redirects are not followed, as the body would reach a party that
/// nobody configured. Blocks, at most the timeout; a request to stop ends it at once. Any thread.
delivery_outcome post_webhook(const webhook_target& target, const delivery& what,
                              const std::stop_token& stop);

/// The value of X-Ved-Signature: "sha256=<64 lower-case hex digits>".
std::string signature_of(const secret& key, std::string_view body);

}  // namespace ved::adapters::hooks
