#include "actors/registry/actor.hpp"

#include <algorithm>
#include <array>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <utility>

#include "actors/job/stored.hpp"

namespace ved::actors {
namespace {

namespace job = core::job;
using self_pointer = registry_actor::stateful_pointer<registry_state>;

constexpr std::size_t recover_batch = 500;
constexpr auto respawn_first = milliseconds{200};
constexpr auto respawn_most = seconds{30};
/// How often, and how far, the store is searched for live jobs that nobody speaks for.
constexpr auto sweep_interval = seconds{5};
constexpr std::size_t sweep_batch = 2000;
constexpr std::size_t count_batch = 10'000;
constexpr auto barrier_timeout = seconds{30};
/// Submissions that wait until all jobs are recovered.
constexpr std::size_t waiting_submissions_max = 1024;
/// Where the jobs stand that somebody must speak for.
constexpr std::array indexes{core::live_prefix, core::abandoned_prefix};

class registry_body {
 public:
  registry_body(self_pointer self, registry_deps deps) : self_(self), deps_(std::move(deps)) {}

  caf::result<job_reply> submit(const submit_job& what) {
    auto& state = self_->state;
    const job_id id{what.spec->job_id()};
    if (const auto it = state.jobs.find(id); it != state.jobs.end())
      return self_->delegate(it->second.actor, what);
    // In whichever cluster's log: an id names one job of the daemon.
    auto known = logs().find_stream(core::job_stream(id.str()));
    if (!known) return job_reply{fail(known.error())};
    if (*known) {
      revive_if_alone(id);
      return job_reply{compare((*known)->at, what)};
    }
    if (auto lost = is_in_lost_log(id)) return job_reply{fail(std::move(*lost))};
    auto log = deps_.world->writers->of(cluster_id{what.spec->cluster_id()});
    if (log.name.empty())
      return job_reply{fail(errc::unavailable, "job " + id.str() + ": cluster " +
                                                   what.spec->cluster_id() +
                                                   " has no log that can be written")};
    if (auto full = has_no_place(id, what.who)) return job_reply{fail(std::move(*full))};
    if (may_have_its_part(what.who)) return wait_for_recovery(what);
    // Also when the cluster's log is away one day, no other cluster takes a job of this id.
    if (auto noted = note_place(id, log.name); !noted) return job_reply{fail(noted.error())};
    auto made = self_->spawn(new_job, deps_.world, std::move(log), registry_actor{self_});
    adopt(id, made, submitter_of(what.who.principal, what.who.token_id), false);
    return self_->delegate(made, what);
  }

  caf::result<job_reply> ask(const ask_job& what) {
    if (const auto it = self_->state.jobs.find(what.job); it != self_->state.jobs.end())
      return self_->delegate(it->second.actor, what);
    auto stored = read(what.job);
    if (!stored) return job_reply{fail(stored.error())};
    if (!job::is_terminal(stored->job)) {
      if (!revive(what.job, std::move(*stored)))
        return job_reply{fail(errc::unavailable,
                              "job " + what.job.str() + ": its actor is not started yet, or nobody "
                              "writes to its log; ask again")};
      return self_->delegate(self_->state.jobs.at(what.job).actor, what);
    }
    auto repeated = was_asked_before(logs(), what);
    if (!repeated) return job_reply{fail(repeated.error())};
    if (*repeated)
      return job_reply{job_snapshot{job::to_record(stored->job), stored->version, true}};
    auto made = job::decide(stored->job, what.what, {});
    if (!made) return job_reply{fail(made.error())};
    return job_reply{job_snapshot{job::to_record(stored->job), stored->version, false}};
  }

  void report(const job_report& what) {
    if (self_->state.jobs.contains(what.job)) return tell(what);
    if (const auto* stray = std::get_if<job::report_stray>(&what.what))
      return take_back(what.job, *stray);
    revive_if_alone(what.job);
    tell(what);
  }

  void wish(const wake_job& what) {
    auto& state = self_->state;
    forget_wish(what.job);
    state.wishes[what.job] = what.at;
    state.wakes.emplace(what.at, what.job);
  }

