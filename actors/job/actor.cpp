#include "actors/job/actor.hpp"

#include <sodium/randombytes.h>

#include <algorithm>
#include <caf/typed_event_based_actor.hpp>

#include "actors/job/stored.hpp"
#include "messages/job_state.hpp"
#include "messages/plain_text.hpp"

namespace ved::actors {
namespace {

namespace job = core::job;

constexpr auto append_timeout = seconds{30};
/// Who asks when no one does: what follows from news and from time.
constexpr auto own_principal = "ved";

std::uint64_t draw() {
  std::uint64_t bits = 0;
  randombytes_buf(&bits, sizeof bits);
  return bits;
}

job::context context_of(const job_environment& world, const cluster_id& cluster) {
  job::context ctx;
  ctx.now = world.clock();
  ctx.draw = draw();
  if (const auto served = world.clusters->find(cluster)) ctx.limits = served->policy;
  return ctx;
}

/// Of words that the log did not take with the rest.
constexpr std::size_t words_in_part_bytes_max = 256;

/// The same news in words that the log surely takes, with its reason for not taking them all.
job::command in_part(job::command what, const error& why) {
  std::visit(
      [&](auto& news) {
        if constexpr (requires { news.reason; })
          news.reason = plain_text(news.reason, words_in_part_bytes_max) +
                        "; told in part, for the event log refuses the whole: " +
                        plain_text(why.message, words_in_part_bytes_max);
      },
      what);
  return what;
}

/// The behavior's helper: decide, append, apply, reply, react.
class job_body : public std::enable_shared_from_this<job_body> {
 public:
  job_body(job_pointer self, std::shared_ptr<const job_environment> world, open_log log,
         registry_actor registry)
      : self_(self),
        world_(std::move(world)),
        reading_(std::move(log.reading)),
        writer_(std::move(log.writer)),
        registry_(std::move(registry)) {}

  caf::result<job_reply> submit(const submit_job& what) {
    auto& state = self_->state;
    if (state.version != 0) {
      if (state.job.spec_hash != what.spec_hash)
        return job_reply{fail(errc::conflict, "job " + state.job.id.str() +
                                                  ": already accepted with another spec")};
      return job_reply{snapshot(true)};
    }
    const auto ctx = context_of(*world_, cluster_id{what.spec->cluster_id()});
    auto promise = self_->make_response_promise<job_reply>();
    commit(job::accept(*what.spec, what.spec_hash, ctx, what.limit_is_default), what.who,
           [promise](result<job_snapshot> done) mutable {
             promise.deliver(job_reply{std::move(done)});
           });
    return promise;
  }

  caf::result<job_reply> ask(const ask_job& what) {
    auto repeated = was_asked_before(world_->writers->logs(), what);
    if (!repeated) return job_reply{fail(repeated.error())};
    if (*repeated) return job_reply{snapshot(true)};
    auto made = decide(what.what);
    if (!made) return job_reply{fail(made.error())};
    if (made->empty()) return job_reply{snapshot(false)};
    auto promise = self_->make_response_promise<job_reply>();
    commit(std::move(*made), what.who, [promise](result<job_snapshot> done) mutable {
      promise.deliver(job_reply{std::move(done)});
    });
    return promise;
  }

  void report(const job_report& what) {
    if (self_->state.version == 0) return;
    // The registry's wish is used up: the same moment may have to be wished for again.
    if (std::holds_alternative<job::advance>(what.what)) self_->state.woken_at = {};
    const bool anew = std::holds_alternative<job::recover>(what.what);
    // A turn that came to nothing is asked for again.
    const bool turn = std::holds_alternative<job::advance>(what.what) &&
                      std::holds_alternative<job::waiting>(self_->state.job.now);
    // An answer that says nothing new shows that the link pursues a wish from before: it is told
    // again what this job needs now, as a lookup that such a wish has replaced.
    const bool stale = std::holds_alternative<job::report_submission>(what.what);
    if (!tell(what.what) && (anew || stale || turn)) pursue();
  }

  void restarted(const cluster_restarted& what) {
    const auto& job = self_->state.job;
    if (job.cluster != what.cluster) return;
    report({job.id, job::recover{"the connection to cluster " + what.cluster.str() +
                                 " was started anew"}});
  }

  /// Begins the life of a job that was read from the store.
  void begin(const job::command& first) {
    if (!tell(first)) pursue();
  }

 private:
  result<job::events> decide(const job::command& what) const {
    const auto& state = self_->state;
    return job::decide(state.job, what, context_of(*world_, state.job.cluster));
  }

  enum class telling { whole, in_part };

