#include "actors/api/shell/all_events.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "actors/api/shell/visible.hpp"
#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "tests/support/job_fixture.hpp"
#include "tests/support/memory_logs.hpp"

using namespace ved;
using namespace ved::actors;

namespace {

const principal reader{.name = "reader", .read = true};
const principal admin{.name = "root", .read = true, .admin = true};

/// Jobs of several clusters, each in its cluster's log; the moment of each is given.
class site {
 public:
  void accept(const std::string& cluster, const std::string& job, int second,
              const std::string& secret = "secret") {
    pb::Envelope event;
    auto& spec = *event.mutable_job()->mutable_accepted()->mutable_spec();
    spec = tests::sample_spec(job);
    spec.set_cluster_id(cluster);
    auto& value = *spec.mutable_workload_spec()->add_environment();
    value.set_name("PASSWORD");
    value.set_value(secret);
    event.set_principal("alice");
    put(log_of(cluster), core::job_stream(job), std::move(event), second);
  }
  void start(int second) {
    pb::Envelope event;
    event.mutable_daemon()->mutable_started();
    put(logs_->own(), "daemon", std::move(event), second);
  }
  /// In the place of the cluster's log stands a new one.
  void begin_anew(const std::string& cluster) {
    logs_->add(store::cluster_log_name(cluster), tests::memory_log());
  }

  result<pb::EventPage> ask(const std::string& after, int limit = 0, const principal& who = admin,
                            const std::string& cluster = "") const {
    pb::ListEvents what;
    what.set_after(after);
    what.set_limit(limit);
    what.set_cluster_id(cluster);
    return list_events(*logs_, what, who);
  }
  std::shared_ptr<store::event_logs> logs() const { return logs_; }

 private:
  std::shared_ptr<store::event_log> log_of(const std::string& cluster) {
    const auto name = store::cluster_log_name(cluster);
    if (!logs_->find(name)) logs_->add(name, tests::memory_log());
    return logs_->find(name);
  }
  static void put(const std::shared_ptr<store::event_log>& log, const std::string& stream,
                  pb::Envelope event, int second) {
    store::append_request request;
    request.stream = stream;
    const auto before = log->state(stream);
    REQUIRE(before);
    if (*before) request.expected_version = (*before)->version;
    event.set_at_us(to_us(tests::t0 + seconds{second}));
    auto state = core::fold(stream, *before ? (*before)->state : "", event);
    if (!state) FAIL(state.error().message);
    request.state = std::move(*state);
    request.events.push_back(std::move(event));
    const auto done = log->commit({&request, 1}, tests::t0 + seconds{second});
    REQUIRE(done);
    REQUIRE(done->front());
  }