  void ended(const job_ended& what) {
    auto& state = self_->state;
    const auto it = state.jobs.find(what.job);
    if (it == state.jobs.end() ||
        it->second.actor.address() != self_->current_sender()->address())
      return;
    self_->send(it->second.actor, dismiss_atom::value);
    forget_wish(what.job);
    state.ids.erase(it->second.actor.address());
    state.fallen_jobs.erase(what.job);
    drop(it);
  }

  void down(const caf::down_msg& what) {
    auto& state = self_->state;
    const auto it = state.ids.find(what.source);
    if (it == state.ids.end()) return;
    const job_id id = *it->second;
    state.ids.erase(it);
    drop(state.jobs.find(id));
    forget_wish(id);
    if (what.reason == caf::exit_reason::normal) return;
    auto& fall = state.fallen_jobs[id];
    const auto pause = std::min<microseconds>(respawn_first * (1 << std::min(fall.times, 10)),
                                              respawn_most);
    ++fall.times;
    fall.again_at = deps_.world->clock() + pause;
    deps_.world->logs->write(log_severity::error, "hpc_job", "job_actor_failed",
                             {{"job_id", id.str()}, {"times", std::to_string(fall.times)}});
  }

  void tick() {
    auto& state = self_->state;
    const auto now = deps_.world->clock();
    while (!state.wakes.empty() && state.wakes.begin()->first <= now) {
      const job_id id = state.wakes.begin()->second;
      forget_wish(id);
      tell({id, job::advance{}});
    }
    for (auto it = state.fallen_jobs.begin(); it != state.fallen_jobs.end();) {
      auto& [id, fall] = *it;
      if (fall.again_at > now || state.jobs.contains(id)) {
        ++it;
        continue;
      }
      auto stored = read(id);
      // Never stored, or over: nothing to start. What the log still takes, the sweep finds.
      if (stored ? !needs_actor(stored->job) : stored.error().code == errc::not_found) {
        it = state.fallen_jobs.erase(it);
        continue;
      }
      if (stored) revive(id, std::move(*stored));
      fall.again_at = now + respawn_most;  // only looked at again if it falls again
      ++it;
    }
    if (state.recovered && now >= state.sweep_at) {
      state.sweep_at = now + sweep_interval;
      sweep();
    }
  }

  void take_up_all() {
    for (const auto& one : logs().all()) take_up(one);
    begin_recovery();
  }

  /// A link that was started anew knows no job: each tells it again what it wants, and those with
  /// a submission in flight look it up. The log of its cluster may have come only now.
  void restarted(const cluster_restarted& what) {
    const auto of = deps_.world->writers->of(what.cluster);
    if (!of.name.empty() && take_up({of.name, of.reading}) && self_->state.recovered) {
      self_->state.recovered = false;
      self_->send(self_, recover_atom::value);
    }
    const auto link = deps_.world->links->find(what.cluster);
    if (link) self_->send(link, subscribe_reports{registry_actor{self_}});
    for (const auto& [id, one] : self_->state.jobs) self_->send(one.actor, what);
  }

  /// True: there is more to recover.
  bool recover_some() {
    auto& state = self_->state;
    if (state.recovered_parts == state.recovering.size()) return have_recovered();
    const auto [from, prefix] = state.recovering[state.recovered_parts];
    auto page = from.log->scan_index(prefix, state.recover_after, recover_batch);
    if (page) {
      for (const auto& key : page->keys)
        recover_one(from, job_id{std::string(core::job_of_index_key(key))});
      if (page->more && !page->keys.empty()) {
        state.recover_after = page->keys.back();
        return true;
      }
    } else {
      // The jobs of all others go on; the sweep takes these up if the log can be read again.
      deps_.world->logs->write(log_severity::critical, "hpc_job", "recovery_failed",
                               {{"log", from.name}, {"reason", page.error().message}});
    }
    state.recover_after.clear();
    return ++state.recovered_parts < state.recovering.size() || have_recovered();
  }

