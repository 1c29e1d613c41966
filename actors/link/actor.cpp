#include "actors/link/actor.hpp"

#include <algorithm>
#include <caf/typed_event_based_actor.hpp>

#include "actors/cluster/stored.hpp"
#include "actors/job/stored.hpp"
#include "messages/plain_text.hpp"

namespace ved::actors {
namespace {

namespace link = core::link;
using self_pointer = link_actor::stateful_pointer<link_state>;

constexpr auto append_timeout = seconds{30};
constexpr std::size_t changes_max = 64;
constexpr std::size_t asking_health_max = 256;
/// Stands in place of a reason that the log does not take.
const std::string not_recordable = "the event log refuses its reason: ";
constexpr std::size_t reason_in_part_bytes_max = 256;

/// The behavior's helper: one per actor, shared by its handlers.
class link_body : public std::enable_shared_from_this<link_body> {
 public:
  link_body(self_pointer self, link_deps deps) : self_(self), deps_(std::move(deps)) {
    auto& state = self_->state;
    state.core = std::make_unique<link::link>(deps_.limits, deps_.clock());
    read_head();
    state.scheduler.ParseFromString(state.stored);
  }

  void want(const link_want& what) {
    deliver(self_->state.core->want(what.job, what.what, deps_.clock()));
    if (self_->state.pumped) return;
    self_->state.pumped = true;
    self_->send(self_, pump_atom::value);
  }

  void pump() {
    self_->state.pumped = false;
    deliver(self_->state.core->tick(deps_.clock()));
    if (deps_.watch) deps_.watch->need(self_->state.core->has_jobs());
    wake_for_poll();
  }

  void hear(const link_hints& what) {
    const auto news = self_->state.core->hear(what.hints, deps_.clock());
    if (news == 0) return;
    deps_.logs->write(log_severity::debug, "hpc_scheduler", "hints",
                      {{"cluster_id", deps_.cluster.str()}, {"jobs", std::to_string(news)}});
    pump();
  }

  void complete(const link_completion& done) {
    const auto& [what, queries, inventory, health] = done.result;
    if (inventory) {
      self_->state.inventory = inventory;
      self_->state.inventory_at = deps_.clock();
      self_->state.core->knows_nodes(nodes_of(*inventory));
      identify(inventory->cluster_name, inventory->account);
    }
    if (health && self_->state.core->awaits(done.order)) tell_health({*health, deps_.clock()});
    auto& core = *self_->state.core;
    const auto before = core.last_poll_at();
    deliver(core.complete(done.order, what, queries, deps_.clock()));
    if (core.last_poll_at() != before) deps_.poll_took(core.last_poll_took());
    pump();
  }

  health_promise check_health() {
    auto promise = self_->make_response_promise<health_reply>();
    auto& state = self_->state;
    if (!state.core->checks_health() && deps_.clock() < state.core->next_health_at()) {
      promise.deliver(health_reply{state.health});
    } else if (state.asking_health.size() >= asking_health_max) {
      promise.deliver(health_reply{fail(errc::overloaded, "too many ask for its health")});
    } else {
      // Before the order: the answer may come at once.
      state.asking_health.push_back(promise);
      state.core->want_health(deps_.clock());
      pump();
    }
    return promise;
  }

  /// Before a job is sent: what it leaves behind is looked for where it was told to.
  void note_place() {
    if (self_->state.scheduler.place() != deps_.place) identify({}, {});
  }

