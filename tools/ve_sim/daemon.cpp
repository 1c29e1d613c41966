#include "tools/ve_sim/daemon.hpp"

#include <algorithm>
#include <utility>

#include "actors/job/stored.hpp"
#include "actors/shell/port_calls.hpp"

namespace ved::sim {
namespace {

namespace job = core::job;
namespace link = core::link;

constexpr int workers = 2;
constexpr std::size_t batch_max = 64;
constexpr auto tick_interval = milliseconds{700};

std::vector<std::string> names_of(
    const std::map<std::string, std::unique_ptr<adapters::scheduler>>& ports) {
  std::vector<std::string> out;
  for (const auto& [name, port] : ports) out.push_back(name);
  return out;
}

client_answer refusal(const error& why) {
  return {false, why.code, why.message, false};
}

}  // namespace

daemon::daemon(site& where, std::unique_ptr<store::event_log> log)
    : site_(where),
      log_(std::move(log)),
      alive_(std::make_shared<bool>(true)),
      restarts_(core::supervisor::strategy::one_for_one, {}, names_of(where.ports)) {
  for (const auto& [name, port] : site_.ports) start_link(name);
}

daemon::~daemon() {
  *alive_ = false;
}

void daemon::later(microseconds pause, std::function<void()> what) {
  site_.time.in(pause, [alive = alive_, run = std::move(what)] {
    if (*alive) run();
  });
}

job::context daemon::context() {
  return {site_.time.now(), site_.luck.next(), site_.job_limits};
}

const job::job* daemon::find(const job_id& id) const {
  const auto it = jobs_.find(id);
  return it == jobs_.end() ? nullptr : &it->second.state;
}

bool daemon::idle() const {
  return appends_.empty() && !writing_ && calls_ == 0 &&
         std::all_of(jobs_.begin(), jobs_.end(), [](const auto& entry) {
           return !entry.second.awaits_log && entry.second.mailbox.empty();
         });
}

// --- jobs ----------------------------------------------------------------------------------------

void daemon::recover() {
  std::string after;
  for (;;) {
    auto page = log_->scan_index(core::live_prefix, after, 100);
    if (!page) return site_.broken("recovery cannot read the index: " + page.error().message);
    for (const auto& key : page->keys)
      revive(job_id{std::string(core::job_of_index_key(key))}, "the daemon started anew");
    if (!page->more) return;
    after = page->keys.back();
  }
}

result<void> daemon::load(const job_id& id, job_actor& into) const {
  auto stored = log_->state(core::job_stream(id.str()));
  if (!stored) return fail(stored.error());
  if (!*stored) return fail(errc::not_found, "job " + id.str() + ": not known");
  pb::JobRecord record;
  if (!record.ParseFromString((*stored)->state))
    return fail(errc::corrupt, "job " + id.str() + ": stored state does not parse");
  auto folded = job::from_record(record);
  if (!folded) return fail(folded.error());
  into.state = std::move(*folded);
  into.state.watched_since = site_.time.now();
  into.version = (*stored)->version;
  return {};
}

void daemon::revive(const job_id& id, const std::string& why) {
  job_actor fresh;
  if (auto loaded = load(id, fresh); !loaded)
    return site_.broken("job cannot be revived: " + loaded.error().message);
  if (job::is_terminal(fresh.state)) return;
  fresh.incarnation = next_incarnation_++;
  jobs_[id] = std::move(fresh);
  deliver(id, {job::recover{why}, {}});
}

void daemon::submit(const pb::JobSpec& spec, const std::string& spec_hash, reply done) {
  const job_id id{spec.job_id()};
  if (const auto it = jobs_.find(id); it != jobs_.end()) {
    if (it->second.version == 0)
      return done({false, errc::unavailable, "its acceptance is under way", false});
    if (it->second.state.spec_hash != spec_hash)
      return done({false, errc::conflict, "another spec", false});
    return done({true, {}, {}, true});
  }
  job_actor fresh;
  if (auto stored = load(id, fresh); stored) {
    if (fresh.state.spec_hash != spec_hash)
      return done({false, errc::conflict, "another spec", false});
    return done({true, {}, {}, true});
  }
  fresh = {};
  fresh.incarnation = next_incarnation_++;
  jobs_[id] = std::move(fresh);
  commit(id, job::accept(spec, spec_hash, context()), done);
}

void daemon::ask(const job_id& id, job::command what, reply done) {
  if (jobs_.contains(id)) return deliver(id, {std::move(what), std::move(done)});
  job_actor stored;
  if (auto loaded = load(id, stored); !loaded) return done(refusal(loaded.error()));
  if (!job::is_terminal(stored.state)) {
    revive(id, "the job's actor failed");
    return deliver(id, {std::move(what), std::move(done)});
  }
  const auto made = job::decide(stored.state, what, context());
  if (!made) return done(refusal(made.error()));
  done({true, {}, {}, false});
}

void daemon::deliver(const job_id& id, message what) {
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) {
    if (what.done) what.done({false, errc::unavailable, "the job's actor is restarting", false});
    return;
  }
  it->second.mailbox.push_back(std::move(what));
  if (it->second.awaits_log || it->second.mailbox.size() > 1) return;
  later(microseconds{10}, [this, id, me = it->second.incarnation] {
    const auto actor = jobs_.find(id);
    if (actor == jobs_.end() || actor->second.incarnation != me) return;
    while (!actor->second.mailbox.empty() && !actor->second.awaits_log) {
      auto next = std::move(actor->second.mailbox.front());
      actor->second.mailbox.pop_front();
      take(id, std::move(next));
      if (!jobs_.contains(id)) return;
    }
  });
}

