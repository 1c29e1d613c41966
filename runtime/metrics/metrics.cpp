#include "runtime/metrics/metrics.hpp"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <sstream>
#include <utility>

#include "messages/job_state.hpp"
#include "runtime/metrics/metrics_impl.hpp"

namespace ved::runtime {
namespace {

using prometheus::Histogram;

// Jobs run from seconds to weeks.
const Histogram::BucketBoundaries job_seconds{1,     5,      15,     60,     300,     900,    3'600,
                                              7'200, 14'400, 43'200, 86'400, 259'200, 604'800};
const Histogram::BucketBoundaries poll_seconds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                               0.5,   1,    2.5,   5,    10,  30};
const Histogram::BucketBoundaries request_seconds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                  0.05,   0.1,   0.25,   0.5,   1,    5};

constexpr std::array live_states{pb::JOB_STATE_PENDING, pb::JOB_STATE_QUEUED,
                                 pb::JOB_STATE_STARTING, pb::JOB_STATE_RUNNING,
                                 pb::JOB_STATE_SUSPENDED};

counters& counter(prometheus::Registry& in, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(in);
}
gauges& gauge(prometheus::Registry& in, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(in);
}
histograms& histogram(prometheus::Registry& in, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(in);
}

double in_seconds(std::int64_t us) {
  return static_cast<double>(us) / 1e6;
}

const char* name_of(pb::RefusalKind kind) {
  switch (kind) {
    case pb::REFUSAL_KIND_NOT_SENT: return "not_sent";
    case pb::REFUSAL_KIND_POLICY: return "refused_policy";
    default: return "refused_permanent";
  }
}

/// A method that nobody expects must not make a series of its own.
std::string bounded_method(std::string_view method) {
  static constexpr std::array<std::string_view, 7> known{"GET",    "HEAD",  "POST",   "PUT",
                                                         "DELETE", "PATCH", "OPTIONS"};
  return std::find(known.begin(), known.end(), method) != known.end() ? std::string(method)
                                                                      : "other";
}

}  // namespace

metrics::impl::impl(sources given)
    : from(std::move(given)),
      submitted(counter(registry, "hpc_jobs_submitted_total", "Jobs accepted from customers.")),
      completed(counter(registry, "hpc_jobs_completed_total", "Jobs that ended with success.")),
      failed(counter(registry, "hpc_jobs_failed_total", "Jobs that ended with a failure.")),
      cancelled(counter(registry, "hpc_jobs_cancelled_total", "Jobs that were cancelled.")),
      timeout(counter(registry, "hpc_jobs_timeout_total", "Jobs that ran into their time limit.")),
      held(counter(registry, "hpc_jobs_held_total",
                   "Times that a job was put on hold, by an operator or after its last retry.")),
      missing(counter(registry, "hpc_jobs_missing_total",
                      "Times that a scheduler no longer showed a live job.")),
      duration(histogram(registry, "hpc_job_duration_seconds", "Run time of jobs that ended.")),
      wait(histogram(registry, "hpc_job_wait_seconds",
                     "From acceptance of a job to its start, and to each start after a requeue.")),
      jobs(gauge(registry, "hpc_jobs", "Live jobs by state.")),
      held_jobs(gauge(registry, "hpc_held_jobs", "Live jobs that wait for an operator.")),
      submissions(counter(registry, "hpc_submissions_total",
                          "Submissions to a scheduler by what became of them.")),
      lookups(counter(registry, "hpc_submission_lookups_total",
                      "Lookups by token that settled or counted, by what they found.")),
      duplicates(counter(registry, "hpc_duplicates_found_total",
                         "Surplus copies of a submission that were found; the claim ends them.")),
      claims_lost(counter(registry, "hpc_claims_lost_total",
                          "Copies of a job that ended at once because another one runs.")),
      poll_duration(histogram(registry, "hpc_scheduler_poll_duration_seconds",
                              "Duration of answered polls of a cluster's scheduler.")),
      scheduler_commands(counter(registry, "hpc_scheduler_commands_total",
                                 "Commands of a cluster's scheduler that were run.")),
      cluster_outages(counter(registry, "hpc_scheduler_outages_total",
                              "Times that a cluster's scheduler stopped answering.")),
      hook_deliveries(counter(registry, "ved_hook_deliveries_total",
                              "Callbacks to hooks that are over, by result.")),
      hook_attempts(counter(registry, "ved_hook_attempts_total",
                            "Tries that the callbacks that are over have taken.")),
      hook_failures(counter(registry, "ved_hook_failures_total",
                            "Tries to deliver a callback that have failed.")),
      commits(counter(registry, "ved_log_commits_total",
                      "Group commits of the event log, each one sync.")),
      restarts(counter(registry, "ved_actor_restarts_total", "Actors started anew.")),
      security_events(counter(registry, "ved_security_events_total", "Requests refused.")),
      http_requests(counter(registry, "ved_http_requests_total", "Answered HTTP requests.")),
      http_duration(histogram(registry, "ved_http_request_duration_seconds",
                              "From the last byte of a request to its answer.")) {
  serve(from.clusters);
  commits.Add({});
}

