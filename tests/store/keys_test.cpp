#include "store/keys.hpp"

#include <catch2/catch.hpp>

#include "messages/hash.hpp"

using namespace ved;
using namespace ved::store;

TEST_CASE("store keys: byte order of positions is their number order", "[store][keys]") {
  std::string before;
  for (const std::uint64_t n : {0ull, 1ull, 255ull, 256ull, 1ull << 40, ~0ull}) {
    const auto key = keys::log_key(n);
    CHECK(key > before);
    CHECK(keys::parse_be64(key) == n);
    before = key;
  }
  CHECK_FALSE(keys::parse_be64("1234567"));
  CHECK_FALSE(keys::parse_be64("123456789"));
}

TEST_CASE("store keys: a stream key gives its stream and version back", "[store][keys]") {
  const auto key = keys::stream_key("job/a", 258);
  const auto entry = keys::parse_stream_key(key);
  REQUIRE(entry);
  CHECK(entry->stream == "job/a");
  CHECK(entry->version == 258);
  CHECK(key.starts_with(keys::stream_prefix("job/a")));
  CHECK_FALSE(keys::stream_key("job/ab", 1).starts_with(keys::stream_prefix("job/a")));
  CHECK_FALSE(keys::parse_stream_key("short"));
  CHECK_FALSE(keys::parse_stream_key(std::string("job/a-12345678")));
}

TEST_CASE("store keys: a stream id has 1 to 256 bytes without NUL", "[store][keys]") {
  CHECK_FALSE(keys::is_stream_id(""));
  CHECK(keys::is_stream_id(std::string(256, 'a')));
  CHECK_FALSE(keys::is_stream_id(std::string(257, 'a')));
  CHECK_FALSE(keys::is_stream_id(std::string("a\0b", 3)));
}

TEST_CASE("store keys: the end of a prefix is the first key after it", "[store][keys]") {
  CHECK(keys::prefix_end("ab") == "ac");
  CHECK(keys::prefix_end("a\xff") == "b");
  CHECK_FALSE(keys::prefix_end(""));
  CHECK_FALSE(keys::prefix_end("\xff\xff"));
}

TEST_CASE("store keys: the chain hash is BLAKE2b-256", "[store][keys]") {
  // `printf abc | b2sum -l 256`
  CHECK(to_hex(hash256("abc")) ==
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
  const keys::head head{7, hash256("abc")};
  CHECK(keys::parse_head(keys::encode_head(head)) == head);
  CHECK_FALSE(keys::parse_head("short"));
}
