#include "tools/vectl/text.hpp"

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <ctime>

#include "tools/vectl/exit_code.hpp"
#include "tools/vectl/moment.hpp"

using namespace vectl;

namespace {

/// Local time of a fixed zone, whatever the machine's.
class in_zone {
 public:
  explicit in_zone(const char* name) {
    const char* old = ::getenv("TZ");
    if (old != nullptr) old_ = old;
    ::setenv("TZ", name, 1);
    ::tzset();
  }
  ~in_zone() {
    if (old_.empty())
      ::unsetenv("TZ");
    else
      ::setenv("TZ", old_.c_str(), 1);
    ::tzset();
  }
  in_zone(const in_zone&) = delete;
  in_zone& operator=(const in_zone&) = delete;

 private:
  std::string old_;
};

}  // namespace

namespace {

std::string in_utf8(char32_t c) {
  std::string out;
  const auto tail = [&](unsigned shift) {
    out += static_cast<char>(0x80U | (c >> shift & 0x3fU));
  };
  if (c < 0x800) {
    out += static_cast<char>(0xc0U | c >> 6U);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0U | c >> 12U);
    tail(6);
  } else {
    out += static_cast<char>(0xf0U | c >> 18U);
    tail(12);
    tail(6);
  }
  tail(0);
  return out;
}

}  // namespace

