#include "tools/ve_sim/daemon.hpp"

#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <iterator>
#include <utility>

#include "actors/entities.hpp"
#include "actors/event_log/actor.hpp"
#include "actors/job/stored.hpp"
#include "actors/link/actor.hpp"
#include "actors/shell/jobs_group.hpp"
#include "runtime/own_stream.hpp"
#include "tools/ve_sim/disk.hpp"

namespace ved::sim {
namespace {

constexpr auto scheduler_type = "simulated";
constexpr std::size_t live_jobs_max = 1'000;
/// Longer than in a daemon, where they cost next to nothing.
constexpr auto link_tick = milliseconds{700};
constexpr auto registry_tick = milliseconds{250};
constexpr std::size_t told_max = 100;
constexpr auto append_timeout = seconds{30};

store::event_log::options log_options() {
  store::event_log::options out;
  out.fold.fold = core::fold;
  out.fold.index = core::index_keys;
  out.fold.counted_prefix = core::live_prefix;
  return out;
}

/// What an actor that has not ended holds; null: it has.
template <class State, class Handle>
const State* state_of(const Handle& which) {
  if (!which) return nullptr;
  auto* base = caf::actor_cast<caf::abstract_actor*>(which);
  if (base->getf(caf::abstract_actor::is_cleaned_up_flag)) return nullptr;
  using actor_type = std::remove_pointer_t<typename Handle::template stateful_pointer<State>>;
  return &dynamic_cast<actor_type&>(*base).state;
}

}  // namespace

/// Lines of the daemon's own log that say that something is wrong with the daemon itself.
class daemon::sink final : public actors::log_sink {
 public:
  sink(site& where, std::shared_ptr<life> of) : site_(where), life_(std::move(of)) {}

  void write(actors::log_severity severity, std::string_view, std::string_view event,
             std::initializer_list<actors::log_field> fields) override {
    if (!life_->alive || severity < actors::log_severity::warn) return;
    std::string text(event);
    for (const auto& [name, value] : fields)
      text.append(" ").append(name).append("=").append(value);
    site_.story.add(site_.time.now(), text);
    // After the end of its process nothing that an actor finds is a fault of its own.
    if (severity == actors::log_severity::critical && !life_->dies_of) site_.broken(text);
  }

