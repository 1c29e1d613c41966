#include "actors/api/shell/queries.hpp"

#include <catch2/catch.hpp>
#include <limits>
#include <set>

#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "tests/support/job_fixture.hpp"
#include "tests/support/memory_logs.hpp"

using namespace ved;
using namespace ved::actors;

namespace {

/// A log of accepted jobs, j-0 the oldest, a second apart.
class job_list {
 public:
  void add(int jobs, const std::string& customer, const std::string& cluster = "c") {
    auto log = logs_->find(store::cluster_log_name(cluster));
    if (!log) logs_->add(store::cluster_log_name(cluster), log = tests::memory_log());
    std::vector<store::append_request> group;
    for (int i = 0; i < jobs; ++i, ++count_) {
      pb::Envelope event;
      auto& accepted = *event.mutable_job()->mutable_accepted();
      event.set_at_us(to_us(tests::t0 + seconds{count_}));
      auto spec = tests::sample_spec("j-" + std::to_string(count_));
      spec.set_customer_address(customer);
      spec.set_cluster_id(cluster);
      *accepted.mutable_spec() = spec;
      store::append_request request;
      request.stream = core::job_stream(spec.job_id());
      auto state = core::fold(request.stream, "", event);
      if (!state) FAIL(state.error().message);
      request.state = std::move(*state);
      request.events.push_back(std::move(event));
      group.push_back(std::move(request));
    }
    const auto done = log->commit(group, tests::t0);
    if (!done) FAIL(done.error().message);
    for (const auto& one : *done)
      if (!one) FAIL(one.error().message);
  }

  result<pb::JobList> ask(int limit, const std::string& cursor = "",
                          const std::string& customer = "", const std::string& cluster = "") const {
    pb::ListJobs what;
    what.set_limit(limit);
    what.set_cursor(cursor);
    what.set_customer_address(customer);
    what.set_cluster_id(cluster);
    return list_jobs(*logs_, what);
  }

  const store::event_logs& logs() const { return *logs_; }

 private:
  std::shared_ptr<store::event_logs> logs_ = tests::logs_with({});
  int count_ = 0;
};

bool invalid(const result<pb::JobList>& said, const std::string& word) {
  return !said && said.error().code == errc::invalid &&
         said.error().message.find(word) != std::string::npos;
}

}  // namespace

TEST_CASE("explain: a history longer than one page is told to its end", "[actors][api]") {
  // Holds and releases without end, as a client may send them.
  const auto log = tests::memory_log();
  const auto logs = tests::logs_with({{"c", log}});
  std::string state;
  std::uint64_t version = 0;
  const auto add = [&](std::vector<pb::Envelope> events) {
    store::append_request request;
    request.stream = core::job_stream("j");
    request.expected_version = version;
    for (const auto& one : events) {
      auto folded = core::fold(request.stream, state, one);
      if (!folded) FAIL(folded.error().message);
      state = std::move(*folded);
      ++version;
    }
    request.state = state;
    request.events = std::move(events);
    const auto done = log->commit({&request, 1}, tests::t0);
    REQUIRE(done);
    REQUIRE(done->at(0));
  };
  pb::Envelope first;
  first.set_at_us(to_us(tests::t0));
  *first.mutable_job()->mutable_accepted()->mutable_spec() = tests::sample_spec("j");
  add({first});
  constexpr int flaps = 6'000;
  for (int n = 0; n < flaps; n += 100) {
    std::vector<pb::Envelope> events;
    for (int i = 0; i < 100; ++i) {
      pb::Envelope hold;
      hold.set_at_us(to_us(tests::t0 + seconds{n + i}));
      hold.set_principal("client");
      hold.mutable_job()->mutable_held()->set_by("client");
      hold.mutable_job()->mutable_held()->set_reason("hold " + std::to_string(n + i));
      pb::Envelope release;
      release.set_at_us(hold.at_us());
      release.mutable_job()->mutable_released();
      events.push_back(std::move(hold));
      events.push_back(std::move(release));
    }
    add(std::move(events));
  }
  pb::Envelope last;
  last.set_at_us(to_us(tests::t0 + seconds{flaps}));
  last.mutable_job()->mutable_held()->set_reason("the last word");
  add({last});
  pb::ExplainJob what;
  what.set_job_id("j");
  const auto told = fold_history(*logs, what);
  REQUIRE(told);
  CHECK((*told)->finish(nullptr).summary().find("the last word") != std::string::npos);
}

