#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <variant>

#include "tests/adapters/slurm/scripted_site.hpp"

/// One job, polled on a scripted site.
namespace ved::tests::poll {

inline const std::string token = "veaaaaaaaaaaaa";

inline adapters::tracked_job job(const std::string& id = "41", const std::string& name = token) {
  return {scheduler_job_id{id}, submission_token{name}, job_id{"j-" + id}};
}

inline adapters::observation observe(scripted_site& site,
                                     const adapters::tracked_job& what = job()) {
  const auto seen =
      site.port->observe({&what, 1}, adapters::poll_kind::full, scripted_site::until());
  REQUIRE(seen);
  REQUIRE(seen->observations.size() == 1);
  return seen->observations[0];
}

inline adapters::job_status status(scripted_site& site, const adapters::tracked_job& what = job()) {
  const auto seen = observe(site, what);
  REQUIRE(std::holds_alternative<adapters::job_status>(seen));
  return std::get<adapters::job_status>(seen);
}

inline adapters::missing absence(scripted_site& site, const adapters::tracked_job& what = job()) {
  const auto seen = observe(site, what);
  REQUIRE(std::holds_alternative<adapters::missing>(seen));
  return std::get<adapters::missing>(seen);
}

/// Nothing is known of any job.
inline std::string failed_poll(scripted_site& site) {
  const auto what = job();
  const auto seen =
      site.port->observe({&what, 1}, adapters::poll_kind::full, scripted_site::until());
  REQUIRE_FALSE(seen);
  CHECK(seen.error().code == errc::unavailable);
  return seen.error().message;
}

/// What a job left in its directory.
inline std::string left(const std::string& claim, const std::string& record = "") {
  return "{nonce} j 0\nclaim " + claim + "\n" + (record.empty() ? "" : "at 1799999600\n" + record);
}

inline queue_line row(const std::string& state, const std::string& reason = "None") {
  queue_line line;
  line.state = state;
  line.reason = reason;
  return line;
}

/// A row of a job that ended at 1799999500.
inline queue_line ended_row(const std::string& state, int exit_code = 0) {
  queue_line line = row(state);
  line.status = exit_code << 8;
  line.ended = "1799999500";
  return line;
}

inline account_line account(const std::string& state, const std::string& exit = "0:0") {
  account_line line;
  line.state = state;
  line.exit = exit;
  return line;
}

/// So many seconds after 1799999000, when rows and records begin.
inline std::string moment(int seconds_after) {
  return std::to_string(1'799'999'000 + seconds_after);
}

/// Of a size that the job had from `since` to `until`; it tells how long the run has taken, which
/// began at 0.
inline account_line sized(const std::string& state, int since, int until,
                          const std::string& exit = "0:0") {
  account_line line = account(state, exit);
  if (since > 0) line.submitted = moment(since);
  line.ended = moment(until);
  line.elapsed_seconds = until;
  return line;
}

/// Of a run that was submitted anew at `queued` and failed.
inline queue_line failed_again(int exit_code, int restarts, int queued, int began, int ended) {
  queue_line line = ended_row("FAILED", exit_code);
  line.submitted = moment(queued);
  line.started = moment(began);
  line.ended = moment(ended);
  line.restarts = restarts;
  return line;
}

/// Of a wrapper that ended in its first moments, at 1799999003.
inline account_line brief_account(const std::string& state, const std::string& exit) {
  account_line line = account(state, exit);
  line.ended = "1799999003";
  line.elapsed_seconds = 3;
  line.cpu_time = "00:00.010";
  return line;
}

/// Two runs under another name: one of 500 s that ended so, and one of 4 s, submitted at 1799999600
/// and completed.
inline std::string renamed_runs(const std::string& first_state) {
  account_line first = account(first_state);
  first.name = "plain";
  account_line second = first;
  second.state = "COMPLETED";
  second.submitted = "1799999600";
  second.started = "1799999601";
  second.ended = "1799999605";
  second.elapsed_seconds = 4;
  return first.text() + second.text();
}

inline account_line running_account() {
  auto line = account("RUNNING");
  line.ended = "Unknown";
  return line;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace ved::tests::poll
