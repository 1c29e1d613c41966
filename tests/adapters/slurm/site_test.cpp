#include "adapters/slurm/site.hpp"

#include <catch2/catch.hpp>

using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::slurm;

namespace {

partition_row part(const std::string& name, bool is_default = false) {
  partition_row row;
  row.name = name;
  row.state = "UP";
  row.is_default = is_default;
  row.time_limit.unlimited = true;
  return row;
}

node_row node(const std::string& name, const std::string& in, int cpus, std::int64_t memory_mb,
              std::vector<gpu_kind> gpus = {}) {
  node_row row;
  row.node = name;
  row.partition = in;
  row.state = "idle";
  row.cpus = cpus;
  row.memory_mb = memory_mb;
  row.gpus = std::move(gpus);
  return row;
}

struct ask {
  std::string queue = "batch";
  int nodes = 1;
  int cpus = 1;
  int memory_gb = 0;
  int gpus = 0;
  std::string gpu_type = {};
  std::int64_t runtime_seconds = 60;
};

pb::JobSpec spec_of(const ask& what) {
  pb::JobSpec spec;
  spec.set_queue_name(what.queue);
  spec.set_max_runtime_seconds(what.runtime_seconds);
  auto& to = *spec.mutable_resources();
  to.set_nodes(what.nodes);
  to.set_cpu_cores_per_node(what.cpus);
  to.set_memory_gb_per_node(what.memory_gb);
  to.set_gpus_per_node(what.gpus);
  to.set_gpu_type(what.gpu_type);
  return spec;
}

/// Two kinds of nodes: many cores and no GPU, few cores and GPUs.
site small_site(const partition_row& batch = part("batch", true)) {
  return make_site({}, {batch, part("empty")},
                   {node("n1", "batch", 32, 65'536), node("n2", "batch", 32, 65'536),
                    node("g1", "batch", 8, 131'072, {{"a100", 2}, {"v100", 1}})});
}

/// "" when it may run.
std::string why(const ask& what, const site& there, const slurm_options& options = {}) {
  return why_never(spec_of(what), options, there).value_or("");
}

}  // namespace

TEST_CASE("slurm site: every node counts once, in whatever many partitions it is",
          "[adapters][slurm]") {
  auto used = node("n1", "batch", 32, 65'536);
  used.cpus_allocated = 8;
  used.memory_mb_allocated = 1'024;
  auto again = used;
  again.partition = "gpu";
  const auto there = make_site({}, {part("batch", true), part("gpu"), part("empty")},
                               {used, again, node("n2", "batch", 32, 65'536),
                                node("g1", "gpu", 8, 131'072, {{"a100", 2}, {"v100", 1}}),
                                node("n9", "nobody's", 2, 100)});
  CHECK(there.default_partition == "batch");
  CHECK(there.cpus_total == 32 + 32 + 8 + 2);
  CHECK(there.cpus_allocated == 8);
  CHECK(there.memory_mb_total == 2 * 65'536 + 131'072 + 100);
  CHECK(there.memory_mb_allocated == 1'024);
  CHECK(there.gpus_total == 3);
  REQUIRE(there.partitions.size() == 3);
  const auto& batch = there.partitions.at("batch");
  REQUIRE(batch.shapes.size() == 1);
  CHECK(batch.shapes[0].nodes == 2);
  CHECK(batch.shapes[0].cpus == 32);
  CHECK(there.partitions.at("gpu").shapes.size() == 2);
  CHECK(there.partitions.at("empty").shapes.empty());
}

TEST_CASE("slurm site: the inventory names the default partition first, and its limits",
          "[adapters][slurm]") {
  auto limited = part("zeta", true);
  limited.time_limit = {microseconds{seconds{7'200}}, false};
  auto closed = part("alpha");
  closed.state = "INACTIVE";
  site_config config;
  config.version = "22.05.8";
  const auto out = to_inventory(make_site(
      config, {closed, limited},
      {node("n1", "zeta", 4, 1'000, {{"", 2}}), node("n2", "zeta", 8, 500)}));
  CHECK(out.scheduler == "slurm 22.05.8");
  REQUIRE(out.queues.size() == 2);
  CHECK(out.queues[0].name == "zeta");
  CHECK(out.queues[0].nodes == 2);
  CHECK(out.queues[0].cpus_per_node_max == 8);
  CHECK(out.queues[0].memory_mb_per_node_max == 1'000);
  CHECK(out.queues[0].gpus_per_node_max == 2);
  CHECK(out.queues[0].time_limit_seconds == 7'200);
  CHECK(out.queues[0].accepts_jobs);
  CHECK_FALSE(out.queues[1].accepts_jobs);
  CHECK(out.queues[1].time_limit_seconds == 0);
}

TEST_CASE("slurm site: a job that fits may run, at the bounds too", "[adapters][slurm]") {
  auto batch = part("batch", true);
  batch.nodes_per_job_max = 3;
  batch.cpus_per_node_max = 32;
  batch.memory_mb_per_node_max = 131'072;
  batch.time_limit = {microseconds{seconds{3'600}}, false};
  const auto there = small_site(batch);
  CHECK(why({}, there) == "");
  CHECK(why({.nodes = 3, .cpus = 8, .memory_gb = 64, .runtime_seconds = 3'600}, there) == "");
  CHECK(why({.nodes = 2, .cpus = 32}, there) == "");
  CHECK(why({.memory_gb = 128}, there) == "");
  CHECK(why({.cpus = 8, .memory_gb = 128, .gpus = 3}, there) == "");
  CHECK(why({.gpus = 2, .gpu_type = "a100"}, there) == "");
  CHECK(why({.nodes = 0, .cpus = 0, .runtime_seconds = 0}, there) == "");
}

TEST_CASE("slurm site: what no node or limit allows is refused with both numbers",
          "[adapters][slurm]") {
  const auto there = small_site();
  CHECK(why({.cpus = 33}, there) == "partition batch: 33 cores per node asked, 32 there");
  CHECK(why({.memory_gb = 129}, there) ==
        "partition batch: 132096 MB of memory per node asked, 131072 there");
  CHECK(why({.gpus = 4}, there) == "partition batch: 4 GPUs per node asked, 3 there");
  CHECK(why({.gpus = 3, .gpu_type = "a100"}, there) ==
        "partition batch: 3 GPUs of type a100 per node asked, 2 there");
  CHECK(why({.gpus = 1, .gpu_type = "h100"}, there) ==
        "partition batch: 1 GPUs of type h100 per node asked, 0 there");
  CHECK(why({.nodes = 4}, there) ==
        "partition batch: 4 nodes with that many cores, memory and GPUs each asked, 3 there");

  auto limited = part("batch", true);
  limited.nodes_per_job_max = 2;
  CHECK(why({.nodes = 3}, small_site(limited)) ==
        "partition batch: 3 nodes asked, 2 there for one job");
  limited = part("batch", true);
  limited.cpus_per_node_max = 16;
  CHECK(why({.cpus = 17}, small_site(limited)) ==
        "partition batch: 17 cores per node asked, 16 there");
  limited = part("batch", true);
  limited.memory_mb_per_node_max = 4'096;
  CHECK(why({.memory_gb = 5}, small_site(limited)) ==
        "partition batch: 5120 MB of memory per node asked, 4096 there");
  limited = part("batch", true);
  limited.time_limit = {microseconds{seconds{3'600}}, false};
  CHECK(why({.runtime_seconds = 3'601}, small_site(limited)) ==
        "partition batch: a time limit of 3601 s is asked, the partition allows 3600 s");
}

TEST_CASE("slurm site: nodes that are not all shown, or without cores, refuse nothing",
          "[adapters][slurm]") {
  auto batch = part("batch", true);
  batch.nodes = 2;
  const auto never = [&](const std::vector<node_row>& nodes) {
    return why_never(spec_of({.cpus = 8}), {}, make_site({}, {batch}, nodes));
  };
  CHECK(never({node("n1", "batch", 2, 4'096), node("n2", "batch", 2, 4'096)}));
  CHECK_FALSE(never({node("n1", "batch", 2, 4'096)}));
  CHECK_FALSE(never({node("n1", "batch", 2, 4'096), node("n2", "batch", 0, 4'096)}));
}

TEST_CASE("slurm site: what different nodes have fits only if one node has it all",
          "[adapters][slurm]") {
  const auto there = small_site();
  CHECK(why({.cpus = 32, .gpus = 1}, there) ==
        "partition batch: 1 nodes with that many cores, memory and GPUs each asked, 0 there");
  CHECK(why({.nodes = 2, .cpus = 8, .memory_gb = 65}, there) ==
        "partition batch: 2 nodes with that many cores, memory and GPUs each asked, 1 there");
  CHECK(why({.cpus = 8, .memory_gb = 65, .gpus = 1}, there) == "");
}

TEST_CASE("slurm site: the default partition is judged when none is named", "[adapters][slurm]") {
  const auto there = small_site();
  for (const std::string queue : {"", "default"}) {
    CHECK(why({.queue = queue}, there) == "");
    CHECK(why({.queue = queue, .cpus = 33}, there) ==
          "partition batch: 33 cores per node asked, 32 there");
  }
  const auto without = make_site({}, {part("batch")}, {node("n1", "batch", 32, 65'536)});
  CHECK(why({.queue = ""}, without) ==
        "no partition is named, and the site has no default partition");
  CHECK(why({.queue = "batch"}, without) == "");
  slurm_options options;
  options.defaults.partition = "batch";
  CHECK(why({.queue = ""}, without, options) == "");
}

TEST_CASE("slurm site: what only Slurm can judge is left to it", "[adapters][slurm]") {
  const auto there = small_site();
  const ask large{.queue = "batch,other", .nodes = 100, .cpus = 1'000};
  CHECK(why(large, there) == "");
  CHECK(why({.queue = "hidden", .cpus = 1'000}, there) == "");
  // No node of it was shown: nothing is known of their sizes.
  CHECK(why({.queue = "empty", .cpus = 1'000}, there) == "");
}

TEST_CASE("slurm site: GPU types are compared by the site's names", "[adapters][slurm]") {
  const auto there = small_site();
  slurm_options options;
  options.gpu_types["NVIDIA A100"] = "a100";
  options.gpu_types["any"] = "";
  CHECK(why({.gpus = 2, .gpu_type = "NVIDIA A100"}, there, options) == "");
  CHECK(why({.gpus = 3, .gpu_type = "NVIDIA A100"}, there, options) ==
        "partition batch: 3 GPUs of type a100 per node asked, 2 there");
  CHECK(why({.gpus = 3, .gpu_type = "any"}, there, options) == "");
  // A type without a number asks for nothing.
  CHECK(why({.cpus = 32, .gpu_type = "h100"}, there, options) == "");
}

TEST_CASE("slurm site: a rule's partition is the one that is judged", "[adapters][slurm]") {
  const auto there = make_site({}, {part("small", true), part("large")},
                               {node("n1", "small", 4, 1'000), node("n2", "large", 64, 1'000)});
  slurm_options options;
  site_rule rule;
  rule.queue = "big";
  rule.set.partition = "large";
  options.rules.push_back(rule);
  CHECK(why({.queue = "big", .cpus = 64}, there, options) == "");
  CHECK(why({.queue = "big", .cpus = 65}, there, options) ==
        "partition large: 65 cores per node asked, 64 there");
}

TEST_CASE("slurm site: memory that Slurm does not manage or is not asked for is no obstacle",
          "[adapters][slurm]") {
  const auto spec = spec_of({.memory_gb = 1'000});
  auto there = small_site();
  CHECK(why_never(spec, {}, there));
  there.config.manages_memory = false;
  CHECK_FALSE(why_never(spec, {}, there));
  // RealMemory's default: nobody wrote what the nodes have.
  auto untold = make_site({}, {part("batch", true)}, {node("n1", "batch", 32, 1)});
  CHECK_FALSE(why_never(spec, {}, untold));
  CHECK(why_never(spec_of({.nodes = 2, .memory_gb = 1'000}), {}, untold));

  slurm_options options;
  options.memory = memory_option::none;
  CHECK_FALSE(why_never(spec, options, small_site()));
  options.memory = memory_option::mem_per_cpu;
  CHECK(why_never(spec, options, small_site()));
  options.defaults.options = {"--mem=0"};
  CHECK_FALSE(why_never(spec, options, small_site()));
  options.defaults.options = {"--mem-bind=local"};
  CHECK(why_never(spec, options, small_site()));
  auto limited = part("batch", true);
  limited.memory_mb_per_node_max = 1'000;
  options.defaults.options = {"--mem-per-cpu=10"};
  CHECK_FALSE(why_never(spec, options, small_site(limited)));
}

namespace {

/// "for good: ...", "for now: ..." or "" when it may run.
std::string refusal(const ask& what, const site& there, const slurm_options& options) {
  const auto no = refusal_of(spec_of(what), options, there);
  if (!no) return {};
  return (no->permanent ? "for good: " : "for now: ") + no->reason;
}

}  // namespace

TEST_CASE("slurm site: a partition of the operator's choice fails no job that another could run",
          "[adapters][slurm]") {
  const auto there =
      make_site({}, {part("small", true), part("large")},
                {node("n1", "small", 4, 1'000), node("n2", "large", 64, 1'000, {{"a100", 2}})});
  slurm_options options;
  options.defaults.partition = "small";
  CHECK(refusal({.queue = "", .cpus = 5}, there, options) ==
        "for now: it can never run: partition small: 5 cores per node asked, 4 there; partition "
        "large could run it, but default_partition 'small' of the configuration sends it there");
  CHECK(refusal({.queue = "", .cpus = 65}, there, options) ==
        "for good: it can never run: partition small: 65 cores per node asked, 4 there");
  // The customer's own choice, and Slurm's.
  CHECK(refusal({.queue = "small", .cpus = 5}, there, {}) ==
        "for good: it can never run: partition small: 5 cores per node asked, 4 there");
  CHECK(refusal({.queue = "", .cpus = 5}, there, {}) ==
        "for good: it can never run: partition small: 5 cores per node asked, 4 there");

  const auto without = make_site({}, {part("batch")}, {node("n1", "batch", 32, 65'536)});
  CHECK(refusal({.queue = ""}, without, {}) ==
        "for now: it can never run: no partition is named, and the site has no default partition; "
        "default_partition of the configuration names none");

  slurm_options named;
  named.gpu_types["A100"] = "nvidia_a100";
  CHECK(refusal({.queue = "large", .gpus = 1, .gpu_type = "A100"}, there, named) ==
        "for now: it can never run: partition large: 1 GPUs of type nvidia_a100 per node asked, "
        "0 there; the cause is gpu_types 'A100' = 'nvidia_a100' of the configuration");
}

TEST_CASE("slurm site: what the operator's own options change is left to Slurm",
          "[adapters][slurm]") {
  slurm_options options;
  for (const std::string one : {"--partition=other", "--qos=long", "--time=10", "--nodes=1"}) {
    options.defaults.options = {one};
    INFO(one);
    CHECK(refusal({.cpus = 33}, small_site(), options) == "");
  }
  options.defaults.options = {"--nodelist=n1"};
  CHECK(refusal({.cpus = 33}, small_site(), options) != "");
}

TEST_CASE("slurm site: the longest limit of the job's partitions, where that is shorter",
          "[adapters][slurm]") {
  auto hour = part("hour", true);
  hour.time_limit = {microseconds{seconds{3'630}}, false};
  auto day = part("day");
  day.time_limit = {microseconds{seconds{86'400}}, false};
  const auto there = make_site({}, {hour, day, part("ever")}, {node("n1", "hour", 4, 1'000)});
  const auto limit = [&](const std::string& queue, std::int64_t asked,
                         const slurm_options& options = {}) {
    return shorter_limit(spec_of({.queue = queue, .runtime_seconds = asked}), options, there)
        .value_or(0);
  };
  CHECK(limit("", 86'400) == 3'600);  // Slurm counts whole minutes
  CHECK(limit("hour", 3'600) == 0);
  CHECK(limit("hour,day", 100'000) == 86'400);
  CHECK(limit("ever", 100'000) == 0);
  CHECK(limit("hour,ever", 100'000) == 0);
  CHECK(limit("hidden", 100'000) == 0);
  slurm_options options;
  options.defaults.options = {"--time=10"};
  CHECK(limit("hour", 86'400, options) == 0);
}
