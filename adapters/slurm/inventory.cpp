#include "adapters/slurm/cluster_state.hpp"

namespace ved::adapters::slurm {
namespace {

/// Why a section is no answer; empty when it is one.
std::string problem_in(const section& part, const std::string& whole) {
  if (!part.complete) return whole.empty() ? "no answer" : whole;
  if (judge_failure(part.exit_code, part.err) == failure::none) return {};
  return words_of(part.err);
}

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

health slurm_cluster::check_health(call at) {
  auto made = begin();
  made.add_section("account", "id -un");
  made.add_section("queue", "squeue --noheader --user=\"$(id -un)\" -o %i");
  made.add_section("partitions", "sinfo --noheader -o %R");
  const auto got = run(std::move(made), at, {{"squeue"}, {"sinfo"}});
  health out;
  if (!got.started || !got.of("account").complete) {
    out.connection = got.problem;
    out.authentication = out.queue_access = "not tried";
    return out;
  }
  const auto& queue = got.of("queue");
  const auto failed = queue.complete ? judge_failure(queue.exit_code, queue.err)
                                     : failure::unreachable;
  // What comes after the first failure was not seen to work.
  if (failed == failure::unreachable) {
    out.connection = problem_in(queue, got.problem);
    out.authentication = out.queue_access = "not tried";
  } else if (failed == failure::authentication) {
    out.authentication = words_of(queue.err);
    out.queue_access = "not tried";
  } else if (failed != failure::none) {
    out.queue_access = words_of(queue.err);
  }
  const auto& partitions = got.of("partitions");
  if (failed == failure::none && partitions.complete && partitions.out.empty())
    out.queue_access = "no partition is open to this account";
  return out;
}

}  // namespace ved::adapters::slurm