void daemon::take(const job_id& id, message what) {
  job_actor& actor = jobs_.at(id);
  auto made = job::decide(actor.state, what.what, context());
  if (!made) {
    if (what.done) what.done(refusal(made.error()));
    return;
  }
  if (made->empty()) {
    if (what.done) what.done({true, {}, {}, false});
    // A revived job that has nothing to record still has to make the world match its state.
    if (std::holds_alternative<job::recover>(what.what)) settle(id);
    return;
  }
  commit(id, std::move(*made), what.done);
}

void daemon::commit(const job_id& id, job::events events, const reply& done) {
  job_actor& actor = jobs_.at(id);
  auto after = std::make_shared<job::job>(actor.state);
  for (const auto& made : events) {
    if (auto applied = job::apply(*after, made); !applied)
      return site_.broken("apply refused a decided event: " + applied.error().message);
  }
  pending_append entry;
  entry.request.stream = core::job_stream(id.str());
  entry.request.expected_version = actor.version;
  entry.request.state = job::to_record(*after).SerializeAsString();
  entry.request.events = std::move(events);
  actor.awaits_log = true;
  entry.done = [this, id, me = actor.incarnation, after, done](result<store::append_ack> ack) {
    const auto it = jobs_.find(id);
    const bool mine = it != jobs_.end() && it->second.incarnation == me;
    if (!ack) {
      if (done) done(refusal(ack.error()));
      if (mine && it->second.version == 0) {
        jobs_.erase(it);
      } else if (mine) {
        fail_job(id, ack.error().message);
      }
      return;
    }
    if (done) done({true, {}, {}, false});
    if (!mine) return;
    it->second.state = std::move(*after);
    it->second.version = ack->version;
    it->second.awaits_log = false;
    settle(id);
    if (job::is_terminal(it->second.state)) {
      for (auto& waiting : it->second.mailbox)
        if (waiting.done) waiting.done({false, errc::unavailable, "it just ended", false});
      jobs_.erase(it);
      return;
    }
    auto mailbox = std::move(it->second.mailbox);
    it->second.mailbox.clear();
    for (auto& waiting : mailbox) deliver(id, std::move(waiting));
  };
  append(std::move(entry));
}

void daemon::settle(const job_id& id) {
  job_actor& actor = jobs_.at(id);
  const auto actions = job::react(actor.state, site_.job_limits);
  const auto& cluster = actor.state.cluster.str();
  if (auto& core = links_.at(cluster).core)
    handle(cluster, core->want(id, link::desired_of(actions), site_.time.now()));
  for (const auto& action : actions) {
    const auto* wake = std::get_if<job::wake>(&action);
    if (wake == nullptr || wake->at == actor.woken_at) continue;
    actor.woken_at = wake->at;
    later(std::max(wake->at - site_.time.now(), microseconds{0}), [this, id] {
      if (jobs_.contains(id)) deliver(id, {job::advance{}, {}});
    });
  }
}

