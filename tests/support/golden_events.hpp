#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "messages/event.pb.h"
#include "tests/support/job_fixture.hpp"

/// Golden events: job streams as a released daemon stored them. A file `<name>.bin` is a row of
/// records, each a 32 bit big-endian length and that many bytes of pb::Envelope; `<name>.state`
/// next to it is the JobRecord that they fold to, in protobuf's text form.
namespace ved::tests {

inline std::vector<pb::Envelope> read_golden(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  std::vector<pb::Envelope> out;
  std::size_t at = 0;
  while (at + 4 <= all.size()) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i)
      length = (length << 8U) | static_cast<std::uint8_t>(all[at + i]);
    at += 4;
    if (at + length > all.size() ||
        !out.emplace_back().ParseFromArray(all.data() + at, static_cast<int>(length)))
      throw std::runtime_error(file.string() + " is damaged");
    at += length;
  }
  if (at != all.size() || out.empty()) throw std::runtime_error(file.string() + " is damaged");
  return out;
}

inline void write_golden(const std::filesystem::path& file,
                         const std::vector<pb::Envelope>& stream) {
  std::ofstream out(file, std::ios::binary);
  for (const auto& e : stream) {
    const auto bytes = e.SerializeAsString();
    for (int shift = 24; shift >= 0; shift -= 8)
      out.put(static_cast<char>((bytes.size() >> static_cast<unsigned>(shift)) & 0xFFU));
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
}

/// Job streams that together hold every job event with every field set at least once.
inline std::map<std::string, driver> golden_streams() {
  using sub = job::submission_result;
  using look = job::lookup_result;
  std::map<std::string, driver> out;
  {
    driver& d = out.emplace("plain", driver{}).first->second;
    d.pass(seconds{1}).submission(sub::accepted, "17");
    d.pass(seconds{1}).status(pb::JOB_STATE_QUEUED, "Priority");
    d.pass(seconds{1}).status(pb::JOB_STATE_RUNNING);
    d.pass(seconds{1}).missing(false);
    d.pass(seconds{1}).status(pb::JOB_STATE_RUNNING);
    job::report_status end;
    end.id = d.state.scheduler_id;
    end.state = pb::JOB_STATE_FAILED;
    end.reason = "NonZeroExitCode";
    end.started_at = d.state.started_at;
    end.finished_at = d.ctx.now;
    end.exit_code = 3;
    end.exit_signal = 9;
    end.usage = pb::JobUsage{};
    end.usage->set_wall_clock_seconds(4);
    end.usage->set_cpu_time_us(3'900'000);
    end.usage->set_memory_bytes_max(1 << 20);
    end.usage->set_nodes_used(1);
    end.usage->set_cpu_cores(2);
    end.usage->set_gpus(1);
    end.usage->set_memory_bytes_allocated(1 << 30);
    d.run(end);
  }
  {
    driver& d = out.emplace("lost_outcome", driver{}).first->second;
    d.run(job::cancel_job{"alice", "typo"});
    d.submission(sub::unknown, "connection cut");
    d.pass(seconds{30}).lookup(look::absent);
    d.pass(seconds{5}).lookup(look::found, {scheduler_job_id{"17"}, scheduler_job_id{"18"}});
    job::report_status lost;
    lost.id = d.state.scheduler_id;
    lost.state = pb::JOB_STATE_COMPLETED;
    lost.lost_claim_to = d.state.token;
    lost.started_at = d.ctx.now - seconds{2};
    lost.finished_at = d.ctx.now;
    lost.exit_code = 73;
    lost.exit_signal = 1;
    lost.usage = pb::JobUsage{};
    lost.usage->set_wall_clock_seconds(2);
    d.run(lost);
    d.pass(seconds{30}).lookup(look::found, {scheduler_job_id{"17"}, scheduler_job_id{"18"}});
    d.status(pb::JOB_STATE_CANCELLED);
  }
  {
    driver& d = out.emplace("refused_held_suspended", driver{}).first->second;
    while (d.phase() != "held") {
      d.submission(sub::refused_policy, "QOSMaxJobs");
      d.pass(seconds{40}).run(job::advance{});
    }
    d.run(job::release_job{"alice", "mended", true});
    d.run(job::hold_job{"bob", "quota"});
    d.run(job::release_job{"bob", ""});
    d.pass(seconds{1}).run(job::advance{});
    d.submission(sub::accepted, "21");
    d.run(job::hold_job{"bob", "maintenance"});
    d.run(job::report_control{pb::JOB_CONTROL_HOLD, true, "not permitted"});
    d.run(job::hold_job{"bob", "maintenance"});
    d.run(job::report_control{pb::JOB_CONTROL_HOLD, false, ""});
    d.status(pb::JOB_STATE_STARTING);
    d.status(pb::JOB_STATE_RUNNING);
    d.run(job::hold_job{"bob", "maintenance"});
    d.status(pb::JOB_STATE_SUSPENDED);
    d.run(job::release_job{"bob", ""});
    d.status(pb::JOB_STATE_RUNNING);
    d.pass(seconds{4000}).run(job::advance{});
    d.status(pb::JOB_STATE_CANCELLED);
  }
  {
    driver& d = out.emplace("settled_absent", driver{}).first->second;
    d.run(job::recover{"the daemon restarted while submission 1 was in flight"});
    d.pass(seconds{30}).lookup(look::absent);
    d.pass(seconds{5}).lookup(look::absent);
    d.submission(sub::refused_permanent, "invalid partition 'gpuu'");
  }
  {
    driver& d = out.emplace("given_up", driver{}).first->second;
    d.submission(sub::unknown, "connection cut");
    d.run(job::cancel_job{"alice", "sold", true});
    d.pass(seconds{3600}).state.watched_since = d.ctx.now;
    d.lookup(look::found, {scheduler_job_id{"17"}});
    job::report_status end;
    end.id = d.state.scheduler_id;
    end.state = pb::JOB_STATE_FAILED;
    end.reason = "NonZeroExitCode";
    end.started_at = d.ctx.now - seconds{60};
    end.finished_at = d.ctx.now;
    end.exit_code = 3;
    end.exit_signal = 9;
    end.usage = pb::JobUsage{};
    end.usage->set_wall_clock_seconds(60);
    d.run(end);
  }
  {
    driver& d = out.emplace("returned", driver{}).first->second;
    d.submission(sub::accepted, "17");
    job::report_status seen;
    seen.id = d.state.scheduler_id;
    seen.state = pb::JOB_STATE_RUNNING;
    seen.started_at = seen.enqueued_at = d.ctx.now;
    seen.allocated.emplace().set_gpus(2);
    d.run(seen);
    seen.state = pb::JOB_STATE_FAILED;
    seen.finished_at = d.pass(seconds{60}).ctx.now;
    seen.usage.emplace().set_wall_clock_seconds(60);
    d.run(seen);
    d.run(job::report_stray{d.state.token, scheduler_job_id{"17"}, true, d.ctx.now});
    seen.enqueued_at = seen.started_at = d.ctx.now;
    seen.finished_at = d.pass(seconds{5}).ctx.now;
    seen.usage->set_wall_clock_seconds(5);
    d.run(seen);
  }
  for (auto& [name, d] : out) {
    for (auto& e : d.log) {
      e.set_stream("job/j-1");
      e.set_recorded_at_us(to_us(d.ctx.now));
      e.set_request_id("r-" + std::to_string(e.version()));
      e.set_causation_id(e.position() - 1);
      e.set_prev_hash(std::string(32, 'h'));
      e.set_epoch(1);
    }
  }
  return out;
}

}  // namespace ved::tests