 private:
  /// A job of the registry before this one ends only when its last append is answered, and that may
  /// wait in the log's queue: an actor that was made of the state before it would never hear of it.
  void begin_recovery() {
    const auto all = deps_.world->writers->all();
    auto& waits = self_->state.logs_to_wait_for;
    waits = all.size();
    if (waits == 0) self_->send(self_, recover_atom::value);
    const auto passed = [self = self_] {
      if (--self->state.logs_to_wait_for == 0) self->send(self, recover_atom::value);
    };
    for (const auto& one : all)
      self_->request(one.writer, barrier_timeout, barrier_atom::value)
          .then([passed](barrier_atom) { passed(); }, [passed](const caf::error&) { passed(); });
  }

  bool have_recovered() {
    auto& state = self_->state;
    state.recovering.clear();
    state.recovered_parts = 0;
    state.unrecovered.clear();
    state.recovered = true;
    for (auto& one : std::exchange(state.waiting, {}))
      one.promise.delegate(registry_actor{self_}, std::move(one.what));
    return false;
  }

  /// Of those that are not recovered yet, as many may be its own as it lacks of its part.
  bool may_have_its_part(const requester& who) const {
    const auto unknown = self_->state.unrecovered.size();
    return unknown > 0 && live_of(who) + unknown >= deps_.live_jobs_per_principal_max;
  }

  caf::result<job_reply> wait_for_recovery(const submit_job& what) {
    auto& waiting = self_->state.waiting;
    if (waiting.size() >= waiting_submissions_max)
      return job_reply{fail(errc::unavailable,
                            "job " + what.spec->job_id() +
                                ": the jobs of before the start are still being taken up, and too "
                                "many submissions wait for that")};
    auto promise = self_->make_response_promise<job_reply>();
    waiting.push_back({what, promise});
    return promise;
  }

  /// The jobs of a log are to be recovered; until then its live ones count as such. False: they
  /// are, or will be.
  bool take_up(const store::named_log& one) {
    auto& state = self_->state;
    if (!state.logs.insert(one.name).second) return false;
    for (const auto prefix : indexes) state.recovering.push_back({one, prefix});
    std::string after;
    for (bool more = true; more;) {
      auto page = one.log->scan_index(core::live_prefix, after, count_batch);
      if (!page) break;  // the recovery meets the same error and says so
      for (const auto& key : page->keys) {
        job_id id{std::string(core::job_of_index_key(key))};
        if (!state.jobs.contains(id)) state.unrecovered.insert(std::move(id));
      }
      more = page->more;
      if (!page->keys.empty()) after = page->keys.back();
    }
    return true;
  }

  struct stored_job_state {
    store::named_log log;
    job::job job;
    std::uint64_t version = 0;
  };

  const store::event_logs& logs() const { return deps_.world->writers->logs(); }

  std::vector<registry_state::part> parts() const {
    std::vector<registry_state::part> out;
    for (const auto& one : logs().all())
      for (const auto prefix : indexes) out.push_back({one, prefix});
    return out;
  }

  /// It is live, or was given up and its cluster is back, where it may still run.
  bool needs_actor(const job::job& job) const {
    return !job::is_terminal(job) ||
           (job::is_abandoned(job) && deps_.world->clusters->find(job.cluster));
  }

  result<void> note_place(const job_id& id, const std::string& log) const {
    return logs().own()->note_place(core::job_stream(id.str()), log);
  }

  /// Why a job that no log has is not a new one; none: it is.
  std::optional<error> is_in_lost_log(const job_id& id) const {
    const auto lost = logs().lost();
    if (lost.empty()) return std::nullopt;
    const auto noted = logs().own()->noted_place(core::job_stream(id.str()));
    if (!noted) return noted.error();
    const bool may_be_anywhere = !*noted && !logs().knows_all_places();
    const auto in = may_be_anywhere ? lost.begin() : *noted ? lost.find(**noted) : lost.end();
    if (in == lost.end()) return std::nullopt;
    return error{errc::unavailable,
                 "job " + id.str() +
                     (may_be_anywhere ? ": the daemon's log is an older or a new one, and does not "
                                        "tell whether the job is in "
                                      : ": it is in ") +
                     in->first + ", which cannot be read: " + in->second.message};
  }

  result<stored_job_state> read(const job_id& id) const {
    auto known = logs().find_stream(core::job_stream(id.str()));
    if (!known) return fail(known.error());
    if (!*known) return fail(errc::not_found, "job " + id.str() + ": not known");
    return to_state(id, std::move(**known));
  }