void daemon::fail_job(const job_id& id, const std::string& why) {
  site_.story.add(site_.time.now(), "actor of " + id.str() + " fails: " + why);
  for (auto& waiting : jobs_.at(id).mailbox)
    if (waiting.done) waiting.done({false, errc::unknown_outcome, why, false});
  jobs_.erase(id);
  later(site_.luck.between(milliseconds{50}, seconds{2}), [this, id] {
    if (!jobs_.contains(id)) revive(id, "the job's actor failed");
  });
}

void daemon::crash_some_job() {
  if (jobs_.empty()) return;
  auto it = jobs_.begin();
  std::advance(it, static_cast<long>(site_.luck.below(jobs_.size())));
  if (it->second.version != 0) fail_job(it->first, "killed");
}

// --- the log's writer ----------------------------------------------------------------------------

void daemon::append(pending_append what) {
  if (site_.luck.chance(site_.faults.overloaded)) {
    later(microseconds{5}, [done = std::move(what.done)] {
      done(fail(errc::overloaded, "the log's queue is full"));
    });
    return;
  }
  appends_.push_back(std::move(what));
  if (writing_) return;
  writing_ = true;
  later(site_.luck.between(microseconds{100}, milliseconds{5}), [this] { write(); });
}

void daemon::write() {
  std::vector<store::append_request> requests;
  std::vector<std::function<void(result<store::append_ack>)>> waiting;
  while (!appends_.empty() && requests.size() < batch_max) {
    requests.push_back(std::move(appends_.front().request));
    waiting.push_back(std::move(appends_.front().done));
    appends_.pop_front();
  }
  const bool dies = site_.luck.chance(site_.faults.crash_around_commit);
  if (dies && site_.luck.chance(0.5)) return site_.die("killed before a commit");
  auto acks = log_->commit(requests, site_.time.now());
  if (!acks) return site_.die("the log failed: " + acks.error().message);
  if (site_.story.on()) {
    for (std::size_t i = 0; i < requests.size(); ++i) {
      for (const auto& e : requests[i].events) {
        std::string text = e.ShortDebugString();
        site_.story.add(site_.time.now(),
                        requests[i].stream + ((*acks)[i] ? ": " : ": NOT ") + text.substr(0, 160));
      }
    }
  }
  if (dies) return site_.die("killed after a commit, before its acknowledgement");
  // The acknowledgements may end the process; the rest is then void.
  const auto alive = alive_;
  for (std::size_t i = 0; i < waiting.size() && *alive; ++i) waiting[i](std::move((*acks)[i]));
  if (!*alive) return;
  writing_ = !appends_.empty();
  if (writing_) later(site_.luck.between(microseconds{100}, milliseconds{5}), [this] { write(); });
}

// --- links and their workers ---------------------------------------------------------------------

void daemon::start_link(const std::string& cluster) {
  link_actor& me = links_[cluster];
  me.core = std::make_unique<link::link>(site_.link_limits, site_.time.now());
  me.incarnation = next_incarnation_++;
  if (auto head = log_->state("cluster/" + cluster); head && *head)
    me.stream_version = (*head)->version;
  tick(cluster, me.incarnation);
}

void daemon::tick(const std::string& cluster, std::uint64_t incarnation) {
  later(tick_interval, [this, cluster, incarnation] {
    link_actor& me = links_.at(cluster);
    if (me.incarnation != incarnation) return;
    handle(cluster, me.core->tick(site_.time.now()));
    tick(cluster, incarnation);
  });
}

void daemon::handle(const std::string& cluster, link::outputs out) {
  for (auto& order : out.orders) links_.at(cluster).queue.push_back(std::move(order));
  for (auto& [id, report] : out.reports)
    if (jobs_.contains(id)) deliver(id, {std::move(report), {}});
  if (out.change) record(cluster, *out.change);
  run_next(cluster);
}

void daemon::run_next(const std::string& cluster) {
  link_actor& me = links_.at(cluster);
  while (me.busy < workers && !me.queue.empty()) {
    auto order = std::move(me.queue.front());
    me.queue.pop_front();
    ++me.busy;
    call(cluster, std::move(order));
  }
}

