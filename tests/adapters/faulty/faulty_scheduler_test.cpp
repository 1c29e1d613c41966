#include "adapters/faulty/faulty_scheduler.hpp"

#include <catch2/catch.hpp>

using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::faulty;

namespace {

/// A scheduler that accepts everything and keeps it running.
class plain_scheduler final : public scheduler {
 public:
  explicit plain_scheduler(std::vector<std::string>& tokens) : tokens_(tokens) {}

  std::vector<submit_outcome> submit(std::span<const submission> jobs, deadline) override {
    std::vector<submit_outcome> outcomes;
    for (const submission& job : jobs) {
      tokens_.push_back(job.token.str());
      outcomes.push_back(accepted{scheduler_job_id(std::to_string(tokens_.size()))});
    }
    return outcomes;
  }
  std::vector<find_outcome> find(std::span<const lookup> what, deadline) override {
    std::vector<find_outcome> outcomes;
    for (const lookup& one : what) {
      found hits;
      for (std::size_t i = 0; i < tokens_.size(); ++i) {
        if (tokens_[i] == one.token.str()) hits.ids.emplace_back(std::to_string(i + 1));
      }
      if (hits.ids.empty()) {
        outcomes.push_back(absent{"list"});
      } else {
        outcomes.push_back(hits);
      }
    }
    return outcomes;
  }
  result<poll_result> observe(std::span<const tracked_job> jobs, poll_kind, deadline) override {
    poll_result polled;
    job_status running;
    running.state = pb::JOB_STATE_RUNNING;
    polled.observations.assign(jobs.size(), running);
    return polled;
  }
  std::vector<control_outcome> control(std::span<const control_request> requests,
                                       deadline) override {
    controls += requests.size();
    return std::vector<control_outcome>(requests.size(), control_done{});
  }
  result<inventory> take_inventory(deadline) override { return inventory{}; }
  health check_health(deadline) override { return {}; }
  result<output_chunk> read_output(const output_request&, deadline) override {
    return output_chunk{};
  }
  std::int64_t queries() const override { return 0; }

  std::size_t controls = 0;

 private:
  std::vector<std::string>& tokens_;
};

struct bench {
  explicit bench(const fault_plan& plan)
      : faults(std::make_shared<fault_source>(
            plan, [this] { return now; }, [this](milliseconds time) { now += time; })),
        plain(new plain_scheduler(tokens)),
        port(std::unique_ptr<scheduler>(plain), faults) {}

  submission job(int number) const {
    submission one;
    one.job = job_id("j" + std::to_string(number));
    one.token = submission_token("t" + std::to_string(number));
    return one;
  }
  submit_outcome submit(int number) {
    const submission one = job(number);
    return port.submit(std::span(&one, 1), until).front();
  }
  find_outcome find(int number) {
    const lookup one{job(number).job, job(number).token};
    return port.find(std::span(&one, 1), until).front();
  }
  result<poll_result> observe(int number) {
    const tracked_job one{scheduler_job_id("1"), job(number).token, job(number).job};
    return port.observe(std::span(&one, 1), poll_kind::full, until);
  }

  time_point now = from_us(1'000'000);
  scheduler::deadline until = std::chrono::steady_clock::now() + seconds{3600};
  std::vector<std::string> tokens;
  std::shared_ptr<fault_source> faults;
  plain_scheduler* plain;
  faulty_scheduler port;
};

}  // namespace

TEST_CASE("faulty scheduler: a lost reply hides an accepted job", "[adapters][faulty]") {
  bench b({.reply_lost = 1});
  CHECK(std::holds_alternative<unknown_outcome>(b.submit(1)));
  CHECK(b.tokens == std::vector<std::string>{"t1"});
  CHECK(std::holds_alternative<found>(b.find(1)));
  CHECK(b.faults->counts() == fault_counts{{"reply_lost", 1}});
}

TEST_CASE("faulty scheduler: a slow submission arrives after its time-out", "[adapters][faulty]") {
  bench b({.slow = 1, .slow_by = seconds{5}});
  CHECK(std::holds_alternative<unknown_outcome>(b.submit(1)));
  b.now += seconds{4};
  CHECK(std::holds_alternative<absent>(b.find(1)));
  b.now += seconds{1};
  CHECK(std::holds_alternative<found>(b.find(1)));
  CHECK(b.tokens.size() == 1);
}

