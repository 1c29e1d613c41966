#include "adapters/local/cluster.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "adapters/local/cluster_state.hpp"
#include "adapters/local/step.hpp"
#include "adapters/system/processes.hpp"

namespace ved::adapters::local {

namespace {

constexpr milliseconds lock_wait{2000};
constexpr milliseconds lock_pause{20};

local_options with_clock(local_options options) {
  if (!options.clock) options.clock = [] { return system_anchor().time; };
  return options;
}

}  // namespace

local_cluster::local_cluster(local_options options)
    : options_(with_clock(std::move(options))),
      spool_(options_.directory),
      boot_id_(boot_id()),
      gpu_used_(static_cast<std::size_t>(std::max(0, options_.gpus)), false) {}

local_cluster::~local_cluster() {
  {
    const guard lock(mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) {
    wake();
    thread_.join();
  }
  stopped_.notify_all();
  if (cleaner_.joinable()) cleaner_.join();
  // Only saves numbers: without it the next object skips to the end of the reserved block.
  if (lock_) (void)save_next_id(next_id_);
}

result<void> local_cluster::open() {
  if (options_.cpus < 1) return fail(errc::invalid, "local scheduler: cpus must be at least 1");
  if (options_.memory_mb < 0 || options_.gpus < 0) {
    return fail(errc::invalid, "local scheduler: memory and gpus must not be negative");
  }
  const auto user = find_user(options_.run_as);
  if (!user) return fail_in("local scheduler", user.error());
  if (::access(options_.supervisor_path.c_str(), X_OK) != 0) {
    return fail_in("local scheduler", errno_error("use supervisor", options_.supervisor_path));
  }
  const directory_owner owner{spool_kind, options_.cluster, options_.log};
  if (auto made = spool_.create(owner, *user); !made) return made;
  auto lock = lock_file(spool_.lock_path());
  // What the `ved` before us was just starting when it was killed holds its lock until the exec.
  for (const auto until = std::chrono::steady_clock::now() + lock_wait;
       !lock && lock.error().code == errc::conflict && std::chrono::steady_clock::now() < until;) {
    std::this_thread::sleep_for(lock_pause);
    lock = lock_file(spool_.lock_path());
  }
  if (!lock) return fail_in("local scheduler", lock.error());
  root_ = unique_fd(::open(spool_.directory().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root_) return fail(errno_error("open directory", spool_.directory()));
  lock_ = std::move(*lock);
  wake_ = unique_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_ = unique_fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!wake_ || !epoll_) return fail(errno_error("create", "eventfd"));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 0;  // job ids begin with 1
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    return fail(errno_error("watch", "eventfd"));
  }

  const guard held(mutex_);
  if (const auto text = read_file(spool_.directory() + "/next_id", 64)) {
    const auto value = parse_number(*text);
    if (!value) return fail(errc::corrupt, spool_.directory() + "/next_id: not a number");
    next_id_ = *value;
  } else if (text.error().code != errc::not_found) {
    return fail(text.error());
  }
  if (auto original = check_original(); !original) return original;
  if (auto read = read_opening(); !read) return read;
  if (auto same = check_directory(); !same) return same;
  if (auto known = check_log(); !known) return known;
  count_opening();
  const auto names = spool_.list(spool_.jobs_directory());
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    if (auto loaded = load(submission_token(name)); !loaded) return loaded;
  }
  next_id_saved_ = next_id_;
  spool_.remove_half_claims();
  return {};
}

void local_cluster::begin() {
  thread_ = std::thread([this] { run(); });
  cleaner_ = std::thread([this] { clean(); });
}

