#include "messages/plain_text.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "messages/utf8.hpp"

using ved::plain_text;

TEST_CASE("plain text: what is plain stays as it is", "[messages][text]") {
  CHECK(plain_text("Résumé: 東京 ok", 100) == "Résumé: 東京 ok");
  CHECK(plain_text("", 100).empty());
  CHECK(plain_text(std::string(100, 'x'), 100) == std::string(100, 'x'));
}

TEST_CASE("plain text: ill-formed bytes, controls and unseen characters do not come through",
          "[messages][text]") {
  CHECK(plain_text("caf\xe9", 100) == "caf\xef\xbf\xbd");
  CHECK(plain_text("a\nb\tc\x1b[31md\x7f\xc2\x9b" "e", 100) == "a b c [31md  e");
  CHECK(plain_text("pay\xe2\x80\xae" "gnp.exe", 100) == "paygnp.exe");       // U+202E
  CHECK(plain_text("a\xe2\x80\x8b" "b\xe2\x81\xa6" "c\xef\xbb\xbf", 100) == "abc");
  CHECK(plain_text("a\xe2\x80\xa8" "b", 100) == "a b");                      // U+2028
  CHECK(plain_text(std::string("a\0b", 3), 100) == "a b");
  CHECK(plain_text("words\r\n\n", 100) == "words");
}

TEST_CASE("plain text: of what is too long the end is kept, whole characters only",
          "[messages][text]") {
  CHECK(plain_text("banner banner: denied", 9) == "\xe2\x80\xa6" "denied");
  CHECK(plain_text("xxxxé", 4) == "\xe2\x80\xa6");
  CHECK(plain_text("xxxxxé", 5) == "\xe2\x80\xa6" "é");
  CHECK(plain_text(std::string(1'000'000, 'x') + "end", 10) == "\xe2\x80\xa6xxxxend");
  CHECK(plain_text("long", 3).empty());
}

TEST_CASE("plain text: whatever comes in, it is well-formed and within its bound",
          "[messages][text]") {
  std::mt19937 dice(20261128);
  for (int round = 0; round < 2'000; ++round) {
    std::string raw(dice() % 300, '\0');
    for (auto& byte : raw) byte = static_cast<char>(dice());
    const auto out = plain_text(raw, 64);
    REQUIRE(ved::is_utf8(out));
    REQUIRE(out.size() <= 64);
    REQUIRE(out.find('\n') == std::string::npos);
  }
}
