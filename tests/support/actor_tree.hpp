#pragma once

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "actors/event_log/actor.hpp"
#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "actors/link/actor.hpp"
#include "actors/shell/io_pool.hpp"
#include "actors/shell/jobs_group.hpp"
#include "actors/shell/answer_once.hpp"
#include "actors/supervisor/actor.hpp"
#include "messages/job_state.hpp"
#include "store/memory_kv.hpp"
#include "tests/support/memory_logs.hpp"
#include "tests/support/job_fixture.hpp"
#include "tests/support/scripted_scheduler.hpp"

namespace ved::tests {

/// Polls until the condition holds; false after a bound that only a broken program reaches.
template <class F>
bool eventually(F holds) {
  const auto until = std::chrono::steady_clock::now() + seconds{20};
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(milliseconds{1});
  }
  return true;
}

/// Stands between jobs and their link and notes each job's actor, so that a test can kill it.
struct job_watch {
  std::mutex mutex;
  std::map<job_id, caf::actor> actors;
};
inline actors::link_actor::behavior_type watching_link(
    actors::link_actor::pointer self, const std::shared_ptr<actors::link_directory>& real,
    const cluster_id& cluster, const std::shared_ptr<job_watch>& seen) {
  const auto pass = [self, real, cluster](const auto& what) {
    if (auto to = real->find(cluster)) self->send(to, what);
  };
  return {
      [self, seen, pass](const actors::link_want& what) {
        {
          const std::lock_guard lock(seen->mutex);
          seen->actors[what.job] = caf::actor_cast<caf::actor>(self->current_sender());
        }
        pass(what);
      },
      [pass](const actors::link_completion& what) { pass(what); },
      [pass](const actors::link_hints& what) { pass(what); },
      [pass](const actors::subscribe_reports& what) { pass(what); },
      [pass](actors::tick_atom what) { pass(what); },
      [pass](actors::pump_atom what) { pass(what); },
      [self, real, cluster](actors::describe_atom) -> caf::result<actors::cluster_reply> {
        return self->delegate(real->find(cluster), actors::describe_atom::value);
      },
      [self, real, cluster](const actors::ask_about& what) -> caf::result<actors::about_reply> {
        return self->delegate(real->find(cluster), what);
      },
      [self, real, cluster](actors::check_health_atom) -> caf::result<actors::health_reply> {
        return self->delegate(real->find(cluster), actors::check_health_atom::value);
      },
  };
}

/// The daemon's supervision tree on a disk in memory and scripted clusters, with real actors,
/// real threads and short intervals.
class actor_tree {
 public:
  struct options {
    std::vector<std::string> clusters = {"alpha", "beta"};
    std::size_t live_jobs_max = 100;
  };

  actor_tree() : actor_tree(options{}) {}
  explicit actor_tree(const options& how)
      : logs(std::make_shared<store::event_logs>(memory_log())),
        writers_(std::make_shared<actors::log_writers>(logs)) {
    config_.set("scheduler.policy", caf::atom("sharing"));
    config_.set("scheduler.max-threads", std::size_t{2});
    system_ = std::make_unique<caf::actor_system>(config_);
    system_->await_actors_before_shutdown(false);
    for (const auto& name : how.clusters) {
      disks[name] = std::make_shared<store::memory_disk>();
      logs->add(store::cluster_log_name(name), memory_log(disks[name]));
    }
    for (const auto& one : logs->all()) {
      const auto feed = std::make_shared<actors::commit_feed>();
      actors::event_log_deps deps{one.log, feed, clock(),
                                  [this](const std::string&) { ++fatals; }};
      writers_->set(one.name, system_->spawn<caf::detached>(actors::event_log, std::move(deps)),
                    feed);
    }
    links_ = std::make_shared<actors::link_directory>();
    watched_ = std::make_shared<actors::link_directory>();
    seen_ = std::make_shared<job_watch>();
    auto world = std::make_shared<actors::job_environment>();
    world->writers = writers_;
    world->links = watched_;
    world->logs = std::make_shared<actors::log_sink>();
    world->problems = std::make_shared<actors::problem_board>(world->logs, clock());
    world->clock = clock();
    world->crash_point = [](const char*) {};
    auto served = std::make_shared<actors::cluster_directory>();
    world->clusters = served;
    for (const auto& name : how.clusters) {
      const cluster_id id{name};
      served->serve(id, {"scripted", policy(), false, nullptr});
      clusters_[name] = std::make_shared<scripted_cluster>();
      pools_[name] = std::make_shared<actors::io_pool>(
          actors::io_pool::options{name, 2, 64}, scripted_cluster::factory(clusters_[name]));
      watched_->set(id, system_->spawn(watching_link, links_, id, seen_));
    }
    world_ = std::move(world);
    start_supervisor(how);
    const bool up = eventually([this] { return describe().recovered; });
    if (!up) throw std::runtime_error("the actors did not start");
  }