result<void> local_cluster::load(const submission_token& token) {
  if (!is_valid_token(token)) {
    damaged_[token.str()] = spool_.job_directory(token) + ": not a job";
    return {};
  }
  if (!exists(spool_.job_file(token, "spec"))) {
    // A crash came between the directory and its spec: that submission was never answered.
    if (auto removed = spool_.remove_remains(token); !removed)
      damaged_[token.str()] = removed.error().message;
    return {};
  }
  const auto job = spool_.read_job(token);
  if (!job) {
    damaged_[token.str()] = job.error().message;
    return {};
  }
  // A job of the same user may have written another text, and each id stands for one job.
  if (by_id_.contains(job->id())) {
    damaged_[token.str()] = spool_.job_file(token, "spec") + ": holds the id of another job";
    return {};
  }
  next_id_ = std::max<std::uint64_t>(next_id_, job->id() + 1);
  entry& added = insert(*job);
  // Its supervisor writes the end as its last act; what is there before a job wrote itself.
  const bool alive = is_locked(spool_.supervisor_path(token));
  auto ended = alive ? result<pb::LocalJobStatus>(fail(errc::not_found, "it lives"))
                     : read_end(token, bounds_of(added));
  if (ended) {
    correct_times(*ended, bounds_of(added));
    end(added, *ended);
    return {};
  }
  const bool damaged = ended.error().code == errc::corrupt;
  if (!damaged && ended.error().code != errc::not_found) {
    damaged_[token.str()] = ended.error().message;
    pb::LocalJobStatus unreadable;
    unreadable.set_state(pb::JOB_STATE_FAILED);
    unreadable.set_reason("the exit file of the job cannot be read: " + ended.error().message);
    end(added, unreadable);
    return {};
  }
  const auto claim = spool_.read_claim(added.job);
  const auto known =
      options_.remembers ? options_.remembers(added.job, token) : remembered::nothing;
  added.has_begun = known == remembered::began;
  const bool may_run = alive || damaged || (claim && claim->token == token) || added.has_begun ||
                       has_trace_of_run(token);
  if (!may_run && known == remembered::ended) {
    pb::LocalJobStatus before;
    before.set_state(pb::JOB_STATE_CANCELLED);
    before.set_reason("not started: it had ended before (given up while the cluster was away, or "
                      "the work directory is older than the log)");
    before.set_finished_at_us(to_us(options_.clock()));
    end(added, before);
    return {};
  }
  if (!may_run) {
    added.held = exists(spool_.job_file(token, "held"));
    enqueue(added);
    return {};
  }
  // The thread finds out: still running, ended meanwhile or lost.
  std::vector<int> gpus;
  if (const auto supervisor = spool_.read_supervisor(token)) {
    gpus = possible_gpus(*supervisor, added.gpus, options_.gpus);
  }
  take_slots(added, &gpus);
  if (exists(spool_.job_file(token, "cancel"))) expect_end(added);
  return {};
}

/// A claim can be removed, by a disk or by another job of the same account; what the supervisor
/// wrote of the run then still tells that there was one.
bool local_cluster::has_trace_of_run(const submission_token& token) const {
  const auto last = spool_.read_status(token);
  return last && last->started_at_us() != 0;
}

entry& local_cluster::insert(const pb::LocalJob& job) {
  auto added = std::make_unique<entry>();
  const pb::Resources& resources = job.spec().resources();
  added->id = job.id();
  added->token = submission_token(job.token());
  added->job = job_id(job.job_id());
  // As with Slurm a customer only lowers the priority of a job: nobody passes all others.
  added->priority = std::min(0, job.spec().priority());
  added->cpus = std::max(1, resources.cpu_cores_per_node());
  added->memory_mb = static_cast<std::int64_t>(resources.memory_gb_per_node()) * 1024;
  added->gpus = resources.gpus_per_node();
  added->limit = seconds{job.spec().max_runtime_seconds()};
  added->submitted = from_us(job.submitted_at_us());
  added->spec_hash = job.spec_hash();
  added->unfit = !fits_machine(*added);
  entry& job_entry = *added;
  by_id_[job.id()] = added.get();
  jobs_[job.token()] = std::move(added);
  return job_entry;
}

told_bounds local_cluster::bounds_of(const entry& job) const {
  return {job.cpus, job.memory_mb, job.gpus, job.submitted, now(), boot_id_, job.limit};
}

bool local_cluster::fits_machine(const entry& job) const {
  return job.cpus <= options_.cpus && job.memory_mb <= options_.memory_mb &&
         job.gpus <= options_.gpus;
}

bool local_cluster::fits_now(const entry& job) const {
  const auto gpus_free = std::count(gpu_used_.begin(), gpu_used_.end(), false);
  return cpus_used_ + job.cpus <= options_.cpus &&
         memory_mb_used_ + job.memory_mb <= options_.memory_mb && job.gpus <= gpus_free;
}

void local_cluster::enqueue(entry& job) {
  job.where = place::queued;
  ++queued_;
  if (!job.held && !job.unfit && !job.cancel_asked) queue_.insert({job.priority, job.id});
}

void local_cluster::take_slots(entry& job, const std::vector<int>* gpu_ids) {
  job.where = place::active;
  job.announced = false;
  job.stands = false;
  job.began = options_.clock();
  job.correction.reset();
  job.noticed.reset();
  job.unclear_since.reset();
  active_.insert(job.id);
  cpus_used_ += job.cpus;
  memory_mb_used_ += job.memory_mb;
  job.gpu_ids.clear();
  if (gpu_ids != nullptr) {
    job.gpu_ids = *gpu_ids;
  } else {
    for (std::size_t i = 0; i < gpu_used_.size() && std::ssize(job.gpu_ids) < job.gpus; ++i) {
      if (!gpu_used_[i]) job.gpu_ids.push_back(static_cast<int>(i));
    }
  }
  for (const int gpu : job.gpu_ids) {
    if (gpu >= 0 && gpu < std::ssize(gpu_used_)) gpu_used_[static_cast<std::size_t>(gpu)] = true;
  }
}

