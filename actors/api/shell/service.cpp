#include "actors/api/shell/service.hpp"

#include <sodium/utils.h>

#include <chrono>
#include <thread>
#include <utility>

#include "actors/api/shell/service_call.hpp"
#include "messages/json_shape.hpp"
#include "messages/operations.hpp"

namespace ved::actors {
namespace {

/// What is not known is refused for what it is, by whoever may read.
pb::Scope needed(const pb::ApiRequest& request) {
  const auto* row = operation_of(request);
  return row == nullptr ? pb::SCOPE_READ : row->marks.scope();
}

bool allows(const principal& who, pb::Scope what) {
  if (who.admin) return true;
  if (what == pb::SCOPE_SUBMIT) return who.submit;
  const bool reads = who.read || who.submit;
  return what == pb::SCOPE_EVENTS ? reads || who.events : what == pb::SCOPE_READ && reads;
}

/// Needs no token, and tells no more than a word.
bool is_public(const pb::ApiRequest& request) {
  const auto* row = operation_of(request);
  return request.token().empty() && row != nullptr && row->marks.tells_anybody();
}

}  // namespace

pb::ApiReply to_reply(const error& what) {
  pb::ApiReply reply;
  reply.mutable_error()->set_error(std::string(to_string(what.code)));
  reply.mutable_error()->set_message(what.message);
  return reply;
}

pb::ApiReply lacks_scope(pb::Scope needed, const std::string& why) {
  auto reply = to_reply({errc::denied, why});
  auto& detail = *reply.mutable_error()->add_details();
  detail.set_field("scope");
  detail.set_message("needs " + json_shape::word_of(needed));
  return reply;
}

service::service(service_deps deps)
    : deps_(std::move(deps)),
      requests_(deps_.limits.requests_per_second, deps_.limits.requests_burst),
      controls_(deps_.limits.controls_per_second, deps_.limits.controls_burst),
      submitted_bytes_(deps_.limits.submitted_bytes_per_second,
                       deps_.limits.submitted_bytes_burst),
      queries_({}) {
  operations();  // one without a scope must not be served
}

service::~service() {
  stop_.request_stop();
  while (background_.load() > 0) std::this_thread::sleep_for(milliseconds{10});
}

void service::set_ingress(ingress_actor current) {
  const std::lock_guard lock(mutex_);
  ingress_ = std::move(current);
}

void service::set_stopping() {
  stopping_ = true;
  stop_.request_stop();
}

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

service::judgement service::judge(const pb::ApiRequest& request) {
  auto who = deps_.authenticate(request.token());
  if (!who) {
    deps_.refused({"authentication_failed", {}, request.source(), who.error().message, {}, {}});
    return to_reply(who.error());
  }
  const auto scope = needed(request);
  if (allows(*who, scope)) return std::move(*who);
  const auto why = who->name + " lacks the scope '" + json_shape::word_of(scope) + "'";
  deps_.refused({"unauthorized_access", who->name, request.source(), why, {}, {}});
  return lacks_scope(scope, why);
}

tl::expected<std::string, pb::ApiReply> service::identify(const pb::ApiRequest& head) {
  if (is_public(head)) return std::string();
  auto judged = judge(head);
  if (auto* refused = std::get_if<pb::ApiReply>(&judged))
    return tl::make_unexpected(std::move(*refused));
  return std::get<principal>(judged).share();
}

std::optional<error> service::over_its_rate(const call& c) {
  const auto now = std::chrono::steady_clock::now();
  if (!requests_.admit(c.who.share(), now))
    return error{errc::overloaded,
                 "too many requests of " + c.who.name + ": more than " +
                     std::to_string(deps_.limits.requests_per_second) + " a second"};
  const auto& r = c.request;
  if ((r.has_hold_job() || r.has_release_job()) && !controls_.admit(c.who.share(), now))
    return error{errc::overloaded,
                 "too many holds and releases of " + c.who.name + ": more than " +
                     std::to_string(deps_.limits.controls_per_second) +
                     " a second; each one is kept on record"};
  if (r.has_submit_job() &&
      !submitted_bytes_.admit(c.who.share(), now, static_cast<double>(r.ByteSizeLong())))
    return error{errc::overloaded,
                 "too many bytes of jobs submitted by " + c.who.name + ": more than " +
                     std::to_string(
                         static_cast<std::int64_t>(deps_.limits.submitted_bytes_per_second)) +
                     " a second; they are kept on record"};
  return std::nullopt;
}

void service::query(const std::shared_ptr<call>& c, query_pool::kind what,
                    std::function<void()> work) {
  auto guarded = [c, work = std::move(work)] {
    try {
      work();
    } catch (const std::exception& broken) {
      c->done(to_reply({errc::internal, std::string("the query failed: ") + broken.what()}));
    }
  };
  if (!queries_.post(c->who.share(), what, std::move(guarded)))
    c->done(to_reply({errc::overloaded, "too many queries are waiting"}));
}

void service::deliver(const std::shared_ptr<call>& c, pb::ApiReply reply) {
  if (reply.ByteSizeLong() <= small_answer_bytes_max) return c->done(std::move(reply));
  const auto large = std::make_shared<pb::ApiReply>(std::move(reply));
  const auto hand_over = [c, large] { c->done(std::move(*large)); };
  // What was done must be told, also when there is no turn for it.
  if (!queries_.post(c->who.share(), query_pool::kind::one_job, hand_over)) hand_over();
}

void service::handle(pb::ApiRequest request, reply_to done) {
  // Health is what load balancers and service managers ask for; they have no token.
  if (is_public(request)) return answer_public_status(std::move(done));
  auto judged = judge(request);
  if (!request.token().empty())
    sodium_memzero(request.mutable_token()->data(), request.token().size());
  request.clear_token();
  if (auto* refused = std::get_if<pb::ApiReply>(&judged)) return done(std::move(*refused));
  auto c = std::make_shared<call>();
  c->request = std::move(request);
  c->done = std::move(done);
  c->who = std::move(std::get<principal>(judged));
  if (const auto refused = over_its_rate(*c)) return c->done(to_reply(*refused));
  answer(c);
}

void service::answer(const std::shared_ptr<call>& c) {
  using kind = query_pool::kind;
  const auto& r = c->request;
  switch (r.operation_case()) {
    case pb::ApiRequest::kSubmitJob: return submit(c);
    case pb::ApiRequest::kCancelJob: return cancel(c);
    case pb::ApiRequest::kHoldJob:
      return ask(c, r.hold_job().job_id(),
                 core::job::hold_job{c->who.name, r.hold_job().reason(), c->who.admin});
    case pb::ApiRequest::kReleaseJob:
      return ask(c, r.release_job().job_id(),
                 core::job::release_job{c->who.name, r.release_job().reason(), c->who.admin});
    case pb::ApiRequest::kGetJob: return query(c, kind::one_job, [this, c] { get_job(*c); });
    case pb::ApiRequest::kListJobs: return query(c, kind::many, [this, c] { list_jobs(*c); });
    case pb::ApiRequest::kGetJobEvents:
      return query(c, kind::one_job, [this, c] { job_events(*c); });
    case pb::ApiRequest::kListEvents: return query(c, kind::many, [this, c] { list_events(*c); });
    case pb::ApiRequest::kExplainJob: return query(c, kind::one_job, [this, c] { explain(c); });
    case pb::ApiRequest::kGetJobOutput:
      return query(c, kind::one_job, [this, c] { output(c); });
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
    case pb::ApiRequest::kGetLogStats: return query(c, kind::many, [this, c] { log_stats(*c); });
    case pb::ApiRequest::kDumpLog: return query(c, kind::many, [this, c] { dump(*c); });
    case pb::ApiRequest::kBackupLog: return backup(c);
    case pb::ApiRequest::kReloadConfig:
      return in_background(c, [this] {
        return reply_of(deps_.reload(), &pb::ApiReply::mutable_config_reloaded);
      });
    case pb::ApiRequest::OPERATION_NOT_SET: break;
  }
  c->done(to_reply({errc::invalid, "the request names no operation that this ved knows"}));
}

}  // namespace ved::actors