  pb::Cluster describe() const {
    const auto view = self_->state.core->view();
    pb::Cluster out;
    out.set_cluster_id(deps_.cluster.str());
    out.set_scheduler_type(deps_.scheduler_type);
    out.set_connected(view.state == link::breaker::closed && view.heard);
    out.set_breaker(view.state == link::breaker::closed ? "closed"
                    : view.state == link::breaker::open ? "open"
                                                        : "half_open");
    out.set_reason(view.reason);
    out.set_last_poll_at_us(to_us(view.last_poll_at));
    out.set_last_answer_at_us(to_us(view.last_answer_at));
    out.set_down_since_us(to_us(view.down_since));
    out.set_jobs_tracked(static_cast<int>(view.jobs_followed));
    out.set_submissions_waiting(static_cast<int>(view.submissions_waiting));
    out.set_queries(view.queries);
    out.set_poll_interval_ms(
        std::chrono::duration_cast<milliseconds>(deps_.limits.poll_interval).count());
    out.set_last_poll_us(view.last_poll_took.count());
    if (self_->state.inventory) add_inventory(out, *self_->state.inventory);
    out.set_inventory_at_us(to_us(self_->state.inventory_at));
    if (const auto note = watch_note(); !note.empty()) out.add_notes(note);
    return out;
  }

  /// One change at a time, until the log has it: what the log refuses or does not answer is tried
  /// again with the next tick, under a name that keeps it from being written twice.
  void append_next() {
    auto& state = self_->state;
    if (state.appending || state.to_record.empty()) return;
    state.appending = true;
    const auto& [scheduler, change, at] = state.to_record.front();
    store::append_request request;
    request.stream = stream();
    request.expected_version = state.stream_version;
    request.dedup_id = stream() + (scheduler ? "/is/" : change.up ? "/up/" : "/down/") +
                       std::to_string(to_us(at));
    auto& event = request.events.emplace_back();
    event.set_principal("ved");
    event.set_request_id(request.dedup_id);
    event.set_at_us(to_us(at));
    if (scheduler) {
      auto& is = *event.mutable_cluster()->mutable_identified();
      is.set_cluster_id(deps_.cluster.str());
      is.set_scheduler_type(scheduler->scheduler_type());
      is.set_name(scheduler->name());
      is.set_place(scheduler->place());
      is.set_account(scheduler->account());
    } else if (change.up) {
      event.mutable_cluster()->mutable_up()->set_cluster_id(deps_.cluster.str());
      event.mutable_cluster()->mutable_up()->set_down_us(change.down_for.count());
    } else {
      event.mutable_cluster()->mutable_down()->set_cluster_id(deps_.cluster.str());
      event.mutable_cluster()->mutable_down()->set_reason(change.reason);
    }
    request.state = scheduler ? scheduler->SerializeAsString() : state.stored;
    auto self = self_;
    const auto name = request.dedup_id;
    const auto stored = request.state;
    self_->request(deps_.log.writer, append_timeout, std::move(request))
        .then(
            [this, self, name, stored, keep = shared_from_this()](const append_reply& reply) {
              auto& after = self->state;
              after.appending = false;
              const auto known = deps_.log.reading->deduplicated(name);
              if (reply.outcome || (known && *known)) after.to_record.pop_front();
              else if (reply.outcome.error().code == errc::invalid)
                shorten_first(reply.outcome.error());
              if (reply.outcome) {
                after.stream_version = reply.outcome->version;
                after.stored = stored;
                append_next();
              } else if (read_head()) {
                // Another incarnation of this link wrote to the stream: ours comes after that.
                append_next();
              }
            },
            [self, keep = shared_from_this()](const caf::error&) {
              self->state.appending = false;
            });
  }

 private:
  /// Whether the stream has another head than was known.
  bool read_head() {
    auto& state = self_->state;
    const auto head = deps_.log.reading->state(stream());
    if (!head || !*head || (*head)->version == state.stream_version) return false;
    state.stream_version = (*head)->version;
    state.stored = (*head)->state;
    return true;
  }

  /// Jobs are looked for again only where they were sent, and as who sent them. Empty: it does not
  /// tell that.
  void identify(const std::string& name, const std::string& account) {
    auto& known = self_->state.scheduler;
    const bool same_type = known.scheduler_type() == deps_.scheduler_type;
    const bool same_name = name.empty() || name == known.name();
    const bool same_account = account.empty() || account == known.account();
    const bool same_place = known.place() == deps_.place;
    if (same_type && same_name && same_account && same_place) return;
    if (!same_type || !same_name) known.set_name(name);
    if (!same_type || !same_account) known.set_account(account);
    known.set_scheduler_type(deps_.scheduler_type);
    known.set_place(deps_.place);
    self_->state.to_record.push_back({known, {}, deps_.clock()});
    append_next();
  }

