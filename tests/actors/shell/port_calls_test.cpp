#include <catch2/catch.hpp>
#include <future>
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

}  // namespace

TEST_CASE("port calls: an adapter that fails inside a submission leaves its outcome unknown",
          "[actors][shell]") {
  io_pool pool({.name = "test", .workers = 1, .queue_max = 4},
               []() -> result<std::unique_ptr<adapters::scheduler>> {
                 return std::unique_ptr<adapters::scheduler>{};
               });
  std::promise<error> told;
  REQUIRE(pool.post([&](result<adapters::scheduler*> port) {
    if (port) throw std::runtime_error("in the middle of the call");
    told.set_value(port.error());
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
