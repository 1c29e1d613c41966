#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "runtime/http/body_reader.hpp"

namespace ved::runtime::http {

/// Bytes that are read from a connection at a time.
inline constexpr std::size_t read_bytes = 16 << 10;

/// Why a request cannot be read, so that the connection cannot go on.
struct unreadable {
  unsigned status = 400;
  std::string message;
};

using request_head = boost::beast::http::request_header<>;

/// How the body is delimited, or why that or another header is not to be trusted: whatever two
/// readers (a proxy and this server) could take in two ways is refused, by RFC 9112 6.1 and 6.3.
std::variant<body_framing, unreadable> judge_head(const request_head& head);

/// Cuts the bytes of one connection into requests, without knowing of sockets. A request is seen
/// in two steps: its head, then its body, once the owner has judged the head and allows one.
/// Holds at most the header's bound and one read of input, and the body that was allowed.
class request_reader {
 public:
  enum class progress : std::uint8_t {
    more,      ///< needs more input
    head,      ///< the head is complete; expect_body() goes on
    complete,  ///< the whole request is there
    refused    ///< see problem(); the input's position is lost
  };

  explicit request_reader(std::uint32_t header_bytes_max);

  /// Forgets the request before; what follows it in the input stays.
  void begin();
  /// Where the next bytes go, then how many came.
  boost::asio::mutable_buffer space() { return buffer_.prepare(read_bytes); }
  void commit(std::size_t bytes) { buffer_.commit(bytes); }
  /// Whether a request begins in the input. Line ends before it are skipped (RFC 9112 2.2).
  bool has_input();
  void drop_input() { buffer_.clear(); }
  /// The request is answered: its body is needed no more, nor is what there may be left of it.
  void drop_body() { body_.reset(); }

  progress advance();
  /// The body of this request may have so many bytes; with `keep` false they are only counted.
  void expect_body(std::size_t bytes_max, bool keep);

  bool has_head() const noexcept { return framing_.has_value(); }
  const request_head& head() const { return parser_->get(); }
  bool keep_alive() const { return parser_->get().keep_alive(); }
  body_framing framing() const { return framing_.value_or(body_framing{}); }
  /// So far.
  std::string_view body() const;
  const unreadable& problem() const noexcept { return problem_; }
  std::size_t input_bytes() const noexcept { return buffer_.size(); }

 private:
  using parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;

  progress read_head();
  progress read_body();
  progress refuse(unsigned status, std::string message);
  progress refuse(const boost::system::error_code& cause);

  const std::uint32_t header_bytes_max_;
  boost::beast::flat_buffer buffer_;
  std::optional<parser> parser_;
  std::optional<body_framing> framing_;
  std::optional<body_reader> body_;
  std::size_t body_bytes_max_ = 0;
  unreadable problem_;
};

}  // namespace ved::runtime::http
