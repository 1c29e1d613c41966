#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "messages/api.pb.h"
#include "runtime/http/exchange.hpp"
#include "runtime/http/router.hpp"

namespace ved::runtime::http {

/// The one form of errors: {"error": code, "message": text, "details": [...]}, with the headers
/// that the status calls for (Retry-After, WWW-Authenticate).
http_reply error_reply(unsigned status, std::string_view code, std::string message,
                       std::vector<pb::Problem> details = {});

/// The status for an error of the API port. `denied` is 403 when its details name "scope" (a good
/// token that lacks a right), else 401.
unsigned status_of(const pb::Error& error, const route& matched);

/// The answer of the API port as an answer of the route; `id` is the job or cluster asked about.
http_reply render(const route& matched, const std::string& id, const pb::ApiReply& reply);

/// Everything about a connection that shapes the head of an answer.
struct head_options {
  bool http_1_0 = false;
  bool keep_alive = true;
  bool chunked = false;  ///< no Content-Length: a stream
};

/// Status line and headers, up to and with the empty line.
std::string render_head(const http_reply& reply, const head_options& options);

}  // namespace ved::runtime::http
