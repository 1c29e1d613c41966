#include "runtime/security/refusal_tally.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace ved::runtime;
using std::chrono::seconds;

namespace {

constexpr refusal_tally::moment start{std::chrono::hours{1}};

refusal refused(std::string source, std::string reason = "unknown token") {
  return {"authentication_failed", {}, std::move(source), std::move(reason), {}, {}};
}

}  // namespace

TEST_CASE("refusals: the first of a kind is told at once, a flood of it as one count per interval",
          "[runtime][security]") {
  refusal_tally tally{seconds{60}};
  const auto first = tally.note(refused("http 192.0.2.1"), start);
  REQUIRE(first);
  CHECK(first->repeats == 0);
  for (int i = 0; i < 46'000; ++i)
    REQUIRE_FALSE(tally.note(refused("http 192.0.2.1"), start + seconds{1}));
  CHECK(tally.due(start + seconds{59}).empty());
  const auto counted = tally.due(start + seconds{60});
  REQUIRE(counted.size() == 1);
  CHECK(counted[0].repeats == 46'000);
  CHECK(counted[0].what.source == "http 192.0.2.1");
  CHECK(counted[0].what.reason == "unknown token");
}

TEST_CASE("refusals: another source, reason, principal or type is a kind of its own",
          "[runtime][security]") {
  refusal_tally tally;
  REQUIRE(tally.note(refused("http 192.0.2.1"), start));
  CHECK(tally.note(refused("http 192.0.2.2"), start));
  CHECK(tally.note(refused("http 192.0.2.1", "no token"), start));
  auto other = refused("http 192.0.2.1");
  other.principal = "reader";
  CHECK(tally.note(other, start));
  other.event_type = "unauthorized_access";
  CHECK(tally.note(other, start));
  CHECK_FALSE(tally.note(other, start));
}

TEST_CASE("refusals: a kind that stays away for an interval is forgotten, and told when it comes",
          "[runtime][security]") {
  refusal_tally tally{seconds{60}};
  REQUIRE(tally.note(refused("http 192.0.2.1"), start));
  CHECK(tally.due(start + seconds{60}).empty());
  CHECK(tally.kinds() == 0);
  REQUIRE(tally.note(refused("http 192.0.2.1"), start + seconds{61}));
  REQUIRE_FALSE(tally.note(refused("http 192.0.2.1"), start + seconds{62}));
  REQUIRE(tally.due(start + seconds{121}).size() == 1);
  CHECK_FALSE(tally.note(refused("http 192.0.2.1"), start + seconds{122}));  // still counted
}

TEST_CASE("refusals: more sources than the bound are counted together", "[runtime][security]") {
  refusal_tally tally{seconds{60}, 10};
  int lines = 0;
  for (int i = 0; i < 5'000; ++i)
    lines += tally.note(refused("http 10.0." + std::to_string(i)), start).has_value() ? 1 : 0;
  CHECK(lines == 11);  // and one that says that there are others
  CHECK(tally.kinds() == 11);
  const auto counted = tally.due(start + seconds{60});
  REQUIRE(counted.size() == 1);
  CHECK(counted[0].what.source == "others");
  CHECK(counted[0].repeats == 5'000 - 11);
}

TEST_CASE("refusals: a flood of one type hides no other type", "[runtime][security]") {
  refusal_tally tally{seconds{60}, 10};
  for (int i = 0; i < 100; ++i) {
    auto job = refused("http 192.0.2.1");
    job.event_type = "job_validation_failed";
    job.job_id = "j-" + std::to_string(i);
    CHECK(tally.note(job, start).has_value() == (i <= 10));
  }
  CHECK(tally.note(refused("http 192.0.2.2"), start));
}

TEST_CASE("refusals: what a client chose is cut", "[runtime][security]") {
  refusal_tally tally;
  const auto line = tally.note(refused(std::string(5'000, 's'), std::string(5'000, 'r')), start);
  REQUIRE(line);
  CHECK(line->what.source.size() == refusal_tally::text_bytes_max);
  CHECK(line->what.reason.size() == refusal_tally::text_bytes_max);
}

TEST_CASE("refusals: a reporter tells what is uncounted when it ends", "[runtime][security]") {
  std::vector<refusal_line> told;
  {
    refusal_reporter reporter([&](const refusal_line& line) { told.push_back(line); });
    for (int i = 0; i < 100; ++i) reporter.note(refused("gateway 192.0.2.9"));
  }
  REQUIRE(told.size() == 2);
  CHECK(told[0].repeats == 0);
  CHECK(told[1].repeats == 99);
}
