#include <algorithm>
#include <iterator>

#include "adapters/slurm/cluster_state.hpp"
#include "adapters/slurm/job_script.hpp"

namespace ved::adapters::slurm {
namespace {

/// Why a section is no answer; empty when it is one.
std::string problem_in(const section& part, const std::string& whole) {
  if (!part.complete) return whole.empty() ? "no answer" : whole;
  if (judge_failure(part.exit_code, part.err) == failure::none) return {};
  return words_of(part.err);
}

/// What sbatch --test-only says of a job that would be accepted and wait (slurm_errno.c).
constexpr std::string_view no_room_now[] = {
    "Requested node configuration is not available",
    "Requested partition configuration not available now", "Required node not available",
    "Requested nodes are busy"};

}  // namespace

result<inventory> slurm_cluster::take_inventory(call at) {
  auto made = begin();
  made.add_section("config", "scontrol show config");
  made.add_section("nodes",
                   "sinfo --noheader --noconvert --all --Node -O " + quote(sinfo_format()));
  made.add_section("partitions", "scontrol show partition -o --all");
  const auto got = run(std::move(made), at, {{"scontrol", 2}, {"sinfo"}});
  for (const auto* name : {"config", "nodes", "partitions"})
    if (const auto problem = problem_in(got.of(name), got.problem); !problem.empty())
      return fail(errc::unavailable, "cluster " + options_.cluster + ": " + problem);
  auto config = parse_config(got.of("config").out);
  if (!config) return fail_in("cluster " + options_.cluster, config.error());
  const auto nodes = parse_sinfo(got.of("nodes").out);
  const auto partitions = parse_partitions(got.of("partitions").out);
  if (nodes.damaged + partitions.damaged > 0)
    return fail(errc::unavailable, "cluster " + options_.cluster + ": cannot read '" +
                                       (nodes.damaged > 0 ? nodes : table<node_row>{})
                                           .first_damaged +
                                       partitions.first_damaged + "'");
  auto made_site =
      std::make_shared<const site>(make_site(std::move(*config), partitions.rows, nodes.rows));
  auto out = to_inventory(*made_site);
  const std::lock_guard lock(mutex_);
  accounting_ = made_site->config.accounting;
  site_ = std::move(made_site);
  out.jobs_queued = queued_;
  out.jobs_running = running_;
  return out;
}

/// What a customer's job needs is tried, as far as that leaves nothing behind.
health slurm_cluster::check_health(call at) {
  submission least;
  least.job = job_id{"health-check"};
  least.token = submission_token{"ved-health-check"};
  least.spec.set_max_runtime_seconds(60);
  std::string trial = "sbatch --test-only";
  for (const auto& option : sbatch_options(least, options_)) trial += " " + quote(option);
  auto made = begin();
  made.add_section("account", "id -un");
  made.add_section("queue", "squeue --noheader --user=\"$(id -un)\" -o %i");
  if (const auto& bin = options_.shell.bin_directory; !bin.empty())
    made.add_section("commands", "[ -x " + quote(bin + "/sbatch") + " ]");
  made.add_section("directory", "(umask 077; mkdir -p \"$ved_jobs\") && [ -w \"$ved_jobs\" ]");
  made.add_section("trial", trial + " <<'ved_script'\n#!/bin/sh\nved_script");
  const auto got = run(std::move(made), at, {{"squeue"}, {"sbatch"}});
  // What comes after the first failure was not seen to work.
  constexpr const char* not_tried = "not tried";
  if (got.denied) return {"", got.problem, not_tried};
  if (!got.started || !got.of("account").complete) return {got.problem, not_tried, not_tried};
  const auto& queue = got.of("queue");
  const auto says = queue.complete ? judge_failure(queue.exit_code, queue.err)
                                   : failure::unreachable;
  if (const auto& part = got.of("commands"); part.complete && part.exit_code != 0)
    return {"", "", "bin_directory " + options_.shell.bin_directory + ": there is no sbatch"};
  if (says == failure::unreachable)
    return {problem_in(queue, got.problem), not_tried, not_tried};
  if (says == failure::authentication) return {"", words_of(queue.err), not_tried};
  if (says != failure::none) return {"", "", words_of(queue.err)};
  const auto& directory = got.of("directory");
  if (!directory.complete || directory.exit_code != 0)
    return {"", "", "job_directory " + options_.shell.job_directory + ": " +
                        (!directory.complete ? problem_in(directory, got.problem)
                         : directory.err.empty() ? "cannot be written"
                                                 : words_of(directory.err))};
  const auto& tried = got.of("trial");
  if (!tried.complete) return {"", "", problem_in(tried, got.problem)};
  // What a rule gives to some jobs only, the trial lacks; and nodes that are away may come back.
  const bool ruled = std::any_of(options_.rules.begin(), options_.rules.end(), [](const auto& one) {
    return !one.queue.empty() || !one.offering.empty() || !one.customer.empty();
  });
  const bool waits = std::any_of(std::begin(no_room_now), std::end(no_room_now), [&](auto words) {
    return tried.err.find(words) != std::string::npos;
  });
  if (tried.exit_code != 0 && !ruled && !waits)
    return {"", "", "a job of a minute: " + words_of(tried.err)};
  return {};
}

}  // namespace ved::adapters::slurm
