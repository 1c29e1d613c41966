#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ved::runtime::http {

/// Longest chunk line: its size and extensions (RFC 9112 7.1).
inline constexpr std::size_t chunk_line_bytes_max = 256;
/// Extensions and padding of all chunk lines of a body together; none has a meaning here.
inline constexpr std::size_t chunk_extension_bytes_max = 4'096;
/// Trailer fields of a body, and their bytes together (RFC 9112 7.1.2). They are dropped: a
/// trailer is no header (RFC 9110 6.5.1).
inline constexpr std::size_t trailers_max = 32;
inline constexpr std::size_t trailer_bytes_max = 4'096;

/// How a request's body is delimited, as its header says.
struct body_framing {
  bool chunked = false;
  std::uint64_t length = 0;  ///< without chunks

  bool empty() const noexcept { return !chunked && length == 0; }
};

/// Takes a request's body apart as its bytes arrive; pure. Nothing but the body is kept, and of
/// that at most what was allowed: what a client sends costs no memory beyond.
class body_reader {
 public:
  enum class status : std::uint8_t {
    more,        ///< needs more input
    done,        ///< the body has ended
    too_large,   ///< more than allowed
    malformed    ///< not chunks, or beyond a bound; see problem()
  };

  /// `keep` false: the body is only counted.
  body_reader(body_framing framing, std::size_t bytes_max, bool keep);

  /// Takes from the front of the input; how many bytes. All of it unless the body ends within.
  std::size_t take(std::string_view input);
  status state() const noexcept { return status_; }
  std::string_view problem() const noexcept { return problem_; }
  std::size_t size() const noexcept { return size_; }
  const std::string& body() const noexcept { return body_; }

 private:
  enum class part : std::uint8_t {
    size, padding, extension, size_end, data, data_cr, data_lf, trailer, trailer_end, last_lf
  };

  std::size_t take_data(std::string_view input);
  void take_framing(char c);
  void take_size(char c);
  void end_size();
  void take_trailer(char c);
  void fail(std::string_view problem);

  const std::size_t bytes_max_;
  const bool keep_;
  const bool chunked_;
  part part_ = part::size;
  status status_ = status::more;
  std::string_view problem_;
  std::uint64_t left_ = 0;  // of this chunk, or of the whole body
  std::size_t size_ = 0;
  std::size_t digits_ = 0;           // of this chunk's size
  std::size_t line_bytes_ = 0;       // of this chunk's line
  std::size_t extension_bytes_ = 0;  // of all
  std::size_t trailers_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::size_t trailer_line_ = 0;  // bytes of the one being read
  bool trailer_named_ = false;    // it has had its colon
  std::string body_;
};

}  // namespace ved::runtime::http
