#include "messages/job_spec.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace ved;

namespace {

pb::JobSpec sample() {
  pb::JobSpec spec;
  spec.set_job_id("job-1");
  spec.set_offering_id("offering-1");
  spec.set_cluster_id("local");
  spec.set_provider_address("virtengine1provider");
  spec.set_customer_address("ve1customer");
  spec.set_queue_name("default");
  spec.mutable_workload_spec()->set_command("/bin/true");
  spec.mutable_resources()->set_nodes(1);
  spec.set_max_runtime_seconds(60);
  return spec;
}

std::vector<std::string> fields(const pb::JobSpec& spec) {
  std::vector<std::string> names;
  for (const auto& problem : validate(spec)) names.push_back(problem.field());
  return names;
}

using names = std::vector<std::string>;

}  // namespace

TEST_CASE("job spec: a plain command is acceptable without an image", "[messages]") {
  REQUIRE(fields(sample()).empty());
}

TEST_CASE("job spec: an empty spec names every reason in VirtEngine's order", "[messages]") {
  REQUIRE(fields({}) == names{"job_id", "offering_id", "cluster_id", "provider_address",
                              "customer_address", "queue_name", "workload_spec.container_image"});
}

TEST_CASE("job spec: ids that could leave their place are refused", "[messages]") {
  REQUIRE(is_id("a"));
  REQUIRE(is_id("Job_1.2-x"));
  REQUIRE(is_id(std::string(64, 'a')));
  for (const auto* id : {"", ".a", "-a", "a..b", "../etc", "a/b", "a b", "a\n", "\xc3\xbc"})
    REQUIRE_FALSE(is_id(id));
  REQUIRE_FALSE(is_id(std::string(65, 'a')));
  REQUIRE_FALSE(is_id(std::string("a\0b", 3)));
  auto spec = sample();
  spec.set_job_id("../x");
  spec.set_queue_name("a b");
  REQUIRE(fields(spec) == names{"job_id", "queue_name"});
}

TEST_CASE("job spec: addresses have a known prefix and plain characters", "[messages]") {
  REQUIRE(is_address("ve1qqqsyqcyq5rqwzqf"));
  REQUIRE(is_address("virtengine1customer"));
  REQUIRE(is_address("ve1" + std::string(90, 'a')));
  for (const auto* address : {"", "ve1", "cosmos1abc", "virtengine1customer...", "ve1ABC", "ve1 a"})
    REQUIRE_FALSE(is_address(address));
  REQUIRE_FALSE(is_address("ve1" + std::string(91, 'a')));
}

TEST_CASE("job spec: numbers are held to their bounds", "[messages]") {
  auto spec = sample();
  spec.mutable_resources()->set_nodes(0);
  REQUIRE(validate(spec).at(0).message() == "must be at least 1, not 0");
  spec.mutable_resources()->set_nodes(spec_limits::nodes_max);
  spec.mutable_resources()->set_cpu_cores_per_node(spec_limits::cpu_cores_max);
  spec.set_max_runtime_seconds(spec_limits::runtime_seconds_max);
  spec.set_priority(-spec_limits::priority_max);
  REQUIRE(fields(spec).empty());
  spec.mutable_resources()->set_nodes(spec_limits::nodes_max + 1);
  spec.mutable_resources()->set_cpu_cores_per_node(spec_limits::cpu_cores_max + 1);
  spec.mutable_resources()->set_memory_gb_per_node(-1);
  spec.mutable_resources()->set_gpus_per_node(spec_limits::gpus_max + 1);
  spec.set_max_runtime_seconds(spec_limits::runtime_seconds_max + 1);
  spec.set_priority(spec_limits::priority_max + 1);
  REQUIRE(fields(spec) == names{"resources.nodes", "resources.cpu_cores_per_node",
                                "resources.memory_gb_per_node", "resources.gpus_per_node",
                                "max_runtime_seconds", "priority"});
  spec = sample();
  spec.set_max_runtime_seconds(59);
  REQUIRE(fields(spec) == names{"max_runtime_seconds"});
}