  ~actor_tree() {
    for (auto& [name, cluster] : clusters_) cluster->let_go();
    std::vector<caf::actor> all;
    for (auto& [name, child] : children()) all.push_back(child);
    {
      caf::scoped_actor self{*system_};
      all.push_back(caf::actor_cast<caf::actor>(supervisor_));
      caf::anon_send(supervisor_, actors::stop_atom::value);
      self->wait_for(all);
    }
    all.clear();
    pools_.clear();
    for (const auto& one : writers_->all())
      caf::anon_send_exit(one.writer, caf::exit_reason::user_shutdown);
    for (auto& [id, one] : watched_->all()) caf::anon_send_exit(one, caf::exit_reason::kill);
    supervisor_ = actors::supervisor_actor{};
    registry_ = actors::registry_actor{};
    ingress_ = actors::ingress_actor{};
    writers_->clear();
    world_.reset();
    links_.reset();
    watched_.reset();
    seen_.reset();
    system_.reset();
  }

  scripted_cluster& cluster(const std::string& name) { return *clusters_.at(name); }

  // --- what a client does ---

  using answer = result<actors::job_snapshot>;

  std::future<answer> send_submit(const std::string& id, const std::string& cluster,
                                  const std::string& hash = "hash") {
    auto spec = sample_spec(id);
    spec.set_cluster_id(cluster);
    auto shared = std::make_shared<const pb::JobSpec>(std::move(spec));
    return send(id, [&](auto done) {
      return actors::ingress_submit{{{"tester", {}}, shared, hash}, std::move(done)};
    });
  }
  std::future<answer> send_ask(const std::string& id, core::job::command what) {
    return send(id, [&](auto done) {
      return actors::ingress_ask{{{"tester", {}}, job_id{id}, std::move(what)}, std::move(done)};
    });
  }
  /// As a client that repeats what it is not sure of.
  answer submit(const std::string& id, const std::string& cluster) {
    for (;;) {
      auto done = get(send_submit(id, cluster));
      if (done || done.error().code != errc::unknown_outcome) return done;
    }
  }
  answer cancel(const std::string& id) {
    return get(send_ask(id, core::job::cancel_job{"tester", "enough"}));
  }
  static answer get(std::future<answer> from) {
    if (from.wait_for(seconds{20}) != std::future_status::ready)
      return fail(errc::internal, "the answer never came");
    return from.get();
  }
  actors::registry_view describe() {
    auto told = std::make_shared<std::promise<actors::registry_view>>();
    auto view = told->get_future();
    caf::anon_send(ingress(), actors::ingress_describe{
                                  [told](const std::vector<pb::Cluster>&,
                                         actors::registry_view now) { told->set_value(now); }});
    return view.wait_for(seconds{3}) == std::future_status::ready ? view.get()
                                                                  : actors::registry_view{};
  }

  // --- what is in the log ---

  std::string state_of(const std::string& id) const {
    const auto stored = logs->find_stream(core::job_stream(id));
    if (!stored || !*stored) return "none";
    pb::JobRecord record;
    record.ParseFromString((*stored)->at.state);
    return std::string(state_name(record.state()));
  }
  bool reaches(const std::string& id, const std::string& state) const {
    return eventually([&] { return state_of(id) == state; });
  }
  /// The kinds of a stream's events in order: "accepted submission_intended submitted ...".
  std::string history(const std::string& stream) const {
    const auto found = logs->find_stream(stream);
    if (!found || !*found) return {};
    auto events = (*found)->in.log->read_stream(stream, 0, 1000);
    std::string out;
    if (events)
      for (const auto& e : *events) out += (out.empty() ? "" : " ") + kind_of(e);
    return out;
  }
  std::string job_history(const std::string& id) const { return history(core::job_stream(id)); }

  // --- what goes wrong ---

  std::map<std::string, caf::actor> children() {
    caf::scoped_actor self{*system_};
    std::map<std::string, caf::actor> out;
    self->request(supervisor_, seconds{10}, actors::children_atom::value)
        .receive([&](const actors::child_list& list) {
                   for (const auto& [name, child] : list.children) out[name] = child;
                 },
                 [](const caf::error&) {});
    return out;
  }
  /// Kills a child of the supervisor and waits for its successor.
  bool kill(const std::string& name) {
    const auto before = children().at(name);
    caf::anon_send_exit(before, caf::exit_reason::kill);
    return eventually([&] {
      const auto now = children();
      return now.size() == clusters_.size() + 2 && now.at(name) != before;
    });
  }
  /// Kills a job's actor and waits until another one speaks for the job.
  bool kill_job(const std::string& id) {
    const auto before = job_actor_of(id);
    caf::anon_send_exit(before, caf::exit_reason::kill);
    return eventually([&] { return job_actor_of(id) != before; });
  }

