#include <caf/send.hpp>
#include <chrono>
#include <utility>

#include "actors/api/shell/all_events.hpp"
#include "actors/api/shell/queries.hpp"
#include "actors/api/shell/service_call.hpp"
#include "actors/api/shell/visible.hpp"
#include "actors/job/explain.hpp"
#include "actors/job/stored.hpp"
#include "actors/shell/answer_once.hpp"
#include "messages/job_spec.hpp"
#include "messages/job_state.hpp"

namespace ved::actors {
namespace {

constexpr std::uint32_t output_default = 65'536;
constexpr std::uint32_t output_most = 1U << 20;
constexpr auto output_timeout = seconds{15};

}  // namespace

/// The limit of a job that names none. A repeat means what was accepted, whatever the default is
/// now.
std::int64_t service::limit_of(const pb::JobSpec& spec) const {
  const auto known = read_job(*deps_.logs, spec.job_id(), false);
  return known ? known->max_runtime_seconds() : deps_.max_runtime_seconds_default;
}

result<void> service::may_take(const pb::JobSpec& spec) const {
  const auto served = deps_.clusters->find(cluster_id{spec.cluster_id()});
  if (served && served->drains)
    return fail(errc::unavailable, "job " + spec.job_id() + ": cluster " + spec.cluster_id() +
                                       " takes no new jobs: its operator drains it");
  return deps_.may_accept();
}

bool service::is_known(const pb::JobSpec& spec) const {
  const auto known = deps_.logs->find_stream(core::job_stream(spec.job_id()));
  return known && *known;
}

void service::submit(const std::shared_ptr<call>& c) {
  auto& spec = *c->request.mutable_submit_job()->mutable_spec();
  auto problems = validate(spec);
  if (const cluster_id named{spec.cluster_id()};
      !named.empty() && !deps_.clusters->is_configured(named) && !is_known(spec)) {
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
  if (const auto why = deps_.clusters->why_out(cluster_id{spec.cluster_id()}))
    return c->done(to_reply({errc::unavailable, "job " + spec.job_id() + ": cluster " +
                                                    spec.cluster_id() + " is out of service: " +
                                                    *why}));
  if (auto may = may_take(spec); !may) {
    // A repeat of what was accepted needs no room, and its client must not be left in doubt.
    if (!is_known(spec)) return c->done(to_reply(may.error()));
  }
  const bool names_limit = spec.max_runtime_seconds() != 0;
  if (!names_limit) spec.set_max_runtime_seconds(limit_of(spec));
  auto hash = spec_hash(spec);
  auto shared = std::make_shared<const pb::JobSpec>(canonical(std::move(spec)));
  // The job id already makes a submission repeatable; a request id would only add a second way.
  const answer_once<job_snapshot> answer(
      "job " + shared->job_id(), [this, c](result<job_snapshot> done) {
        if (!done) return c->done(to_reply(done.error()));
        pb::ApiReply reply;
        auto& accepted = *reply.mutable_accepted();
        *accepted.mutable_job() = to_api_job(done->record, done->version);
        accepted.set_already_known(done->already_known);
        deliver(c, std::move(reply));
      });
  const requester by{c->who.name, {}, c->who.token_id};
  ingress_submit in{{by, shared, std::move(hash), !names_limit}, answer};
  if (!to_ingress([&](const ingress_actor& to) { caf::anon_send(to, std::move(in)); }))
    answer(fail(errc::unavailable, "the daemon is starting or stopping"));
}

void service::ask(const std::shared_ptr<call>& c, const std::string& job,
                  core::job::command what) {
  const answer_once<job_snapshot> answer("job " + job, [this, c, job](result<job_snapshot> done) {
    // Only what a job is asked without scope admin is denied there.
    if (!done && done.error().code == errc::denied) {
      const auto& why = done.error().message;
      deps_.refused({"unauthorized_access", c->who.name, c->request.source(), why, job, {}});
      return c->done(lacks_scope(pb::SCOPE_ADMIN, why));
    }
    if (!done) return c->done(to_reply(done.error()));
    pb::ApiReply reply;
    *reply.mutable_job()->mutable_job() = to_api_job(done->record, done->version);
    deliver(c, std::move(reply));
  });
  ingress_ask in{{c->asked_by(), job_id{job}, std::move(what)}, answer};
  if (!to_ingress([&](const ingress_actor& to) { caf::anon_send(to, std::move(in)); }))
    answer(fail(errc::unavailable, "the daemon is starting or stopping"));
}

/// What is asked of a cluster that left the configuration waits for its return, unless an operator
/// gives the job up.
void service::cancel(const std::shared_ptr<call>& c) {
  const auto& what = c->request.cancel_job();
  core::job::cancel_job order{c->who.name, what.reason(), what.give_up()};
  if (!order.gives_up) return ask(c, what.job_id(), order);
  if (!c->who.admin)
    return c->done(lacks_scope(pb::SCOPE_ADMIN, "job " + what.job_id() +
                                                    ": to give it up needs a token with scope "
                                                    "admin"));
  const auto job = read_record(*deps_.logs, what.job_id());
  if (!job) return c->done(to_reply(job.error()));
  if (is_terminal(job->state()))
    return c->done(to_reply({errc::conflict, "job " + what.job_id() + " has ended already: " +
                                                 job->reason()}));
  const cluster_id of{job->cluster_id()};
  if (deps_.clusters->is_configured(of)) {
    const auto out = deps_.clusters->why_out(of);
    return c->done(to_reply(
        {errc::conflict, "job " + what.job_id() + ": cluster " + of.str() + " is configured; " +
                             (out ? "it is out of service (" + *out + "): mend it, or take it out "
                                    "of the configuration first"
                                  : std::string("cancel the job there"))}));
  }
  ask(c, what.job_id(), order);
}

void service::get_job(call& c) {
  auto job = read_job(*deps_.logs, c.request.get_job().job_id(), true);
  if (!job) return c.done(to_reply(job.error()));
  hide_values(*job, c.who);
  pb::ApiReply reply;
  *reply.mutable_job()->mutable_job() = std::move(*job);
  c.done(std::move(reply));
}

void service::list_jobs(call& c) {
  c.done(reply_of(actors::list_jobs(*deps_.logs, c.request.list_jobs()),
                  &pb::ApiReply::mutable_jobs));
}

void service::job_events(call& c) {
  auto events = read_events(*deps_.logs, c.request.get_job_events());
  if (events) hide_values(*events, c.who);
  c.done(reply_of(std::move(events), &pb::ApiReply::mutable_events));
}

void service::list_events(call& c) {
  c.done(reply_of(actors::list_events(*deps_.logs, c.request.list_events(), c.who),
                  &pb::ApiReply::mutable_event_page));
}

void service::explain(const std::shared_ptr<call>& c) {
  const auto& what = c->request.explain_job();
  auto folded = fold_history(*deps_.logs, what);
  if (!folded) return c->done(to_reply(folded.error()));
  const auto at = from_us(what.at_us());
  describe([this, c, story = *folded, at](const std::vector<pb::Cluster>& all,
                                          const registry_view&) {
    const auto job = story->state().id;
    const auto cluster = story->state().cluster.str();
    pb::ApiReply reply;
    for (const auto& one : all) {
      if (one.cluster_id() != cluster || is_set(at)) continue;
      core::job::cluster_view view;
      view.id = cluster_id{cluster};
      view.breaker = one.breaker();
      view.reason = one.reason();
      view.last_answer_at = from_us(one.last_answer_at_us());
      view.down_since = from_us(one.down_since_us());
      if (const auto served = deps_.clusters->find(view.id)) view.limits = served->policy;
      const answer_once<core::link::job_note> answer(
          "job " + job.str(), [this, c, story, view](const result<core::link::job_note>& seen) {
            auto known = view;
            if (seen) {
              known.waits = seen->waits;
              known.site_fault = seen->site_fault;
              known.lookup_problem = seen->lookup_problem;
              known.waits_for_turn = seen->waits_for_turn;
            }
            pb::ApiReply told;
            *told.mutable_explanation() = story->finish(&known);
            deliver(c, std::move(told));
          });
      const ingress_ask_about question{view.id, job, answer};
      if (!to_ingress([&](const ingress_actor& to) { caf::anon_send(to, question); }))
        answer(fail(errc::unavailable, "the daemon is starting or stopping"));
      return;
    }
    auto& explanation = *reply.mutable_explanation();
    explanation = story->finish(nullptr);
    if (!is_set(at) && !deps_.clusters->find(cluster_id{cluster}) &&
        !is_terminal(explanation.job().state())) {
      explanation.clear_next();
      if (const auto out = deps_.clusters->why_out(cluster_id{cluster})) {
        explanation.set_summary(explanation.summary() + ", as far as is known: cluster " + cluster +
                                " is out of service: " + *out);
        explanation.add_next("nothing, until cluster " + cluster +
                             " is in service again: `vectl config reload` tries it anew");
      } else {
        explanation.set_summary(explanation.summary() + ", as far as was known when cluster " +
                                cluster + " left the configuration");
        explanation.add_next("nothing, until cluster " + cluster +
                             " is configured again: it is not configured any more");
        explanation.add_next("an operator may end it here, whatever becomes of it there: vectl job "
                             "cancel --give-up " + job.str());
      }
    }
    deliver(c, std::move(reply));
  });
}

void service::output(const std::shared_ptr<call>& c) {
  const auto& what = c->request.get_job_output();
  auto job = read_record(*deps_.logs, what.job_id());
  if (!job) return c->done(to_reply(job.error()));
  const bool finished = is_terminal(job->state());
  if (what.bytes_max() > output_most)
    return c->done(to_reply({errc::invalid, "limit: at most 1048576 bytes at once"}));
  const auto cluster = deps_.clusters->find(cluster_id{job->cluster_id()});
  if (!cluster) {
    const auto out = deps_.clusters->why_out(cluster_id{job->cluster_id()});
    return c->done(to_reply({errc::unavailable,
                             "job " + job->job_id() + ": its cluster '" + job->cluster_id() + "' " +
                                 (out ? "is out of service: " + *out
                                      : "is not configured any more")}));
  }
  const auto none = [c, finished, id = job->job_id(), offset = what.offset()] {
    // Not an error while there may still be some: who follows the output asks again.
    if (finished)
      return c->done(to_reply({errc::not_found, "job " + id + ": it never ran, so no output"}));
    pb::ApiReply reply;
    reply.mutable_output()->set_offset(offset);
    c->done(std::move(reply));
  };
  if (job->scheduler_job_id().empty()) return none();
  adapters::output_request request;
  request.job = {scheduler_job_id{job->scheduler_job_id()}, submission_token{job->token()},
                 job_id{job->job_id()}};
  request.stream = what.standard_error() ? adapters::output_stream::standard_error
                                         : adapters::output_stream::standard_output;
  request.offset = what.offset();
  request.bytes_max = what.bytes_max() == 0 ? output_default : what.bytes_max();
  output_reads::question question{c->who.share(), request, finished,
                                  std::chrono::steady_clock::now() + output_timeout};
  cluster->outputs->ask(
      std::move(question),
      [c, offset = request.offset, finished, none](const result<adapters::output_chunk>& chunk) {
        if (!chunk && chunk.error().code == errc::not_found && !finished) return none();
        if (!chunk) return c->done(to_reply(chunk.error()));
        pb::ApiReply reply;
        auto& out = *reply.mutable_output();
        out.set_data(chunk->bytes);
        out.set_offset(offset);
        out.set_size(chunk->size);
        out.set_job_finished(finished);
        c->done(std::move(reply));
      });
}

}  // namespace ved::actors
