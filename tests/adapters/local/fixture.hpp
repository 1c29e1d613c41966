#pragma once

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "adapters/local/cluster.hpp"
#include "adapters/local/job_cgroup.hpp"
#include "adapters/local/spool.hpp"
#include "tests/adapters/conformance.hpp"
#include "tests/support/temp_dir.hpp"

namespace ved::tests {

/// The supervisor binary stands beside the test binary.
inline std::string supervisor_path() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ved-job-supervisor";
}

/// Options that give each job a cgroup; nullopt, with a warning: none may be made here.
inline std::optional<adapters::local::local_options> options_with_cgroup() {
  adapters::local::local_options options;
  options.cgroup = adapters::local::own_cgroup();
  if (!options.cgroup.empty()) return options;
  WARN("left out: needs a cgroup v2 that may be written to");
  return std::nullopt;
}

/// A local cluster in a private directory. Ends what still runs in it.
class local_fixture : public scheduler_fixture {
 public:
  explicit local_fixture(adapters::local::local_options options = {}) : options_(options) {
    if (options_.directory.empty()) options_.directory = directory_.path() / "spool";
    if (options_.supervisor_path.empty()) options_.supervisor_path = supervisor_path();
    if (options_.cpus == 1) options_.cpus = 3;
    options_.kill_wait = seconds{1};
    options_.check_interval = milliseconds{50};
    std::filesystem::create_directory(shared_directory());
    open();
  }
  ~local_fixture() override {
    cluster_.reset();
    const adapters::local::spool files(options_.directory);
    const auto names = files.list(files.jobs_directory());
    if (!names) return;
    for (const std::string& name : *names) {
      stop(submission_token(name));
    }
  }

  scheduler_features features() const override { return {.kill_supervisor = true}; }
  std::unique_ptr<adapters::scheduler> connect() override {
    return std::move(*adapters::local::make_local_factory(cluster_)());
  }
  void restart() override {
    cluster_.reset();
    open();
  }
  pb::JobSpec base_spec() const override {
    pb::JobSpec spec;
    spec.set_cluster_id("here");
    spec.set_queue_name("default");
    spec.mutable_resources()->set_nodes(1);
    return spec;
  }
  std::string shared_directory() const override { return directory_.path() / "shared"; }
  void kill_supervisor(const adapters::tracked_job& job) override {
    const auto supervisor = adapters::local::spool(options_.directory).read_supervisor(job.token);
    REQUIRE(supervisor);
    REQUIRE(supervisor->pid() > 1);
    ::kill(supervisor->pid(), SIGKILL);
  }

  /// Whether this process has a pidfd of the job's supervisor: a job that tampers with its files
  /// before that may be taken for lost, and is ended.
  bool watches(const adapters::tracked_job& job) const {
    const auto known = adapters::local::spool(options_.directory).read_supervisor(job.token);
    if (!known || known->pid() <= 1) return false;
    const auto wanted = "Pid:\t" + std::to_string(known->pid());
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo", gone)) {
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);)
        if (line == wanted) return true;
    }
    return false;
  }

  void close() { cluster_.reset(); }
  void open() {
    auto opened = adapters::local::open_local_cluster(options_);
    if (!opened) FAIL(opened.error().message);
    cluster_ = *opened;
    adapters::local::begin(*cluster_);
  }
  adapters::local::local_options& options() { return options_; }
  adapters::local::spool files() const { return adapters::local::spool(options_.directory); }
  const std::shared_ptr<adapters::local::local_cluster>& cluster() const { return cluster_; }

 private:
  /// Tells a supervisor that is still there to end its job, and waits for it.
  void stop(const submission_token& token) const {
    const adapters::local::spool files(options_.directory);
    const std::string lock = files.supervisor_path(token);
    for (int i = 0; i < 5000 && adapters::is_locked(lock); ++i) {
      const auto supervisor = files.read_supervisor(token);
      if (supervisor && supervisor->pid() > 1) ::kill(supervisor->pid(), SIGTERM);
      ::usleep(2000);
    }
  }

  temp_dir directory_;
  adapters::local::local_options options_;
  std::shared_ptr<adapters::local::local_cluster> cluster_;
};

}  // namespace ved::tests
