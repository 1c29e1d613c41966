#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ved::runtime::http {

/// Which socket a request came in by.
enum class listener : std::uint8_t { api, metrics };

/// The head of one request as the router sees it; the views point into the connection's parser.
struct http_request {
  listener via = listener::api;
  std::string_view method;
  std::string_view target;  ///< as sent: still percent-encoded
  std::string_view authorization;
  std::string_view accept;
  std::string_view last_event_id;
  std::string_view request_id;  ///< Idempotency-Key
  std::string source;           ///< "http 127.0.0.1"
};

/// One answer, before it is written.
struct http_reply {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

}  // namespace ved::runtime::http
