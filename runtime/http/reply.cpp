#include "runtime/http/reply.hpp"

#include <array>
#include <ctime>

#include "messages/json.hpp"
#include "messages/utf8.hpp"

namespace ved::runtime::http {

namespace {

constexpr std::string_view retry_after_seconds_overloaded = "1";
constexpr std::string_view retry_after_seconds_unavailable = "5";

std::string_view reason_phrase(unsigned status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
  }
}

http_reply json_reply(unsigned status, const google::protobuf::Message& message) {
  http_reply reply;
  reply.status = status;
  reply.body = to_json_text(message);
  reply.body += '\n';
  return reply;
}

http_reply output_reply(const pb::OutputChunk& chunk) {
  http_reply reply;
  reply.content_type = "text/plain";
  reply.body = chunk.data();
  reply.headers.emplace_back("X-Output-Size", std::to_string(chunk.size()));
  reply.headers.emplace_back("X-Output-Offset", std::to_string(chunk.offset()));
  reply.headers.emplace_back("X-Job-Finished", chunk.job_finished() ? "true" : "false");
  return reply;
}

http_reply accepted_reply(const pb::JobAcceptedReply& accepted) {
  auto reply = json_reply(accepted.already_known() ? 200 : 201, accepted.job());
  reply.headers.emplace_back("Location", "/api/v1/hpc/jobs/" + accepted.job().job_id());
  return reply;
}

http_reply status_reply(const pb::Status& status) {
  const bool accepts_jobs = status.status() == "ok" || status.status() == "degraded";
  auto reply = json_reply(accepts_jobs ? 200 : 503, status);
  // Who has no token is shown no more than the word, and the API port told us no more.
  if (status.boot_id().empty()) reply.body = "{\"status\": \"" + status.status() + "\"}\n";
  if (!accepts_jobs) reply.headers.emplace_back("Retry-After", retry_after_seconds_unavailable);
  return reply;
}

/// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110), made once a second and thread.
const std::string& date_header() {
  thread_local std::time_t made_at = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::array<char, 64> buffer{};
    const auto size =
        std::strftime(buffer.data(), buffer.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    text.assign(buffer.data(), size);
    made_at = now;
  }
  return text;
}

/// A header value never breaks its line, whatever it was made of.
void append_header(std::string& head, std::string_view name, std::string_view value) {
  head += name;
  head += ": ";
  for (const char c : value)
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) head += c;
  head += "\r\n";
}

}  // namespace

http_reply error_reply(unsigned status, std::string_view code, std::string message,
                       std::vector<pb::Problem> details) {
  pb::Error error;
  error.set_error(std::string(code));
  error.set_message(to_valid_utf8(message));
  for (auto& problem : details) *error.add_details() = std::move(problem);
  auto reply = json_reply(status, error);
  if (status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"ved\"");
  if (status == 429) reply.headers.emplace_back("Retry-After", retry_after_seconds_overloaded);
  if (status == 503) reply.headers.emplace_back("Retry-After", retry_after_seconds_unavailable);
  return reply;
}

unsigned status_of(const pb::Error& error, const route& matched) {
  const auto& code = error.error();
  if (code == "invalid") return matched.body == body_kind::job_spec ? 422 : 400;
  if (code == "not_found") return 404;
  if (code == "conflict") return 409;
  if (code == "overloaded") return 429;
  if (code == "unavailable") return 503;
  if (code == "unknown_outcome") return 504;
  if (code == "denied") {
    for (const auto& problem : error.details())
      if (problem.field() == "scope") return 403;
    return 401;
  }
  return 500;
}

http_reply render(const route& matched, const std::string& id, const pb::ApiReply& reply) {
  switch (reply.result_case()) {
    case pb::ApiReply::kError: {
      const auto& error = reply.error();
      return error_reply(status_of(error, matched), error.error(), error.message(),
                         {error.details().begin(), error.details().end()});
    }
    case pb::ApiReply::kAccepted: return accepted_reply(reply.accepted());
    case pb::ApiReply::kJob: return json_reply(200, reply.job().job());
    case pb::ApiReply::kJobs: return json_reply(200, reply.jobs());
    case pb::ApiReply::kEvents: return json_reply(200, reply.events());
    case pb::ApiReply::kEventPage: return json_reply(200, reply.event_page());
    case pb::ApiReply::kExplanation: return json_reply(200, reply.explanation());
    case pb::ApiReply::kOutput: return output_reply(reply.output());
    case pb::ApiReply::kClusters: return json_reply(200, reply.clusters());
    case pb::ApiReply::kCluster: return json_reply(200, reply.cluster());
    case pb::ApiReply::kStatus: return status_reply(reply.status());
    default: break;
  }
  return error_reply(500, "internal",
                     std::string(matched.operation_id) + " " + id + ": unexpected kind of answer");
}

std::string render_head(const http_reply& reply, const head_options& options) {
  std::string head;
  head.reserve(384);
  head += "HTTP/1.1 ";
  head += std::to_string(reply.status);
  head += ' ';
  head += reason_phrase(reply.status);
  head += "\r\n";
  append_header(head, "Server", "ved");
  append_header(head, "Date", date_header());
  if (reply.status != 204) {
    append_header(head, "Content-Type", reply.content_type);
    if (options.chunked) {
      // HTTP/1.0 knows no chunks: there the end of the connection ends the stream.
      if (!options.http_1_0) append_header(head, "Transfer-Encoding", "chunked");
    } else {
      append_header(head, "Content-Length", std::to_string(reply.body.size()));
    }
    append_header(head, "X-Content-Type-Options", "nosniff");
  }
  append_header(head, "Cache-Control", "no-store");
  if (!options.keep_alive)
    append_header(head, "Connection", "close");
  else if (options.http_1_0)
    append_header(head, "Connection", "keep-alive");
  for (const auto& [name, value] : reply.headers) append_header(head, name, value);
  head += "\r\n";
  return head;
}

}  // namespace ved::runtime::http