  /// What the log refuses for its form it refuses again and again: once it is told without its
  /// words, and then dropped, so that nothing waits behind it for ever.
  void shorten_first(const error& why) {
    auto& waiting = self_->state.to_record;
    auto& reason = waiting.front().change.reason;
    const bool again = waiting.front().scheduler || reason.starts_with(not_recordable);
    deps_.logs->write(log_severity::error, "hpc_scheduler", "change_not_storable",
                      {{"cluster_id", deps_.cluster.str()}, {"reason", why.message}});
    if (again) waiting.pop_front();
    else reason = not_recordable + plain_text(why.message, reason_in_part_bytes_max);
  }

  /// A poll that is planned for before the next tick does not wait for it. The tick makes up for a
  /// message that comes too early, as when our clock runs slower than the system's.
  void wake_for_poll() {
    auto& state = self_->state;
    const auto due = state.core->next_poll_at();
    if (!due || *due == state.poll_wake_at) return;
    const auto wait = *due - deps_.clock();
    if (wait <= microseconds{0} || wait >= deps_.tick_interval) return;
    state.poll_wake_at = *due;
    self_->delayed_send(self_, wait, pump_atom::value);
  }

  std::string watch_note() const { return deps_.watch ? deps_.watch->note() : std::string(); }

  void tell_health(checked_health health) {
    if (auto note = watch_note(); !note.empty()) health.notes.push_back(std::move(note));
    self_->state.health = health;
    for (auto& one : std::exchange(self_->state.asking_health, {}))
      one.deliver(health_reply{health});
  }

  std::string stream() const { return core::cluster_stream(deps_.cluster.str()); }

  /// Counted per queue, so at most too many.
  static int nodes_of(const adapters::inventory& in) {
    int nodes = 0;
    for (const auto& queue : in.queues) nodes += queue.nodes;
    return nodes;
  }

  static void add_inventory(pb::Cluster& out, const adapters::inventory& in) {
    out.set_scheduler(in.scheduler);
    if (in.cpus_total) out.set_cpus_total(*in.cpus_total);
    if (in.cpus_allocated) out.set_cpus_allocated(*in.cpus_allocated);
    if (in.memory_mb_total) out.set_memory_mb_total(*in.memory_mb_total);
    if (in.memory_mb_allocated) out.set_memory_mb_allocated(*in.memory_mb_allocated);
    if (in.gpus_total) out.set_gpus_total(*in.gpus_total);
    if (in.gpus_allocated) out.set_gpus_allocated(*in.gpus_allocated);
    if (in.jobs_queued) out.set_jobs_queued(*in.jobs_queued);
    if (in.jobs_running) out.set_jobs_running(*in.jobs_running);
    for (const auto& note : in.notes) out.add_notes(note);
    for (const auto& queue : in.queues) {
      auto& q = *out.add_queues();
      q.set_name(queue.name);
      q.set_accepts_jobs(queue.accepts_jobs);
      q.set_nodes(queue.nodes);
      q.set_cpus_per_node_max(queue.cpus_per_node_max);
      q.set_memory_mb_per_node_max(queue.memory_mb_per_node_max);
      q.set_gpus_per_node_max(queue.gpus_per_node_max);
      q.set_time_limit_seconds(queue.time_limit_seconds);
    }
  }

  void deliver(link::outputs out) {
    auto& state = self_->state;
    for (auto& order : out.orders) post(std::move(order));
    if (state.sink)
      for (auto& [job, command] : out.reports) {
        if (auto* stray = std::get_if<core::job::report_stray>(&command))
          stray->cluster = deps_.cluster;
        self_->send(state.sink, job_report{job, std::move(command)});
      }
    if (out.change) record(*out.change);
    if (!out.no_health.empty()) tell_health({{out.no_health, "not checked", "not checked"}, {}});
  }

