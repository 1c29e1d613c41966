#include "adapters/slurm/settings.hpp"

#include <catch2/catch.hpp>

#include "adapters/slurm/errors.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::slurm;

namespace {

submission job_of(const std::string& queue = "default") {
  submission what;
  what.job = job_id{"j-1"};
  what.token = submission_token{"veaaaaaaaaaaaa"};
  what.spec.set_queue_name(queue);
  what.spec.set_max_runtime_seconds(3'600);
  what.spec.mutable_resources()->set_cpu_cores_per_node(1);
  return what;
}

std::string failed(const std::string& cause) {
  return "sbatch: error: Batch job submission failed: " + cause + "\n";
}

refused verdict(const std::string& text, const submission& what, const slurm_options& site) {
  const auto outcome = judge_sbatch(1, text);
  REQUIRE(std::holds_alternative<refused>(outcome));
  return with_settings(std::get<refused>(outcome), text, what, site);
}

/// What is said behind sbatch's own words, with "for good" in front where it is; "" is the job's.
std::string cause(const std::string& text, const submission& what, const slurm_options& site) {
  const auto outcome = verdict(text, what, site);
  const auto said = std::get<refused>(judge_sbatch(1, text)).reason;
  REQUIRE(outcome.reason.starts_with(said));
  if (outcome.permanent) return outcome.reason == said ? "for good" : "for good, but explained";
  return outcome.reason.substr(said.size());
}

}  // namespace

TEST_CASE("slurm settings: a value of the configuration that Slurm refuses is no fault of the job",
          "[adapters][slurm]") {
  slurm_options site;
  site.defaults.partition = "nosuch";
  site.defaults.qos = "gold";
  site.defaults.account = "acc";
  site.defaults.constraint = "ib";
  site.defaults.reservation = "r1";
  site.defaults.licenses = "l:1";
  const auto job = job_of();
  CHECK(cause(failed("Invalid qos specification"), job, site) ==
        "; the cause is qos 'gold' of the configuration");
  CHECK(cause(failed("Invalid partition name specified"), job, site) ==
        "; the cause may be default_partition 'nosuch' of the configuration");
  CHECK(cause(failed("Invalid account or account/partition combination specified"), job, site) ==
        "; the cause is default_partition 'nosuch' of the configuration or account 'acc' of the "
        "configuration");
  CHECK(cause(failed("Invalid feature specification"), job, site) ==
        "; the cause is constraint 'ib' of the configuration");
  CHECK(cause(failed("Requested reservation is invalid"), job, site) ==
        "; the cause is reservation 'r1' of the configuration");
  CHECK(cause(failed("Access denied to requested reservation"), job, site) ==
        "; the cause is reservation 'r1' of the configuration");
  CHECK(cause(failed("Invalid license specification"), job, site) ==
        "; the cause is licenses 'l:1' of the configuration");
  // What the job asks for and what we add to it can both be too much.
  CHECK(cause(failed("Requested node configuration is not available"), job, site) ==
        "; the cause may be default_partition 'nosuch' of the configuration or constraint 'ib' of "
        "the configuration or reservation 'r1' of the configuration or licenses 'l:1' of the "
        "configuration");
}

TEST_CASE("slurm settings: what the job itself asks for is refused for good", "[adapters][slurm]") {
  slurm_options site;
  site.defaults.partition = "batch";
  site.defaults.qos = "gold";
  const auto job = job_of("gpuu");
  for (const auto* text :
       {"Invalid partition name specified", "Requested node configuration is not available",
        "Memory required by task is not available",
        "Invalid generic resource (gres) specification"}) {
    INFO(text);
    CHECK(cause(failed(text), job, site) == "for good");
  }
  // Also where the configuration names the same one.
  site.defaults.partition = "gpuu";
  CHECK(cause(failed("Invalid partition name specified"), job, site) == "for good");
  auto with_gpu = job_of("gpu");
  with_gpu.spec.mutable_resources()->set_gpus_per_node(1);
  with_gpu.spec.mutable_resources()->set_gpu_type("h100");
  CHECK(cause("sbatch: error: Invalid --gpus-per-node specification\n", with_gpu, site) ==
        "for good");
  // A script is the job's.
  CHECK(cause("sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n", job, site) ==
        "for good");
}

TEST_CASE("slurm settings: options, rules and names of GPUs are the operator's",
          "[adapters][slurm]") {
  slurm_options site;
  site_rule rule;
  rule.queue = "gpu";
  rule.set.partition = "gpu-a100";
  rule.set.qos = "premium";
  rule.set.options = {"--foo=bar", "--mail-type=END"};
  site.rules = {rule};
  site.gpu_types["A100"] = "nvidia_a100";
  auto job = job_of("gpu");
  job.spec.mutable_resources()->set_gpus_per_node(1);
  job.spec.mutable_resources()->set_gpu_type("A100");
  CHECK(cause(failed("Invalid qos specification"), job, site) ==
        "; the cause is qos 'premium' of a rule of the configuration");
  CHECK(cause(failed("Invalid partition name specified"), job, site) ==
        "; the cause may be partition 'gpu-a100' of a rule of the configuration");
  // The text names the option: no other one is meant.
  CHECK(cause("sbatch: unrecognized option '--foo=bar'\nTry \"sbatch --help\" for more "
              "information\n", job, site) ==
        "; the cause is option '--foo=bar' of the configuration");
  CHECK(cause("sbatch: error: Invalid numeric value \"x\" for something.\n", job, site) ==
        "; the cause is option '--foo=bar' of the configuration or option '--mail-type=END' of "
        "the configuration");
  CHECK(cause(failed("Invalid generic resource (gres) specification"), job, site) ==
        "; the cause may be gpu_types 'A100' = 'nvidia_a100' of the configuration or partition "
        "'gpu-a100' of a rule of the configuration");
}

TEST_CASE("slurm settings: what no job can ask for is never its fault", "[adapters][slurm]") {
  const slurm_options site;
  const auto job = job_of("batch");
  const std::string of_account =
      "; the job asked for nothing of the kind: the cause lies in the site's settings of the "
      "account";
  for (const auto* text : {"Invalid qos specification", "Access/permission denied",
                           "Invalid wckey specification"}) {
    INFO(text);
    CHECK(cause(failed(text), job, site) == of_account);
  }
  CHECK(cause(failed("No partition specified or system default partition"), job_of(), site) ==
        "; the site has no default partition, and default_partition of the configuration names "
        "none");
  CHECK(cause("sbatch: unrecognized option '--gpus-per-node=2'\n", job, site)
            .starts_with("; the sbatch there does not take what gpu_option"));
}

TEST_CASE("slurm settings: a limit that is only the daemon's default ends no job",
          "[adapters][slurm]") {
  auto job = job_of("batch");
  const auto text = failed("Requested time limit is invalid (missing or exceeds some limit)");
  CHECK(cause(text, job, {}) == "for good");
  job.limit_is_default = true;
  CHECK(cause(text, job, {}) ==
        "; the cause may be the time limit of 3600 s by job_timeout_default of the configuration");
}