 private:
  site& site_;
  const std::shared_ptr<life> life_;
};

daemon::daemon(site& where) : site_(where), sink_(std::make_shared<sink>(where, life_)) {
  open_log(std::string(store::own_log_name), site_.own_disk);
  for (const auto& [name, disk] : site_.disks) open_log(store::cluster_log_name(name), disk);
  if (!logs_ || life_->dies_of) return;
  writers_ = std::make_shared<actors::log_writers>(logs_);
  start_writers();
  for (auto& [name, port] : site_.ports) {
    calls_[name] = std::make_shared<simulated_calls>(site_.time, site_.luck, site_.faults.calls,
                                                     *port, site_.link_limits.call_timeout,
                                                     site_.call_queue_max);
    clusters_->serve(cluster_id{name}, {scheduler_type, site_.job_limits, false, nullptr});
  }
  start_tree();
  start_hooks();
}

daemon::~daemon() { kill(); }

std::function<time_point()> daemon::clock() const {
  return [&time = site_.time] { return time.now(); };
}

std::function<void(const std::string&)> daemon::dying() {
  return [of = life_](const std::string& why) {
    if (of->alive && !of->dies_of) of->dies_of = why;
  };
}

std::function<void(const char*)> daemon::crash_point() {
  return [this, of = life_](const char* point) {
    if (of->alive && !of->dies_of && site_.luck.chance(site_.faults.crash_at_point))
      of->dies_of = "killed at " + std::string(point);
  };
}

void daemon::open_log(const std::string& name, const std::shared_ptr<store::memory_disk>& disk) {
  auto at_write = [this, of = life_] {
    if (!of->alive || of->dies_of) return fate::dies_before;
    if (!site_.luck.chance(site_.faults.crash_around_commit)) return fate::lives;
    const bool before = site_.luck.chance(0.5);
    of->dies_of = before ? "killed before a commit" : "killed before a commit is acknowledged";
    return before ? fate::dies_before : fate::dies_after;
  };
  auto opened = store::event_log::open(open_mortal(disk, std::move(at_write)), log_options());
  if (!opened) return site_.broken("log " + name + " does not open: " + opened.error().message);
  const auto cluster = store::cluster_of_log_name(name);
  if (cluster && logs_) {
    // As the daemon's root does it, before any actor exists.
    auto begun = runtime::begin_cluster_log(**opened, cluster_id{*cluster}, site_.time.now());
    if (!begun) return dying()("a log cannot be begun: " + begun.error().message);
    logs_->add(name, std::move(*opened));
  } else if (!cluster) {
    logs_ = std::make_shared<store::event_logs>(std::move(*opened));
    auto started = runtime::record_start(*logs_, "boot", site_.time.now());
    if (!started) dying()("its start cannot be recorded: " + started.error().message);
  }
}

void daemon::start_writers() {
  for (const auto& one : logs_->all()) {
    const auto feed = std::make_shared<actors::commit_feed>();
    actors::event_log_deps deps{one.log, feed, clock(), dying(), site_.log_queue_max};
    writers_->set(one.name, site_.actors.system().spawn(actors::event_log, std::move(deps)), feed);
    if (!site_.story.on()) continue;
    told_to_[one.name] = one.log->last_position();
    told_.push_back(feed->subscribe([this, name = one.name](const auto&) { tell_events(name); }));
  }
}

void daemon::tell_events(const std::string& log) {
  const auto events = logs_->find(log)->read(told_to_[log], told_max);
  if (!events) return;
  for (const auto& e : *events) {
    told_to_[log] = e.position();
    const std::string text = e.ShortDebugString();
    site_.story.add(site_.time.now(), text.substr(0, 240));
  }
}

void daemon::start_hooks() {
  for (const auto& one : writers_->all()) {
    if (one.name == store::own_log_name) continue;
    const runtime::append_function record = [this,
                                             writer = one.writer](store::append_request what) {
      return append(writer, std::move(what));
    };
    auto start = runtime::find_start(*one.reading, hook_name, record, site_.time.now());
    if (!start) {
      if (!life_->dies_of) site_.broken("hook: " + start.error().message);
      return;
    }
    const auto dies = [this, point = crash_point()] {
      point("after_delivery");
      return life_->dies_of.has_value();
    };
    hooks_.push_back(std::make_unique<simulated_hook>(
        simulated_hook::surroundings{site_.time, site_.luck, site_.faults.hook, site_.heard, sink_,
                                     record, dies},
        one, std::move(*start)));
  }
}

/// A follower's thread waits for the answer; here only the writer gets on meanwhile.
result<store::append_ack> daemon::append(const actors::event_log_actor& writer,
                                         store::append_request what) {
  for (auto* one : std::exchange(aside_, {})) site_.actors.put_back(one);
  const auto answer = std::make_shared<std::optional<result<store::append_ack>>>();
  const auto asker =
      site_.actors.system().spawn([writer, answer, what](caf::event_based_actor* self) {
        self->request(writer, append_timeout, what)
            .then([answer](const actors::append_reply& told) { *answer = told.outcome; },
                  [](const caf::error&) {});
      });
  while (!*answer && !life_->dies_of && (site_.actors.run(asker) || site_.actors.run(writer))) {
  }
  if (!*answer) return fail(errc::unknown_outcome, "the event log did not answer");
  return std::move(**answer);
}

void daemon::start_tree() {
  auto& system = site_.actors.system();
  auto world = std::make_shared<actors::job_environment>();
  world->writers = writers_;
  world->links = links_;
  world->clusters = clusters_;
  world->logs = sink_;
  world->problems = std::make_shared<actors::problem_board>(sink_, clock());
  world->clock = clock();
  world->crash_point = crash_point();

  actors::group_spec links{"links", core::supervisor::strategy::one_for_one, {}, {}};
  for (const auto& [name, port] : site_.ports)
    links.children.push_back({"link " + name, [this, cluster = name] {
                                return start_link(cluster);
                              }});
  actors::jobs_group_parts parts;
  parts.registry.world = std::move(world);
  parts.registry.live_jobs_max = parts.registry.live_jobs_per_principal_max = live_jobs_max;
  parts.registry.tick_interval = registry_tick;
  parts.links = links_;
  parts.has_registry = [this](const actors::registry_actor& made) { registry_ = made; };
  parts.has_ingress = [this](const actors::ingress_actor& made) { ingress_ = made; };
  actors::supervisor_deps deps;
  deps.groups = {std::move(links), actors::jobs_group(system, std::move(parts))};
  deps.logs = sink_;
  deps.clock = clock();
  deps.fatal = dying();
  deps.restarted = [](const std::string&) {};
  supervisor_ = system.spawn(actors::supervisor, std::move(deps));
}

caf::actor daemon::start_link(const std::string& cluster) {
  actors::link_deps deps;
  deps.cluster = cluster_id{cluster};
  deps.scheduler_type = scheduler_type;
  deps.limits = site_.link_limits;
  deps.log = writers_->of(deps.cluster);
  deps.pool = deps.reads = calls_.at(cluster);
  deps.logs = sink_;
  deps.clock = clock();
  deps.poll_took = [](microseconds) {};
  deps.crash_point = crash_point();
  deps.tick_interval = link_tick;
  auto made = site_.actors.system().spawn(actors::scheduler_link, std::move(deps));
  links_->set(cluster_id{cluster}, made);
  if (registry_) caf::anon_send(registry_, actors::cluster_restarted{cluster_id{cluster}});
  return caf::actor_cast<caf::actor>(made);
}

bool daemon::act() {
  auto& stage = site_.actors;
  if (stage.ready() == 0) return false;
  const auto which = site_.luck.below(stage.ready());
  if (!site_.luck.chance(site_.faults.slow_actor)) {
    stage.run(which);
    return true;
  }
  auto* one = stage.take(which);
  aside_.push_back(one);
  const bool longer = site_.luck.chance(0.1);
  const auto pause = longer ? site_.luck.between(milliseconds{50}, seconds{3})
                            : site_.luck.between(microseconds{50}, milliseconds{20});
  site_.time.in(pause, [this, of = life_, one] {
    if (!of->alive) return;
    // Somebody may have needed it at once.
    const auto at = std::find(aside_.begin(), aside_.end(), one);
    if (at == aside_.end()) return;
    aside_.erase(at);
    site_.actors.put_back(one);
  });
  return true;
}

void daemon::kill() {
  if (!life_->alive) return;
  // What had begun reads what it needs before the disks are gone.
  for (auto& [name, calls] : calls_) calls->die();
  life_->alive = false;
  site_.own_disk->crash();
  for (auto& [name, disk] : site_.disks) disk->crash();
  hooks_.clear();
  told_.clear();
  for (auto* one : aside_) site_.actors.put_back(one);
  aside_.clear();
  // The supervisor first, so that it starts nobody again; it may start them all only now.
  auto& stage = site_.actors;
  stage.kill(caf::actor_cast<caf::actor>(std::exchange(supervisor_, actors::supervisor_actor{})));
  stage.kill(caf::actor_cast<caf::actor>(std::exchange(ingress_, actors::ingress_actor{})));
  stage.kill(caf::actor_cast<caf::actor>(std::exchange(registry_, actors::registry_actor{})));
  for (const auto& [id, link] : links_->all()) {
    links_->remove(id);
    stage.kill(caf::actor_cast<caf::actor>(link));
  }
  if (writers_)
    for (const auto& one : writers_->all()) stage.kill(caf::actor_cast<caf::actor>(one.writer));
  stage.finish();
  if (writers_) writers_->clear();
}

// --- clients -------------------------------------------------------------------------------------

/// Hands an answer on while the process lives to give one.
std::function<void(result<actors::job_snapshot>)> daemon::answering(reply done) const {
  return [of = life_, done = std::move(done)](const result<actors::job_snapshot>& answer) {
    if (!of->alive || of->dies_of) return;
    if (answer) done({true, {}, {}, answer->already_known});
    else done({false, answer.error().code, answer.error().message, false});
  };
}

void daemon::submit(const pb::JobSpec& spec, const std::string& spec_hash, reply done) {
  if (!ingress_) return;  // as a connection that is refused
  actors::submit_job what{{"client", {}}, std::make_shared<const pb::JobSpec>(spec), spec_hash};
  caf::anon_send(ingress_, actors::ingress_submit{std::move(what), answering(std::move(done))});
}

void daemon::ask(const job_id& id, core::job::command what, reply done) {
  if (!ingress_) return;
  caf::anon_send(ingress_, actors::ingress_ask{{{"client", {}}, id, std::move(what)},
                                               answering(std::move(done))});
}

// --- what fails ----------------------------------------------------------------------------------

void daemon::fail_actor(const std::string& what, const caf::actor& which) {
  if (!which) return;
  site_.story.add(site_.time.now(), what + " fails");
  caf::anon_send_exit(which, caf::exit_reason::unhandled_exception);
}

void daemon::crash_some_job() {
  const auto* all = registry();
  if (all == nullptr || all->jobs.empty()) return;
  // By name: the order of the table is not ours.
  std::map<std::string, const actors::registry_state::member*> by_name;
  for (const auto& [id, one] : all->jobs) by_name[id.str()] = &one;
  const auto it = std::next(by_name.begin(),
                            static_cast<std::ptrdiff_t>(site_.luck.below(by_name.size())));
  fail_actor("actor of " + it->first, caf::actor_cast<caf::actor>(it->second->actor));
}

void daemon::crash_some_link() {
  const auto all = links_->all();
  if (all.empty()) return;
  const auto it =
      std::next(all.begin(), static_cast<std::ptrdiff_t>(site_.luck.below(all.size())));
  fail_actor("link of " + it->first.str(), caf::actor_cast<caf::actor>(it->second));
}

void daemon::crash_some_part() {
  if (!supervisor_) return;
  switch (site_.luck.below(8)) {
    case 0: return fail_actor("the supervisor", caf::actor_cast<caf::actor>(supervisor_));
    case 1: {
      const auto all = writers_->all();
      const auto& one = all[site_.luck.below(all.size())];
      return fail_actor("the writer of " + one.name, caf::actor_cast<caf::actor>(one.writer));
    }
    case 2:
    case 3: return fail_actor("the ingress", caf::actor_cast<caf::actor>(ingress_));
    default: return fail_actor("the registry", caf::actor_cast<caf::actor>(registry_));
  }
}

// --- what is seen --------------------------------------------------------------------------------

const actors::registry_state* daemon::registry() const {
  return state_of<actors::registry_state>(registry_);
}

const core::job::job* daemon::find(const job_id& id) const {
  const auto* all = registry();
  if (all == nullptr) return nullptr;
  const auto it = all->jobs.find(id);
  if (it == all->jobs.end()) return nullptr;
  const auto* held = state_of<actors::job_state>(it->second.actor);
  return held == nullptr ? nullptr : &held->job;
}

bool daemon::idle() const {
  const auto* all = registry();
  return all != nullptr && all->recovered && site_.actors.ready() == 0 && aside_.empty() &&
         std::all_of(calls_.begin(), calls_.end(),
                     [](const auto& one) { return one.second->idle(); });
}

}  // namespace ved::sim
