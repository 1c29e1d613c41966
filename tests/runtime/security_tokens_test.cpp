#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "runtime/security/certificate_watch.hpp"
#include "runtime/security/init.hpp"
#include "runtime/security/pki.hpp"
#include "runtime/security/token_file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::runtime;
namespace fs = std::filesystem;

namespace {

constexpr time_point now = from_us(1'768'471'200'000'000);  // 2026-01-15T10:00:00Z

token_request named(const std::string& name, time_point expires = {}) {
  return {name, {.read = true}, now, expires};
}

void write(const fs::path& file, const std::string& text) {
  std::ofstream(file, std::ios::trunc) << text;
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
}

struct followed {
  explicit followed(const fs::path& file) {
    auto opened =
        token_store::open(file, [this](const std::string& what) { told.push_back(what); });
    REQUIRE(opened);
    store = std::move(*opened);
  }
  std::vector<std::string> told;
  std::unique_ptr<token_store> store;
};

}  // namespace

TEST_CASE("tokens: days that are no number of days are refused, and nothing is written",
          "[runtime][security]") {
  for (const long long days : {0LL, -1LL, -5LL, 36'501LL, 2'913'000LL, 1LL << 62, -(1LL << 62)})
    CHECK(token_expiry(now, days).error().code == errc::invalid);
  CHECK(*token_expiry(now, 1) == now + std::chrono::days{1});
  CHECK(*token_expiry(now, token_days_max) == now + std::chrono::days{token_days_max});
}

TEST_CASE("tokens: what could not be read back is not written", "[runtime][security]") {
  tests::temp_dir dir;
  const auto file = dir.path() / "tokens.json";
  REQUIRE(add_token(file, named("good")));
  std::ifstream in(file);
  const std::string before{std::istreambuf_iterator<char>(in), {}};
  // The year 12001.
  const auto far = now + std::chrono::days{365 * 10'000};
  CHECK(add_token(file, named("far", far)).error().code == errc::invalid);
  CHECK(add_token(file, named("ved")).error().code == errc::invalid);
  CHECK(add_token(file, named("-x")).error().code == errc::invalid);
  std::ifstream again(file);
  CHECK(std::string{std::istreambuf_iterator<char>(again), {}} == before);
  CHECK(list_tokens(file)->size() == 1);
}

TEST_CASE("tokens: an end that would mean none is refused where it is read",
          "[runtime][security]") {
  tests::temp_dir dir;
  const auto file = dir.path() / "tokens.json";
  REQUIRE(add_token(file, named("t", now + std::chrono::days{1})));
  const auto good = *read_private_file(file, 1 << 20);
  const std::string end = to_rfc3339(now + std::chrono::days{1});
  const auto at = good.find(end);
  REQUIRE(at != std::string::npos);
  for (const char* bad : {"1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"}) {
    INFO(bad);
    auto text = good;
    write(file, text.replace(at, end.size(), bad));
    CHECK_THAT(list_tokens(file).error().message, Catch::Contains("expires_at"));
  }
  auto text = good;
  write(file, text.replace(at, end.size(), "1970-01-01T00:00:01Z"));
  CHECK(list_tokens(file)->size() == 1);
}

TEST_CASE("tokens: many at once are all there", "[runtime][security]") {
  tests::temp_dir dir;
  const auto file = dir.path() / "tokens.json";
  std::vector<std::thread> all;
  for (int i = 0; i < 8; ++i)
    all.emplace_back([&, i] { CHECK(add_token(file, named("t" + std::to_string(i)))); });
  for (auto& one : all) one.join();
  CHECK(list_tokens(file)->size() == 8);
}

TEST_CASE("tokens: an emptied or removed file revokes all and says so", "[runtime][security]") {
  tests::temp_dir dir;
  const auto file = dir.path() / "tokens.json";
  for (const char* left : {"", "\n", R"({"version":1,"tokens":[]})", "removed"}) {
    INFO(left);
    fs::remove(file);
    const auto token = add_token(file, named("t"));
    REQUIRE(token);
    followed f(file);
    REQUIRE(f.store->authenticate(token->reveal(), now));
    if (left == std::string("removed"))
      fs::remove(file);
    else
      write(file, left);
    REQUIRE(f.store->reload());
    CHECK(f.store->authenticate(token->reveal(), now).error().code == errc::denied);
    REQUIRE(f.told.size() == 1);
    CHECK_THAT(f.told[0], Catch::Contains(file.string()) && Catch::Contains("ved token add"));
    // A token made again lets in again, and the problem is over.
    const auto next = add_token(file, named("next"));
    REQUIRE(next);
    REQUIRE(f.store->reload());
    CHECK(f.store->authenticate(next->reveal(), now));
    CHECK(f.told.back().empty());
  }
}

TEST_CASE("tokens: a broken file keeps the last good list, and is told once",
          "[runtime][security]") {
  tests::temp_dir dir;
  const auto file = dir.path() / "tokens.json";
  const auto token = add_token(file, named("t"));
  REQUIRE(token);
  for (const char* broken : {"{", "[]", "\xff", R"({"version":1,"tokens":[{"name":"x"}]})"}) {
    INFO(broken);
    followed f(file);
    const auto good = *read_private_file(file, 1 << 20);
    write(file, broken);
    CHECK_FALSE(f.store->reload());
    CHECK_FALSE(f.store->reload());
    CHECK(f.store->authenticate(token->reveal(), now));
    REQUIRE(f.told.size() == 1);
    CHECK_THAT(f.told[0], Catch::Contains(file.string()));
    write(file, good);
    REQUIRE(f.store->reload());
    CHECK(f.told.back().empty());
  }
  followed f(file);
  REQUIRE(::chmod(file.c_str(), 0644) == 0);
  CHECK_FALSE(f.store->reload());
  CHECK_THAT(f.told.at(0), Catch::Contains("chmod 600"));
}

TEST_CASE("certificates: each that ends within thirty days is told, with what to do",
          "[runtime][security]") {
  tests::temp_dir dir;
  init_options options;
  options.directory = dir.path() / "state";
  options.now = now;
  REQUIRE(initialise_state(options));
  certificate_watch watch{state_layout(options.directory)};
  CHECK(watch.expiries().size() == 3);
  CHECK(watch.problems(now).empty());
  const auto leaf_end = now + std::chrono::days{leaf_days};
  CHECK(watch.problems(leaf_end - std::chrono::days{31}).empty());
  const auto soon = watch.problems(leaf_end - std::chrono::days{29});
  REQUIRE(soon.size() == 2);
  for (const auto& one : soon) {
    CHECK(one.how_bad == actors::problem::weight::warning);
    CHECK_THAT(one.text, Catch::Contains(".pem") && Catch::Contains("ved init --renew"));
  }
  for (const auto& one : watch.problems(leaf_end + std::chrono::days{2}))
    CHECK(one.how_bad == actors::problem::weight::degraded);
  // The authority ends later, and nothing renews it.
  const auto all = watch.problems(now + std::chrono::days{ca_days - 5});
  REQUIRE(all.size() == 3);
  CHECK_THAT(all[0].text, Catch::Contains("ca.pem") && !Catch::Contains("--renew"));
}

TEST_CASE("certificates: what counts is the one that is served, not the one that lies ready",
          "[runtime][security]") {
  tests::temp_dir dir;
  init_options options;
  options.directory = dir.path() / "state";
  options.now = now;
  REQUIRE(initialise_state(options));
  certificate_watch watch{state_layout(options.directory)};
  watch.note_served();
  CHECK(watch.problems(now).empty());
  const auto served = watch.expiries();
  options.now = now + std::chrono::days{300};
  REQUIRE(renew_certificates(options));
  certificate_watch later{state_layout(options.directory)};
  CHECK(later.expiries() != served);
  watch.note_served();
  CHECK(watch.expiries() == later.expiries());
  CHECK(watch.problems(options.now).empty());
  // Files are looked at now and then: nothing was yet.
  certificate_watch fresh{state_layout(options.directory)};
  fresh.note_served();
  options.now += std::chrono::days{1};
  REQUIRE(renew_certificates(options));
  const auto told = fresh.problems(options.now);
  REQUIRE(told.size() == 1);
  CHECK_THAT(told[0].text, Catch::Contains("serves with another one"));
}

TEST_CASE("certificates: one that is not valid yet is told, with the clock as the likely cause",
          "[runtime][security]") {
  tests::temp_dir dir;
  init_options options;
  options.directory = dir.path() / "state";
  options.now = now;
  REQUIRE(initialise_state(options));
  certificate_watch watch{state_layout(options.directory)};
  const auto found = watch.problems(now - std::chrono::days{3});
  REQUIRE(found.size() == 3);
  for (const auto& one : found) {
    CHECK(one.how_bad == actors::problem::weight::degraded);
    CHECK_THAT(one.text, Catch::Contains(".pem: is not valid before ") &&
                             Catch::Contains("timedatectl"));
    // vectl may have another one.
    CHECK((one.text.find("nobody gets through the gateway") != std::string::npos) ==
          (one.text.find("client") == std::string::npos));
  }
  const auto over = watch.problems(now + std::chrono::days{leaf_days + 1});
  REQUIRE(over.size() == 2);
  for (const auto& one : over)
    CHECK_THAT(one.text, Catch::Contains("systemctl reload ved") && !Catch::Contains("restart"));
  CHECK_THAT(over[0].text, Catch::Contains("server.pem: has ended at ") &&
                               Catch::Contains("nobody gets through the gateway"));
}

TEST_CASE("certificates: one that cannot be read is told too", "[runtime][security]") {
  tests::temp_dir dir;
  init_options options;
  options.directory = dir.path() / "state";
  options.now = now;
  REQUIRE(initialise_state(options));
  const state_layout at(options.directory);
  fs::remove(at.server_certificate);
  write(at.ca_certificate, "no certificate");
  fs::remove(at.client_certificate);
  certificate_watch watch(at);
  const auto found = watch.problems(now);
  REQUIRE(found.size() == 2);  // vectl's own may have moved to where vectl is
  CHECK(found[0].how_bad == actors::problem::weight::degraded);
}
