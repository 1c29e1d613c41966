#include <catch2/catch.hpp>
#include <future>
#include <map>
#include <stdexcept>

#include "actors/shell/io_pool.hpp"
#include "actors/shell/port_calls.hpp"

using namespace ved;
using namespace ved::actors;

namespace {

core::link::order submission() {
  core::link::order order;
  order.what = core::link::submit_order{{{job_id{"j-1"}, submission_token{"ve1"}, 1}}};
  return order;
}

/// Keeps what it is asked for; takes every submission and finds nothing.
struct noting_port final : adapters::scheduler {
  std::vector<adapters::submission> submitted;
  std::vector<adapters::lookup> looked_up;
  std::map<std::string, adapters::find_outcome> known;  ///< by token
  adapters::submit_outcome outcome = adapters::accepted{scheduler_job_id{"7"}};

  std::vector<adapters::submit_outcome> submit(std::span<const adapters::submission> jobs,
                                               deadline) override {
    submitted.assign(jobs.begin(), jobs.end());
    return std::vector<adapters::submit_outcome>(jobs.size(), outcome);
  }
  std::vector<adapters::find_outcome> find(std::span<const adapters::lookup> what,
                                           deadline) override {
    looked_up.assign(what.begin(), what.end());
    std::vector<adapters::find_outcome> out;
    for (const auto& one : what) {
      const auto it = known.find(one.token.str());
      out.push_back(it != known.end() ? it->second : adapters::absent{"two sources"});
    }
    return out;
  }
  result<adapters::poll_result> observe(std::span<const adapters::tracked_job>,
                                        adapters::poll_kind, deadline) override {
    return adapters::poll_result{};
  }
  std::vector<adapters::control_outcome> control(std::span<const adapters::control_request>,
                                                 deadline) override {
    return {};
  }
  result<adapters::inventory> take_inventory(deadline) override { return adapters::inventory{}; }
  adapters::health check_health(deadline) override { return {}; }
  std::int64_t queries() const override { return 0; }
  result<adapters::output_chunk> read_output(const adapters::output_request&, deadline) override {
    return adapters::output_chunk{};
  }
};

/// As accepted: jobs named "bad-..." cannot be read.
result<pb::JobAccepted> read_accepted(const job_id& job) {
  if (job.str().starts_with("bad")) return fail(errc::corrupt, "job " + job.str() + ": \xff");
  pb::JobAccepted out;
  out.mutable_spec()->set_job_id(job.str());
  out.set_spec_hash("\x01\xab");
  out.set_limit_is_default(true);
  return out;
}

order_result made(noting_port& port, decltype(core::link::order::what) what) {
  core::link::order order;
  order.deadline = from_us(60'000'000);
  order.what = std::move(what);
  return run_order(port, order, read_accepted, from_us(0));
}

}  // namespace

TEST_CASE("port calls: a job that cannot be read is our own fault, and the others are submitted",
          "[actors][shell]") {
  noting_port port;
  core::link::submit_order asked;
  for (const auto* name : {"bad-1", "j-2", "bad-3"})
    asked.items.push_back({job_id{name}, submission_token{std::string("ve-") + name}});
  const auto seen = made(port, asked);
  const auto* done = std::get_if<core::link::submit_done>(&seen.what);
  REQUIRE(done != nullptr);
  CHECK(done->own_faults == std::set<std::size_t>{0, 2});
  REQUIRE(done->answers.size() == 3);
  CHECK(done->answers[0].what == core::job::submission_result::not_sent);
  CHECK(done->answers[0].reason == "job bad-1: \uFFFD");
  CHECK(done->answers[1].what == core::job::submission_result::accepted);
  CHECK(done->answers[2].what == core::job::submission_result::not_sent);
  REQUIRE(port.submitted.size() == 1);
  CHECK(port.submitted[0].job.str() == "j-2");
}

TEST_CASE("port calls: a fault of the site leaves all out and says why", "[actors][shell]") {
  noting_port port;
  port.outcome = adapters::not_sent{.reason = "no room", .site_fault = true};
  core::link::submit_order asked;
  for (const auto* name : {"bad-1", "j-2"})
    asked.items.push_back({job_id{name}, submission_token{std::string("ve-") + name}});
  const auto seen = made(port, asked);
  const auto* done = std::get_if<core::link::submit_done>(&seen.what);
  REQUIRE(done != nullptr);
  CHECK(done->left_out == std::set<std::size_t>{1});
  CHECK(done->site_fault == "no room");
}

TEST_CASE("port calls: submissions and lookups carry what was accepted", "[actors][shell]") {
  noting_port port;
  made(port, core::link::submit_order{{{job_id{"j-1"}, submission_token{"ve1"}, 1}}});
  REQUIRE(port.submitted.size() == 1);
  CHECK(port.submitted[0].spec.job_id() == "j-1");
  CHECK(port.submitted[0].spec_hash == "01ab");
  CHECK(port.submitted[0].limit_is_default);
  made(port, core::link::find_order{{{job_id{"j-1"}, submission_token{"ve1"}},
                                     {job_id{"bad-2"}, submission_token{"ve2"}}}});
  REQUIRE(port.looked_up.size() == 2);
  CHECK(port.looked_up[0].spec_hash == "01ab");
  CHECK(port.looked_up[1].spec_hash.empty());
}

