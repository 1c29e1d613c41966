#include "tools/ve_sim/run.hpp"

#include <sodium/randombytes.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "actors/job/stored.hpp"
#include "adapters/faulty/faulty_scheduler.hpp"
#include "messages/job_state.hpp"
#include "store/memory_kv.hpp"
#include "tools/ve_sim/check.hpp"
#include "tools/ve_sim/cluster.hpp"
#include "tools/ve_sim/daemon.hpp"

namespace ved::sim {
namespace {

namespace job = core::job;
namespace faulty = adapters::faulty;

const time_point start = from_us(1'768'471'200'000'000);
constexpr auto fault_time = seconds{240};
constexpr auto quiet_time_max = seconds{3600};
constexpr auto hook_patience = seconds{25};
constexpr std::uint64_t steps_max = 2'000'000;

dice* numbers_of_the_run = nullptr;

/// What the code draws from the system comes from the seed.
void draw_by_seed(dice& luck) {
  static randombytes_implementation drawn{
      [] { return "seeded"; },
      [] { return static_cast<std::uint32_t>(numbers_of_the_run->next()); },
      nullptr,
      nullptr,
      [](void* to, std::size_t size) {
        auto* out = static_cast<unsigned char*>(to);
        for (std::size_t i = 0; i < size; ++i)
          out[i] = static_cast<unsigned char>(numbers_of_the_run->next());
      },
      nullptr};
  if (numbers_of_the_run == nullptr) randombytes_set_implementation(&drawn);
  numbers_of_the_run = &luck;
}

class world {
 public:
  world(stage& actors, std::uint64_t seed, bool with_history)
      : luck_(seed), time_(start), story_(with_history) {
    draw_by_seed(luck_);
    site_ = std::unique_ptr<site>(
        new site{.actors = actors,
                 .time = time_,
                 .luck = luck_,
                 .story = story_,
                 .job_limits = {},
                 .link_limits = {},
                 .faults = {},
                 .own_disk = std::make_shared<store::memory_disk>(),
                 .disks = {},
                 .ports = {},
                 .heard = {},
                 .broken = [this](const std::string& what) { broken(what); }});
    draw_limits();
    draw_clusters();
    draw_faults();
  }

  run_report run() {
    boot();
    plan_jobs();
    plan_outages();
    const auto end_of_faults = start + fault_time;
    while (violations_.empty() && !time_.empty() && time_.now() < end_of_faults) {
      if (site_->faults.crash > 0 && luck_.chance(site_->faults.crash)) die("killed");
      step();
    }
    calm_down();
    const auto patience = time_.now() + quiet_time_max;
    while (violations_.empty() && !time_.empty() && time_.now() < patience && !settled()) step();
    return finish();
  }

 private:
  // --- what this seed is about
  // --------------------------------------------------------------------

  void draw_limits() {
    auto& j = site_->job_limits;
    j.max_retries = static_cast<int>(1 + luck_.below(4));
    j.settle = seconds{20};
    j.vanish_grace = seconds{30};
    j.timeout_grace = seconds{15};
    auto& l = site_->link_limits;
    l.poll_interval = luck_.between(seconds{1}, seconds{8});
    l.poll_interval_min = luck_.between(milliseconds{100}, l.poll_interval);
    l.lookup_interval = seconds{3};
    l.control_interval = seconds{3};
    l.inventory_interval = seconds{60};
    // An effect may come this late, and the settling time must be longer.
    l.call_timeout = seconds{8};
    l.fresh_grace = seconds{10};
    l.breaker_open_for = seconds{5};
    l.batch_max = static_cast<int>(1 + luck_.below(8));
    l.queries_per_minute_max = 60;
  }

  void draw_clusters() {
    // A wild scheduler is late and forgetful beyond what the settling time allows for: copies may
    // then be made twice, and only the claim keeps them from running twice.
    wild_ = luck_.chance(0.25);
    const auto count = 1 + luck_.below(2);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string name = "c" + std::to_string(i + 1);
      auto truth = std::make_unique<cluster>(name, time_, luck_, story_);
      faulty::fault_plan plan;
      plan.seed = luck_.next();
      auto lies = std::make_shared<faulty::fault_source>(plan, [this] { return time_.now(); });
      auto port = std::make_unique<faulty::faulty_scheduler>(truth->connect(), lies);
      ports_[name] = port.get();
      site_->ports[name] = std::move(port);
      site_->disks[name] = std::make_shared<store::memory_disk>();
      lies_[name] = std::move(lies);
      clusters_[name] = std::move(truth);
    }
  }

  /// Each fault is absent in most seeds, so that the others are not drowned in it.
  double rate(double most) { return luck_.chance(0.4) ? luck_.fraction() * most : 0; }

  void draw_faults() {
    for (auto& [name, lies] : lies_) {
      faulty::fault_plan plan;
      plan.reply_lost = rate(0.5);
      plan.slow = rate(0.3);
      plan.cut = rate(0.3);
      plan.not_sent = rate(0.5);
      plan.refused_policy = rate(0.4);
      plan.refused_permanent = rate(0.1);
      plan.forget = rate(0.5);
      plan.query_error = rate(0.5);
      plan.empty_list = rate(0.3);
      plan.lie = rate(0.2);
      plan.control_lost = rate(0.3);
      plan.control_not_done = rate(0.3);
      plan.control_refused = rate(0.2);
      plan.slow_by = milliseconds{luck_.below(wild_ ? 60'000 : 4'000)};
      plan.forget_for = milliseconds{luck_.below(wild_ ? 90'000 : 6'000)};
      lies->change_plan(plan);
      cluster_faults own;
      own.doubles = wild_ ? rate(0.2) : 0;
      own.loses_record = rate(0.1);
      own.requeues = rate(0.2);
      own.returns = rate(0.2);
      own.ignores_limit = rate(0.5);
      own.unknown_words = luck_.chance(0.1);
      own.foreign_winner = luck_.chance(0.2) ? luck_.fraction() : 0;
      own.garbage = luck_.chance(0.2) ? luck_.fraction() : 0;
      clusters_[name]->set_faults(own);
    }
    auto& f = site_->faults;
    f.crash = rate(0.001);
    f.crash_around_commit = rate(0.15);
    f.crash_at_point = rate(0.05);
    f.sync_fails = rate(0.3);
    f.slow_actor = rate(0.05);
    f.calls.slow = rate(0.3);
    f.calls.stuck = rate(0.1);
    f.calls.no_way = rate(0.1);
    f.hook.refused = rate(0.5);
    f.hook.answer_lost = rate(0.3);
    if (luck_.chance(0.2)) site_->log_queue_max = 1 + luck_.below(3);
    if (luck_.chance(0.2)) site_->call_queue_max = 1 + luck_.below(3);
    actor_crashes_ = rate(1.0);
    link_crashes_ = rate(0.5);
    part_crashes_ = rate(0.3);
  }

  // --- the daemon's process
  // -----------------------------------------------------------------------

  void boot() {
    story_.add(time_.now(), "daemon starts");
    site_->actors.move_to(time_.now());
    daemon_ = std::make_unique<daemon>(*site_);
  }

  void die(const std::string& why) {
    if (!daemon_) return;
    story_.add(time_.now(), "daemon dies: " + why);
    ++crashes_;
    daemon_->kill();
    // What it had planned may be under way right now; it goes with the next one.
    grave_ = std::move(daemon_);
    time_.in(luck_.between(milliseconds{100}, seconds{15}), [this] {
      if (!daemon_) boot();
    });
  }

  /// One message to one actor; when there is none, the next moment at which something happens.
  void step() {
    if (++steps_ > steps_max) return broken("the run does not come to an end");
    if (!daemon_ || !daemon_->act()) pass_time();
    grave_.reset();
    if (!daemon_) return;
    if (const auto why = daemon_->dies_of()) die(*why);
  }

  void pass_time() {
    auto& actors = site_->actors;
    const auto timer = daemon_ ? actors.wake_at() : std::nullopt;
    if (timer && (time_.empty() || *timer < time_.next_at())) {
      time_.move_to(*timer);
      actors.move_to(*timer);
      return;
    }
    actors.move_to(time_.next_at());
    time_.step();
  }

  // --- the outside
  // --------------------------------------------------------------------------------

  void plan_jobs() {
    // Now and then a backlog, which a restart must not look up one by one.
    const auto count = luck_.chance(0.01) ? std::uint64_t{200} : 1 + luck_.below(6);
    for (std::uint64_t i = 0; i < count; ++i) {
      pb::JobSpec spec;
      spec.set_job_id("j" + std::to_string(i + 1));
      auto it = clusters_.begin();
      std::advance(it, static_cast<long>(luck_.below(clusters_.size())));
      spec.set_cluster_id(it->first);
      spec.set_max_runtime_seconds(luck_.chance(0.5) ? 30 + static_cast<int>(luck_.below(60)) : 0);
      const job_id id{spec.job_id()};
      specs_[id] = spec;
      wishes_[id].job = id;
      wishes_[id].gives_up = luck_.chance(0.1);
      time_.in(luck_.between(microseconds{0}, fault_time / 2), [this, id] { submit(id); });
      plan_operator(id);
    }
    if (actor_crashes_ > 0) plan_crashes();
    if (site_->faults.sync_fails > 0) plan_sync_faults();
  }

  void plan_operator(const job_id& id) {
    const auto some_time = [&] { return luck_.between(microseconds{0}, fault_time); };
    if (luck_.chance(0.25))
      time_.in(some_time(), [this, id] { ask(id, job::cancel_job{"alice", ""}, true); });
    if (luck_.chance(0.2))
      time_.in(some_time(), [this, id] { ask(id, job::hold_job{"alice", ""}, false); });
    if (luck_.chance(0.2))
      time_.in(some_time(), [this, id] { ask(id, job::release_job{"alice", ""}, false); });
    if (luck_.chance(0.3)) time_.in(some_time(), [this, id] { submit(id); });
    if (luck_.chance(0.1)) time_.in(some_time(), [this, id] { submit_other(id); });
  }

  /// A client that gets no answer, or one that allows it, asks again: the id makes that safe.
  void submit(const job_id& id) {
    auto& wish = wishes_[id];
    if (wish.acknowledged && luck_.chance(0.5)) return;
    const auto again = [this, id] {
      const auto& asked = wishes_[id];
      if (!asked.acknowledged && !asked.gives_up) time_.in(seconds{2}, [this, id] { submit(id); });
    };
    if (!daemon_) return again();
    auto answered = std::make_shared<bool>(false);
    daemon_->submit(specs_.at(id), "h-" + id.str(), [=, this](const client_answer& answer) {
      *answered = true;
      if (answer.ok)
        wishes_[id].acknowledged = true;
      else
        again();
    });
    time_.in(seconds{5}, [=, this] {
      if (!*answered && !wishes_[id].gives_up) submit(id);
    });
  }

  void submit_other(const job_id& id) {
    if (!daemon_ || !wishes_[id].acknowledged) return;
    auto spec = specs_.at(id);
    spec.set_cluster_id(clusters_.rbegin()->first);  // perhaps another one
    daemon_->submit(spec, "another", [this, id](const client_answer& answer) {
      if (answer.ok) broken("job " + id.str() + " was accepted again with another spec");
    });
  }

  void ask(const job_id& id, job::command what, bool cancel) {
    if (!daemon_ || !wishes_[id].acknowledged) return;
    daemon_->ask(id, std::move(what), [this, id, cancel](const client_answer& answer) {
      if (!answer.ok || !cancel) return;
      wishes_[id].cancel_acknowledged = true;
      if (calm_) wishes_[id].calm_cancel_at = time_.now();
    });
  }

  void plan_crashes() {
    time_.in(luck_.between(milliseconds{100}, seconds{20}), [this] {
      if (calm_) return;
      if (daemon_ && luck_.chance(actor_crashes_)) daemon_->crash_some_job();
      if (daemon_ && link_crashes_ > 0 && luck_.chance(link_crashes_)) daemon_->crash_some_link();
      if (daemon_ && part_crashes_ > 0 && luck_.chance(part_crashes_)) daemon_->crash_some_part();
      plan_crashes();
    });
  }

  void plan_sync_faults() {
    time_.in(luck_.between(milliseconds{100}, seconds{60}), [this] {
      if (calm_) return;
      for (auto& [name, disk] : site_->disks)
        if (daemon_ && luck_.chance(site_->faults.sync_fails))
          disk->fail_next_sync(luck_.chance(0.5));
      plan_sync_faults();
    });
  }

  void plan_outages() {
    for (auto& [name, truth] : clusters_) {
      if (!luck_.chance(0.3)) continue;
      time_.in(luck_.between(microseconds{0}, fault_time),
               [t = truth.get()] { t->set_down(true); });
      time_.in(luck_.between(microseconds{0}, fault_time),
               [t = truth.get()] { t->set_down(false); });
    }
  }

  // --- the end
  // ------------------------------------------------------------------------------------

  void calm_down() {
    story_.add(time_.now(), "all faults stop");
    calm_ = true;
    site_->faults = {};
    site_->log_queue_max = 65'536;
    site_->call_queue_max = 1'024;
    for (auto& [name, truth] : clusters_) {
      truth->set_faults({});
      truth->set_down(false);
    }
    for (auto& [name, lies] : lies_) lies->change_plan({});
    for (const auto& [id, wish] : wishes_)
      if (luck_.chance(0.3)) ask(id, job::cancel_job{"bob", "too late"}, true);
    operate();
  }

  /// After the faults an operator releases what was held or suspended, and slow submissions land.
  void operate() {
    for (auto& [name, port] : ports_) port->deliver_due();
    if (daemon_) {
      for (auto& [id, wish] : wishes_) {
        const auto* state = daemon_->find(id);
        if (state == nullptr) continue;
        const auto* held = std::get_if<job::held>(&state->now);
        const bool by_us = held != nullptr && !held->by_operator;
        if (by_us && wish.released) continue;
        if (held == nullptr && job::public_state(*state) != pb::JOB_STATE_SUSPENDED) continue;
        wish.released = wish.released || by_us;
        ask(id, job::release_job{"operator", "", true}, false);
      }
    }
    time_.in(seconds{20}, [this] { operate(); });
  }

  /// For so long that the receiver of callbacks has heard all.
  bool settled() {
    if (!is_at_rest() || site_->heard.size() != heard_) {
      heard_ = site_->heard.size();
      rests_since_ = time_.now();
    }
    return time_.now() > rests_since_ + hook_patience && daemon_->idle();
  }

  /// No job is on its way any more; actors and polls go on.
  bool is_at_rest() const {
    if (!daemon_) return false;
    // Give late submissions the time to land before the copies are counted.
    if (time_.now() < start + fault_time + seconds{100}) return false;
    for (const auto& [id, wish] : wishes_) {
      if (!wish.acknowledged && !wish.gives_up) return false;
      const auto* state = daemon_->find(id);
      if (state == nullptr && (lives(id) || runs_on(id))) return false;
      if (state == nullptr) continue;
      if (!std::holds_alternative<job::held>(state->now) || !wish.released) return false;
    }
    return true;
  }

  /// As it is stored: one whose actor fell is to be started again.
  bool lives(const job_id& id) const {
    const auto held = daemon_->logs().find_stream(core::job_stream(id.str()));
    pb::JobRecord record;
    return held && *held && record.ParseFromString((*held)->at.state) &&
           !is_terminal(record.state());
  }

  /// It has ended, and a copy of it has not: that is found, and ended. In a wild run it may not be.
  bool runs_on(const job_id& id) const {
    if (wild_) return false;
    for (const auto& [name, truth] : clusters_)
      for (const auto& [number, one] : truth->copies())
        if (one.job == id &&
            (cluster::is_live(one) || (one.ended_as && one.claimed_at > ended_at(id))))
          return true;
    return false;
  }

  /// As it is stored.
  time_point ended_at(const job_id& id) const {
    const auto held = daemon_->logs().find_stream(core::job_stream(id.str()));
    pb::JobRecord record;
    return held && *held && record.ParseFromString((*held)->at.state)
               ? from_us(record.finished_at_us())
               : time_point::max();
  }

  run_report finish() {
    run_report out;
    if (violations_.empty() && daemon_) {
      evidence all{*daemon_, clusters_, wishes_, site_->heard, wild_,
                   site_->job_limits.max_retries};
      violations_ = check(all);
      for (const auto& [id, wish] : wishes_)
        for (const auto& [name, truth] : clusters_)
          out.executions += static_cast<std::uint64_t>(truth->executions(id));
      out.events = daemon_->logs().events();
      for (const auto& one : daemon_->logs().all()) out.head_hash += one.log->head_hash();
    } else if (violations_.empty()) {
      violations_.push_back("the daemon did not come back");
    }
    out.violations = violations_;
    out.lines = story_.lines();
    out.jobs = wishes_.size();
    out.daemon_crashes = crashes_;
    out.steps = steps_;
    return out;
  }

  void broken(const std::string& what) {
    story_.add(time_.now(), "BROKEN: " + what);
    violations_.push_back(what);
  }

  dice luck_;
  timeline time_;
  history story_;
  std::map<std::string, std::unique_ptr<cluster>> clusters_;
  std::map<std::string, std::shared_ptr<faulty::fault_source>> lies_;
  std::map<std::string, faulty::faulty_scheduler*> ports_;  ///< owned by the site
  std::unique_ptr<site> site_;
  std::unique_ptr<daemon> daemon_;
  std::unique_ptr<daemon> grave_;
  std::map<job_id, pb::JobSpec> specs_;
  std::map<job_id, client_wish> wishes_;
  std::vector<std::string> violations_;
  bool wild_ = false;
  bool calm_ = false;
  double actor_crashes_ = 0;
  double link_crashes_ = 0;
  double part_crashes_ = 0;
  std::size_t heard_ = 0;
  time_point rests_since_ = start;
  std::uint64_t crashes_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace

run_report run_seed(stage& actors, std::uint64_t seed, bool with_history) {
  return world(actors, seed, with_history).run();
}

}  // namespace ved::sim
