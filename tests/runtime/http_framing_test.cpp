#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "runtime/http/request_reader.hpp"
#include "tests/runtime/http_support.hpp"

using namespace ved;
using namespace ved::http_test;
using runtime::http::body_reader;
using runtime::http::request_reader;

namespace {

constexpr std::size_t body_max = 1'000;

body_reader::status read_chunks(const std::string& text, std::string* body = nullptr) {
  body_reader reader({.chunked = true}, body_max, true);
  // Byte by byte: no state may depend on where a read ends.
  for (const char c : text)
    if (reader.take({&c, 1}) == 0) break;
  if (body != nullptr) *body = reader.body();
  return reader.state();
}

std::string lines(const std::string& line, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += line;
  return all;
}

std::string head_of(const std::vector<std::string>& headers, const std::string& version = "1.1") {
  std::string text = "POST /api/v1/hpc/jobs HTTP/" + version + "\r\nHost: x\r\n";
  for (const auto& header : headers) text += header + "\r\n";
  return text + "\r\n";
}

/// What the server says to a request that is followed by another one, and how often it says so.
std::pair<int, int> answers(std::uint16_t port, const std::string& text) {
  raw_client client(port);
  client.send(text + "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n");
  client.end_input();
  const auto all = client.read_all();
  int count = 0;
  for (auto at = all.find("HTTP/1.1 "); at != std::string::npos; at = all.find("HTTP/1.1 ", at + 1))
    ++count;
  return {all.empty() ? 0 : std::atoi(all.c_str() + 9), count};
}

}  // namespace

TEST_CASE("http body: chunks are put together, with extensions and trailers dropped",
          "[runtime][http]") {
  std::string body;
  REQUIRE(read_chunks("3;a=b\r\nabc\r\n2 ; c\r\nde\r\n0\r\nX-T: v\r\n\r\n", &body) ==
          body_reader::status::done);
  REQUIRE(body == "abcde");
  REQUIRE(read_chunks("A\r\n0123456789\r\n000\r\n\r\n", &body) == body_reader::status::done);
  REQUIRE(body == "0123456789");
}

TEST_CASE("http body: chunks that two readers could take in two ways are malformed",
          "[runtime][http]") {
  for (const std::string text :
       {"\r\n", ";a\r\n", "+1\r\n", "-1\r\n", "0x1\r\n", " 1\r\n", "1 \r\n", "1\n", "1;a\n", "1\rX",
        "1\r\naX", "1\r\na\rX", "1\r\na\n", "1;\x01\r\n", "g\r\n", "1\t\r\n", "1 2\r\n",
        "0\r\n\n", "0\r\nX\r\n", "0\r\n: v\r\n", "0\r\nX : v\r\n", "0\r\n X: v\r\n",
        "0\r\nX: \x02\r\n",
        "0\r\nX: v\n", "0\r\n\rX"}) {
    INFO(text);
    REQUIRE(read_chunks(text) == body_reader::status::malformed);
  }
}

TEST_CASE("http body: each bound holds, and one less is taken", "[runtime][http]") {
  using status = body_reader::status;
  using namespace runtime::http;
  // The line of a chunk, its digits, all extensions, all trailers, one trailer.
  CHECK(read_chunks("1;" + std::string(chunk_line_bytes_max - 3, 'x') + "\r\n") == status::more);
  CHECK(read_chunks("1;" + std::string(chunk_line_bytes_max - 2, 'x') + "\r\n") ==
        status::malformed);
  CHECK(read_chunks(std::string(16, '0') + "\r\n\r\n") == status::done);
  CHECK(read_chunks(std::string(17, '0')) == status::malformed);
  const std::string extended = "1;" + std::string(127, 'x') + "\r\na\r\n";
  CHECK(read_chunks(lines(extended, chunk_extension_bytes_max / 128)) == status::more);
  CHECK(read_chunks(lines(extended, chunk_extension_bytes_max / 128 + 1)) == status::malformed);
  CHECK(read_chunks("0\r\n" + lines("X: y\r\n", trailers_max) + "\r\n") == status::done);
  CHECK(read_chunks("0\r\n" + lines("X: y\r\n", trailers_max + 1)) == status::malformed);
  CHECK(read_chunks("0\r\nX:" + std::string(trailer_bytes_max - 2, 'y')) == status::more);
  CHECK(read_chunks("0\r\nX:" + std::string(trailer_bytes_max - 1, 'y')) == status::malformed);
  // The body.
  CHECK(read_chunks("3e8\r\n" + std::string(body_max, 'x') + "\r\n0\r\n\r\n") == status::done);
  CHECK(read_chunks("3e9\r\n") == status::too_large);
  CHECK(read_chunks("1f4\r\n" + std::string(500, 'x') + "\r\n1f5\r\n") == status::too_large);
  CHECK(read_chunks("ffffffffffffffff\r\n") == status::too_large);
}

