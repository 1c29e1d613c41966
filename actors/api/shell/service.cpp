#include "actors/api/shell/service.hpp"

#include <sodium/utils.h>

#include <caf/send.hpp>
#include <chrono>
#include <thread>
#include <utility>

#include "actors/api/shell/queries.hpp"
#include "actors/job/explain.hpp"
#include "actors/job/projection.hpp"
#include "actors/shell/answer_once.hpp"
#include "messages/job_spec.hpp"
#include "messages/job_state.hpp"

namespace ved::actors {
namespace {

constexpr int background_max = 4;
constexpr std::uint32_t output_default = 65'536;
constexpr std::uint32_t output_most = 1U << 20;
constexpr auto call_timeout = seconds{15};

enum class scope { read, submit, admin };

scope needed(const pb::ApiRequest& request) {
  switch (request.operation_case()) {
    case pb::ApiRequest::kSubmitJob:
    case pb::ApiRequest::kCancelJob:
    case pb::ApiRequest::kHoldJob:
    case pb::ApiRequest::kReleaseJob: return scope::submit;
    case pb::ApiRequest::kGetConfig:
    case pb::ApiRequest::kVerifyLog:
    case pb::ApiRequest::kDumpLog:
    case pb::ApiRequest::kBackupLog: return scope::admin;
    default: return scope::read;
  }
}

bool allows(const principal& who, scope what) {
  if (who.admin) return true;
  if (what == scope::submit) return who.submit;
  return what == scope::read && (who.read || who.submit);
}

std::string_view to_text(scope what) {
  return what == scope::admin ? "admin" : what == scope::submit ? "submit" : "read";
}

template <class T>
void put(pb::ApiReply& reply, T* (pb::ApiReply::*pick)(), T value) {
  *(reply.*pick)() = std::move(value);
}

template <class T>
pb::ApiReply reply_of(result<T> outcome, T* (pb::ApiReply::*pick)()) {
  if (!outcome) return to_reply(outcome.error());
  pb::ApiReply reply;
  put(reply, pick, std::move(*outcome));
  return reply;
}

}  // namespace

struct service::call {
  pb::ApiRequest request;
  reply_to done;
  principal who;

