#include "adapters/slurm/job_script.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include "adapters/slurm/container.hpp"
#include "tests/adapters/slurm/job_script.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::slurm;
using namespace ved::adapters::slurm::test_jobs;

TEST_CASE("slurm job script: the options name the job, its size and its limit",
          "[adapters][slurm]") {
  auto what = job_of();
  auto& asked = *what.spec.mutable_resources();
  asked.set_nodes(3);
  asked.set_cpu_cores_per_node(16);
  asked.set_memory_gb_per_node(64);
  asked.set_gpus_per_node(2);
  what.spec.set_max_runtime_seconds(3'600);
  what.spec.set_queue_name("gpu");
  CHECK(options_of(what) ==
        std::vector<std::string>{"--parsable", "--job-name=" + token, "--comment=ved:" + token,
                                 "--nodes=3", "--ntasks-per-node=1", "--cpus-per-task=16",
                                 "--mem=65536M", "--gpus-per-node=2", "--time=60",
                                 "--partition=gpu", "--no-requeue", "--propagate=NONE"});
}

TEST_CASE("slurm job script: the comment tells token and spec", "[adapters][slurm]") {
  auto what = job_of();
  CHECK(has(options_of(what), "--comment=ved:" + token));
  what.spec_hash = "0123abcd";
  CHECK(has(options_of(what), "--comment=ved:" + token + ":0123abcd"));
  CHECK(spec_hash_in("sbatch --comment=ved:" + token + ":0123abcd --nodes=1", what.token) ==
        "0123abcd");
  CHECK(spec_hash_in("ved:" + token, what.token) == "");
  CHECK(spec_hash_in("ved:vebbbbbbbbbbbb:0123abcd", what.token) == "");
}

TEST_CASE("slurm job script: what a job does not ask for is Slurm's choice", "[adapters][slurm]") {
  CHECK(options_of(job_of()) ==
        std::vector<std::string>{"--parsable", "--job-name=" + token, "--comment=ved:" + token,
                                 "--nodes=1", "--ntasks-per-node=1", "--no-requeue",
                                 "--propagate=NONE"});
  auto what = job_of();
  what.spec.set_queue_name("default");
  CHECK_FALSE(has_any(options_of(what), "--partition"));
  slurm_options site;
  site.defaults.partition = "batch";
  CHECK(has(options_of(what, site), "--partition=batch"));
}

TEST_CASE("slurm job script: a time limit is whole minutes and never cut", "[adapters][slurm]") {
  const auto minutes_of = [](std::int64_t runtime_seconds) {
    auto what = job_of();
    what.spec.set_max_runtime_seconds(runtime_seconds);
    for (const auto& one : options_of(what))
      if (one.starts_with("--time=")) return one.substr(7);
    return std::string();
  };
  CHECK(minutes_of(0) == "");
  CHECK(minutes_of(1) == "1");
  CHECK(minutes_of(60) == "1");
  CHECK(minutes_of(61) == "2");
  CHECK(minutes_of(86'400) == "1440");
}

TEST_CASE("slurm job script: GPUs are asked for by the site's type and form",
          "[adapters][slurm]") {
  auto what = job_of();
  what.spec.mutable_resources()->set_gpus_per_node(2);
  what.spec.mutable_resources()->set_gpu_type("NVIDIA A100");
  slurm_options site;
  CHECK(has(options_of(what, site), "--gpus-per-node=NVIDIA A100:2"));
  site.gpu_types["NVIDIA A100"] = "a100";
  CHECK(has(options_of(what, site), "--gpus-per-node=a100:2"));
  site.gres_for_gpus = true;
  CHECK(has(options_of(what, site), "--gres=gpu:a100:2"));
  CHECK_FALSE(has_any(options_of(what, site), "--gpus"));
  site.gpu_types["NVIDIA A100"] = "";
  CHECK(has(options_of(what, site), "--gres=gpu:2"));
  what.spec.mutable_resources()->set_gpus_per_node(0);
  CHECK_FALSE(has_any(options_of(what, site), "--gres"));
}

TEST_CASE("slurm job script: only a lower priority than normal can be asked for",
          "[adapters][slurm]") {
  auto what = job_of();
  what.spec.set_priority(-5);
  CHECK(has(options_of(what), "--nice=5"));
  what.spec.set_priority(std::numeric_limits<std::int32_t>::min());
  CHECK(has(options_of(what), "--nice=2147483648"));
  what.spec.set_priority(5);
  CHECK_FALSE(has_any(options_of(what), "--nice"));
}

TEST_CASE("slurm job script: matching rules apply in order over the defaults",
          "[adapters][slurm]") {
  slurm_options site;
  site.defaults.partition = "batch";
  site.defaults.account = "ved";
  site.defaults.options = {"--mail-type=NONE"};
  site_rule everybody;
  everybody.set.qos = "low";
  everybody.set.options = {"--switches=1"};
  site_rule one_queue;
  one_queue.queue = "gpu";
  one_queue.set.partition = "gpu-a100";
  one_queue.set.qos = "gpu";
  one_queue.set.constraint = "ib";
  one_queue.set.exclusive = true;
  site_rule one_customer;
  one_customer.queue = "gpu";
  one_customer.customer = "ve1alice";
  one_customer.set.account = "alice";
  one_customer.set.reservation = "r1";
  one_customer.set.licenses = "l:1";
  one_customer.set.requeue = true;
  site_rule one_offering;
  one_offering.offering = "o-9";
  one_offering.set.qos = "premium";
  site.rules = {everybody, one_queue, one_customer, one_offering};

  auto what = job_of();
  auto wishes = wishes_of(what.spec, site);
  CHECK(wishes.partition == "batch");
  CHECK(wishes.account == "ved");
  CHECK(wishes.qos == "low");
  CHECK_FALSE(wishes.exclusive);

  what.spec.set_queue_name("gpu");
  what.spec.set_customer_address("ve1bob");
  wishes = wishes_of(what.spec, site);
  CHECK(wishes.partition == "gpu-a100");
  CHECK(wishes.account == "ved");
  CHECK(wishes.qos == "gpu");
  CHECK(wishes.exclusive);
  CHECK(wishes.reservation.empty());

  what.spec.set_customer_address("ve1alice");
  what.spec.set_offering_id("o-9");
  const auto options = options_of(what, site);
  for (const auto* one :
       {"--partition=gpu-a100", "--account=alice", "--qos=premium", "--constraint=ib",
        "--reservation=r1", "--licenses=l:1", "--exclusive", "--requeue", "--mail-type=NONE",
        "--switches=1"})
    CHECK(has(options, one));
  CHECK_FALSE(has(options, "--no-requeue"));
  CHECK(options[options.size() - 2] == "--mail-type=NONE");
  CHECK(options.back() == "--switches=1");

  // A rule may map "default" too.
  site.rules = {site_rule{.queue = "default", .offering = "", .customer = "", .set = {}}};
  site.rules[0].set.partition = "short";
  what.spec.set_queue_name("default");
  CHECK(wishes_of(what.spec, site).partition == "short");
}

TEST_CASE("slurm job script: what no cluster can run is refused before it is sent",
          "[adapters][slurm]") {
  const std::string nul(1, '\0');
  const auto problem = [](auto change) {
    auto what = job_of();
    change(what, *what.spec.mutable_workload_spec());
    return problem_of(what).value_or("");
  };
  CHECK(problem([](auto&, auto&) {}) == "");
  CHECK(problem([](auto&, auto& work) { work.set_is_preconfigured(true); }) != "");
  CHECK(problem([](auto&, auto& work) { work.set_preconfigured_workload_id("w"); }) != "");
  CHECK(problem([](auto&, auto& work) { work.clear_command(); }) != "");
  CHECK(problem([](auto&, auto& work) {
          work.clear_command();
          work.set_container_image("ubuntu");
        }) == "");
  CHECK(problem([](auto&, auto& work) { work.add_steps()->set_command("x"); }) != "");
  CHECK(problem([](auto& what, auto&) { add_step(what, "a", "true"); }) == "");
  CHECK(problem([](auto& what, auto& work) {
          add_step(what, "a", "true");
          work.add_steps();
        }) != "");
  CHECK(problem([](auto& what, auto&) { add_step(what, "a\nlost x", "true"); }) != "");
  CHECK(problem([&](auto& what, auto&) { add_step(what, "a", "x" + nul); }) != "");
  CHECK(problem([&](auto&, auto& work) { work.set_command("a" + nul + "b"); }) != "");
  CHECK(problem([&](auto&, auto& work) { work.add_arguments(nul); }) != "");
  CHECK(problem([](auto&, auto& work) { work.add_arguments("any\nother\tbyte\x7f"); }) == "");
  for (const std::string name : {"", "1A", "A-B", "A B", "A=B", "Ä", "A;id"})
    CHECK(problem([&](auto& what, auto&) { set_variable(what, name, "x"); }) != "");
  CHECK(problem([](auto& what, auto&) { set_variable(what, "_a1", "any\nbyte"); }) == "");
  CHECK(problem([&](auto& what, auto&) { set_variable(what, "A", nul); }) != "");
  for (const std::string directory : {"relative", "~/x", "/a\nb"})
    CHECK(problem([&](auto&, auto& work) { work.set_working_directory(directory); }) != "");
  for (const std::string image : {"-x", "a\nb"})
    CHECK(problem([&](auto&, auto& work) { work.set_container_image(image); }) != "");
  for (const std::string queue : {"-x", "a\nb"})
    CHECK(problem([&](auto& what, auto&) { what.spec.set_queue_name(queue); }) != "");
  for (const std::string type : {"a:2", "a,gpu", "a=1", "-a", "a\nb"})
    CHECK(problem([&](auto& what, auto&) {
            what.spec.mutable_resources()->set_gpu_type(type);
          }) != "");
}

TEST_CASE("slurm job script: no line of a job's own can be read as a directive",
          "[adapters][slurm]") {
  auto what = job_of("a\n#SBATCH --partition=evil\n", {"\n#SBATCH --uid=0\n"});
  set_variable(what, "A", "\n#SBATCH --exclusive\n");
  const auto script = batch_script(what, {});
  // sbatch(1): directives end at the first line that is neither a comment nor empty.
  const auto second = script.substr(script.find('\n') + 1);
  CHECK(script.starts_with("#!/bin/sh\n"));
  CHECK(second.starts_with("ved_token="));
}