  static result<stored_job_state> read(const job_id& id, const store::named_log& from) {
    auto stored = from.log->state(core::job_stream(id.str()));
    if (!stored) return fail(stored.error());
    if (!*stored) return fail(errc::not_found, "job " + id.str() + ": not known");
    return to_state(id, {from, std::move(**stored)});
  }

  static result<stored_job_state> to_state(const job_id& id, store::held_stream stored) {
    pb::JobRecord record;
    if (!record.ParseFromString(stored.at.state))
      return stored.in.log->damaged(store::table::state,
                                    "job " + id.str() + ": stored state does not parse");
    auto folded = job::from_record(record);
    if (!folded) return fail(folded.error());
    return stored_job_state{std::move(stored.in), std::move(*folded), stored.at.version};
  }

  void recover_one(const store::named_log& from, const job_id& id) {
    self_->state.unrecovered.erase(id);
    if (self_->state.jobs.contains(id)) return;
    auto stored = read(id, from);
    if (stored && needs_actor(stored->job)) {
      // The daemon's log may have been begun anew, or restored, without what it noted of them.
      static_cast<void>(note_place(id, from.name));
      revive(id, std::move(*stored));
    }
    if (stored) return;
    if (stored.error().code == errc::not_found)
      static_cast<void>(from.log->damaged(
          store::table::state,
          "job " + id.str() + ": the index has it, but it has no stored state"));
    deps_.world->logs->write(log_severity::critical, "hpc_job", "job_not_recovered",
                             {{"job_id", id.str()}, {"reason", stored.error().message}});
  }

  static result<job_snapshot> compare(const store::stream_state& stored, const submit_job& what) {
    job_snapshot known{{}, stored.version, true};
    if (!known.record.ParseFromString(stored.state))
      return fail(errc::corrupt, "job " + what.spec->job_id() + ": stored state does not parse");
    if (known.record.spec_hash() != what.spec_hash)
      return fail(errc::conflict,
                  "job " + what.spec->job_id() + ": already accepted with another spec");
    return known;
  }

  void tell(const job_report& what) {
    if (const auto it = self_->state.jobs.find(what.job); it != self_->state.jobs.end())
      self_->send(it->second.actor, what);
  }

  void forget_wish(const job_id& id) {
    auto& state = self_->state;
    const auto it = state.wishes.find(id);
    if (it == state.wishes.end()) return;
    state.wakes.erase({it->second, id});
    state.wishes.erase(it);
  }

  /// Starts the actor of a live job that has none and waits for none.
  void revive_if_alone(const job_id& id) {
    if (self_->state.fallen_jobs.contains(id)) return;
    if (auto stored = read(id); stored && needs_actor(stored->job))
      revive(id, std::move(*stored));
  }

  /// What has ended may be in its scheduler again: then somebody speaks for it once more.
  void take_back(const job_id& id, const job::report_stray& what) {
    auto stored = read(id);
    if (!stored || !job::is_terminal(stored->job) || stored->job.cluster != what.cluster) return;
    if (const auto made = job::decide(stored->job, what, {}); made && !made->empty())
      revive(id, std::move(*stored), what);
  }

  /// A job can become live in the log after its actor is gone: an append that was on its way when
  /// the job's actor or the registry before this one died. Nobody else would ever notice.
  void sweep() {
    for (const auto& [from, prefix] : parts()) {
      auto& after = self_->state.sweep_after[{from.name, prefix}];
      auto page = from.log->scan_index(prefix, after, sweep_batch);
      if (!page) continue;
      for (const auto& key : page->keys) {
        const job_id id{std::string(core::job_of_index_key(key))};
        if (!self_->state.jobs.contains(id)) revive_if_alone(id);
      }
      after = page->more ? page->keys.back() : std::string{};
    }
  }

  /// Of a job that has no actor.
  void adopt(const job_id& id, const job_actor& made, const registry_state::submitter& whose,
             bool has_ended) {
    self_->monitor(made);
    auto& state = self_->state;
    state.unrecovered.erase(id);
    registry_state::member one{made, nullptr};
    if (has_ended) {
      ++state.ended;
    } else {
      one.whose = &*state.by_submitter.try_emplace(whose, 0).first;
      ++one.whose->second;
    }
    const auto place = state.jobs.emplace(id, std::move(one)).first;
    state.ids[made.address()] = &place->first;
  }

