#include "runtime/http/request_reader.hpp"

#include <boost/beast/core/string.hpp>
#include <charconv>
#include <limits>

namespace ved::runtime::http {

namespace {

namespace beast = boost::beast;
using beast::http::field;

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

bool is(std::string_view text, std::string_view word) {
  return beast::iequals({text.data(), text.size()}, {word.data(), word.size()});
}

/// The last coding of a list, without its parameters.
std::string_view last_coding(std::string_view list) {
  const auto comma = list.rfind(',');
  if (comma != std::string_view::npos) list.remove_prefix(comma + 1);
  const auto first = list.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return list.substr(first, list.find_last_not_of(" \t") - first + 1);
}

std::variant<body_framing, unreadable> judge_coding(const request_head& head) {
  const auto coding = view(head[field::transfer_encoding]);
  if (head.version() < 11)
    return unreadable{400, "HTTP/1.0 knows no Transfer-Encoding"};
  if (head.count(field::content_length) > 0)
    return unreadable{400, "Transfer-Encoding and Content-Length exclude each other"};
  if (head.count(field::transfer_encoding) > 1)
    return unreadable{400, "at most one Transfer-Encoding header is taken"};
  if (is(coding, "chunked")) return body_framing{.chunked = true};
  // Without chunked at its end the body's end cannot be known (RFC 9112 6.3).
  const bool ends = is(last_coding(coding), "chunked");
  return unreadable{ends ? 501U : 400U,
                    "the only Transfer-Encoding taken is 'chunked', once and alone"};
}

std::variant<body_framing, unreadable> judge_length(const request_head& head) {
  const auto text = view(head[field::content_length]);
  body_framing framing;
  const auto* end = text.data() + text.size();
  const auto [stop, bad] = std::from_chars(text.data(), end, framing.length);
  if (bad != std::errc{} || stop != end)
    return unreadable{400, "Content-Length must be one number of bytes"};
  return framing;
}

}  // namespace

std::variant<body_framing, unreadable> judge_head(const request_head& head) {
  const auto hosts = head.count(field::host);
  if (hosts > 1 || (head.version() >= 11 && hosts == 0))
    return unreadable{400, "exactly one Host header is needed"};
  for (const std::string_view name :
       {"Authorization", "Content-Length", "Idempotency-Key", "Last-Event-ID", "Expect"})
    if (head.count({name.data(), name.size()}) > 1)
      return unreadable{400, "at most one " + std::string(name) + " header is taken"};
  if (head.count(field::content_encoding) > 0)
    return unreadable{415, "bodies are taken as they are, without Content-Encoding"};
  // HTTP/1.0 knows no expectations (RFC 9110 10.1.1).
  const auto expected = view(head[field::expect]);
  if (head.version() >= 11 && !expected.empty() && !is(expected, "100-continue"))
    return unreadable{417, "only 100-continue can be expected here"};
  if (head.count(field::transfer_encoding) > 0) return judge_coding(head);
  if (head.count(field::content_length) > 0) return judge_length(head);
  return body_framing{};
}

request_reader::request_reader(std::uint32_t header_bytes_max)
    : header_bytes_max_(header_bytes_max),
      buffer_(std::size_t{header_bytes_max} + 2 * read_bytes) {
  begin();
}

void request_reader::begin() {
  parser_.emplace();
  parser_->header_limit(header_bytes_max_);
  // Bodies are read here, not by the parser; what it has must not matter to it.
  parser_->body_limit(std::numeric_limits<std::uint64_t>::max());
  framing_.reset();
  body_.reset();
}

bool request_reader::has_input() {
  while (buffer_.size() > 0) {
    const char first = *static_cast<const char*>(buffer_.data().data());
    if (first != '\r' && first != '\n') return true;
    buffer_.consume(1);
  }
  return false;
}

request_reader::progress request_reader::advance() {
  return framing_ ? read_body() : read_head();
}

request_reader::progress request_reader::read_head() {
  boost::system::error_code error;
  buffer_.consume(parser_->put(buffer_.data(), error));
  if (error == beast::http::error::need_more) {
    if (buffer_.size() <= header_bytes_max_) return progress::more;
    error = beast::http::error::header_limit;
  }
  if (error) return refuse(error);
  if (!parser_->is_header_done()) return progress::more;
  auto judged = judge_head(parser_->get());
  if (auto* bad = std::get_if<unreadable>(&judged))
    return refuse(bad->status, std::move(bad->message));
  framing_ = std::get<body_framing>(judged);
  return progress::head;
}

void request_reader::expect_body(std::size_t bytes_max, bool keep) {
  body_bytes_max_ = bytes_max;
  body_.emplace(framing(), bytes_max, keep);
}

request_reader::progress request_reader::read_body() {
  if (!body_) return progress::head;
  const auto input = buffer_.data();
  buffer_.consume(body_->take({static_cast<const char*>(input.data()), input.size()}));
  switch (body_->state()) {
    case body_reader::status::more: return progress::more;
    case body_reader::status::done: return progress::complete;
    case body_reader::status::too_large:
      return refuse(413, "the body must fit " + std::to_string(body_bytes_max_) + " bytes");
    case body_reader::status::malformed:
      return refuse(400, "the body is not in chunks: " + std::string(body_->problem()));
  }
  return progress::more;
}

std::string_view request_reader::body() const {
  return body_ ? std::string_view(body_->body()) : std::string_view();
}

request_reader::progress request_reader::refuse(unsigned status, std::string message) {
  problem_ = {status, std::move(message)};
  return progress::refused;
}

request_reader::progress request_reader::refuse(const boost::system::error_code& cause) {
  using beast::http::error;
  if (cause == error::header_limit)
    return refuse(431, "request line and headers must fit " + std::to_string(header_bytes_max_) +
                           " bytes");
  if (cause == error::bad_version) return refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  return refuse(400, "this is not HTTP: " + cause.message());
}

}  // namespace ved::runtime::http
