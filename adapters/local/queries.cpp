#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "adapters/local/cluster_state.hpp"

namespace ved::adapters::local {

namespace {

constexpr std::uint32_t output_bytes_max = 1u << 20;
/// So many jobs behind the next one are told that they wait for it.
constexpr std::size_t told_in_line_max = 16;
/// A supervisor writes the first status at once after the claim.
constexpr seconds status_wait{1};

enum class presence { there, not_there, no_answer };

presence look(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return presence::there;
  return errno == ENOENT ? presence::not_there : presence::no_answer;
}

job_status to_status(const pb::LocalJobStatus& from) {
  job_status to;
  to.state = from.state();
  to.reason = from.reason();
  to.started_at = from_us(from.started_at_us());
  to.finished_at = from_us(from.finished_at_us());
  to.ends_by = from_us(from.ends_by_us());
  to.exit_code = from.exit_code();
  to.exit_signal = from.exit_signal();
  if (from.has_usage()) to.usage = from.usage();
  if (!from.lost_claim_to().empty()) to.lost_claim_to = submission_token(from.lost_claim_to());
  return to;
}

/// "1 core", "2 cores"
std::string counted(std::int64_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

}  // namespace

find_outcome local_cluster::find_one(const lookup& what) {
  const submission_token& token = what.token;
  if (!is_valid_token(token)) return absent{"no job can have such a token"};
  const guard lock(mutex_);
  if (const entry* job = find_entry(token)) {
    if (!what.spec_hash.empty() && !job->spec_hash.empty() && what.spec_hash != job->spec_hash) {
      return not_known{"the token belongs to job " + job->job.str() + " with another spec"};
    }
    return found{{scheduler_job_id(std::to_string(job->id))}};
  }
  if (busy_.contains(token.str())) return not_known{"its submission is under way"};
  if (const auto bad = damaged_.find(token.str()); bad != damaged_.end()) {
    return not_known{bad->second};
  }
  // First source: the spool itself. Second one: the files that supervisors write for themselves.
  const presence in_spool = look(spool_.job_directory(token));
  const presence at_supervisors = look(spool_.supervisor_path(token));
  if (in_spool == presence::not_there && at_supervisors == presence::not_there && is_in_place()) {
    return absent{"spool directory, supervisor files"};
  }
  if (at_supervisors == presence::there) {
    if (const auto known = spool_.read_supervisor(token); known && known->id() != 0) {
      return found{{scheduler_job_id(std::to_string(known->id()))}};
    }
  }
  return not_known{"the spool " + spool_.directory() + " contradicts itself about this token"};
}

std::vector<find_outcome> local_cluster::find(std::span<const lookup> what) {
  std::vector<find_outcome> outcomes;
  outcomes.reserve(what.size());
  for (const lookup& one : what) outcomes.push_back(find_one(one));
  return outcomes;
}

bool local_cluster::lost_to_same_job(const entry& job) {
  if (job.end.lost_claim_to().empty()) return false;
  const auto claim = spool_.read_claim(job.job);
  const entry* winner = find_entry(submission_token(job.end.lost_claim_to()));
  return claim && winner != nullptr && claim->token == winner->token && winner->job == job.job &&
         !job.spec_hash.empty() && claim->spec_hash == job.spec_hash;
}

/// As `correct_times`, of a job that runs; under the mutex.
void local_cluster::correct_start(entry& job, pb::LocalJobStatus& status) const {
  const microseconds started{status.started_boot_us()};
  const auto told = from_us(status.started_at_us());
  const auto moment = now();
  if (!job.correction)
    job.correction = status.boot_id() == boot_id_ && started > microseconds{0} &&
                             started <= moment.boot
                         ? correction(told, started, moment)
                         : microseconds{0};
  status.set_started_at_us(to_us(told + *job.correction));
}

std::string local_cluster::short_of(const entry& job) const {
  std::vector<std::string> what;
  if (cpus_used_ + job.cpus > options_.cpus) what.emplace_back("cores");
  if (memory_mb_used_ + job.memory_mb > options_.memory_mb) what.emplace_back("memory");
  if (job.gpus > std::count(gpu_used_.begin(), gpu_used_.end(), false)) what.emplace_back("GPUs");
  std::string text;
  for (const auto& one : what)
    text += (text.empty() ? "" : &one == &what.back() ? " and " : ", ") + one;
  return text;
}

/// A reason must not change from poll to poll, nor that of all jobs with each that starts: only the
/// next job is told what it waits for and who keeps it, and only those right behind it for which
/// there is room that they wait for it.
std::string local_cluster::why_it_waits(const entry& job) const {
  if (job.held) return "held";
  if (job.unfit) return "asks for more than the machine has now";
  if (!job.start_problem.empty())
    return "its start failed and is tried again: " + job.start_problem;
  const std::string in_line = "waits for its turn in the queue";
  std::size_t place = 0;
  auto at = queue_.begin();
  while (at != queue_.end() && at->id != job.id && place < told_in_line_max) ++at, ++place;
  if (at == queue_.end() || at->id != job.id) return in_line;
  const entry& next = *by_id_.at(queue_.begin()->id);
  if (fits_now(next) || (place > 0 && !fits_now(job))) return in_line;
  if (place > 0)
    return "waits for its turn: job " + next.job.str() + " is before it and waits for " +
           short_of(next);
  const auto kept = kept_by_suspended();
  return "waits for resources: not enough " + short_of(job) + (kept.empty() ? "" : "; ") + kept;
}

/// "2 cores are kept by 1 suspended job"; empty: nothing is.
std::string local_cluster::kept_by_suspended() const {
  std::int64_t jobs = 0;
  std::int64_t cpus = 0;
  std::int64_t memory_mb = 0;
  std::int64_t gpus = 0;
  for (const std::uint64_t id : active_) {
    const entry& other = *by_id_.at(id);
    if (!other.stands) continue;
    ++jobs;
    cpus += other.cpus;
    memory_mb += other.memory_mb;
    gpus += std::ssize(other.gpu_ids);
  }
  if (jobs == 0) return {};
  auto text = counted(cpus, "core");
  if (memory_mb > 0) text += ", " + std::to_string(memory_mb) + " MB of memory";
  if (gpus > 0) text += ", " + counted(gpus, "GPU");
  const bool one = cpus == 1 && memory_mb == 0 && gpus == 0;
  return text + (one ? " is" : " are") + " kept by " + counted(jobs, "suspended job");
}

poll_result local_cluster::observe(std::span<const tracked_job> jobs) {
  poll_result result;
  result.observations.reserve(jobs.size());
  std::vector<std::pair<std::size_t, job_id>> active;
  {
    const guard lock(mutex_);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const entry* job = find_entry(jobs[i].id);
      if (job == nullptr || job->token != jobs[i].token) {
        const bool confirmed =
            !is_valid_token(jobs[i].token) ||
            (look(spool_.supervisor_path(jobs[i].token)) == presence::not_there && is_in_place());
        result.observations.push_back(
            missing{confirmed, confirmed ? "neither the spool nor a supervisor knows the job"
                                         : "the spool has no such job, but a supervisor had"});
        continue;
      }
      job_status status;
      switch (job->where) {
        case place::queued:
          status.state = pb::JOB_STATE_QUEUED;
          status.reason = why_it_waits(*job);
          break;
        case place::active:
          status.state = pb::JOB_STATE_STARTING;
          active.emplace_back(i, job->job);
          break;
        case place::ended:
          status = to_status(job->end);
          status.lost_to_same_job = lost_to_same_job(*job);
          break;
      }
      result.observations.push_back(std::move(status));
    }
  }
  // As many as there are slots, however many jobs are asked for.
  const bool in_place = active.empty() || is_in_place();
  for (const auto& [i, name] : active) {
    if (!in_place) {
      result.observations[i] = no_news{};
      continue;
    }
    auto status = spool_.read_status(jobs[i].token);
    // While it lives a job that wrote this file itself must not end by it.
    const auto claim = spool_.read_claim(name).value_or(claim_record{});
    const guard lock(mutex_);
    entry* job = find_entry(jobs[i].id);
    if (job == nullptr || job->where != place::active) continue;
    if (status && !problem_of_running(*status, bounds_of(*job))) {
      status->clear_finished_at_us();
      status->clear_usage();
      status->clear_lost_claim_to();
      const auto told = status->started_at_us();
      correct_start(*job, *status);
      if (status->ends_by_us() != 0)
        status->set_ends_by_us(status->ends_by_us() + status->started_at_us() - told);
      job->has_begun = true;
      job->stands = status->state() == pb::JOB_STATE_SUSPENDED;
      result.observations[i] = to_status(*status);
      continue;
    }
    // Nor does it seem to wait by that: from its claim on it runs.
    const bool begins = claim.token != job->token || options_.clock() - job->began < status_wait;
    if (begins && !job->has_begun) continue;
    job->has_begun = true;
    job_status running;
    running.state = pb::JOB_STATE_RUNNING;
    running.reason = "its status file cannot be read";
    running.started_at = job->began;
    result.observations[i] = std::move(running);
  }
  return result;
}

inventory local_cluster::take_inventory() {
  inventory all;
  all.scheduler = "local";
  all.cluster_name = name_;
  std::vector<std::string> names{"default"};
  names.insert(names.end(), options_.queues.begin(), options_.queues.end());
  for (const std::string& name : names) {
    queue_info queue;
    queue.name = name;
    queue.nodes = 1;
    queue.cpus_per_node_max = options_.cpus;
    queue.memory_mb_per_node_max = options_.memory_mb;
    queue.gpus_per_node_max = options_.gpus;
    all.queues.push_back(std::move(queue));
  }
  all.cpus_total = options_.cpus;
  all.memory_mb_total = options_.memory_mb;
  all.gpus_total = options_.gpus;
  const guard lock(mutex_);
  all.cpus_allocated = cpus_used_;
  all.memory_mb_allocated = memory_mb_used_;
  all.gpus_allocated = static_cast<int>(std::count(gpu_used_.begin(), gpu_used_.end(), true));
  all.jobs_queued = static_cast<int>(queued_);
  all.jobs_running = static_cast<int>(active_.size());
  return all;
}

health local_cluster::check_health() {
  health answer;
  const guard lock(mutex_);
  answer.connection = site_problem_;
  if (answer.connection.empty()) answer.connection = start_problem_;
  if (!damaged_.empty()) {
    answer.queue_access = std::to_string(damaged_.size()) +
                          " damaged job(s) in the spool, first: " + damaged_.begin()->second;
  }
  return answer;
}

result<output_chunk> local_cluster::read_output(const output_request& request) {
  {
    const guard lock(mutex_);
    const entry* job = find_entry(request.job.id);
    if (job == nullptr || job->token != request.job.token) {
      return fail(errc::not_found, "job " + request.job.id.str() + ": not in the spool (any more)");
    }
  }
  const std::string path = spool_.job_file(
      request.job.token, request.stream == output_stream::standard_output ? "stdout" : "stderr");
  const auto file = open_given_file(path);
  if (!file) {
    if (file.error().code == errc::not_found) return output_chunk{};  // it has not started
    return fail(file.error());
  }
  struct stat info {};
  if (::fstat(file->get(), &info) != 0) return fail(errno_error("stat", path));
  output_chunk chunk;
  chunk.size = static_cast<std::uint64_t>(info.st_size);
  if (request.offset >= chunk.size) return chunk;
  chunk.bytes.resize(
      std::min<std::uint64_t>({request.bytes_max, output_bytes_max, chunk.size - request.offset}));
  const ssize_t got = ::pread(file->get(), chunk.bytes.data(), chunk.bytes.size(),
                              static_cast<off_t>(request.offset));
  if (got < 0) return fail(errno_error("read", path));
  chunk.bytes.resize(static_cast<std::size_t>(got));
  return chunk;
}

}  // namespace ved::adapters::local
