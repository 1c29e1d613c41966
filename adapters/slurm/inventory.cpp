#include <algorithm>
#include <iterator>

#include "adapters/slurm/cluster_state.hpp"
#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/records.hpp"
#include "adapters/slurm/watched.hpp"
#include "adapters/slurm/web_token.hpp"

namespace ved::adapters::slurm {
namespace {

/// Why a section is no answer; empty when it is one.
std::string problem_in(const section& part, const std::string& whole) {
  if (!part.complete) return whole.empty() ? "no answer" : whole;
  if (judge_failure(part.exit_code, part.err) == failure::none) return {};
  return words_of(part.err);
}

/// The same of a command that always prints something, if it only ran and told nothing.
std::string mute_in(const section& part, std::string problem) {
  if (problem.empty() && trim(part.out).empty()) return "it printed nothing";
  return problem;
}

/// What sbatch --test-only says of a job that would be accepted and wait (slurm_errno.c).
constexpr std::string_view no_room_now[] = {
    "Requested node configuration is not available",
    "Requested partition configuration not available now", "Required node not available",
    "Requested nodes are busy"};

constexpr const char* partitions_command = "scontrol show partition -o --all";

std::string nodes_command(const std::string& separator) {
  return "sinfo --noheader --noconvert --all --Node -O " + quote(sinfo_format(separator));
}

/// Sections of the health check that no job needs.
constexpr std::pair<const char*, const char*> optional_questions[] = {
    {"config", "scontrol show config"},
    {"nodes", "sinfo"},
    {"partitions", "scontrol show partition"},
    {"sacct", "sacct"}};

bool hangs_up(const std::string& err) {
  return err.find("Zero Bytes were transmitted") != std::string::npos ||
         err.find("Unspecified error") != std::string::npos;
}

}  // namespace

/// What the configuration calls the cluster, and what it calls itself.
std::string slurm_cluster::cluster_mismatch(const std::string& config) const {
  const auto told = parse_config(config);
  return told ? stranger(told->cluster_name) : std::string{};
}

std::string slurm_cluster::stranger(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const bool named = !options_.cluster_name.empty();
  const auto& ours = named ? options_.cluster_name : home_;
  if (ours.empty() || name.empty() || name == ours) return {};
  return (named ? "cluster_name is " : "the cluster was ") + ours +
         ", but the Slurm that answers is " + name +
         " (scontrol show config): jobs would run there, so none is sent. " +
         (named ? "Set clusters, or conf_file, or put cluster_name right"
                : "Set clusters or conf_file; if the cluster was renamed, start ved once with "
                  "--give-up-jobs-of " + options_.cluster + ", which finds what it still knows");
}

/// Two answers in a row make it known: one may be anybody's.
void slurm_cluster::meet(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (home_.empty() && !name.empty() && name == met_) home_ = name;
  met_ = name;
  tells_config_ = true;
}

std::string slurm_cluster::why_deaf(const section& config) const {
  if (parse_config(config.out)) return {};
  const std::lock_guard lock(mutex_);
  const bool mute = config.complete && config.exit_code == 0;
  if (!mute && !tells_config_) return {};
  const auto words = words_of(config.err);
  return "Slurm's commands do not tell: scontrol show config gives no configuration" +
         (words.empty() ? "" : ": " + words);
}

/// Best effort: what a site does not tell is absent, and said so. Only a cluster of which nothing
/// at all can be heard is an error.
result<inventory> slurm_cluster::take_inventory(call at) {
  const auto asked_at = std::chrono::steady_clock::now();
  const std::unique_lock alone(inventorying_, at.until);
  if (!alone)
    return fail(errc::unavailable,
                "cluster " + options_.cluster + ": an inventory is still under way");
  {
    const std::lock_guard lock(mutex_);
    if (inventory_at_ > asked_at) return inventory_;
  }
  auto made = begin();
  const auto separator = made.separator();
  made.add_section("config", "scontrol show config");
  made.add_section("nodes", nodes_command(separator));
  made.add_section("partitions", partitions_command);
  made.add_section("counts", "sdiag");
  const auto got = run(std::move(made), at, {{"scontrol", 2}, {"sinfo"}, {"sdiag"}});
  std::vector<std::string> notes;
  bool answers = false;
  const auto usable = [&](const char* name, const char* command) {
    const auto& part = got.of(name);
    const auto problem = mute_in(part, problem_in(part, got.problem));
    const auto says = part.complete ? judge_failure(part.exit_code, part.err)
                                    : failure::unreachable;
    answers = answers || (says != failure::unreachable && says != failure::authentication);
    if (!problem.empty()) notes.push_back(std::string(command) + ": " + problem);
    return problem.empty();
  };
  site_config config;
  {
    const std::lock_guard lock(mutex_);
    if (site_) config = site_->config;
  }
  if (usable("config", "scontrol show config")) {
    if (auto told = parse_config(got.of("config").out)) config = std::move(*told);
    else notes.push_back(told.error().message);
  }
  const auto unread = [&](const damage& rows, const char* command) {
    if (rows.damaged > 0)
      notes.push_back(std::string(command) + ": cannot read '" + rows.first_damaged + "'" +
                      (rows.damaged > 1 ? " and " + std::to_string(rows.damaged - 1) + " more"
                                        : ""));
    return rows.damaged > 0;
  };
  table<node_row> nodes;
  const bool nodes_told = usable("nodes", "sinfo");
  if (nodes_told) nodes = parse_sinfo(got.of("nodes").out, separator);
  const bool nodes_unread = unread(nodes, "sinfo");
  table<partition_row> partitions;
  const bool partitions_told = usable("partitions", "scontrol show partition");
  if (partitions_told) partitions = parse_partitions(got.of("partitions").out);
  const bool partitions_unread = unread(partitions, "scontrol show partition");
  job_counts counts;
  if (usable("counts", "sdiag")) counts = parse_counts(got.of("counts").out);
  if (!answers) {
    const auto why = notes.empty() ? std::string("no answer") : notes.front();
    return fail(errc::unavailable, "cluster " + options_.cluster + ": " + why);
  }

  auto made_site = make_site(std::move(config), partitions.rows, nodes.rows);
  made_site.nodes_told = nodes_told && (!nodes.rows.empty() || !nodes_unread);
  made_site.all_nodes = nodes_told && !nodes_unread;
  // A site that shows none at all has told nothing.
  made_site.all_partitions = partitions_told && !partitions_unread && !partitions.rows.empty();
  auto out = to_inventory(made_site);
  out.jobs_queued = counts.pending;
  out.jobs_running = counts.running;
  out.notes = std::move(notes);
  if (stranger(made_site.config.cluster_name).empty()) {
    meet(made_site.config.cluster_name);
  }
  const std::lock_guard lock(mutex_);
  if (home_ == made_site.config.cluster_name) out.cluster_name = home_;
  out.account = account_;
  if (!made_site.config.version.empty()) accounting_ = made_site.config.accounting;
  site_ = std::make_shared<const site>(std::move(made_site));
  inventory_ = out;
  inventory_at_ = std::chrono::steady_clock::now();
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
  const auto separator = made.separator();
  // The poll's own question: a site's own squeue may answer others.
  made.add_section("queue", squeue_command({}, separator));
  made.add("ved_up=$ved_rc\n");
  if (const auto& bin = options_.shell.bin_directory; !bin.empty())
    made.add_section("commands", "[ -x " + quote(bin + "/sbatch") + " ]");
  made.add_section("directory", "(umask 077; mkdir -p \"$ved_jobs\") && [ -w \"$ved_jobs\" ]");
  made.add_section("trial", trial + " <<'ved_script'\n#!/bin/sh\nved_script");
  // Each of these would wait for a controller that is away once more.
  const std::string if_up = "[ $ved_up -eq 0 ] && ";
  made.add_section("config", if_up + "scontrol show config");
  made.add_section("nodes", if_up + nodes_command(separator));
  made.add_section("partitions", if_up + partitions_command);
  if (asks_accounting())
    made.add_section("sacct", if_up + "sacct " + clusters_option({}) + " -X -j 1");
  const auto got = run(std::move(made), at,
                       {{"squeue"}, {"sbatch"}, {"scontrol", 2}, {"sinfo"},
                        {"sacct", asks_accounting() ? 1 : 0}});
  // What comes after the first failure was not seen to work.
  constexpr const char* not_tried = "not tried";
  const auto with = [](std::string connection, std::string authentication, std::string queue) {
    return health{std::move(connection), std::move(authentication), std::move(queue), {}};
  };
  if (got.denied) return with("", got.problem, not_tried);
  if (const auto& token = options_.shell.token; got.started && !token.empty())
    if (auto lapsed = token_problem(token.reveal(), options_.clock()); !lapsed.empty())
      return with("", std::move(lapsed), not_tried);
  if (!got.started || !got.of("account").complete) return with(got.problem, not_tried, not_tried);
  const auto& queue = got.of("queue");
  const auto says = queue.complete ? judge_failure(queue.exit_code, queue.err)
                                   : failure::unreachable;
  if (const auto& part = got.of("commands"); part.complete && part.exit_code != 0)
    return with("", "", "bin_directory " + options_.shell.bin_directory + ": there is no sbatch");
  // Slurm tells a token that it does not take by hanging up.
  if (says == failure::unreachable && !options_.shell.token.empty() && hangs_up(queue.err))
    return with("", "SLURM_JWT is not accepted: " + words_of(queue.err), not_tried);
  if (says == failure::unreachable)
    return with(problem_in(queue, got.problem), not_tried, not_tried);
  if (says == failure::authentication) return with("", words_of(queue.err), not_tried);
  const auto rows = parse_squeue(queue.out, {}, separator);
  const bool no_table = rows.damaged > 0 && rows.rows.empty() && rows.texts.empty();
  if (says != failure::none || no_table)
    return with("", "", says != failure::none
                            ? words_of(queue.err)
                            : "squeue: cannot read '" + rows.first_damaged + "'");
  if (!rows.is_told() && rows.damaged == 0)
    return with("", "", "squeue: " + std::string(printed_nothing));
  const auto& directory = got.of("directory");
  if (!directory.complete || directory.exit_code != 0)
    return with("", "", "job_directory " + options_.shell.job_directory + ": " +
                            (!directory.complete ? problem_in(directory, got.problem)
                             : directory.err.empty() ? "cannot be written"
                                                     : words_of(directory.err)));
  const auto& tried = got.of("trial");
  if (!tried.complete) return with("", "", problem_in(tried, got.problem));
  // What a rule gives to some jobs only, the trial lacks; and nodes that are away may come back.
  const bool ruled = std::any_of(options_.rules.begin(), options_.rules.end(), [](const auto& one) {
    return !one.queue.empty() || !one.offering.empty() || !one.customer.empty();
  });
  const bool waits = std::any_of(std::begin(no_room_now), std::end(no_room_now), [&](auto words) {
    return tried.err.find(words) != std::string::npos;
  });
  if (tried.exit_code != 0 && !ruled && !waits)
    return with("", "", "a job of a minute: " + words_of(tried.err));
  const auto& config = got.of("config");
  // Without it no job is ever taken for one that is gone.
  const bool mute = config.complete && config.exit_code == 0 && !parse_config(config.out);
  auto well = with("", "", mute ? why_deaf(config) : cluster_mismatch(config.out));
  for (const auto& [name, command] : optional_questions)
    if (const auto problem = mute_in(got.of(name), problem_in(got.of(name), got.problem));
        !problem.empty() && got.sections.contains(name))
      well.notes.push_back(std::string(command) + ": " + problem);
  return well;
}

}  // namespace ved::adapters::slurm