TEST_CASE("faulty scheduler: a cut call leaves nobody the wiser", "[adapters][faulty]") {
  bench b({});
  std::vector<submission> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(b.job(i));
  fault_plan plan;
  plan.cut = 0.5;
  b.faults->change_plan(plan);
  bool arrived_before_cut = false;
  for (int round = 0; round < 50; ++round) {
    b.tokens.clear();
    const auto before = b.faults->counts();
    const auto outcomes = b.port.submit(jobs, b.until);
    const bool was_cut = b.faults->counts() != before;
    for (const submit_outcome& outcome : outcomes) {
      CHECK(std::holds_alternative<unknown_outcome>(outcome) == was_cut);
    }
    CHECK((b.tokens.size() < jobs.size()) == was_cut);
    arrived_before_cut |= was_cut && !b.tokens.empty();
  }
  CHECK(arrived_before_cut);
}

TEST_CASE("faulty scheduler: refusals and unsent jobs leave no trace", "[adapters][faulty]") {
  bench b({});
  fault_plan plan;
  SECTION("policy") {
    plan.refused_policy = 1;
    b.faults->change_plan(plan);
    CHECK_FALSE(std::get<refused>(b.submit(1)).permanent);
  }
  SECTION("permanent") {
    plan.refused_permanent = 1;
    b.faults->change_plan(plan);
    CHECK(std::get<refused>(b.submit(1)).permanent);
  }
  SECTION("not sent") {
    plan.not_sent = 1;
    b.faults->change_plan(plan);
    CHECK(std::holds_alternative<not_sent>(b.submit(1)));
  }
  CHECK(b.tokens.empty());
}

TEST_CASE("faulty scheduler: a late answer takes its time, at most the caller's",
          "[adapters][faulty]") {
  bench b({.late = 1, .late_by = seconds{7}});
  CHECK(std::holds_alternative<accepted>(b.submit(1)));
  CHECK(b.now == from_us(8'000'000));
  b.until = std::chrono::steady_clock::now() + seconds{3};
  CHECK(std::holds_alternative<unknown_outcome>(b.submit(2)));
  CHECK(b.now <= from_us(11'000'000));
  CHECK(b.tokens.size() == 2);
}

TEST_CASE("faulty scheduler: fresh jobs are forgotten for a bounded time", "[adapters][faulty]") {
  bench b({.forget = 1, .forget_for = seconds{10}});
  CHECK(std::holds_alternative<accepted>(b.submit(1)));
  CHECK(std::holds_alternative<absent>(b.find(1)));
  CHECK(std::holds_alternative<missing>(b.observe(1)->observations.front()));
  b.now += seconds{10};
  CHECK(std::holds_alternative<found>(b.find(1)));
  CHECK(std::holds_alternative<job_status>(b.observe(1)->observations.front()));
}

TEST_CASE("faulty scheduler: polls fail, come back empty or show another live state",
          "[adapters][faulty]") {
  bench b({});
  b.submit(1);
  fault_plan plan;
  plan.query_error = 1;
  b.faults->change_plan(plan);
  CHECK_FALSE(b.observe(1));
  CHECK(std::holds_alternative<not_known>(b.find(1)));
  CHECK_FALSE(b.port.take_inventory(b.until));
  CHECK(b.port.check_health(b.until).connection != "");

  plan = {};
  plan.empty_list = 1;
  b.faults->change_plan(plan);
  const auto empty = b.observe(1);
  REQUIRE(std::holds_alternative<missing>(empty->observations.front()));
  CHECK_FALSE(std::get<missing>(empty->observations.front()).confirmed);

  plan = {};
  plan.lie = 1;
  b.faults->change_plan(plan);
  for (int i = 0; i < 20; ++i) {
    const auto seen = std::get<job_status>(b.observe(1)->observations.front());
    CHECK(seen.state != pb::JOB_STATE_RUNNING);
    CHECK(seen.state < pb::JOB_STATE_COMPLETED);
  }
}

TEST_CASE("faulty scheduler: a lost control was done, one not done was not", "[adapters][faulty]") {
  bench b({});
  fault_plan plan;
  std::size_t expected = 0;
  SECTION("lost") {
    plan.control_lost = 1;
    expected = 1;
  }
  SECTION("not done") {
    plan.control_not_done = 1;
  }
  b.faults->change_plan(plan);
  const control_request request{{scheduler_job_id("1"), submission_token("t1"), job_id("j1")},
                                pb::JOB_CONTROL_CANCEL};
  const auto outcomes = b.port.control(std::span(&request, 1), b.until);
  CHECK(std::holds_alternative<control_unknown>(outcomes.front()));
  CHECK(b.plain->controls == expected);
}

TEST_CASE("faulty scheduler: the same seed makes the same faults", "[adapters][faulty]") {
  const auto run = [](std::uint64_t seed) {
    fault_plan plan;
    plan.seed = seed;
    plan.reply_lost = plan.slow = plan.cut = plan.refused_policy = 0.2;
    bench b(plan);
    std::string trace;
    for (int i = 0; i < 100; ++i) trace += std::to_string(b.submit(i).index());
    return trace;
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}