  std::shared_ptr<store::event_logs> logs_ = tests::logs_with({});
};

std::string jobs_of(const pb::EventPage& page) {
  std::string out;
  for (const auto& one : page.events())
    out += (out.empty() ? "" : " ") + one.event().job().accepted().spec().job_id();
  return out;
}

bool refused(const result<pb::EventPage>& said, const std::string& words) {
  return !said && said.error().code == errc::invalid &&
         said.error().message.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("all events: logs are merged by time, and each event's position goes on behind it",
          "[actors][api]") {
  site all;
  all.accept("a", "j-1", 1);
  all.accept("b", "j-2", 2);
  all.accept("a", "j-3", 3);
  all.accept("b", "j-4", 4);
  all.accept("c", "j-5", 5);
  const auto whole = all.ask("");
  REQUIRE(whole);
  CHECK(jobs_of(*whole) == "j-1 j-2 j-3 j-4 j-5");
  CHECK_FALSE(whole->more());
  CHECK(whole->events(1).log() == "cluster/b");
  for (int i = 0; i < whole->events_size(); ++i) {
    const auto rest = all.ask(whole->events(i).position());
    REQUIRE(rest);
    CHECK(rest->events_size() == whole->events_size() - i - 1);
  }
  SECTION("page by page nothing is missed or doubled, also while jobs come") {
    std::multiset<std::string> seen;
    std::string after;
    for (int page = 0; page < 20; ++page) {
      const auto got = all.ask(after, 2);
      REQUIRE(got);
      for (const auto& one : got->events()) seen.insert(one.event().stream());
      after = got->next();
      if (page < 5) all.accept(page % 2 == 0 ? "a" : "d", "k-" + std::to_string(page), 10 + page);
    }
    CHECK(seen.size() == 10);
    CHECK(std::set(seen.begin(), seen.end()).size() == 10);
  }
  SECTION("of one cluster") {
    const auto got = all.ask("", 0, admin, "b");
    REQUIRE(got);
    CHECK(jobs_of(*got) == "j-2 j-4");
    // What was read of the others stays read.
    const auto rest = all.ask(whole->events(0).position(), 0, admin, "b");
    REQUIRE(rest);
    CHECK(jobs_of(*all.ask(rest->next())) == "j-3 j-5");
  }
  SECTION("only what is to come") {
    const auto now = all.ask("latest");
    REQUIRE(now);
    CHECK(now->events_size() == 0);
    all.accept("a", "j-6", 6);
    all.accept("e", "j-7", 7);
    CHECK(jobs_of(*all.ask(now->next())) == "j-6 j-7");
  }
}

TEST_CASE("all events: who may read sees jobs and clusters, and no values", "[actors][api]") {
  site all;
  all.start(0);
  all.accept("a", "j-1", 1);
  all.start(2);
  const auto shown = all.ask("", 0, reader);
  REQUIRE(shown);
  REQUIRE(shown->events_size() == 1);
  CHECK(shown->ShortDebugString().find("secret") == std::string::npos);
  CHECK_FALSE(shown->more());
  CHECK(all.ask("")->events_size() == 3);
  CHECK(all.ask("")->ShortDebugString().find("secret") != std::string::npos);
  // What is not shown is passed, too: nobody looks at it twice.
  all.start(3);
  const auto rest = all.ask(shown->next(), 0, reader);
  REQUIRE(rest);
  CHECK(rest->events_size() == 0);
  CHECK(rest->next() != shown->next());
}

TEST_CASE("all events: a position that is none, or of another log, is refused", "[actors][api]") {
  site all;
  all.accept("a", "j-1", 1);
  all.accept("a", "j-2", 2);
  all.accept("b", "j-3", 3);
  const auto end = all.ask("")->next();
  for (const std::string bad : {"x", "latest ", "1", "AAAA", "%00", "//", "0"})
    CHECK(refused(all.ask(bad), "must be a position"));
  CHECK(refused(all.ask(std::string(5'000, 'A')), "must be a position"));
  CHECK(refused(all.ask(end + "="), "must be a position"));
  CHECK(refused(all.ask("", -1), "limit"));
  CHECK(refused(all.ask("", 1'001), "limit"));
  all.begin_anew("a");
  CHECK(refused(all.ask(end), "log cluster/a is not the one"));
  all.accept("a", "k-1", 7);
  all.accept("a", "k-2", 8);
  CHECK(refused(all.ask(end), "log cluster/a is not the one"));
  CHECK(jobs_of(*all.ask("")) == "j-3 k-1 k-2");
}

TEST_CASE("all events: a log that cannot be read is named, and holds up no other",
          "[actors][api]") {
  site all;
  all.accept("a", "j-1", 1);
  all.logs()->add_lost("cluster/b", {errc::corrupt, "damaged"});
  const auto got = all.ask("");
  REQUIRE(got);
  CHECK(jobs_of(*got) == "j-1");
  REQUIRE(got->missing_logs_size() == 1);
  CHECK(got->missing_logs(0) == "cluster/b");
  CHECK(all.ask("", 0, admin, "a")->missing_logs_size() == 0);
  CHECK(all.ask("", 0, admin, "b")->missing_logs_size() == 1);
}

TEST_CASE("all events: of a cluster that has no log it is said that there is none",
          "[actors][api]") {
  site all;
  all.accept("a", "j-1", 1);
  for (const auto& after : std::vector<std::string>{"", "latest", all.ask("")->next()}) {
    const auto said = all.ask(after, 0, reader, "typo");
    REQUIRE_FALSE(said);
    CHECK(said.error().code == errc::not_found);
    CHECK_THAT(said.error().message, Catch::Contains("cluster typo"));
  }
}

TEST_CASE("all events: of a log that was away, latest means what came after", "[actors][api]") {
  site all;
  all.accept("a", "j-1", 1);
  all.accept("b", "j-2", 2);
  const auto b = all.logs()->find("cluster/b");
  site without;
  without.accept("a", "j-1", 1);
  without.logs()->add_lost("cluster/b", {errc::unavailable, "not mounted"});
  const std::string cluster = GENERATE(as<std::string>{}, "", "b");
  const auto now = without.ask("latest", 0, admin, cluster);
  REQUIRE(now);
  CHECK_FALSE(now->next().empty());
  without.logs()->add("cluster/b", b);
  const auto back = without.ask(now->next(), 0, admin, cluster);
  REQUIRE(back);
  CHECK(back->events_size() == 0);
  without.accept("b", "j-3", 3);
  CHECK(jobs_of(*without.ask(back->next(), 0, admin, cluster)) == "j-3");
}

TEST_CASE("all events: a page ends at some megabytes, and its position names what was read",
          "[actors][api]") {
  site all;
  const std::string large(900'000, 'x');
  for (int i = 0; i < 12; ++i) all.accept("a", "j-" + std::to_string(i), i, large);
  std::string after;
  int pages = 0;
  int seen = 0;
  for (bool more = true; more; ++pages) {
    const auto page = all.ask(after);
    REQUIRE(page);
    CHECK(page->ByteSizeLong() < 6'000'000);
    seen += page->events_size();
    more = page->more();
    after = page->next();
  }
  CHECK(seen == 12);
  CHECK(pages > 1);
  // Logs of which nothing was read make it no longer.
  site many;
  for (int i = 0; i < 200; ++i)
    many.logs()->add("cluster/" + std::string(60, 'c') + std::to_string(i), tests::memory_log());
  many.accept("a", "j-1", 1);
  CHECK(many.ask("")->next().size() < 100);
}