  void drop(std::unordered_map<job_id, registry_state::member>::iterator which) {
    auto& state = self_->state;
    if (auto* whose = which->second.whose; whose == nullptr)
      --state.ended;
    else if (--whose->second == 0)
      state.by_submitter.erase(state.by_submitter.find(whose->first));
    state.jobs.erase(which);
  }

  /// A name that was another token's before is another submitter.
  static registry_state::submitter submitter_of(const std::string& name, const std::string& token) {
    return {name, token};
  }

  /// Where an older release did not store by which token, the name alone counts.
  std::size_t live_of(const requester& who) const {
    const auto& all = self_->state.by_submitter;
    std::size_t out = 0;
    for (const auto& token : std::set<std::string>{who.token_id, std::string{}})
      if (const auto it = all.find(submitter_of(who.principal, token)); it != all.end())
        out += it->second;
    return out;
  }

  /// Why a new job of this principal finds no place among the live ones; none: it does.
  std::optional<error> has_no_place(const job_id& id, const requester& who) const {
    const auto& state = self_->state;
    const auto live = state.jobs.size() - state.ended + state.unrecovered.size();
    if (live >= deps_.live_jobs_max)
      return error{errc::overloaded,
                   "job " + id.str() + ": " + std::to_string(live) +
                       " jobs are live, the most that hpc.job_service.max_concurrent_jobs allows"};
    const auto own = live_of(who);
    if (own < deps_.live_jobs_per_principal_max) return std::nullopt;
    return error{errc::overloaded,
                 "job " + id.str() + ": " + std::to_string(own) + " jobs of " + who.principal +
                     " are live, the most that hpc.job_service.max_concurrent_jobs_per_principal "
                     "allows"};
  }

  /// False: nobody writes to its log.
  bool revive(const job_id& id, stored_job_state stored) {
    const auto fallen = self_->state.fallen_jobs.contains(id);
    return revive(id, std::move(stored),
                  job::recover{fallen ? "the job's actor failed while the submission was in flight"
                                      : deps_.why_recovered});
  }

  /// `first` is what its actor hears before all else.
  bool revive(const job_id& id, stored_job_state stored, job::command first) {
    auto log = deps_.world->writers->find(stored.log.name);
    if (log.name.empty() || self_->state.logs_to_wait_for > 0) return false;
    auto job = std::make_shared<const job::job>(std::move(stored.job));
    adopt(id,
          self_->spawn(stored_job, deps_.world, std::move(log), registry_actor{self_}, job,
                       stored.version, std::move(first)),
          submitter_of(job->submitted_by, job->submitted_by_token), job::is_terminal(*job));
    return true;
  }

  self_pointer self_;
  registry_deps deps_;
};

}  // namespace

registry_state::~registry_state() {
  for (const auto& [id, one] : jobs) caf::anon_send_exit(one.actor, caf::exit_reason::kill);
}

registry_actor::behavior_type job_registry(self_pointer self, registry_deps deps) {
  for (const auto& [id, link] : deps.world->links->all())
    self->send(link, subscribe_reports{registry_actor{self}});
  const auto tick = deps.tick_interval;
  auto body = std::make_shared<registry_body>(self, std::move(deps));
  body->take_up_all();
  self->set_down_handler([body](const caf::down_msg& what) { body->down(what); });
  self->send(self, tick_atom::value);
  return {
      [body](const submit_job& what) { return body->submit(what); },
      [body](const ask_job& what) { return body->ask(what); },
      [body](const job_report& what) { body->report(what); },
      [body](const wake_job& what) { body->wish(what); },
      [body](const job_ended& what) { body->ended(what); },
      [self, body, tick](tick_atom) {
        body->tick();
        self->delayed_send(self, tick, tick_atom::value);
      },
      [self, body](recover_atom) {
        if (body->recover_some()) self->send(self, recover_atom::value);
      },
      [body](const cluster_restarted& what) { body->restarted(what); },
      [self](describe_atom) {
        return registry_view{self->state.jobs.size(), self->state.recovered};
      },
  };
}

}  // namespace ved::actors