/// One call: it begins now, takes effect at some moment, and returns later. The effect of a call
/// that has begun may happen though the daemon or the link died meanwhile; its answer is lost then.
void daemon::call(const std::string& cluster, link::order what) {
  ++calls_;
  auto& luck = site_.luck;
  const auto begun = site_.time.now();
  const auto left = std::max(what.deadline - begun, microseconds{1000});
  const bool stuck = luck.chance(site_.faults.stuck_call);
  const bool slow = stuck || luck.chance(site_.faults.slow_call);
  const auto takes = slow ? left : luck.between(milliseconds{1}, milliseconds{300});
  const auto effect_after = luck.between(microseconds{0}, takes);
  // At the deadline our own time-out strikes: nothing is known. Half of the slow calls just make
  // it.
  const bool answer_lost = slow && !stuck && luck.chance(0.5);
  const auto returns_after = stuck ? left * 2 : takes;
  const bool outlives = luck.chance(0.5);
  auto answer = std::make_shared<actors::order_result>();
  answer->what = link::call_failed{"timed out"};
  auto order = std::make_shared<link::order>(std::move(what));

  site_.time.in(effect_after, [this, alive = alive_, &port = *site_.ports.at(cluster),
                               &specs = site_.specs, order, answer, answer_lost, outlives, begun] {
    if (!*alive && !outlives) return;
    const auto accepted_of = [&](const job_id& id) -> result<pb::JobAccepted> {
      if (!*alive) {
        pb::JobAccepted out;
        *out.mutable_spec() = specs.at(id);
        return out;
      }
      auto first = log_->read_stream(core::job_stream(id.str()), 0, 1);
      if (!first || first->empty()) return fail(errc::corrupt, "no first event");
      return first->front().job().accepted();
    };
    auto done = actors::run_order(port, *order, accepted_of, begun);
    if (!answer_lost) *answer = std::move(done);
  });
  later(returns_after, [this, cluster, order, answer, me = links_.at(cluster).incarnation] {
    --calls_;
    link_actor& now = links_.at(cluster);
    --now.busy;
    if (now.incarnation == me)
      handle(cluster, now.core->complete(order->id, std::move(answer->what), answer->queries,
                                         site_.time.now()));
    run_next(cluster);
  });
}

void daemon::record(const std::string& cluster, const link::breaker_change& change) {
  link_actor& me = links_.at(cluster);
  pending_append entry;
  entry.request.stream = "cluster/" + cluster;
  entry.request.expected_version = me.stream_version++;
  auto& e = entry.request.events.emplace_back();
  if (change.up) {
    e.mutable_cluster()->mutable_up()->set_cluster_id(cluster);
    e.mutable_cluster()->mutable_up()->set_down_us(change.down_for.count());
  } else {
    e.mutable_cluster()->mutable_down()->set_cluster_id(cluster);
    e.mutable_cluster()->mutable_down()->set_reason(change.reason);
  }
  // A lost note about the breaker costs nothing but the note.
  entry.done = [this, cluster](const result<store::append_ack>&) {
    if (auto head = log_->state("cluster/" + cluster); head && *head)
      links_.at(cluster).stream_version = (*head)->version;
  };
  append(std::move(entry));
}

void daemon::crash_some_link() {
  auto it = links_.begin();
  const auto child = site_.luck.below(links_.size());
  std::advance(it, static_cast<long>(child));
  const auto name = it->first;
  site_.story.add(site_.time.now(), "link of " + name + " fails");
  // Calls that wait for a worker die with nobody to answer; those under way go on.
  it->second.queue.clear();
  const auto verdict =
      restarts_.ended(child, core::supervisor::ending::failure, "killed", site_.time.now());
  if (verdict.escalate) return site_.die("escalated: " + verdict.reason);
  it->second.core = std::make_unique<link::link>(site_.link_limits, site_.time.now());
  it->second.incarnation = next_incarnation_++;
  later(verdict.start_at - site_.time.now(), [this, name, child] {
    start_link(name);
    restarts_.started(child, site_.time.now());
    // The new link knows nothing: every job tells it again what it wants.
    std::vector<job_id> all;
    for (const auto& [id, actor] : jobs_)
      if (actor.state.cluster.str() == name) all.push_back(id);
    for (const auto& id : all) deliver(id, {job::recover{"the link failed"}, {}});
  });
}

}  // namespace ved::sim
