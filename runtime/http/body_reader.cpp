#include "runtime/http/body_reader.hpp"

#include <algorithm>

namespace ved::runtime::http {

namespace {

constexpr std::size_t size_digits_max = 16;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// What may stand in an extension or a trailer's value: text and tabs, no other controls.
bool is_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

/// tchar of RFC 9110 5.6.2.
bool is_token_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

}  // namespace

body_reader::body_reader(body_framing framing, std::size_t bytes_max, bool keep)
    : bytes_max_(bytes_max), keep_(keep), chunked_(framing.chunked) {
  if (chunked_) return;
  part_ = part::data;
  left_ = framing.length;
  if (left_ > bytes_max_) status_ = status::too_large;
  if (left_ == 0) status_ = status::done;
}

std::size_t body_reader::take(std::string_view input) {
  std::size_t taken = 0;
  while (status_ == status::more && taken < input.size()) {
    if (part_ == part::data) {
      taken += take_data(input.substr(taken));
    } else {
      take_framing(input[taken]);
      ++taken;
    }
  }
  return taken;
}

std::size_t body_reader::take_data(std::string_view input) {
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
  if (keep_) body_.append(input.substr(0, count));
  size_ += count;
  left_ -= count;
  if (left_ == 0) {
    if (chunked_)
      part_ = part::data_cr;
    else
      status_ = status::done;
  }
  return count;
}

void body_reader::take_framing(char c) {
  switch (part_) {
    case part::size:
    case part::padding:
    case part::extension: return take_size(c);
    case part::size_end:
      if (c != '\n') return fail("a chunk's line must end with CR LF");
      return end_size();
    case part::data_cr:
      if (c != '\r') return fail("a chunk must end with CR LF");
      part_ = part::data_lf;
      return;
    case part::data_lf:
      if (c != '\n') return fail("a chunk must end with CR LF");
      part_ = part::size;
      digits_ = line_bytes_ = 0;
      return;
    case part::trailer:
    case part::trailer_end:
    case part::last_lf: return take_trailer(c);
    case part::data: return;
  }
}

void body_reader::take_size(char c) {
  if (++line_bytes_ > chunk_line_bytes_max) return fail("a chunk's line is too long");
  if (part_ == part::size) {
    if (const int digit = hex_value(c); digit >= 0) {
      if (++digits_ > size_digits_max) return fail("a chunk's size has too many digits");
      left_ = (left_ << 4) | static_cast<std::uint64_t>(digit);
      return;
    }
    if (digits_ == 0) return fail("a chunk must start with its size in hexadecimal digits");
  }
  if (c == '\r' && part_ != part::padding) {
    part_ = part::size_end;
    return;
  }
  if (++extension_bytes_ > chunk_extension_bytes_max) return fail("too many chunk extensions");
  if (part_ == part::extension) {
    if (!is_text(c)) fail("a chunk extension must be text");
    return;
  }
  if (c == ';')
    part_ = part::extension;
  else if (c == ' ' || c == '\t')
    part_ = part::padding;  // allowed only before an extension (RFC 9112 7.1.1)
  else
    fail("a chunk's size must be followed by CR LF or an extension");
}

void body_reader::end_size() {
  if (left_ == 0) {
    part_ = part::trailer;
    return;
  }
  if (left_ > bytes_max_ - size_) {
    status_ = status::too_large;
    return;
  }
  part_ = part::data;
}

void body_reader::take_trailer(char c) {
  if (part_ == part::last_lf) {
    if (c != '\n') return fail("the last chunk must end with CR LF");
    status_ = status::done;
    return;
  }
  if (++trailer_bytes_ > trailer_bytes_max) return fail("the trailers are too long");
  if (part_ == part::trailer_end) {
    if (c != '\n') return fail("a trailer must end with CR LF");
    part_ = part::trailer;
    trailer_line_ = 0;
    trailer_named_ = false;
    return;
  }
  if (c == '\r') {
    if (trailer_line_ == 0) {
      part_ = part::last_lf;
      return;
    }
    if (!trailer_named_) return fail("a trailer must be a name and a value");
    if (++trailers_ > trailers_max) return fail("there are too many trailers");
    part_ = part::trailer_end;
    return;
  }
  if (!trailer_named_ && c == ':' && trailer_line_ > 0) {
    trailer_named_ = true;
  } else if (trailer_named_ ? !is_text(c) : !is_token_byte(c)) {
    return fail("a trailer must be a name and a value");
  }
  ++trailer_line_;
}

void body_reader::fail(std::string_view problem) {
  status_ = status::malformed;
  problem_ = problem;
}

}  // namespace ved::runtime::http
