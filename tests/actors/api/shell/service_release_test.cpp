#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "actors/api/shell/service.hpp"
#include "tests/support/job_fixture.hpp"
#include "tests/support/memory_logs.hpp"

using namespace ved;
using namespace ved::actors;
namespace job = ved::core::job;

namespace {

/// An ingress before one job.
ingress_actor::behavior_type deciding_ingress(ingress_actor::pointer,
                                              const std::shared_ptr<tests::driver>& one) {
  return {
      [](const ingress_submit&) {},
      [one](const ingress_ask& what) {
        auto made = job::decide(one->state, what.what.what, one->ctx);
        if (!made) return what.done(fail(made.error()));
        for (const auto& event : *made) REQUIRE(job::apply(one->state, event));
        what.done(job_snapshot{job::to_record(one->state), 1, false});
      },
      [](const ingress_describe&) {},
      [](const ingress_ask_about&) {},
      [](const ingress_check_health&) {},
  };
}

/// The API before a job that ved holds. The token "root" has scope admin, others have submit.
struct held_fixture {
  caf::actor_system_config config;
  caf::actor_system system{config.set("scheduler.policy", caf::atom("testing"))};
  std::shared_ptr<tests::driver> one =
      std::make_shared<tests::driver>(tests::in_phase("held"));
  std::string noted;
  std::unique_ptr<service> api;
  ingress_actor ingress;

  held_fixture() {
    service_deps deps;
    deps.logs = tests::logs_with({{"hpc-1", tests::memory_log()}});
    deps.clusters = std::make_shared<cluster_directory>();
    deps.authenticate = [](const std::string& name) -> result<principal> {
      return principal{name, true, true, false, name == "root"};
    };
    deps.refused = [this](const refusal_note& note) {
      noted = std::string(note.event_type) + " " + note.principal + " " + note.job_id;
    };
    api = std::make_unique<service>(std::move(deps));
    ingress = system.spawn(deciding_ingress, one);
    api->set_ingress(ingress);
  }
  ~held_fixture() {
    caf::anon_send_exit(caf::actor_cast<caf::actor>(ingress), caf::exit_reason::kill);
    run();
  }
  void run() {
    auto& scheduler = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
    while (scheduler.try_run_once()) {
    }
  }
  pb::ApiReply ask(const std::string& token, bool hold) {
    pb::ApiRequest request;
    request.set_token(token);
    if (hold) request.mutable_hold_job()->set_job_id("j-1");
    else request.mutable_release_job()->set_job_id("j-1");
    pb::ApiReply reply;
    api->handle(std::move(request), [&](pb::ApiReply got) { reply = std::move(got); });
    run();
    return reply;
  }
};

/// What HTTP answers with 403.
bool lacks_admin(const pb::ApiReply& reply) {
  return reply.error().error() == "denied" && reply.error().details_size() == 1 &&
         reply.error().details(0).field() == "scope" &&
         reply.error().details(0).message() == "needs admin";
}

}  // namespace

TEST_CASE("api: what ved holds is released with scope admin alone", "[actors][api]") {
  held_fixture f;
  const auto refused = f.ask("cust", false);
  CHECK(lacks_admin(refused));
  CHECK(refused.error().message().find("only a token with scope admin releases it") !=
        std::string::npos);
  CHECK(f.noted == "unauthorized_access cust j-1");
  CHECK(f.ask("root", false).job().job().phase() == "waiting");
}

TEST_CASE("api: a hold is released by any token with scope submit, an admin's by admins",
          "[actors][api]") {
  held_fixture f;
  f.ask("root", false);
  CHECK(f.ask("cust", true).job().job().phase() == "held");
  CHECK(f.ask("other", false).job().job().phase() == "waiting");
  CHECK(f.ask("root", true).job().job().phase() == "held");
  CHECK(lacks_admin(f.ask("cust", false)));
  CHECK(f.ask("root", false).job().job().phase() == "waiting");
}
