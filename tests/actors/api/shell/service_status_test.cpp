#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>
#include <memory>
#include <optional>

#include "actors/api/shell/service.hpp"
#include "actors/ingress/actor.hpp"
#include "tests/support/memory_logs.hpp"

using namespace ved;
using namespace ved::actors;

namespace {

/// A registry that tells `view`, or nothing.
registry_actor::behavior_type registry_of(registry_actor::pointer self,
                                          std::optional<registry_view> view) {
  return {
      [self](const submit_job&) -> caf::result<job_reply> {
        return self->make_response_promise<job_reply>();
      },
      [self](const ask_job&) -> caf::result<job_reply> {
        return self->make_response_promise<job_reply>();
      },
      [](const job_report&) {},
      [](const wake_job&) {},
      [](const job_ended&) {},
      [](tick_atom) {},
      [](recover_atom) {},
      [](const cluster_restarted&) {},
      [self, view](describe_atom) -> caf::result<registry_view> {
        if (view) return *view;
        return self->make_response_promise<registry_view>();
      },
  };
}

/// What /health says of a daemon with one cluster, over that registry.
pb::Status health_over(std::optional<registry_view> view) {
  caf::actor_system_config config;
  caf::actor_system system{config.set("scheduler.policy", caf::atom("testing"))};
  const auto run = [&] {
    auto& scheduler = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
    do {
      while (scheduler.try_run_once()) {
      }
    } while (scheduler.trigger_timeout());
  };
  service_deps deps;
  deps.logs = tests::logs_with({{"hpc-1", tests::memory_log()}});
  deps.clusters = std::make_shared<cluster_directory>();
  deps.authenticate = [](const std::string& name) -> result<principal> {
    return principal{name, true, true, false, false};
  };
  deps.may_accept = []() -> result<void> { return {}; };
  deps.refused = [](const refusal_note&) {};
  service api(std::move(deps));
  auto links = std::make_shared<link_directory>();
  links->set(cluster_id{"hpc-1"}, {});
  const auto registry = system.spawn(registry_of, view);
  const auto door = system.spawn(ingress, ingress_deps{registry, links});
  api.set_ingress(door);
  pb::ApiRequest request;
  request.set_token("tester");
  request.mutable_get_status();
  pb::Status out;
  api.handle(std::move(request), [&](const pb::ApiReply& reply) { out = reply.status(); });
  run();
  caf::anon_send_exit(caf::actor_cast<caf::actor>(registry), caf::exit_reason::kill);
  caf::anon_send_exit(caf::actor_cast<caf::actor>(door), caf::exit_reason::kill);
  run();
  return out;
}

bool tells(const pb::Status& status, const std::string& text) {
  return std::any_of(status.problems().begin(), status.problems().end(),
                     [&](const auto& one) { return one.find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE("api: a registry that does not answer is told as that, and not as one that recovers",
          "[actors][api]") {
  const std::string silent = "registry of jobs does not answer";
  const std::string recovers = "still being taken up";
  const auto hangs = health_over(std::nullopt);
  CHECK(hangs.status() == "degraded");
  CHECK(tells(hangs, silent));
  CHECK_FALSE(tells(hangs, recovers));
  const auto begins = health_over(registry_view{1, false});
  CHECK_FALSE(tells(begins, silent));
  CHECK(tells(begins, recovers));
  const auto runs = health_over(registry_view{1, true});
  CHECK_FALSE(tells(runs, silent));
  CHECK_FALSE(tells(runs, recovers));
}