void local_cluster::release_slots(entry& job) {
  if (active_.erase(job.id) == 0) return;
  cpus_used_ -= job.cpus;
  memory_mb_used_ -= job.memory_mb;
  for (const int gpu : job.gpu_ids) {
    if (gpu >= 0 && gpu < std::ssize(gpu_used_)) gpu_used_[static_cast<std::size_t>(gpu)] = false;
  }
  job.gpu_ids.clear();
  job.announced = false;
  if (job.supervisor) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, job.supervisor.get(), nullptr);
  job.supervisor.reset();
}

void local_cluster::end(entry& job, const pb::LocalJobStatus& status) {
  release_slots(job);
  job.where = place::ended;
  job.end = status;
  job.noticed_at = std::chrono::steady_clock::now();
  ended_[{status.finished_at_us(), job.id}] = &job;
}

/// What a supervisor wrote by a clock that is not ours any more (a `ved` started anew takes the
/// system's over) becomes what it was by ours, as long as the boot clock is the same.
void local_cluster::correct_times(pb::LocalJobStatus& end, const told_bounds& known) const {
  const auto moment = now();
  const microseconds started{end.started_boot_us()};
  const microseconds finished{end.finished_boot_us()};
  if (end.boot_id() == boot_id_ && finished > microseconds{0} && finished <= moment.boot) {
    const auto told = from_us(end.finished_at_us());
    const auto ended = told + correction(told, finished, moment);
    end.set_finished_at_us(to_us(ended));
    if (const auto began = from_us(end.started_at_us());
        started > microseconds{0} && started <= finished)
      end.set_started_at_us(to_us(began + correction(began, started, {ended, finished})));
  }
  // Of two boots only the clock can tell, and it may have been set between them.
  if (!is_of_this_boot(end, known)) {
    const auto latest = to_us(moment.time);
    const auto first = std::min(to_us(known.submitted), latest);
    end.set_finished_at_us(std::clamp(end.finished_at_us(), first, latest));
    if (end.started_at_us() != 0) end.set_started_at_us(std::max(end.started_at_us(), first));
  }
  if (end.started_at_us() > end.finished_at_us()) end.set_started_at_us(end.finished_at_us());
}

entry* local_cluster::find_entry(const submission_token& token) {
  const auto at = jobs_.find(token.str());
  return at == jobs_.end() ? nullptr : at->second.get();
}

entry* local_cluster::find_entry(const scheduler_job_id& id) {
  const auto number = parse_number(id.str());
  if (!number) return nullptr;
  const auto at = by_id_.find(*number);
  return at == by_id_.end() ? nullptr : at->second;
}

result<void> local_cluster::save_next_id(std::uint64_t value) const {
  return replace_file_durably(spool_.directory() + "/next_id", std::to_string(value));
}

result<std::shared_ptr<local_cluster>> open_local_cluster(local_options options) {
  // Supervisors get the path, and may live in other working directories than this process.
  options.directory = std::filesystem::absolute(options.directory);
  auto cluster = std::make_shared<local_cluster>(std::move(options));
  if (auto opened = cluster->open(); !opened) return fail(opened.error());
  return cluster;
}

void begin(local_cluster& cluster) {
  cluster.begin();
}

namespace {

/// A handle to the shared cluster.
class local_scheduler final : public scheduler {
 public:
  explicit local_scheduler(std::shared_ptr<local_cluster> cluster) : cluster_(std::move(cluster)) {}

  std::vector<submit_outcome> submit(std::span<const submission> jobs, deadline until) override {
    return cluster_->submit(jobs, until);
  }
  std::vector<find_outcome> find(std::span<const lookup> what, deadline) override {
    return cluster_->find(what);
  }
  result<poll_result> observe(std::span<const tracked_job> jobs, poll_kind, deadline) override {
    return cluster_->observe(jobs);
  }
  std::vector<control_outcome> control(std::span<const control_request> requests,
                                       deadline until) override {
    std::vector<control_outcome> outcomes;
    for (const control_request& request : requests) {
      if (std::chrono::steady_clock::now() >= until) {
        outcomes.push_back(control_unknown{"the deadline passed before this request"});
      } else {
        outcomes.push_back(cluster_->control(request));
      }
    }
    return outcomes;
  }
  result<inventory> take_inventory(deadline) override { return cluster_->take_inventory(); }
  health check_health(deadline) override { return cluster_->check_health(); }
  result<output_chunk> read_output(const output_request& request, deadline) override {
    return cluster_->read_output(request);
  }
  std::int64_t queries() const override { return 0; }  // it is its own scheduler

 private:
  std::shared_ptr<local_cluster> cluster_;
};

}  // namespace

scheduler_factory make_local_factory(std::shared_ptr<local_cluster> cluster) {
  return [cluster = std::move(cluster)]() -> result<std::unique_ptr<scheduler>> {
    return std::unique_ptr<scheduler>(std::make_unique<local_scheduler>(cluster));
  };
}

}  // namespace ved::adapters::local
