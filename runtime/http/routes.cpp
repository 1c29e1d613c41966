#include "runtime/http/routes.hpp"

#include <limits>

namespace ved::runtime::http {

namespace {

constexpr std::int64_t any_number = std::numeric_limits<std::int64_t>::max();

std::vector<route> make_routes() {
  std::vector<route> all;
  all.push_back({
      .method = "POST",
      .path = "/api/v1/hpc/jobs",
      .operation_id = "submitJob",
      .summary = "Accept a job durably. The same job_id and spec again is answered with 200.",
      .scope = "submit",
      .body = body_kind::job_spec,
      .result = pb::Job::descriptor(),
      // The spec is read in place.
      .build = [](const arguments&, pb::ApiRequest& request) { request.mutable_submit_job(); },
  });
  all.push_back({
      .method = "GET",
      .path = "/api/v1/hpc/jobs",
      .operation_id = "listJobs",
      .summary = "List jobs, newest first, page by page.",
      .scope = "read",
      .query = {{"state", parameter_kind::job_state, 0, 0, "Only jobs in this state."},
                {"cluster", parameter_kind::id, 0, 0, "Only jobs of this cluster."},
                {"customer", parameter_kind::text, 0, 0, "Only jobs of this customer address."},
                {"since", parameter_kind::moment, 0, 0, "Only jobs accepted at or after this."},
                {"cursor", parameter_kind::text, 0, 0, "next_cursor of the page before."},
                {"limit", parameter_kind::number, 1, 1000, "Jobs per page; 100 when absent."}},
      .result = pb::JobList::descriptor(),
      .build =
          [](const arguments& from, pb::ApiRequest& request) {
            auto& list = *request.mutable_list_jobs();
            list.set_state(static_cast<pb::JobState>(from.number("state")));
            list.set_cluster_id(from.text("cluster"));
            list.set_customer_address(from.text("customer"));
            list.set_since_us(from.number("since"));
            list.set_cursor(from.text("cursor"));
            list.set_limit(static_cast<std::int32_t>(from.number("limit")));
          },
  });
  all.push_back({
      .method = "GET",
      .path = "/api/v1/hpc/jobs/{job_id}",
      .operation_id = "getJob",
      .summary = "Show one job with its spec.",
      .scope = "read",
      .result = pb::Job::descriptor(),
      .build = [](const arguments& from,
                  pb::ApiRequest& request) { request.mutable_get_job()->set_job_id(from.id); },
  });
  all.push_back({
      .method = "POST",
      .path = "/api/v1/hpc/jobs/{job_id}/cancel",
      .operation_id = "cancelJob",
      .summary = "Ask for the job's end; the answer shows the job as it is now.",
      .scope = "submit",
      .body = body_kind::reason,
      .result = pb::Job::descriptor(),
      .build =
          [](const arguments& from, pb::ApiRequest& request) {
            request.mutable_cancel_job()->set_job_id(from.id);
            request.mutable_cancel_job()->set_reason(from.reason);
          },
  });
  all.push_back({
      .method = "POST",
      .path = "/api/v1/hpc/jobs/{job_id}/hold",
      .operation_id = "holdJob",
      .summary = "Keep the job from starting until it is released.",
      .scope = "submit",
      .body = body_kind::reason,
      .result = pb::Job::descriptor(),
      .build =
          [](const arguments& from, pb::ApiRequest& request) {
            request.mutable_hold_job()->set_job_id(from.id);
            request.mutable_hold_job()->set_reason(from.reason);
          },
  });
  all.push_back({
      .method = "POST",
      .path = "/api/v1/hpc/jobs/{job_id}/release",
      .operation_id = "releaseJob",
      .summary = "Undo a hold.",
      .scope = "submit",
      .body = body_kind::reason,
      .result = pb::Job::descriptor(),
      .build =
          [](const arguments& from, pb::ApiRequest& request) {
            request.mutable_release_job()->set_job_id(from.id);
            request.mutable_release_job()->set_reason(from.reason);
          },
  });
  all.push_back({
      .method = "GET",
      .path = "/api/v1/hpc/jobs/{job_id}/events",
      .operation_id = "getJobEvents",
      .summary = "The job's events, oldest first. With Accept: text/event-stream a live stream of "
                 "them that resumes after Last-Event-ID (an event's version), ends after "
                 "job_finished, and answers 204 when nothing can follow any more.",
      .scope = "read",
      .query = {{"after", parameter_kind::number, 0, any_number, "Only events of later versions."},
                {"limit", parameter_kind::number, 1, 1000, "Events per answer; 1000 when absent."}},
      .result = pb::EventList::descriptor(),
      .build =
          [](const arguments& from, pb::ApiRequest& request) {
            auto& events = *request.mutable_get_job_events();
            events.set_job_id(from.id);
            events.set_after_version(static_cast<std::uint64_t>(from.number("after")));
            events.set_limit(static_cast<std::int32_t>(from.number("limit")));
          },
  });
  all.push_back({
      .method = "GET",
      .path = "/api/v1/hpc/jobs/{job_id}/explain",
      .operation_id = "explainJob",
      .summary = "Why the job is where it is, now or at a past moment.",
      .scope = "read",
      .query = {{"at", parameter_kind::moment, 0, 0, "A past moment; now when absent."}},
      .result = pb::Explanation::descriptor(),
      .build =
          [](const arguments& from, pb::ApiRequest& request) {
            request.mutable_explain_job()->set_job_id(from.id);
            request.mutable_explain_job()->set_at_us(from.number("at"));
          },
  });
  all.push_back({
      .method = "GET",
      .path = "/api/v1/hpc/jobs/{job_id}/output",
      .operation_id = "getJobOutput",
      .summary = "Raw bytes of what the job wrote. X-Output-Offset is where they start, "
                 "X-Output-Size the length so far, X-Job-Finished whether more can come.",
      .scope = "read",
      .query = {{"stream", parameter_kind::output_name, 0, 0, "stdout when absent."},
                {"offset", parameter_kind::number, 0, any_number, "First byte; 0 when absent."},
                {"limit", parameter_kind::number, 1, 1 << 20, "Bytes; 65536 when absent."}},
      .media_type = "text/plain",
      .build =
          [](const arguments& from, pb::ApiRequest& request) {
            auto& output = *request.mutable_get_job_output();
            output.set_job_id(from.id);
            output.set_standard_error(from.text("stream") == "stderr");
            output.set_offset(static_cast<std::uint64_t>(from.number("offset")));
            output.set_bytes_max(static_cast<std::uint32_t>(from.number("limit")));
          },
  });
  all.push_back({
      .method = "GET",
      .path = "/api/v1/hpc/clusters",
      .operation_id = "listClusters",
      .summary = "All clusters with their connection, queues and counts.",
      .scope = "read",
      .result = pb::ClusterList::descriptor(),
      .build = [](const arguments&, pb::ApiRequest& request) { request.mutable_list_clusters(); },
  });
  all.push_back({
      .method = "GET",
      .path = "/api/v1/hpc/clusters/{cluster_id}",
      .operation_id = "getCluster",
      .summary = "One cluster.",
      .scope = "read",
      .result = pb::Cluster::descriptor(),
      .build =
          [](const arguments& from, pb::ApiRequest& request) {
            request.mutable_get_cluster()->set_cluster_id(from.id);
          },
  });
  all.push_back({
      .method = "GET",
      .path = "/health",
      .operation_id = "getHealth",
      .summary = "200 while jobs are accepted (status ok or degraded), 503 when stopping or full. "
                 "Without a token only the status is shown.",
      .token_optional = true,
      .result = pb::Status::descriptor(),
      .build = [](const arguments&, pb::ApiRequest& request) { request.mutable_get_status(); },
  });
  all.push_back({
      .method = "GET",
      .path = "/openapi.json",
      .operation_id = "getOpenApi",
      .summary = "This document.",
      .answer = answer_kind::openapi,
  });
  all.push_back({
      .method = "GET",
      .path = "/metrics",
      .operation_id = "getMetrics",
      .summary = "Prometheus metrics.",
      .answer = answer_kind::metrics,
      .media_type = "text/plain",
  });
  return all;
}

}  // namespace

std::string arguments::text(std::string_view name) const {
  const auto found = texts.find(name);
  return found == texts.end() ? std::string() : found->second;
}

std::int64_t arguments::number(std::string_view name) const {
  const auto found = numbers.find(name);
  return found == numbers.end() ? 0 : found->second;
}

const std::vector<route>& routes() {
  static const std::vector<route> all = make_routes();
  return all;
}

}  // namespace ved::runtime::http
