#include <algorithm>

#include "adapters/local/cluster_state.hpp"

namespace ved::adapters::local {

namespace {

/// Ids are reserved on disk in blocks: one sync for so many submissions.
constexpr std::uint64_t id_block = 1000;
constexpr std::size_t spec_bytes_max = 2u << 20;

bool has_nul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

std::optional<std::string> problem_of_command(const std::string& where, const std::string& command,
                                              const auto& arguments) {
  if (command.empty()) return where + ": no command";
  if (has_nul(command) || std::any_of(arguments.begin(), arguments.end(), has_nul)) {
    return where + ": holds a NUL byte, which no process can receive";
  }
  return std::nullopt;
}

std::optional<std::string> problem_of_workload(const pb::WorkloadSpec& workload) {
  if (workload.is_preconfigured() || !workload.preconfigured_workload_id().empty()) {
    return "workload_spec: the local scheduler has no preconfigured workloads";
  }
  if (!workload.container_image().empty()) {
    return "workload_spec.container_image: the local scheduler runs no containers";
  }
  if (workload.steps().empty()) {
    const auto problem =
        problem_of_command("workload_spec.command", workload.command(), workload.arguments());
    if (problem) return problem;
  } else if (!workload.command().empty()) {
    return "workload_spec: has both a command and steps";
  }
  for (int i = 0; i < workload.steps_size(); ++i) {
    const pb::Step& step = workload.steps(i);
    const auto problem = problem_of_command("workload_spec.steps[" + std::to_string(i) + "]",
                                            step.command(), step.arguments());
    if (problem) return problem;
  }
  for (const pb::EnvironmentVariable& variable : workload.environment()) {
    if (variable.name().empty() || has_nul(variable.name()) || has_nul(variable.value()) ||
        variable.name().find('=') != std::string::npos) {
      return "workload_spec.environment: a name is empty or holds '=', or something holds NUL";
    }
  }
  const std::string& directory = workload.working_directory();
  if (!directory.empty() && (directory[0] != '/' || has_nul(directory))) {
    return "workload_spec.working_directory: must be an absolute path";
  }
  return std::nullopt;
}

std::string more_than(const char* what, std::int64_t asked, std::int64_t there) {
  return std::string(what) + ": " + std::to_string(asked) + " asked, this machine has " +
         std::to_string(there);
}

}  // namespace

std::optional<refused> local_cluster::check(const submission& what) const {
  const auto no = [](std::string reason) { return refused{true, std::move(reason)}; };
  const pb::JobSpec& spec = what.spec;
  if (!is_valid_token(what.token)) return no("token: not 1 to 64 letters, digits, '-' or '_'");
  if (what.job.empty() || what.job.str().size() > 64) return no("job_id: not 1 to 64 bytes");
  if (const auto problem = problem_of_workload(spec.workload_spec())) return no(*problem);
  if (has_nul(spec.cluster_id()) || has_nul(spec.offering_id()) || has_nul(what.job.str())) {
    return no("job_id, cluster_id or offering_id: holds a NUL byte");
  }
  const pb::Resources& asked = spec.resources();
  if (asked.nodes() > 1) return no(more_than("resources.nodes", asked.nodes(), 1));
  if (asked.nodes() < 0 || asked.cpu_cores_per_node() < 0 || asked.memory_gb_per_node() < 0 ||
      asked.gpus_per_node() < 0 || spec.max_runtime_seconds() < 0) {
    return no("resources: must not be negative");
  }
  if (asked.cpu_cores_per_node() > options_.cpus) {
    return no(more_than("resources.cpu_cores_per_node", asked.cpu_cores_per_node(), options_.cpus));
  }
  if (static_cast<std::int64_t>(asked.memory_gb_per_node()) * 1024 > options_.memory_mb) {
    return no(more_than("resources.memory_gb_per_node", asked.memory_gb_per_node(),
                        options_.memory_mb / 1024));
  }
  if (asked.gpus_per_node() > options_.gpus) {
    return no(more_than("resources.gpus_per_node", asked.gpus_per_node(), options_.gpus));
  }
  if (asked.gpus_per_node() > 0 && !asked.gpu_type().empty() && !options_.gpu_type.empty() &&
      asked.gpu_type() != options_.gpu_type) {
    return no("resources.gpu_type: this machine has " + options_.gpu_type);
  }
  const std::string& queue = spec.queue_name();
  if (!queue.empty() && queue != "default" && queue != "local" &&
      std::find(options_.queues.begin(), options_.queues.end(), queue) == options_.queues.end()) {
    return no("queue_name: no queue is called " + queue);
  }
  if (spec.ByteSizeLong() > spec_bytes_max) {
    return no("the spec is larger than " + std::to_string(spec_bytes_max) + " bytes");
  }
  return std::nullopt;
}

result<std::uint64_t> local_cluster::draw_id(const guard&) {
  if (next_id_ >= next_id_saved_) {
    const std::uint64_t reserved = next_id_ + id_block;
    if (auto saved = save_next_id(reserved); !saved) return fail(saved.error());
    next_id_saved_ = reserved;
  }
  return next_id_++;
}

submit_outcome local_cluster::begin_submission(const submission& what, scheduler::deadline until,
                                               std::uint64_t& id) {
  if (const auto no = check(what)) return *no;
  if (const auto claim = spool_.read_claim(what.job);
      claim && claim->token != what.token && claim->is_of_other_spec(spec_hash_hex(what.spec))) {
    return refused{true, "job id " + what.job.str() + " was used before on this cluster, for a job "
                             "with another spec (" + claim->token.str() +
                             "); that one is not this job: submit it under another id"};
  }
  guard lock(mutex_);
  const bool free = written_.wait_until(
      lock, until, [&] { return !busy_.contains(what.token.str()) || stopping_; });
  if (!free || stopping_) {
    return unknown_outcome{"another submission with the same token is under way"};
  }
  if (const entry* known = find_entry(what.token)) {
    if (known->job != what.job) {
      return refused{true, "the token belongs to job " + known->job.str()};
    }
    return accepted{scheduler_job_id(std::to_string(known->id))};
  }
  if (const auto bad = damaged_.find(what.token.str()); bad != damaged_.end()) {
    return unknown_outcome{bad->second};
  }
  if (std::chrono::steady_clock::now() >= until) return not_sent{"the deadline had passed"};
  if (!site_problem_.empty()) return not_sent{.reason = site_problem_, .site_fault = true};
  if (queued_ + busy_.size() >= options_.queued_max) {
    return refused{false, "the queue is full: " + std::to_string(options_.queued_max) + " jobs"};
  }
  const auto drawn = draw_id(lock);
  if (!drawn) {
    note_failed_write(drawn.error());
    return not_sent{.reason = drawn.error().message, .site_fault = true};
  }
  id = *drawn;
  busy_.insert(what.token.str());
  return accepted{scheduler_job_id(std::to_string(id))};
}

/// Makes jobs of submissions whose tokens are ours for now; `places[i]` is where the outcome of
/// `batch[i]` belongs.
void local_cluster::store(std::vector<pb::LocalJob>& batch, const std::vector<std::size_t>& places,
                          std::vector<submit_outcome>& outcomes) {
  if (batch.empty()) return;
  const auto written = spool_.write_jobs(batch, !options_.run_as.empty());
  std::vector<bool> gone(batch.size(), false);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (written[i]) continue;
    // A spec that was renamed into place may come back after a crash even if it is removed now.
    const submission_token token(batch[i].token());
    gone[i] = !exists(spool_.job_file(token, "spec"));
    if (gone[i]) (void)spool_.remove_remains(token);
  }
  const guard lock(mutex_);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    busy_.erase(batch[i].token());
    if (gone[i]) {
      const auto& why = written[i].error();
      // No job can help that a directory takes nothing; something else in its place is its own.
      const bool site_fault = why.code == errc::unavailable;
      if (site_fault) note_failed_write(why);
      outcomes[places[i]] = not_sent{.reason = why.message, .site_fault = site_fault};
      continue;
    }
    // Also when something failed: the job is there for now, and a lookup will say so.
    enqueue(insert(batch[i]));
    if (!written[i]) outcomes[places[i]] = unknown_outcome{written[i].error().message};
  }
  batch.clear();
  written_.notify_all();
}

std::vector<submit_outcome> local_cluster::submit(std::span<const submission> jobs,
                                                  scheduler::deadline until) {
  std::vector<submit_outcome> outcomes;
  outcomes.reserve(jobs.size());
  std::vector<pb::LocalJob> batch;
  std::vector<std::size_t> places;
  std::unordered_set<std::string> tokens;
  const auto flush = [&] {
    store(batch, places, outcomes);
    places.clear();
  };
  for (const submission& what : jobs) {
    // A second copy of a token in the same call must find the first one complete.
    if (!tokens.insert(what.token.str()).second) flush();
    std::uint64_t id = 0;
    outcomes.push_back(begin_submission(what, until, id));
    if (id == 0) continue;
    places.push_back(outcomes.size() - 1);
    pb::LocalJob& next = batch.emplace_back();
    next.set_id(id);
    next.set_token(what.token.str());
    next.set_job_id(what.job.str());
    next.set_attempt(what.attempt);
    next.set_submitted_at_us(to_us(options_.clock()));
    *next.mutable_spec() = what.spec;
    next.set_spec_hash(spec_hash_hex(what.spec));
  }
  flush();
  wake();
  return outcomes;
}

}  // namespace ved::adapters::local