TEST_CASE("port calls: a job's earlier attempts are looked up with it, and the answer is one",
          "[actors][shell]") {
  noting_port port;
  const auto look = [&] {
    const auto seen = made(port, core::link::find_order{{{job_id{"j-1"},
                                                          submission_token{"ve3"},
                                                          {submission_token{"ve1"},
                                                           submission_token{"ve2"}}},
                                                         {job_id{"j-2"},
                                                          submission_token{"ve9"}}}});
    const auto done = std::get<core::link::find_done>(seen.what);
    REQUIRE(port.looked_up.size() == 4);
    CHECK(port.looked_up[2].job.str() == "j-1");
    CHECK(port.looked_up[2].spec_hash == "01ab");
    REQUIRE(done.answers.size() == 2);
    CHECK(done.answers[1].token.str() == "ve9");
    CHECK(done.answers[1].what == core::job::lookup_result::absent);
    CHECK(done.answers[0].token.str() == "ve3");
    return done.answers[0];
  };
  const adapters::not_known silence{"squeue does not answer"};
  const auto there = [](const char* id) { return adapters::found{{scheduler_job_id{id}}}; };
  CHECK(look().what == core::job::lookup_result::absent);
  // Nobody knows of one of them: nobody knows.
  port.known = {{GENERATE(as<std::string>{}, "ve1", "ve2", "ve3"), silence}};
  CHECK(look().what == core::job::lookup_result::unknown);
  CHECK(look().reason == "squeue does not answer");
  SECTION("one that is found counts, whatever becomes of the others") {
    const auto token = GENERATE(as<std::string>{}, "ve1", "ve2");
    port.known.insert_or_assign(token, there("17"));
    const auto told = look();
    CHECK(told.what == core::job::lookup_result::found);
    CHECK(told.of.str() == token);
    CHECK(told.ids.at(0).str() == "17");
  }
  SECTION("the last one first") {
    port.known = {{"ve1", there("17")}, {"ve3", there("18")}};
    CHECK(look().of.empty());
    CHECK(look().ids.at(0).str() == "18");
  }
}

TEST_CASE("port calls: that only words say so goes on with a refusal", "[actors][shell]") {
  noting_port port;
  const bool unproven = GENERATE(false, true);
  const auto told = [&] {
    const auto seen = made(port, core::link::submit_order{
                                     {{job_id{"j-1"}, submission_token{"ve1"}, 1}}});
    return std::get<core::link::submit_done>(seen.what).answers.at(0).unproven;
  };
  port.outcome = adapters::refused{true, "no", unproven};
  CHECK(told() == unproven);
  port.outcome = adapters::not_sent{.reason = "no", .unproven = unproven};
  CHECK(told() == unproven);
}

TEST_CASE("port calls: why no call could be made is told in words that the log takes",
          "[actors][shell]") {
  for (const auto code : {errc::unavailable, errc::unknown_outcome}) {
    const auto seen = failed_call(submission(), {code, "banner \xff"});
    const auto* done = std::get_if<core::link::submit_done>(&seen.what);
    const auto* failed = std::get_if<core::link::call_failed>(&seen.what);
    CHECK((done != nullptr ? done->answers.at(0).reason : failed->reason) == "banner \uFFFD");
  }
}

TEST_CASE("port calls: an adapter that fails inside a submission leaves its outcome unknown",
          "[actors][shell]") {
  io_pool pool({.name = "test", .workers = 1, .queue_max = 4},
               []() -> result<std::unique_ptr<adapters::scheduler>> {
                 return std::unique_ptr<adapters::scheduler>{};
               });
  std::promise<error> told;
  REQUIRE(pool.post([&](result<adapters::scheduler*> port) -> call_pool::telling {
    if (port) throw std::runtime_error("in the middle of the call");
    return [&told, why = port.error()] { told.set_value(why); };
  }));
  const auto why = told.get_future().get();
  CHECK(why.code == errc::unknown_outcome);
  // A failed call makes every submission in it unknown; `not_sent` would send them again.
  CHECK(std::holds_alternative<core::link::call_failed>(failed_call(submission(), why).what));
}

TEST_CASE("port calls: without a connection nothing was sent", "[actors][shell]") {
  const auto seen = failed_call(submission(), {errc::unavailable, "no route to the login node"});
  const auto* done = std::get_if<core::link::submit_done>(&seen.what);
  REQUIRE(done != nullptr);
  REQUIRE(done->answers.size() == 1);
  CHECK(done->answers.front().what == core::job::submission_result::not_sent);
}

TEST_CASE("port calls: a check of health that cannot be made is answered all the same",
          "[actors][shell]") {
  core::link::order order;
  order.what = core::link::health_order{};
  for (const auto code : {errc::unavailable, errc::unknown_outcome}) {
    const auto seen = failed_call(order, {code, "no route to the login node"});
    REQUIRE(seen.health);
    CHECK(seen.health->connection == "no route to the login node");
    CHECK(seen.health->queue_access == "not checked");
    CHECK(seen.queries == 0);
  }
}
