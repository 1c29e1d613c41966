#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "messages/api.pb.h"
#include "runtime/http/exchange.hpp"
#include "runtime/http/routes.hpp"

/// From an HTTP request to what answers it; pure, so that it can be tested and fuzzed alone.
namespace ved::runtime::http {

struct router_options {
  std::string metrics_path = "/metrics";  ///< on the metrics listener
};

/// An operation for the API port.
struct api_call {
  const route* matched = nullptr;
  std::string id;     ///< of the path, or the job_id of a submitted spec
  bool live = false;  ///< the client wants the events as a live stream
  pb::ApiRequest request;
};

/// Something that the server answers itself.
struct local_call {
  const route* matched = nullptr;
};

using routed = std::variant<http_reply, api_call, local_call>;

/// By the request's head alone. Anything wrong with it comes back as its error reply, with all
/// reasons.
routed route_request(const http_request& request, const router_options& options);

/// Takes the body into the call that the head made; the error reply when it is not what the route
/// takes.
std::optional<http_reply> read_body(std::string_view body, api_call& call);

}  // namespace ved::runtime::http