TEST_CASE("job spec: environment names and values are checked", "[messages]") {
  auto spec = sample();
  auto& work = *spec.mutable_workload_spec();
  const auto set = [&](const std::string& name, const std::string& value) {
    work.clear_environment();
    auto* variable = work.add_environment();
    variable->set_name(name);
    variable->set_value(value);
    return fields(spec);
  };
  REQUIRE(set("_A9", "line\n\ttab").empty());
  REQUIRE(set("A", std::string(spec_limits::value_bytes_max, 'x')).empty());
  REQUIRE(set("A", std::string(spec_limits::value_bytes_max + 1, 'x')) ==
          names{"workload_spec.environment.A"});
  REQUIRE(set("A", std::string("a\0b", 3)) == names{"workload_spec.environment.A"});
  REQUIRE(set("A", "\xff") == names{"workload_spec.environment.A"});
  for (const auto* name : {"", "9A", "A-B", "A=B", "A B", "LD\n"})
    REQUIRE(set(name, "x") == names{"workload_spec.environment"});
  set("A", "1");
  *work.add_environment() = work.environment(0);
  REQUIRE(fields(spec) == names{"workload_spec.environment.A"});
}

TEST_CASE("job spec: a workload must run something, and only one thing", "[messages]") {
  auto spec = sample();
  auto& work = *spec.mutable_workload_spec();
  work.add_steps()->set_command("/bin/true");
  REQUIRE(fields(spec) == names{"workload_spec.steps"});
  work.clear_command();
  REQUIRE(fields(spec).empty());
  work.add_steps();
  REQUIRE(fields(spec) == names{"workload_spec.steps[1].command"});
  work.clear_steps();
  REQUIRE(fields(spec) == names{"workload_spec.container_image"});
  work.set_container_image("--bind=/etc");
  REQUIRE(fields(spec) == names{"workload_spec.container_image"});
  work.set_container_image("docker://alpine:3");
  REQUIRE(fields(spec).empty());
  work.clear_container_image();
  work.set_is_preconfigured(true);
  REQUIRE(fields(spec) == names{"workload_spec.preconfigured_workload_id"});
  work.set_preconfigured_workload_id("gromacs");
  work.set_working_directory("relative");
  REQUIRE(fields(spec) == names{"workload_spec.working_directory"});
}

TEST_CASE("job spec: lists, prices and the whole spec are bounded", "[messages]") {
  auto spec = sample();
  for (int i = 0; i <= spec_limits::steps_max; ++i)
    spec.mutable_workload_spec()->add_steps()->set_command("a");
  spec.mutable_workload_spec()->clear_command();
  REQUIRE(fields(spec) == names{"workload_spec.steps"});

  spec = sample();
  auto* coin = spec.add_agreed_price();
  coin->set_denom("uve");
  coin->set_amount("12.5");
  REQUIRE(fields(spec).empty());
  coin->set_denom("1x");
  coin->set_amount("-1");
  REQUIRE(fields(spec) == names{"agreed_price[0].denom", "agreed_price[0].amount"});

  spec = sample();
  for (int i = 0; i < 10; ++i)
    spec.mutable_workload_spec()->add_arguments(std::string(spec_limits::argument_bytes_max, 'x'));
  REQUIRE(fields(spec) == names{""});
}

TEST_CASE("job spec: the hash ignores the order of the environment and written-out defaults",
          "[messages]") {
  auto one = sample();
  auto other = sample();
  for (const auto* name : {"B", "A"})
    one.mutable_workload_spec()->add_environment()->set_name(name);
  for (const auto* name : {"A", "B"})
    other.mutable_workload_spec()->add_environment()->set_name(name);
  other.clear_resources();
  REQUIRE(spec_hash(one) == spec_hash(other));
  REQUIRE(spec_hash(one).size() == 32);
  REQUIRE(canonical(other).resources().cpu_cores_per_node() == 1);

  other.mutable_resources()->set_nodes(2);
  REQUIRE(spec_hash(one) != spec_hash(other));
}
