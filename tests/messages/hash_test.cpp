#include "messages/hash.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>

using namespace ved;

TEST_CASE("hash: hexadecimal digits come back as their bytes, and nothing else does",
          "[messages]") {
  CHECK(rc::check("any bytes", [](const std::string& bytes) {
    RC_ASSERT(from_hex(to_hex(bytes)) == bytes);
  }));
  CHECK(to_hex(std::string("\x00\xff\x0a", 3)) == "00ff0a");
  CHECK(from_hex("00FF0a") == std::string("\x00\xff\x0a", 3));
  CHECK(from_hex("") == "");
  for (const char* bad : {"0", "0g", "000", "00 ", " 00", "0x00", "00\n"}) {
    INFO(bad);
    CHECK_FALSE(from_hex(bad));
  }
}