  /// True: events are on their way to the log.
  bool tell(const job::command& what, telling how = telling::whole) {
    auto made = decide(what);
    if (!made) {
      world_->logs->write(log_severity::warn, "hpc_job", "report_refused",
                          {{"job_id", self_->state.job.id.str()},
                           {"reason", made.error().message}});
      return false;
    }
    if (made->empty()) return false;
    commit(std::move(*made), {own_principal, {}},
           [this, keep = shared_from_this(), what, how](const result<job_snapshot>& done) {
             if (!done && done.error().code == errc::invalid)
               not_storable(what, how, done.error());
           });
    return true;
  }

  std::string problem_key() const { return "job." + self_->state.job.id.str(); }

  /// The log refuses this news and would refuse it again and again. Its words may be the cause:
  /// once it is told with fewer. After that it is dropped, for all to see, and the job goes on from
  /// what is stored; an outcome that is lost so is looked up.
  void not_storable(const job::command& what, telling how, const error& why) {
    const auto& job = self_->state.job;
    if (how == telling::whole) {
      if (!tell(in_part(what, why), telling::in_part)) pursue();
      return;
    }
    world_->logs->write(log_severity::error, "hpc_job", "news_not_storable",
                        {{"job_id", job.id.str()}, {"reason", why.message}});
    const bool lost = std::holds_alternative<job::submitting>(job.now) &&
                      std::holds_alternative<job::report_submission>(what);
    if (lost && tell(job::recover{"its outcome could not be stored: " + why.message},
                     telling::in_part))
      return;
    world_->problems->raise(
        problem_key(), "job " + job.id.str() + ": the event log refuses what cluster " +
                           job.cluster.str() + " reports of it (" + why.message +
                           "): it stays " + std::string(state_name(job::public_state(job))) +
                           " here, as it was stored last, until the cluster has other news; "
                           "vectl job cancel " + job.id.str() + " ends it");
  }

  job_snapshot snapshot(bool known) const {
    return {job::to_record(self_->state.job), self_->state.version, known};
  }

  template <class Done>
  void commit(job::events events, const requester& who, Done done) {
    auto& state = self_->state;
    // Apply to a copy: memory must not run ahead of the disk.
    auto after = std::make_shared<job::job>(state.job);
    for (auto& event : events) {
      event.set_principal(who.principal);
      if (event.job().has_accepted()) event.set_principal_token(who.token_id);
      event.set_request_id(who.request_id);
      if (auto applied = job::apply(*after, event); !applied) {
        world_->logs->write(log_severity::critical, "hpc_job", "impossible_event",
                            {{"job_id", state.job.id.str()}, {"reason", applied.error().message}});
        done(fail(applied.error()));
        self_->quit(caf::exit_reason::unhandled_exception);
        return;
      }
    }
    store::append_request request;
    request.stream = core::job_stream(after->id.str());
    request.expected_version = state.version;
    request.state = job::to_record(*after).SerializeAsString();
    request.dedup_id = who.request_id;
    const bool news = who.principal == own_principal;
    const bool intends = std::any_of(events.begin(), events.end(), [](const auto& event) {
      return event.job().has_submission_intended();
    });
    request.events = std::move(events);
    const auto stream = request.stream;
    world_->crash_point("before_append");
    self_->request(writer_, append_timeout, std::move(request))
        .await(
            [this, keep = shared_from_this(), after, intends, news, stream,
             done](const append_reply& reply) mutable {
              if (!reply.outcome) {
                done(fail(refused(reply.outcome.error(), news, stream)));
                return;
              }
              world_->crash_point(intends ? "after_intent" : "after_append");
              self_->state.job = std::move(*after);
              self_->state.version = reply.outcome->version;
              if (news || job::is_terminal(self_->state.job))
                world_->problems->clear(problem_key());
              done(snapshot(false));
              pursue();
            },
            [this, keep = shared_from_this(), done](const caf::error&) mutable {
              done(fail(errc::unknown_outcome,
                        "job " + self_->state.job.id.str() + ": the event log did not answer"));
              self_->quit(caf::exit_reason::unhandled_exception);
            });
  }

  /// The log took nothing. A job that is not stored goes; one whose stored state has moved on is
  /// a zombie and must not act again. News from the cluster comes only once, so a job that could
  /// not note it must find out anew, unless the same would be refused again; a command's asker
  /// knows and may ask again.
  /// Returns what to tell the asker.
  error refused(const error& why, bool news, const std::string& stream) {
    const auto& state = self_->state;
    const auto head = reading_->state(stream);
    const auto stored = head && *head ? (*head)->version : 0;
    if (head && stored == state.version) {
      if (stored == 0) self_->quit();
      if (stored == 0 || !news || why.code == errc::invalid) return why;
    }
    world_->logs->write(log_severity::error, "hpc_job", "append_refused",
                        {{"stream", stream}, {"reason", why.message}});
    self_->quit(caf::exit_reason::unhandled_exception);
    // Nothing is wrong with the request: the stored job is ahead of this actor.
    if (why.code == errc::conflict)
      return {errc::unavailable, stream + ": its actor is being started anew; ask again"};
    return why;
  }