void metrics::impl::serve(const std::vector<cluster_id>& clusters) {
  const std::lock_guard lock(live_mutex);
  served.clear();
  for (const auto& cluster : clusters) {
    show_cluster(cluster.str());
    served.insert(cluster.str());
  }
}

void metrics::impl::show_cluster(const std::string& cluster) {
  for (auto* family : {&submitted, &completed, &failed, &cancelled, &timeout, &held, &missing,
                       &duplicates, &claims_lost, &cluster_outages})
    family->Add({{"cluster", cluster}});
  for (const char* outcome :
       {"accepted", "adopted", "refused_permanent", "refused_policy", "not_sent", "unresolved"})
    submissions.Add({{"cluster", cluster}, {"outcome", outcome}});
  for (const char* found : {"found", "absent"})
    lookups.Add({{"cluster", cluster}, {"result", found}});
  for (const auto state : live_states)
    jobs.Add({{"cluster", cluster}, {"state", std::string(state_name(state))}});
  held_jobs.Add({{"cluster", cluster}});
  duration.Add({{"cluster", cluster}}, job_seconds);
  wait.Add({{"cluster", cluster}}, job_seconds);
  poll_duration.Add({{"cluster", cluster}}, poll_seconds);
}

/// Of an end, or of a run.
template <class Ran>
void metrics::impl::note_ran(const Ran& e, const std::string& cluster) {
  if (e.started_at_us() != 0 && e.finished_at_us() >= e.started_at_us())
    duration.Add({{"cluster", cluster}}, job_seconds)
        .Observe(in_seconds(e.finished_at_us() - e.started_at_us()));
}

void metrics::impl::note_finished(const pb::JobFinished& e, const std::string& cluster) {
  const auto family = [&]() -> counters& {
    switch (e.state()) {
      case pb::JOB_STATE_COMPLETED: return completed;
      case pb::JOB_STATE_CANCELLED: return cancelled;
      case pb::JOB_STATE_TIMEOUT: return timeout;
      default: return failed;
    }
  };
  family().Add({{"cluster", cluster}}).Increment();
  note_ran(e, cluster);
}

void metrics::impl::note_job_event(const pb::Envelope& what, const core::job::job* before,
                                   const core::job::job& after) {
  const auto& cluster = after.cluster.str();
  const auto submission = [&](const char* outcome) {
    submissions.Add({{"cluster", cluster}, {"outcome", outcome}}).Increment();
  };
  const auto lookup = [&](const char* found) {
    lookups.Add({{"cluster", cluster}, {"result", found}}).Increment();
  };
  switch (what.job().event_case()) {
    case pb::JobEvent::kAccepted: submitted.Add({{"cluster", cluster}}).Increment(); break;
    case pb::JobEvent::kSubmitted:
      submission(what.job().submitted().adopted() ? "adopted" : "accepted");
      if (what.job().submitted().adopted()) lookup("found");
      break;
    case pb::JobEvent::kSubmissionRefused:
      submission(name_of(what.job().submission_refused().kind()));
      break;
    case pb::JobEvent::kSubmissionUnresolved: submission("unresolved"); break;
    case pb::JobEvent::kLookupAbsent: lookup("absent"); break;
    case pb::JobEvent::kHeld: held.Add({{"cluster", cluster}}).Increment(); break;
    case pb::JobEvent::kWentMissing:
      // It is told again with each new reason.
      if (!before || !is_set(before->missing_since))
        missing.Add({{"cluster", cluster}}).Increment();
      break;
    case pb::JobEvent::kDuplicateFound:
      duplicates.Add({{"cluster", cluster}}).Increment(what.job().duplicate_found().others_size());
      break;
    case pb::JobEvent::kClaimLost: claims_lost.Add({{"cluster", cluster}}).Increment(); break;
    case pb::JobEvent::kFinished: note_finished(what.job().finished(), cluster); break;
    case pb::JobEvent::kAbandonedOver:
      note_ran(what.job().abandoned_over().run(), cluster);
      break;
    default: break;
  }
  const bool started_now = is_set(after.started_at) && !(before && is_set(before->started_at));
  if (started_now && after.started_at >= after.accepted_at)
    wait.Add({{"cluster", cluster}}, job_seconds)
        .Observe(in_seconds(to_us(after.started_at) - to_us(after.accepted_at)));
}

