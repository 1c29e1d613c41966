#include "actors/api/shell/service.hpp"

#include <sodium/utils.h>

#include <chrono>
#include <thread>
#include <utility>

#include "actors/api/shell/service_call.hpp"

namespace ved::actors {
namespace {

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

}  // namespace

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

}  // namespace ved::actors