  /// Makes the world match the state.
  void pursue() {
    auto& state = self_->state;
    const auto& id = state.job.id;
    const auto served = world_->clusters->find(state.job.cluster);
    const auto actions = job::react(state.job, served ? served->policy : job::policy{});
    if (const auto link = world_->links->find(state.job.cluster))
      self_->send(link, link_want{id, core::link::desired_of(actions)});
    for (const auto& action : actions) {
      const auto* wake = std::get_if<job::wake>(&action);
      if (wake == nullptr || wake->at == state.woken_at) continue;
      state.woken_at = wake->at;
      self_->send(registry_, wake_job{id, wake->at});
    }
    if (!job::is_terminal(state.job)) return;
    // What runs of it is ended in its cluster; one that is not in service is not asked.
    if (job::is_abandoned(state.job) && served) return tell_abandoned();
    self_->send(registry_, job_ended{id});
  }

  void tell_abandoned() const {
    const auto& job = self_->state.job;
    if (const auto& back = std::get<job::finished>(job.now).returned) {
      world_->problems->raise(
          problem_key(),
          "job " + job.id.str() + " has ended here as " +
              std::string(state_name(job::public_state(job))) + ", and cluster " +
              job.cluster.str() + " has it again (" + back->id.str() +
              "), requeued there or come back with an older state: it is ended there now, for "
              "whoever was told of its end may have sent it anew");
      return;
    }
    if (job::public_state(job) != pb::JOB_STATE_CANCELLED) return;  // only a rest of it is left
    const bool found = !job.scheduler_id.empty();
    world_->problems->raise(
        problem_key(), "job " + job.id.str() + " was given up while cluster " + job.cluster.str() +
                           " was not configured: " +
                           (found ? "its run there (" + job.scheduler_id.str() + ") is ended now"
                                  : "whether it is there is asked now, to end it"));
  }

  job_pointer self_;
  std::shared_ptr<const job_environment> world_;
  std::shared_ptr<store::event_log> reading_;  ///< of the job's cluster
  event_log_actor writer_;                     ///< its
  registry_actor registry_;
};

job_actor::behavior_type behavior_of(job_pointer self, const std::shared_ptr<job_body>& body) {
  return {
      [body](const submit_job& what) { return body->submit(what); },
      [body](const ask_job& what) { return body->ask(what); },
      [body](const job_report& what) { body->report(what); },
      [body](const cluster_restarted& what) { body->restarted(what); },
      [self](dismiss_atom) { self->quit(); },
  };
}

/// The event is what this command makes of a job.
bool came_from(const pb::Envelope& event, const job::command& what) {
  const auto asked = event.job().has_control_requested() ? event.job().control_requested().control()
                                                       : pb::JOB_CONTROL_UNSPECIFIED;
  if (std::holds_alternative<job::cancel_job>(what)) return event.job().has_cancel_requested();
  if (std::holds_alternative<job::hold_job>(what))
    return event.job().has_held() || asked == pb::JOB_CONTROL_HOLD ||
           asked == pb::JOB_CONTROL_SUSPEND;
  if (std::holds_alternative<job::release_job>(what))
    return event.job().has_released() || asked == pb::JOB_CONTROL_RELEASE ||
           asked == pb::JOB_CONTROL_RESUME;
  return false;
}

}  // namespace

result<bool> was_asked_before(const store::event_logs& logs, const ask_job& what) {
  if (what.who.request_id.empty()) return false;
  // Whichever cluster it was used for.
  for (const auto& one : logs.all()) {
    const auto position = one.log->deduplicated(what.who.request_id);
    if (!position) return fail(position.error());
    if (!*position) continue;
    const auto event = one.log->read(**position - 1, 1);
    if (!event) return fail(event.error());
    if (event->size() == 1 && event->front().stream() == core::job_stream(what.job.str()) &&
        came_from(event->front(), what.what))
      return true;
    return fail(errc::conflict, "job " + what.job.str() +
                                    ": this request id was used before, for another job or for "
                                    "another operation; take a new one");
  }
  return false;
}

job_actor::behavior_type new_job(job_pointer self, std::shared_ptr<const job_environment> world,
                                 open_log log, registry_actor registry) {
  return behavior_of(self, std::make_shared<job_body>(self, std::move(world), std::move(log),
                                                    std::move(registry)));
}

job_actor::behavior_type stored_job(job_pointer self, std::shared_ptr<const job_environment> world,
                                    open_log log, registry_actor registry,
                                    std::shared_ptr<const core::job::job> stored,
                                    std::uint64_t version, core::job::command first) {
  self->state.job = *stored;
  self->state.job.watched_since = world->clock();
  self->state.version = version;
  auto body =
      std::make_shared<job_body>(self, std::move(world), std::move(log), std::move(registry));
  body->begin(first);
  return behavior_of(self, body);
}

}  // namespace ved::actors
