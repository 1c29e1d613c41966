#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "messages/job_state.hpp"
#include "tests/adapters/conformance.hpp"

namespace ved::tests {

using namespace ved::adapters;

namespace {

int next_number() {
  static std::atomic<int> number{0};
  return ++number;
}

/// How often a condition is looked at; only how soon it is noticed depends on it.
constexpr milliseconds look_interval{3};

}  // namespace

conversation::conversation(scheduler_fixture& fixture)
    : fixture_(fixture), port_(fixture.connect()) {}

scheduler::deadline conversation::until() const {
  return std::chrono::steady_clock::now() + fixture_.patience();
}

void conversation::restart() {
  port_.reset();
  fixture_.restart();
  port_ = fixture_.connect();
}

submission conversation::command_job(const std::string& command,
                                     const std::vector<std::string>& arguments) const {
  // Unique over several runs against one scheduler, and as short as real tokens.
  const std::string number =
      std::to_string(::getpid() % 1'000'000) + "x" + std::to_string(next_number());
  submission job;
  job.job = job_id("job-" + number);
  job.token = submission_token("ve" + number);
  job.spec = fixture_.base_spec();
  job.spec.set_job_id(job.job.str());
  job.spec.mutable_workload_spec()->set_command(command);
  for (const std::string& argument : arguments) {
    job.spec.mutable_workload_spec()->add_arguments(argument);
  }
  return job;
}

submission conversation::shell_job(const std::string& script) const {
  return command_job("/bin/sh", {"-c", script});
}

submit_outcome conversation::submit(const submission& job) {
  auto outcomes = port_->submit(std::span(&job, 1), until());
  REQUIRE(outcomes.size() == 1);
  return outcomes.front();
}

tracked_job conversation::start(const submission& job) {
  const submit_outcome outcome = submit(job);
  if (const auto* no = std::get_if<refused>(&outcome)) FAIL("refused: " << no->reason);
  if (const auto* no = std::get_if<not_sent>(&outcome)) FAIL("not sent: " << no->reason);
  if (const auto* no = std::get_if<unknown_outcome>(&outcome)) FAIL("unknown: " << no->reason);
  return {std::get<accepted>(outcome).id, job.token, job.job};
}

observation conversation::look(const tracked_job& job) {
  auto polled = port_->observe(std::span(&job, 1), poll_kind::full, until());
  if (!polled) FAIL("observe: " << polled.error().message);
  REQUIRE(polled->observations.size() == 1);
  return polled->observations.front();
}

find_outcome conversation::find(const submission& job) {
  const lookup one{job.job, job.token};
  auto outcomes = port_->find(std::span(&one, 1), until());
  REQUIRE(outcomes.size() == 1);
  return outcomes.front();
}

control_outcome conversation::control(const tracked_job& job, pb::JobControl what) {
  const control_request request{job, what};
  auto outcomes = port_->control(std::span(&request, 1), until());
  REQUIRE(outcomes.size() == 1);
  return outcomes.front();
}

std::string conversation::output(const tracked_job& job, output_stream stream) {
  output_request request;
  request.job = job;
  request.stream = stream;
  auto chunk = port_->read_output(request, until());
  if (!chunk) FAIL("read_output: " << chunk.error().message);
  return chunk->bytes;
}

void conversation::wait_until(const std::string& what, const std::function<bool()>& done) const {
  const auto give_up = until();
  while (!done()) {
    if (std::chrono::steady_clock::now() >= give_up) FAIL("waited in vain until " << what);
    std::this_thread::sleep_for(look_interval);
  }
}

job_status conversation::wait_for(const tracked_job& job, pb::JobState state) {
  job_status last;
  wait_until("job is " + pb::JobState_Name(state), [&] {
    const observation seen = look(job);
    const auto* status = std::get_if<job_status>(&seen);
    if (status == nullptr) return false;
    last = *status;
    if (last.state != state && is_terminal(last.state)) {
      FAIL("job is " << pb::JobState_Name(last.state) << " (" << last.reason << "), not "
                     << pb::JobState_Name(state));
    }
    return last.state == state;
  });
  return last;
}

job_status conversation::wait_for_end(const tracked_job& job) {
  job_status last;
  wait_until("job has ended", [&] {
    const observation seen = look(job);
    const auto* status = std::get_if<job_status>(&seen);
    if (status != nullptr) last = *status;
    return status != nullptr && is_terminal(last.state);
  });
  return last;
}

std::string fresh_path(const scheduler_fixture& fixture, const std::string& name) {
  return fixture.shared_directory() + "/" + name + "-" + std::to_string(next_number());
}

}  // namespace ved::tests
