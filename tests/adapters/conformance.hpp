#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapters/scheduler.hpp"

/// The cases that every implementation of the scheduler port must pass. An adapter's test makes a
/// fixture and runs all cases against it:
///
///     for (const auto& one : conformance_cases()) {
///       DYNAMIC_SECTION(one.name) { my_fixture fixture; one.run(fixture); }
///     }
namespace ved::tests {

/// What a fixture's scheduler cannot do is left out, not passed silently: `run` says so (WARN).
struct scheduler_features {
  bool hold = true;
  bool suspend = true;
  bool steps = true;
  bool kill_supervisor = false;
  bool tracks_orphans = true;          ///< also processes that left their session and parent
  bool same_token_is_same_job = true;  ///< submitting a token again finds the first job
  bool claims = true;                  ///< a second copy of a job id loses and names the winner
};

/// Makes schedulers for the suite and knows what the port cannot tell.
class scheduler_fixture {
 public:
  virtual ~scheduler_fixture() = default;

  virtual scheduler_features features() const = 0;
  /// A port object; several may live at once.
  virtual std::unique_ptr<adapters::scheduler> connect() = 0;
  /// What a restart of `ved` does to the adapter: all port objects are gone before.
  virtual void restart() = 0;
  /// A spec that this scheduler accepts, without a workload.
  virtual pb::JobSpec base_spec() const = 0;
  /// A directory that jobs and test both can use.
  virtual std::string shared_directory() const = 0;
  /// Kills what watches over the job, as an accident would; with features().kill_supervisor.
  virtual void kill_supervisor(const adapters::tracked_job&) {}
  /// How long anything may take before the suite gives up.
  virtual seconds patience() const { return seconds{20}; }
};

struct conformance_case {
  std::string name;
  std::function<void(scheduler_fixture&)> run;
};

const std::vector<conformance_case>& conformance_cases();

/// One scheduler under test, with the steps that tests are made of. Fails the test on time-out.
class conversation {
 public:
  explicit conversation(scheduler_fixture& fixture);

  adapters::scheduler& port() { return *port_; }
  adapters::scheduler::deadline until() const;
  /// Drops the port, restarts the adapter and connects again.
  void restart();

  /// A job that runs `script` with /bin/sh, with a token of its own.
  adapters::submission shell_job(const std::string& script) const;
  adapters::submission command_job(const std::string& command,
                                   const std::vector<std::string>& arguments) const;

  adapters::submit_outcome submit(const adapters::submission& job);
  /// Submits and requires that it is accepted.
  adapters::tracked_job start(const adapters::submission& job);
  adapters::observation look(const adapters::tracked_job& job);
  adapters::find_outcome find(const adapters::submission& job);
  adapters::control_outcome control(const adapters::tracked_job& job, pb::JobControl what);
  std::string output(const adapters::tracked_job& job,
                     adapters::output_stream stream = adapters::output_stream::standard_output);

  adapters::job_status wait_for(const adapters::tracked_job& job, pb::JobState state);
  adapters::job_status wait_for_end(const adapters::tracked_job& job);
  /// Waits until `done` holds; `what` names it in the failure.
  void wait_until(const std::string& what, const std::function<bool()>& done) const;

 private:
  scheduler_fixture& fixture_;
  std::unique_ptr<adapters::scheduler> port_;
};

/// A path under the fixture's shared directory that nobody used before.
std::string fresh_path(const scheduler_fixture& fixture, const std::string& name);

}  // namespace ved::tests