  static core::job::policy policy() {
    core::job::policy out;
    out.initial_backoff = milliseconds{20};
    out.settle = milliseconds{600};
    out.vanish_grace = milliseconds{500};
    return out;
  }
  static core::link::limits limits() {
    core::link::limits out;
    out.poll_interval = out.poll_interval_min = milliseconds{20};
    out.lookup_interval = out.control_interval = milliseconds{20};
    out.inventory_interval = milliseconds{50};
    out.call_timeout = milliseconds{300};
    out.fresh_grace = milliseconds{600};
    out.breaker_open_for = milliseconds{100};
    out.queries_per_minute_max = 0;
    return out;
  }

  std::map<std::string, std::shared_ptr<store::memory_disk>> disks;  ///< by cluster
  std::shared_ptr<store::event_logs> logs;
  std::atomic<int> fatals{0};
  std::atomic<int> supervisor_fatals{0};

 private:
  static std::function<time_point()> clock() {
    return [] {
      return std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
    };
  }

  caf::actor job_actor_of(const std::string& id) {
    const std::lock_guard lock(seen_->mutex);
    return seen_->actors.at(job_id{id});
  }

  actors::ingress_actor ingress() {
    const std::lock_guard lock(ingress_mutex_);
    return ingress_;
  }

  template <class Make>
  std::future<answer> send(const std::string& id, Make make) {
    auto told = std::make_shared<std::promise<answer>>();
    auto out = told->get_future();
    caf::anon_send(ingress(), make(actors::answer_once<actors::job_snapshot>(
                                  "job " + id, [told](answer a) { told->set_value(a); })));
    return out;
  }

  void start_supervisor(const options& how) {
    using core::supervisor::strategy;
    actors::supervisor_deps deps;
    actors::group_spec links{"links", strategy::one_for_one, {}, {}};
    for (const auto& name : how.clusters)
      links.children.push_back({"link " + name, [this, name] { return start_link(name); }});
    actors::jobs_group_parts parts;
    parts.registry.world = world_;
    parts.registry.live_jobs_max = parts.registry.live_jobs_per_principal_max = how.live_jobs_max;
    parts.links = watched_;
    parts.has_registry = [this](const actors::registry_actor& made) { registry_ = made; };
    parts.has_ingress = [this](const actors::ingress_actor& made) {
      const std::lock_guard lock(ingress_mutex_);
      ingress_ = made;
    };
    auto jobs = actors::jobs_group(*system_, std::move(parts));
    deps.groups = {std::move(links), std::move(jobs)};
    deps.logs = std::make_shared<actors::log_sink>();
    deps.clock = clock();
    deps.fatal = [this](const std::string&) { ++supervisor_fatals; };
    deps.restarted = [](const std::string&) {};
    supervisor_ = system_->spawn(actors::supervisor, std::move(deps));
    const bool up = eventually([this] { return static_cast<bool>(ingress()); });
    if (!up) throw std::runtime_error("the supervisor did not start");
  }

  caf::actor start_link(const std::string& name) {
    actors::link_deps deps;
    deps.cluster = cluster_id{name};
    deps.scheduler_type = "scripted";
    deps.limits = limits();
    deps.log = writers_->of(cluster_id{name});
    deps.pool = deps.reads = pools_.at(name);
    deps.logs = std::make_shared<actors::log_sink>();
    deps.clock = clock();
    deps.poll_took = [](microseconds) {};
    deps.crash_point = [](const char*) {};
    auto made = system_->spawn(actors::scheduler_link, std::move(deps));
    links_->set(cluster_id{name}, made);
    if (registry_) caf::anon_send(registry_, actors::cluster_restarted{cluster_id{name}});
    return caf::actor_cast<caf::actor>(made);
  }

  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> system_;
  std::shared_ptr<actors::log_writers> writers_;
  std::shared_ptr<actors::link_directory> links_;    ///< the real ones
  std::shared_ptr<actors::link_directory> watched_;  ///< what jobs see
  std::shared_ptr<job_watch> seen_;
  std::map<std::string, std::shared_ptr<scripted_cluster>> clusters_;
  std::map<std::string, std::shared_ptr<actors::io_pool>> pools_;
  std::shared_ptr<const actors::job_environment> world_;
  actors::registry_actor registry_;  ///< touched by the supervisor's thread only
  std::mutex ingress_mutex_;
  actors::ingress_actor ingress_;
  actors::supervisor_actor supervisor_;
};

}  // namespace ved::tests