  requester asked_by() const {
    // Request ids are remembered per principal: one cannot answer for another.
    return {who.name, request.request_id().empty() ? std::string{}
                                                   : who.name + "/" + request.request_id()};
  }
};

pb::ApiReply to_reply(const error& what) {
  pb::ApiReply reply;
  reply.mutable_error()->set_error(std::string(to_string(what.code)));
  reply.mutable_error()->set_message(what.message);
  return reply;
}

service::service(service_deps deps) : deps_(std::move(deps)) {}

service::~service() {
  while (background_.load() > 0) std::this_thread::sleep_for(milliseconds{10});
}

void service::set_ingress(ingress_actor current) {
  const std::lock_guard lock(mutex_);
  ingress_ = std::move(current);
}

void service::set_stopping() { stopping_ = true; }

bool service::to_ingress(const std::function<void(const ingress_actor&)>& send) {
  ingress_actor to;
  {
    const std::lock_guard lock(mutex_);
    to = ingress_;
  }
  if (!to || stopping_) return false;
  send(to);
  return true;
}

void service::handle(pb::ApiRequest request, reply_to done) {
  auto c = std::make_shared<call>();
  c->request = std::move(request);
  c->done = std::move(done);
  // Health is what load balancers and service managers ask for; they have no token.
  if (c->request.token().empty() && c->request.has_get_status()) return answer_status(c);
  auto who = deps_.authenticate(c->request.token());
  if (!c->request.token().empty())
    sodium_memzero(c->request.mutable_token()->data(), c->request.token().size());
  c->request.clear_token();
  if (!who) {
    deps_.refused({"authentication_failed", {}, c->request.source(), who.error().message, {}, {}});
    return c->done(to_reply(who.error()));
  }
  c->who = std::move(*who);
  if (const auto scope = needed(c->request); !allows(c->who, scope)) {
    const auto why = c->who.name + " lacks the scope '" + std::string(to_text(scope)) + "'";
    deps_.refused({"unauthorized_access", c->who.name, c->request.source(), why, {}, {}});
    // The detail tells a missing right from a missing identity (HTTP 403 from 401).
    auto reply = to_reply({errc::denied, why});
    auto& detail = *reply.mutable_error()->add_details();
    detail.set_field("scope");
    detail.set_message("needs " + std::string(to_text(scope)));
    return c->done(std::move(reply));
  }
  const auto& r = c->request;
  switch (r.operation_case()) {
    case pb::ApiRequest::kSubmitJob: return submit(c);
    case pb::ApiRequest::kCancelJob:
      return ask(c, r.cancel_job().job_id(),
                 core::job::cancel_job{c->who.name, r.cancel_job().reason()});
    case pb::ApiRequest::kHoldJob:
      return ask(c, r.hold_job().job_id(),
                 core::job::hold_job{c->who.name, r.hold_job().reason()});
    case pb::ApiRequest::kReleaseJob:
      return ask(c, r.release_job().job_id(), core::job::release_job{c->who.name});
    case pb::ApiRequest::kGetJob: return get_job(*c);
    case pb::ApiRequest::kListJobs: return list_jobs(*c);
    case pb::ApiRequest::kGetJobEvents: return job_events(*c);
    case pb::ApiRequest::kExplainJob: return explain(c);
    case pb::ApiRequest::kGetJobOutput: return output(c);
    case pb::ApiRequest::kListClusters: return clusters(c, {});
    case pb::ApiRequest::kGetCluster: return clusters(c, r.get_cluster().cluster_id());
    case pb::ApiRequest::kCheckHealth: return health(c);
    case pb::ApiRequest::kGetStatus: return answer_status(c);
    case pb::ApiRequest::kGetConfig: {
      pb::ApiReply reply;
      reply.mutable_config()->set_yaml(deps_.config_yaml());
      return c->done(std::move(reply));
    }
    case pb::ApiRequest::kVerifyLog: return verify(c);
    case pb::ApiRequest::kGetLogStats: return log_stats(*c);
    case pb::ApiRequest::kDumpLog: return dump(*c);
    case pb::ApiRequest::kBackupLog: return backup(c);
    case pb::ApiRequest::OPERATION_NOT_SET: break;
  }
  c->done(to_reply({errc::invalid, "the request names no operation that this ved knows"}));
}

void service::submit(const std::shared_ptr<call>& c) {
  auto& spec = *c->request.mutable_submit_job()->mutable_spec();
  auto problems = validate(spec);
  if (!spec.cluster_id().empty() && !deps_.clusters.contains(cluster_id{spec.cluster_id()})) {
    pb::Problem unknown;
    unknown.set_field("cluster_id");
    unknown.set_message("no cluster '" + spec.cluster_id() + "' is configured here");
    problems.push_back(unknown);
  }
  if (!problems.empty()) {
    auto reply = to_reply({errc::invalid, "job " + spec.job_id() + ": the spec has " +
                                              std::to_string(problems.size()) + " problem" +
                                              (problems.size() == 1 ? "" : "s")});
    deps_.refused({"job_validation_failed", c->who.name, c->request.source(),
                   problems.front().field() + ": " + problems.front().message(), spec.job_id(),
                   spec.cluster_id()});
    for (auto& problem : problems) *reply.mutable_error()->add_details() = std::move(problem);
    return c->done(std::move(reply));
  }
  if (auto may = deps_.may_accept(); !may) {
    // A repeat of what was accepted needs no room, and its client must not be left in doubt.
    const auto known = deps_.log->state(core::job_stream(spec.job_id()));
    if (!known || !*known) return c->done(to_reply(may.error()));
  }
  auto hash = spec_hash(spec);
  auto shared = std::make_shared<const pb::JobSpec>(canonical(std::move(spec)));
  // The job id already makes a submission repeatable; a request id would only add a second way.
  const answer_once<job_snapshot> answer(
      "job " + shared->job_id(), [c](result<job_snapshot> done) {
        if (!done) return c->done(to_reply(done.error()));
        pb::ApiReply reply;
        auto& accepted = *reply.mutable_accepted();
        *accepted.mutable_job() = to_api_job(done->record, done->version);
        accepted.set_already_known(done->already_known);
        c->done(std::move(reply));
      });
  ingress_submit in{{{c->who.name, {}}, shared, std::move(hash)}, answer};
  if (!to_ingress([&](const ingress_actor& to) { caf::anon_send(to, std::move(in)); }))
    answer(fail(errc::unavailable, "the daemon is starting or stopping"));
}

void service::ask(const std::shared_ptr<call>& c, const std::string& job,
                  core::job::command what) {
  const answer_once<job_snapshot> answer("job " + job, [c](result<job_snapshot> done) {
    if (!done) return c->done(to_reply(done.error()));
    pb::ApiReply reply;
    *reply.mutable_job()->mutable_job() = to_api_job(done->record, done->version);
    c->done(std::move(reply));
  });
  ingress_ask in{{c->asked_by(), job_id{job}, std::move(what)}, answer};
  if (!to_ingress([&](const ingress_actor& to) { caf::anon_send(to, std::move(in)); }))
    answer(fail(errc::unavailable, "the daemon is starting or stopping"));
}

void service::get_job(call& c) {
  auto job = read_job(*deps_.log, c.request.get_job().job_id(), true);
  if (!job) return c.done(to_reply(job.error()));
  pb::ApiReply reply;
  *reply.mutable_job()->mutable_job() = std::move(*job);
  c.done(std::move(reply));
}

void service::list_jobs(call& c) {
  c.done(reply_of(actors::list_jobs(*deps_.log, c.request.list_jobs()),
                  &pb::ApiReply::mutable_jobs));
}

void service::job_events(call& c) {
  c.done(reply_of(read_events(*deps_.log, c.request.get_job_events()),
                  &pb::ApiReply::mutable_events));
}

void service::log_stats(call& c) {
  auto stats = read_stats(*deps_.log);
  if (stats) stats->set_disk_free_bytes(deps_.disk_free_bytes());
  c.done(reply_of(std::move(stats), &pb::ApiReply::mutable_log_stats));
}

void service::dump(call& c) {
  const auto& what = c.request.dump_log();
  const int limit = what.limit() == 0 ? events_limit_max : what.limit();
  if (limit < 1 || limit > events_limit_max)
    return c.done(to_reply({errc::invalid, "limit: must be 1 to 1000"}));
  auto events = deps_.log->read(what.after_position(), static_cast<std::size_t>(limit));
  if (!events) return c.done(to_reply(events.error()));
  pb::ApiReply reply;
  for (auto& event : *events) *reply.mutable_events()->add_events() = std::move(event);
  reply.mutable_events()->set_more(static_cast<int>(events->size()) == limit);
  c.done(std::move(reply));
}

void service::explain(const std::shared_ptr<call>& c) {
  const auto& what = c->request.explain_job();
  auto history = std::make_shared<result<std::vector<pb::Envelope>>>(
      read_history(*deps_.log, what.job_id()));
  if (!*history) return c->done(to_reply(history->error()));
  const auto at = from_us(what.at_us());
  describe([this, c, history, at](const std::vector<pb::Cluster>& all, const registry_view&) {
    const auto& events = **history;
    const auto cluster = events.front().job_accepted().spec().cluster_id();
    pb::ApiReply reply;
    for (const auto& one : all) {
      if (one.cluster_id() != cluster || is_set(at)) continue;
      core::job::cluster_view view;
      view.id = cluster_id{cluster};
      view.breaker = one.breaker();
      view.reason = one.reason();
      view.last_poll_at = from_us(one.last_poll_at_us());
      view.down_since = from_us(one.down_since_us());
      view.limits = deps_.clusters.at(view.id).policy;
      *reply.mutable_explanation() = core::job::explain(events, at, &view);
      return c->done(std::move(reply));
    }
    auto& explanation = *reply.mutable_explanation();
    explanation = core::job::explain(events, at, nullptr);
    if (!is_set(at) && !deps_.clusters.contains(cluster_id{cluster}) &&
        !is_terminal(explanation.job().state())) {
      explanation.set_summary(explanation.summary() + ", as far as was known when cluster " +
                              cluster + " left the configuration");
      explanation.clear_next();
      explanation.add_next("nothing, until cluster " + cluster +
                           " is configured again and ved restarted: it is not configured any more");
    }
    c->done(std::move(reply));
  });
}

void service::output(const std::shared_ptr<call>& c) {
  const auto& what = c->request.get_job_output();
  auto job = read_job(*deps_.log, what.job_id(), false);
  if (!job) return c->done(to_reply(job.error()));
  const bool finished = is_terminal(job->state());
  if (what.bytes_max() > output_most)
    return c->done(to_reply({errc::invalid, "limit: at most 1048576 bytes at once"}));
  const auto cluster = deps_.clusters.find(cluster_id{job->cluster_id()});
  if (cluster == deps_.clusters.end())
    return c->done(to_reply({errc::unavailable, "job " + job->job_id() + ": its cluster '" +
                                                    job->cluster_id() +
                                                    "' is not configured any more"}));
  if (job->scheduler_job_id().empty()) {
    if (!finished)
      return c->done(to_reply({errc::not_found, "job " + job->job_id() + ": no output yet"}));
    return c->done(
        to_reply({errc::not_found, "job " + job->job_id() + ": it never ran, so no output"}));
  }
  auto history = read_history(*deps_.log, what.job_id());
  if (!history) return c->done(to_reply(history.error()));
  adapters::output_request request;
  request.job = {scheduler_job_id{job->scheduler_job_id()}, {}, job_id{job->job_id()}};
  for (const auto& event : *history)
    if (event.has_job_submitted())
      request.job.token = submission_token{event.job_submitted().token()};
  request.stream = what.standard_error() ? adapters::output_stream::standard_error
                                         : adapters::output_stream::standard_output;
  request.offset = what.offset();
  request.bytes_max = what.bytes_max() == 0 ? output_default : what.bytes_max();
  const bool taken = cluster->second.pool->post(
      [c, request, finished](result<adapters::scheduler*> port) {
        if (!port) return c->done(to_reply(port.error()));
        auto chunk =
            (*port)->read_output(request, std::chrono::steady_clock::now() + call_timeout);
        if (!chunk) return c->done(to_reply(chunk.error()));
        pb::ApiReply reply;
        auto& out = *reply.mutable_output();
        out.set_data(std::move(chunk->bytes));
        out.set_offset(request.offset);
        out.set_size(chunk->size);
        out.set_job_finished(finished);
        c->done(std::move(reply));
      });
  if (!taken) c->done(to_reply({errc::overloaded, "too many calls to the cluster are waiting"}));
}

void service::describe(std::function<void(std::vector<pb::Cluster>, registry_view)> done) {
  using picture = std::pair<std::vector<pb::Cluster>, registry_view>;
  const answer_once<picture> answer("status", [done = std::move(done)](result<picture> seen) {
    if (!seen) return done({}, {});
    done(std::move(seen->first), seen->second);
  });
  const ingress_describe question{[answer](std::vector<pb::Cluster> all, registry_view jobs) {
    answer(picture{std::move(all), jobs});
  }};
  if (!to_ingress([&](const ingress_actor& to) { caf::anon_send(to, question); }))
    answer(fail(errc::unavailable, "the daemon is starting or stopping"));
}

void service::clusters(const std::shared_ptr<call>& c, const std::string& only) {
  if (!only.empty() && !deps_.clusters.contains(cluster_id{only}))
    return c->done(to_reply({errc::not_found, "cluster " + only + ": not configured"}));
  describe([c, only](std::vector<pb::Cluster> all, const registry_view&) {
    pb::ApiReply reply;
    if (only.empty()) reply.mutable_clusters();
    for (auto& one : all) {
      if (only.empty()) *reply.mutable_clusters()->add_clusters() = std::move(one);
      else if (one.cluster_id() == only) *reply.mutable_cluster() = std::move(one);
    }
    if (reply.result_case() == pb::ApiReply::RESULT_NOT_SET)
      reply = to_reply({errc::unavailable, "the daemon is starting or stopping"});
    c->done(std::move(reply));
  });
}

void service::health(const std::shared_ptr<call>& c) {
  const auto only = c->request.check_health().cluster_id();
  if (!only.empty() && !deps_.clusters.contains(cluster_id{only}))
    return c->done(to_reply({errc::not_found, "cluster " + only + ": not configured"}));
  describe([this, c, only](const std::vector<pb::Cluster>& all, const registry_view&) {
    struct gathered {
      std::mutex mutex;
      pb::HealthReport report;
      int open = 0;
    };
    auto got = std::make_shared<gathered>();
    for (const auto& one : all) {
      if (!only.empty() && one.cluster_id() != only) continue;
      auto& health = *got->report.add_clusters();
      health.set_cluster_id(one.cluster_id());
      health.set_scheduler_type(one.scheduler_type());
      health.set_last_poll_at_us(one.last_poll_at_us());
      health.set_active_jobs(one.jobs_tracked());
    }
    got->open = got->report.clusters_size() + 1;
    const auto finish_one = [c, got] {
      const std::lock_guard lock(got->mutex);
      if (--got->open > 0) return;
      pb::ApiReply reply;
      *reply.mutable_health() = got->report;
      c->done(std::move(reply));
    };
    for (int i = 0; i < got->report.clusters_size(); ++i) {
      const answer_once<adapters::health> note(
          "health", [got, i, finish_one](const result<adapters::health>& seen) {
            {
              const std::lock_guard lock(got->mutex);
              auto& health = *got->report.mutable_clusters(i);
              health.set_connection(seen ? seen->connection : seen.error().message);
              health.set_authentication(seen ? seen->authentication : "not checked");
              health.set_queue_access(seen ? seen->queue_access : "not checked");
            }
            finish_one();
          });
      const ingress_check_health question{
          cluster_id{got->report.clusters(i).cluster_id()}, note};
      if (!to_ingress([&](const ingress_actor& to) { caf::anon_send(to, question); }))
        note(fail(errc::unavailable, "the daemon is starting or stopping"));
    }
    finish_one();
  });
}

void service::in_background(const std::shared_ptr<call>& c, std::function<pb::ApiReply()> work) {
  if (background_.fetch_add(1) >= background_max) {
    --background_;
    return c->done(to_reply({errc::overloaded, "too many long operations are running"}));
  }
  std::thread([this, c, work = std::move(work)] {
    try {
      c->done(work());
    } catch (const std::exception& broken) {
      c->done(to_reply({errc::internal, std::string("the operation failed: ") + broken.what()}));
    }
    --background_;
  }).detach();
}

void service::verify(const std::shared_ptr<call>& c) {
  in_background(c, [this] {
    const auto begin = std::chrono::steady_clock::now();
    auto seen = deps_.log->verify();
    if (!seen) return to_reply(seen.error());
    pb::ApiReply reply;
    auto& out = *reply.mutable_verification();
    out.set_ok(seen->ok);
    out.set_events(seen->events);
    out.set_streams(seen->streams);
    out.set_first_problem(seen->first_problem);
    out.set_head_hash(seen->head_hash);
    out.set_duration_us(std::chrono::duration_cast<microseconds>(
                            std::chrono::steady_clock::now() - begin)
                            .count());
    return reply;
  });
}

void service::backup(const std::shared_ptr<call>& c) {
  in_background(c, [this, directory = c->request.backup_log().directory()] {
    if (!directory.starts_with('/'))
      return to_reply({errc::invalid, "backup: '" + directory + "' is not an absolute path"});
    if (auto made = deps_.log->backup(directory); !made) return to_reply(made.error());
    pb::ApiReply reply;
    auto& out = *reply.mutable_backup();
    out.set_directory(directory);
    out.set_last_position(deps_.log->last_position());
    out.set_head_hash(deps_.log->head_hash());
    return reply;
  });
}

void service::answer_status(const std::shared_ptr<call>& c) {
  status([c](pb::Status now) {
    pb::ApiReply reply;
    *reply.mutable_status() = std::move(now);
    c->done(std::move(reply));
  });
}

void service::status(std::function<void(pb::Status)> done) {
  describe([this, done](std::vector<pb::Cluster> all, registry_view registry) {
    pb::Status out;
    out.set_version(deps_.version);
    out.set_boot_id(deps_.boot_id);
    out.set_started_at_us(to_us(deps_.started_at));
    out.set_log_position(deps_.log->last_position());
    out.set_live_jobs(registry.live_jobs);
    std::string word = "ok";
    for (auto& one : all) {
      if (!one.connected()) {
        word = "degraded";
        out.add_problems("cluster " + one.cluster_id() + " is down: " + one.reason());
      }
      *out.add_clusters() = std::move(one);
    }
    if (!all.empty() && !registry.recovered) {
      word = "degraded";
      out.add_problems("stored jobs are still being taken up");
    }
    if (all.empty() && !deps_.clusters.empty()) {
      word = "degraded";
      out.add_problems("the job actors are being restarted");
    }
    if (auto may = deps_.may_accept(); !may) {
      word = "full";
      out.add_problems(may.error().message);
    }
    if (stopping_) word = "stopping";
    out.set_status(word);
    done(std::move(out));
  });
}

}  // namespace ved::actors