TEST_CASE("http body: what never ends is refused after some bytes of it, none of it kept",
          "[runtime][http]") {
  for (const std::string start : {"5;", "0", "5 ", "0\r\nX:", "0\r\nX", "0\r\n"}) {
    body_reader reader({.chunked = true}, body_max, true);
    const std::string flood = start == "0\r\n" ? "A: b\r\n" : start == "5 " ? " " : "0";
    std::size_t taken = reader.take(start);
    for (int i = 0; i < 100'000 && reader.state() == body_reader::status::more; ++i)
      taken += reader.take(flood);
    INFO(start);
    REQUIRE(reader.state() == body_reader::status::malformed);
    REQUIRE(taken < 8'192);
    REQUIRE(reader.body().empty());
  }
}

TEST_CASE("http reader: input is held to the header's bound and one read", "[runtime][http]") {
  constexpr std::size_t header_max = 2'000;
  const std::string chunks = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;";
  for (const std::string& start : {std::string("GET /"), std::string("GET / HTTP/1.1\r\nHost: "),
                                   chunks}) {
    request_reader reader(header_max);
    auto seen = request_reader::progress::more;
    std::string input = start;
    std::size_t most = 0;
    for (int i = 0; i < 1'000 && seen != request_reader::progress::refused; ++i) {
      const auto space = reader.space();
      const auto count = std::min(space.size(), input.size());
      std::memcpy(space.data(), input.data(), count);
      reader.commit(count);
      most = std::max(most, reader.input_bytes());
      input = std::string(700, 'a');
      seen = reader.advance();
      if (seen == request_reader::progress::head) {
        reader.expect_body(body_max, true);
        seen = reader.advance();
      }
    }
    INFO(start);
    REQUIRE(seen == request_reader::progress::refused);
    REQUIRE(most <= header_max + runtime::http::read_bytes);
  }
}

TEST_CASE("http: the body of a transfer coding other than one chunked is no request",
          "[runtime][http]") {
  running_server up;
  for (const std::string coding :
       {"identity", "xchunked", "gzip", "\"chunked\"", "chunked, identity", "chunked, chunked",
        "trailers", "gzip, chunked", "chunked;q=1", "chunked ; a=b", ",chunked", "chunked,", "",
        "CHUNKED, identity", "chunked\tgzip", "chunked identity", "deflate", "\x0b" "chunked"}) {
    INFO(coding);
    const auto [status, count] = answers(up.port, head_of({"Transfer-Encoding: " + coding}));
    CHECK((status == 400 || status == 501));
    CHECK(count == 1);
  }
  const std::vector<std::vector<std::string>> twice = {
      {"Transfer-Encoding: chunked", "Transfer-Encoding: chunked"},
      {"Transfer-Encoding: gzip", "Transfer-Encoding: chunked"},
      {"Transfer-Encoding: chunked", "Transfer-Encoding: identity"},
      {"Transfer-Encoding: chunked", "Content-Length: 5"},
      {"Content-Length: 5", "Transfer-Encoding: chunked"},
      {"Content-Length: 0", "Transfer-Encoding: identity"}};
  for (const auto& headers : twice) {
    INFO(headers[0] + " / " + headers[1]);
    const auto [status, count] = answers(up.port, head_of(headers) + "0\r\n\r\n");
    CHECK((status == 400 || status == 501));
    CHECK(count == 1);
  }
  const auto [old, count] =
      answers(up.port, head_of({"Transfer-Encoding: chunked", "Connection: keep-alive"}, "1.0"));
  CHECK(old == 400);
  CHECK(count == 1);
}

TEST_CASE("http: chunked in any case of letters is taken, and the next request answered",
          "[runtime][http]") {
  running_server up;
  for (const std::string coding : {"chunked", "Chunked", "CHUNKED", " chunked "}) {
    const auto [status, count] =
        answers(up.port, head_of({"Transfer-Encoding: " + coding}) + "2\r\n{}\r\n0\r\n\r\n");
    INFO(coding);
    CHECK(status == 422);
    CHECK(count == 2);
  }
}

TEST_CASE("http: a trailer is no header", "[runtime][http]") {
  running_server up;
  raw_client client(up.port);
  client.send(head_of({"Transfer-Encoding: chunked"}) +
              "2\r\n{}\r\n0\r\nAuthorization: Bearer secret\r\nIdempotency-Key: k\r\n\r\n");
  client.read_response();
  client.send(
      "POST /api/v1/hpc/jobs/j-1/cancel HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\nAuthorization: Bearer secret\r\nIdempotency-Key: k\r\n\r\n");
  REQUIRE(client.read_response().status == 200);
  CHECK(up.api.last().token().empty());
  CHECK(up.api.last().request_id().empty());
}

TEST_CASE("http: a header that counts may come once", "[runtime][http]") {
  running_server up;
  for (const std::string name : {"Authorization: Bearer a", "Idempotency-Key: a",
                                 "Content-Length: 0", "Host: y", "Last-Event-ID: 1"}) {
    INFO(name);
    const auto [status, count] = answers(up.port, head_of({name, name}));
    CHECK(status == 400);
    CHECK(count == 1);
  }
  for (const std::string length : {"0, 0", "+0", "-0", "0x0", "00 0", "1e1",
                                   "18446744073709551616"}) {
    INFO(length);
    const auto [status, count] = answers(up.port, head_of({"Content-Length: " + length}));
    CHECK(status == 400);
    CHECK(count == 1);
  }
}

TEST_CASE("http: chunk floods of two connections end with 400 after some kilobytes",
          "[runtime][http]") {
  running_server up;
  for (const std::string start : {"5;", "", "0\r\nX: ", "0\r\n"}) {
    raw_client client(up.port);
    client.send(head_of({"Transfer-Encoding: chunked"}) + start);
    const std::string piece = start == "0\r\n" ? lines("A: b\r\n", 1'000) : std::string(6'000, '0');
    std::size_t sent = 0;
    // The server stops reading soon and ends; what it still drops is bounded.
    while (sent < 64U << 20 && client.send(piece)) sent += piece.size();
    INFO(start);
    CHECK(sent < 32U << 20);
  }
}
