#include "tools/ve_bench/workload.hpp"

#include <stdexcept>

#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "messages/hash.hpp"

namespace ved::bench {
namespace {

constexpr std::int64_t first_us = 1'767'225'600'000'000;  // 2026-01-01
constexpr std::int64_t step_us = 1'000'000;

std::string digits(std::uint64_t n) {
  auto text = std::to_string(n);
  return std::string(text.size() < 8 ? 8 - text.size() : 0, '0') + text;
}

pb::JobSpec make_spec(std::uint64_t n, const std::string& id) {
  pb::JobSpec spec;
  spec.set_job_id(id);
  spec.set_offering_id("offering-gpu-standard");
  spec.set_cluster_id(n % 3 == 0 ? "cluster-b" : "cluster-a");
  spec.set_provider_address("virt1provider0000000000000000000000000000000");
  spec.set_customer_address("virt1customer00000000000000000000000" + digits(n % 500));
  spec.set_queue_name("batch");
  spec.set_max_runtime_seconds(3600);
  auto& workload = *spec.mutable_workload_spec();
  workload.set_command("/opt/solver/bin/solve");
  workload.add_arguments("--input=case-" + digits(n) + ".dat");
  auto& variable = *workload.add_environment();
  variable.set_name("OMP_NUM_THREADS");
  variable.set_value("16");
  auto& resources = *spec.mutable_resources();
  resources.set_nodes(2);
  resources.set_cpu_cores_per_node(16);
  resources.set_memory_gb_per_node(64);
  return spec;
}

std::string token_of(std::uint64_t n) {
  return "ve0000" + digits(n % 100'000'000);
}

pb::Envelope make_event(std::uint64_t n, const std::string& id, std::uint64_t version) {
  const auto at_us =
      first_us + static_cast<std::int64_t>(n) * step_us + static_cast<std::int64_t>(version) * 1000;
  pb::Envelope event;
  event.set_principal("ved");
  event.set_at_us(at_us);
  switch (version) {
    case 1: {
      auto& what = *event.mutable_job()->mutable_accepted();
      *what.mutable_spec() = make_spec(n, id);
      what.set_spec_hash(hash256(what.spec().SerializeAsString()));
      event.set_principal("token/portal");
      break;
    }
    case 2: {
      auto& what = *event.mutable_job()->mutable_submission_intended();
      what.set_attempt(1);
      what.set_token(token_of(n));
      break;
    }
    case 3: {
      auto& what = *event.mutable_job()->mutable_submitted();
      what.set_attempt(1);
      what.set_token(token_of(n));
      what.set_scheduler_job_id(std::to_string(400'000 + n));
      break;
    }
    case 4:
    case 5: {
      auto& what = *event.mutable_job()->mutable_observed();
      what.set_state(version == 4 ? pb::JOB_STATE_STARTING : pb::JOB_STATE_RUNNING);
      what.set_reason(version == 4 ? "Prolog" : "None");
      if (version == 5) what.set_started_at_us(at_us);
      break;
    }
    default: {
      auto& what = *event.mutable_job()->mutable_finished();
      what.set_state(pb::JOB_STATE_COMPLETED);
      what.set_reason("COMPLETED");
      what.set_started_at_us(at_us - 1000);
      what.set_finished_at_us(at_us);
      auto& usage = *what.mutable_usage();
      usage.set_wall_clock_seconds(1800);
      usage.set_cpu_time_us(55'000'000'000);
      usage.set_memory_bytes_max(48'000'000'000);
      usage.set_nodes_used(2);
      usage.set_cpu_cores(32);
      usage.set_memory_bytes_allocated(128'000'000'000);
    }
  }
  return event;
}

}  // namespace

store::event_log::options job_log_options() {
  store::event_log::options how;
  how.fold.fold = core::fold;
  how.fold.index = core::index_keys;
  how.fold.counted_prefix = core::live_prefix;
  return how;
}

std::string job_id_of(std::uint64_t n) {
  // Customers do not name their jobs in order, so neighbours in time lie apart on disk.
  return "job-" + to_hex(hash256(digits(n))).substr(0, 16);
}

job_life::job_life(std::uint64_t n) : n_(n), id_(job_id_of(n)) {}

store::append_request job_life::next() {
  store::append_request request;
  request.stream = core::job_stream(id_);
  request.expected_version = version_++;
  request.events.push_back(make_event(n_, id_, version_));
  request.events.back().set_version(version_);
  if (version_ == 1) request.dedup_id = "submit/" + id_;
  auto state = core::fold(request.stream, state_, request.events.back());
  if (!state) throw std::logic_error("benchmark workload: " + state.error().message);
  state_ = std::move(*state);
  request.state = state_;
  return request;
}

}  // namespace ved::bench