TEST_CASE("job list: a page has as many rows as asked for, and never more than the bound",
          "[actors][api][bounds]") {
  job_list jobs;
  jobs.add(list_limit_max + 1, "alice");
  for (const int limit : {list_limit_max + 1, 1'000'000, std::numeric_limits<int>::max(), -1,
                          std::numeric_limits<int>::min()})
    CHECK(invalid(jobs.ask(limit), "limit: must be 1 to 1000, not " + std::to_string(limit)));
  CHECK(jobs.ask(0)->jobs_size() == 100);
  CHECK(jobs.ask(1)->jobs_size() == 1);
  const auto first = jobs.ask(list_limit_max);
  REQUIRE(first);
  CHECK(first->jobs_size() == list_limit_max);
  CHECK(first->jobs(0).job_id() == "j-1000");
  const auto rest = jobs.ask(list_limit_max, first->next_cursor());
  REQUIRE(rest->jobs_size() == 1);
  CHECK(rest->jobs(0).job_id() == "j-0");
  CHECK(rest->next_cursor().empty());
}

TEST_CASE("job list: a filter that few of many rows pass makes short pages, not long searches",
          "[actors][api][bounds]") {
  job_list jobs;
  jobs.add(3'000, "alice", "b");
  jobs.add(2'001, "alice", "c");
  pb::ListJobs what;
  what.set_limit(10);
  what.set_customer_address("alice");
  what.set_state(pb::JOB_STATE_RUNNING);  // none is
  const auto first = list_jobs(jobs.logs(), what);
  REQUIRE(first);
  CHECK(first->jobs_size() == 0);
  CHECK_FALSE(first->next_cursor().empty());
  int pages = 1;
  for (auto cursor = first->next_cursor(); !cursor.empty(); ++pages) {
    REQUIRE(pages < 10);
    what.set_cursor(cursor);
    const auto page = list_jobs(jobs.logs(), what);
    REQUIRE(page);
    CHECK(page->jobs_size() == 0);
    cursor = page->next_cursor();
  }
  CHECK(pages == 3);  // 2,000 rows are looked at for each
}

TEST_CASE("job list: a cursor that nobody was given finds nothing that its list has not",
          "[actors][api][bounds]") {
  job_list jobs;
  jobs.add(20, "alice");
  jobs.add(20, "bob");
  const auto given = jobs.ask(5, "", "alice")->next_cursor();
  REQUIRE(given.starts_with("job/u/alice/"));
  for (const auto& cursor :
       {std::string("nonsense"), std::string("a"), std::string("job/u/alice"),
        std::string("job/u/bob/"),
        std::string("U/alice/"), std::string("\0u/alice/", 9), std::string("\xff\xfe"),
        std::string("job/a/"), std::string("job/s/1/"), std::string("../job/u/alice/"),
        jobs.ask(5, "", "bob")->next_cursor(), jobs.ask(5)->next_cursor()})
    CHECK(invalid(jobs.ask(5, cursor, "alice"), "cursor: it belongs to another list"));
  CHECK(invalid(jobs.ask(5, given), "cursor"));
  CHECK(invalid(jobs.ask(5, given, "ali"), "cursor"));
  std::set<std::string> hers;
  for (int i = 0; i < 20; ++i) hers.insert("j-" + std::to_string(i));
  const std::string own = "job/u/alice/";
  for (const auto& cursor :
       {own, own + "\xff", own + std::string(100'000, '\xff'), own + std::string(1, '\0'),
        own + "/../../bob/", own + "00000000000000000000", given + "x",
        given.substr(0, given.size() - 3), given + std::string(70'000, '0')}) {
    const auto page = jobs.ask(list_limit_max, cursor, "alice");
    REQUIRE(page);
    std::set<std::string> seen;
    for (const auto& job : page->jobs()) {
      CHECK(job.customer_address() == "alice");
      CHECK(seen.insert(job.job_id()).second);
      CHECK(hers.contains(job.job_id()));
    }
    CHECK(page->next_cursor().empty());
  }
}

TEST_CASE("job events: an answer has at most the bound of them, from wherever it is asked",
          "[actors][api][bounds]") {
  job_list jobs;
  jobs.add(1, "alice");
  const auto ask = [&](int limit, std::uint64_t after) {
    pb::GetJobEvents what;
    what.set_job_id("j-0");
    what.set_limit(limit);
    what.set_after_version(after);
    return read_events(jobs.logs(), what);
  };
  for (const int limit : {events_limit_max + 1, std::numeric_limits<int>::max(), -1})
    CHECK(ask(limit, 0).error().code == errc::invalid);
  CHECK(ask(events_limit_max, 0)->events_size() == 1);
  const auto page = ask(1, 1);
  REQUIRE(page);
  CHECK(page->events_size() == 0);
  CHECK_FALSE(page->more());
}

TEST_CASE("job events: behind one that the job does not have nothing ever comes: it is refused",
          "[actors][api]") {
  job_list jobs;
  jobs.add(1, "alice");
  for (const auto after : {std::uint64_t{2}, std::uint64_t{21}, std::uint64_t{1} << 63,
                           std::numeric_limits<std::uint64_t>::max()}) {
    pb::GetJobEvents what;
    what.set_job_id("j-0");
    what.set_after_version(after);
    const auto said = read_events(jobs.logs(), what);
    REQUIRE_FALSE(said);
    CHECK(said.error().code == errc::invalid);
    CHECK_THAT(said.error().message, Catch::Contains("begin without after"));
  }
}

TEST_CASE("api list: the jobs of all clusters stand in one order, each once, over any page size",
          "[actors][api]") {
  job_list jobs;
  for (int round = 0; round < 5; ++round)
    for (const auto* cluster : {"a", "b", "c"}) jobs.add(round % 2 + 1, "x", cluster);
  const int limit = GENERATE(1, 2, 3, 7, 100);
  std::vector<std::string> seen;
  std::string cursor;
  do {
    const auto page = jobs.ask(limit, cursor);
    REQUIRE(page);
    for (const auto& job : page->jobs()) seen.push_back(job.job_id());
    cursor = page->next_cursor();
  } while (!cursor.empty());
  REQUIRE(seen.size() == 21);
  for (std::size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] == "j-" + std::to_string(20 - i));
}

TEST_CASE("api: what may be in a log that is lost is not said to be unknown", "[actors][api]") {
  auto logs = tests::logs_with({{"a", tests::memory_log()}});
  CHECK(read_job(*logs, "j", true).error().code == errc::not_found);
  logs->add_lost("cluster/b", error{errc::corrupt, "its head is damaged"});
  const auto lost = read_job(*logs, "j", true);
  CHECK(lost.error().code == errc::unavailable);
  CHECK_THAT(lost.error().message, Catch::Contains("cluster/b"));
  const auto seen = verify_logs(*logs, {});
  REQUIRE(seen);
  CHECK_FALSE(seen->ok());
  CHECK(seen->logs_size() == 3);
  CHECK(read_stats(*logs)->logs(2).problem() == "its head is damaged");
  // A list without them is not told as a whole one.
  pb::ListJobs what;
  const auto all = list_jobs(*logs, what);
  REQUIRE(all);
  REQUIRE(all->missing_logs_size() == 1);
  CHECK(all->missing_logs(0) == "cluster/b");
  what.set_cluster_id("b");
  CHECK(list_jobs(*logs, what).error().code == errc::unavailable);
  what.set_cluster_id("a");
  CHECK(list_jobs(*logs, what)->missing_logs().empty());
}