metrics::metrics(sources from) : impl_(std::make_unique<impl>(std::move(from))) {}
metrics::~metrics() = default;

void metrics::serve(const std::vector<cluster_id>& clusters) { impl_->serve(clusters); }

void metrics::poll_took(const cluster_id& cluster, microseconds took) {
  impl_->poll_duration.Add({{"cluster", cluster.str()}}, poll_seconds)
      .Observe(in_seconds(took.count()));
}

void metrics::commands_run(const cluster_id& cluster, std::string_view command, int times) {
  impl_->scheduler_commands
      .Add({{"cluster", cluster.str()}, {"command", std::string(command)}})
      .Increment(times);
}

void metrics::actor_restarted(std::string_view name) {
  impl_->restarts.Add({{"actor", std::string(name)}}).Increment();
}

void metrics::http_request(std::string_view route, std::string_view method, unsigned status,
                           microseconds took) {
  impl_->http_requests
      .Add({{"route", std::string(route)},
            {"method", bounded_method(method)},
            {"status", std::to_string(status)}})
      .Increment();
  impl_->http_duration.Add({{"route", std::string(route)}}, request_seconds)
      .Observe(in_seconds(took.count()));
}

void metrics::watch_http(std::function<http_counts()> counts) {
  const std::lock_guard lock(impl_->http_mutex);
  impl_->http = std::move(counts);
}

void metrics::committed() {
  impl_->commits.Add({}).Increment();
}

void metrics::hook_failed(const std::string& hook) {
  impl_->hook_failures.Add({{"hook", hook}}).Increment();
}

void metrics::security_event(std::string_view event_type) {
  impl_->security_events.Add({{"type", std::string(event_type)}}).Increment();
}

void metrics::observe(const pb::Envelope& what, const core::job::job* before,
                      const core::job::job* after) {
  if (after != nullptr) {
    impl_->note_job_event(what, before, *after);
    return;
  }
  if (what.cluster().has_down()) {
    impl_->cluster_outages.Add({{"cluster", what.cluster().down().cluster_id()}}).Increment();
  } else if (what.hook().has_delivered()) {
    const auto& e = what.hook().delivered();
    impl_->hook_deliveries
        .Add({{"hook", e.hook()}, {"result", e.delivered() ? "delivered" : "given_up"}})
        .Increment();
    impl_->hook_attempts.Add({{"hook", e.hook()}}).Increment(e.attempts());
  }
}

void metrics::count_live(const live_job& job, double jobs) {
  if (std::find(live_states.begin(), live_states.end(), job.state) == live_states.end()) return;
  impl_->jobs
      .Add({{"cluster", job.cluster}, {"state", std::string(state_name(job.state))}})
      .Increment(jobs);
  if (job.held) impl_->held_jobs.Add({{"cluster", job.cluster}}).Increment(jobs);
  const std::lock_guard lock(impl_->live_mutex);
  impl_->live[job.cluster] += static_cast<std::int64_t>(jobs);
}

std::map<std::string, std::uint64_t> metrics::unfollowed_jobs() const {
  std::map<std::string, std::uint64_t> out;
  const std::lock_guard lock(impl_->live_mutex);
  for (const auto& [cluster, jobs] : impl_->live)
    if (jobs > 0 && !impl_->served.contains(cluster))
      out.emplace(cluster, static_cast<std::uint64_t>(jobs));
  return out;
}

std::string metrics::text(const pb::Status& now) const {
  std::function<http_counts()> http;
  {
    const std::lock_guard lock(impl_->http_mutex);
    http = impl_->http;
  }
  std::optional<http_counts> counts;
  if (http) counts = http();
  auto families = impl_->registry.Collect();
  auto more = snapshot(impl_->from, now, counts ? &*counts : nullptr);
  std::move(more.begin(), more.end(), std::back_inserter(families));
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

metrics::live_job to_live(const core::job::job& job) {
  return {job.cluster.str(), core::job::public_state(job),
          std::holds_alternative<core::job::held>(job.now)};
}

}  // namespace ved::runtime
