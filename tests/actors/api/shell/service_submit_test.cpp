#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "actors/api/shell/service.hpp"
#include "tests/support/memory_logs.hpp"

using namespace ved;
using namespace ved::actors;

namespace {

using submissions = std::vector<submit_job>;

/// An ingress that keeps what is submitted and answers nothing.
ingress_actor::behavior_type noting_ingress(ingress_actor::pointer,
                                            const std::shared_ptr<submissions>& seen) {
  return {
      [seen](const ingress_submit& what) { seen->push_back(what.what); },
      [](const ingress_ask&) {},
      [](const ingress_describe&) {},
      [](const ingress_ask_about&) {},
      [](const ingress_check_health&) {},
  };
}

/// The API of a daemon with one cluster, up to its ingress.
struct api_fixture {
  caf::actor_system_config config;
  caf::actor_system system{config.set("scheduler.policy", caf::atom("testing"))};
  std::shared_ptr<submissions> seen = std::make_shared<submissions>();
  std::shared_ptr<cluster_directory> clusters = std::make_shared<cluster_directory>();
  std::unique_ptr<service> api;
  ingress_actor ingress;

  api_fixture() {
    service_deps deps;
    deps.logs = tests::logs_with({{"hpc-1", tests::memory_log()}});
    deps.max_runtime_seconds_default = 7'200;
    clusters->serve(cluster_id{"hpc-1"}, {});
    deps.clusters = clusters;
    deps.authenticate = [](const std::string& name) -> result<principal> {
      return principal{name, true, true, false, false};
    };
    deps.may_accept = []() -> result<void> { return {}; };
    deps.refused = [](const refusal_note&) {};
    api = std::make_unique<service>(std::move(deps));
    ingress = system.spawn(noting_ingress, seen);
    api->set_ingress(ingress);
  }
  ~api_fixture() {
    caf::anon_send_exit(caf::actor_cast<caf::actor>(ingress), caf::exit_reason::kill);
    run();
  }

  void run() {
    auto& scheduler = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
    while (scheduler.try_run_once()) {
    }
  }

  /// What the ingress hears of a job with that limit.
  submit_job submit(std::int64_t max_runtime_seconds) {
    pb::ApiRequest request;
    request.set_token("tester");
    auto& spec = *request.mutable_submit_job()->mutable_spec();
    spec.set_job_id("j-1");
    spec.set_offering_id("o-1");
    spec.set_cluster_id("hpc-1");
    spec.set_provider_address("ve1provider");
    spec.set_customer_address("ve1customer");
    spec.set_queue_name("batch");
    spec.set_max_runtime_seconds(max_runtime_seconds);
    spec.mutable_workload_spec()->set_command("/bin/true");
    spec.mutable_resources()->set_nodes(1);
    spec.mutable_resources()->set_cpu_cores_per_node(1);
    spec.mutable_resources()->set_memory_gb_per_node(1);
    std::string problem;
    api->handle(std::move(request), [&](const pb::ApiReply& reply) {
      problem = reply.error().message();
      for (const auto& one : reply.error().details()) problem += "; " + one.message();
    });
    run();
    INFO(problem);
    REQUIRE(seen->size() == 1);
    return seen->front();
  }
};

}  // namespace

TEST_CASE("api: a limit that the request does not name is known as the daemon's default",
          "[actors][api]") {
  api_fixture f;
  const auto heard = f.submit(0);
  CHECK(heard.spec->max_runtime_seconds() == 7'200);
  CHECK(heard.limit_is_default);
}

TEST_CASE("api: a limit that the request names is its own, whatever the default is",
          "[actors][api]") {
  api_fixture f;
  const auto heard = f.submit(7'200);
  CHECK(heard.spec->max_runtime_seconds() == 7'200);
  CHECK_FALSE(heard.limit_is_default);
}