TEST_CASE("vectl durations: read as people write them", "[tools][vectl]") {
  const std::vector<std::pair<const char*, std::int64_t>> good{
      {"45", 45},         {"90s", 90},         {"2h30m", 9'000},  {"1d", 86'400},
      {"1d2h", 93'600},   {"01:30:00", 5'400}, {"10:30", 37'800}, {"2-00:00:00", 172'800},
      {"100:00", 360'000}};
  for (const auto& [text, expected] : good) {
    const auto got = parse_duration(text);
    REQUIRE(got);
    CHECK(got->count() == expected);
  }
  for (const char* bad : {"", "x", "-5", "5x", "2h30", "1:60", "1:00:60", "1-24:00", "1-", ":",
                          "5 s", "99999999999999999999", "99999999d", "1:2:3:4"})
    CHECK_FALSE(parse_duration(bad));
}

TEST_CASE("vectl moments: absolute, local or ago", "[tools][vectl]") {
  const in_zone zone("XXX-2");                           // two hours east
  const auto now = ved::from_us(1'768'478'400'000'000);  // 2026-01-15T12:00:00Z, 14:00 local
  const auto at = [&](const char* text) {
    const auto got = parse_moment(text, now);
    REQUIRE(got);
    return ved::to_rfc3339(*got).substr(0, 19);
  };
  CHECK(at("now") == "2026-01-15T12:00:00");
  CHECK(at("15m") == "2026-01-15T11:45:00");
  CHECK(at("2026-01-15T10:00:00Z") == "2026-01-15T10:00:00");
  CHECK(at("2026-01-15 10:00") == "2026-01-15T08:00:00");
  CHECK(at("2026-01-15 10:00:30") == "2026-01-15T08:00:30");
  CHECK(at("2026-01-14") == "2026-01-13T22:00:00");
  CHECK(at("13:30") == "2026-01-15T11:30:00");
  for (const char* bad : {"", "soon", "25:00", "2026-13-01", "2026-01-15 10:61", "10:00 x"})
    CHECK_FALSE(parse_moment(bad, now));
}

TEST_CASE("vectl times: shown local with their zone, durations by their size", "[tools][vectl]") {
  const in_zone zone("EST5");
  CHECK(local_time(1'768'478'400'000'000) == "2026-01-15 07:00:00 EST");
  CHECK(local_time(0) == "-");
  CHECK(human_duration(ved::milliseconds{350}) == "350ms");
  CHECK(human_duration(ved::seconds{45}) == "45s");
  CHECK(human_duration(ved::seconds{192}) == "3m 12s");
  CHECK(human_duration(ved::seconds{7'500}) == "2h 05m");
  CHECK(human_duration(ved::seconds{273'600}) == "3d 04h");
  CHECK(human_duration(ved::seconds{-1}) == "0ms");
}

TEST_CASE("vectl text: nothing from outside drives the terminal", "[tools][vectl]") {
  CHECK(printable("a\x1b[31mb\nc\x07") == "a?[31mb c?");
  CHECK(printable("\xc2\x9b"
                  "31m") == "?31m");
  CHECK(printable("größe") == "größe");
  for (const char32_t unseen : {0x85, 0xad, 0x61c, 0x180e, 0x200b, 0x200d, 0x200f, 0x2028, 0x2029,
                                0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0x3164, 0xfeff, 0xfff9,
                                0xe0001, 0xe007f}) {
    const auto text = "a" + in_utf8(unseen) + "b";
    CHECK(printable(text) == "a?b");
    CHECK(printable_json("\"" + text + "\"").find(in_utf8(unseen)) == std::string::npos);
  }
  CHECK(printable("a\xff\xe2\x80") == "a???");
  CHECK(printable("日本語 … 🙂") == "日本語 … 🙂");
  CHECK(printable_json("\"a\u202eb\"") == "\"a\\u202eb\"");
  CHECK(printable_json("\"\U000e0001\"") == "\"\\udb40\\udc01\"");
}

TEST_CASE("vectl text: tables align, and cut only their last column on a terminal",
          "[tools][vectl]") {
  table rows({"JOB", "STATE", "DETAIL"});
  rows.add({{"größe"}, {"ok"}, {"a long detail that goes on"}});
  rows.add({{"b"}, {"running"}, {""}});
  style look;
  CHECK(rows.text(look) ==
        "JOB    STATE    DETAIL\n"
        "größe  ok       a long detail that goes on\n"
        "b      running\n");
  look.live = true;
  look.width = 26;
  CHECK(rows.text(look) ==
        "JOB    STATE    DETAIL\n"
        "größe  ok       a long ...\n"
        "b      running\n");
}

TEST_CASE("vectl text: colors appear only when asked for", "[tools][vectl]") {
  style look;
  CHECK(paint("x", tone::bad, look) == "x");
  look.color = true;
  CHECK(paint("x", tone::bad, look) == "\x1b[31mx\x1b[0m");
  CHECK(paint("x", tone::plain, look) == "x");
}

TEST_CASE("vectl text: sizes in words", "[tools][vectl]") {
  CHECK(human_bytes(512) == "512 B");
  CHECK(human_bytes(1536) == "1.5 KiB");
  CHECK(human_bytes(3ULL << 30) == "3.0 GiB");
}

TEST_CASE("vectl exit codes: one per reaction, the same for code and word", "[tools][vectl]") {
  const std::vector<std::pair<ved::errc, int>> expected{
      {ved::errc::invalid, 2},  {ved::errc::not_found, 4},       {ved::errc::denied, 5},
      {ved::errc::conflict, 6}, {ved::errc::unavailable, 7},     {ved::errc::overloaded, 7},
      {ved::errc::corrupt, 8},  {ved::errc::unknown_outcome, 9}, {ved::errc::internal, 1}};
  for (const auto& [code, number] : expected) {
    CHECK(static_cast<int>(to_exit_code(code)) == number);
    CHECK(to_exit_code(ved::to_string(code)) == to_exit_code(code));
  }
  CHECK(to_exit_code(std::string_view("a word of the future")) == exit_code::failed);
  CHECK(to_exit_code(ved::pb::JOB_STATE_COMPLETED) == exit_code::ok);
  for (const auto state :
       {ved::pb::JOB_STATE_FAILED, ved::pb::JOB_STATE_CANCELLED, ved::pb::JOB_STATE_TIMEOUT})
    CHECK(to_exit_code(state) == exit_code::failed);
}