  void post(link::order order) {
    auto what = std::make_shared<link::order>(std::move(order));
    const bool waited_for = std::holds_alternative<link::health_order>(what->what);
    const bool taken = (waited_for ? deps_.reads : deps_.pool)->post(
        [what, to = caf::actor_cast<link_actor>(self_), reading = deps_.log.reading,
         clock = deps_.clock, crash = deps_.crash_point, logs = deps_.logs,
         cluster = deps_.cluster](result<adapters::scheduler*> port) -> call_pool::telling {
          const auto begun = std::chrono::steady_clock::now();
          const auto ended = [&](order_result done) -> call_pool::telling {
            log_call(*logs, cluster, *what, done, std::chrono::steady_clock::now() - begun);
            return [to, told = link_completion{what->id, std::move(done)}] {
              caf::anon_send(to, told);
            };
          };
          if (!port) return ended(failed_call(*what, port.error()));
          const bool submits = std::holds_alternative<link::submit_order>(what->what);
          if (submits) crash("before_submit");
          auto done = run_order(**port, *what, accepted_reader_of(reading), clock());
          if (submits) crash("after_submit");
          return ended(std::move(done));
        });
    if (!taken)
      caf::anon_send(caf::actor_cast<link_actor>(self_),
                     link_completion{what->id, not_called(*what, "too many calls are waiting")});
  }

  static void log_call(log_sink& logs, const cluster_id& cluster, const link::order& what,
                       const order_result& done, std::chrono::steady_clock::duration took) {
    const auto told = summarise(what, done);
    logs.write(log_severity::debug, "hpc_scheduler", "call",
               {{"cluster_id", cluster.str()},
                {"call", told.what},
                {"jobs", std::to_string(told.jobs)},
                {"queries", std::to_string(done.queries)},
                {"ms", std::to_string(std::chrono::duration_cast<milliseconds>(took).count())},
                {"problem", told.problem}});
  }

  static accepted_reader accepted_reader_of(const std::shared_ptr<store::event_log>& log) {
    return [log](const job_id& job) -> result<pb::JobAccepted> {
      const auto stream = "job/" + job.str();
      auto first = log->read_stream(stream, 0, 1);
      if (!first) return fail(first.error());
      if (first->empty() || !first->front().job().has_accepted())
        return fail(errc::corrupt, stream + ": its first event is not job_accepted");
      return std::move(*first->front().mutable_job()->mutable_accepted());
    };
  }

  // --- the cluster's own stream: when it was down, and why ---

  void record(link::breaker_change change) {
    deps_.logs->write(change.up ? log_severity::info : log_severity::error, "hpc_scheduler",
                      change.up ? "cluster_up" : "cluster_down",
                      {{"cluster_id", deps_.cluster.str()}, {"reason", change.reason}});
    auto& waiting = self_->state.to_record;
    // The first one may be on its way to the log.
    if (waiting.size() >= changes_max) waiting.erase(std::next(waiting.begin()));
    waiting.push_back({std::nullopt, std::move(change), deps_.clock()});
    append_next();
  }

  self_pointer self_;
  link_deps deps_;
};

}  // namespace

link_actor::behavior_type scheduler_link(self_pointer self, link_deps deps) {
  const auto tick = deps.tick_interval;
  auto body = std::make_shared<link_body>(self, std::move(deps));
  body->note_place();
  self->send(self, tick_atom::value);
  return {
      [body](const link_want& what) { body->want(what); },
      [body](const link_completion& done) { body->complete(done); },
      [body](const link_hints& what) { body->hear(what); },
      [self](const subscribe_reports& to) { self->state.sink = to.sink; },
      [self, body, tick](tick_atom) {
        body->append_next();
        body->pump();
        self->delayed_send(self, tick, tick_atom::value);
      },
      [body](pump_atom) { body->pump(); },
      [body](describe_atom) { return cluster_reply{body->describe()}; },
      [self](const ask_about& what) { return about_reply{self->state.core->about(what.job)}; },
      [body](check_health_atom) { return body->check_health(); },
  };
}

}  // namespace ved::actors
