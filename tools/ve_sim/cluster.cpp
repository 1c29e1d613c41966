#include "tools/ve_sim/cluster.hpp"

#include <cstdlib>
#include <utility>

#include "messages/job_state.hpp"

namespace ved::sim {

namespace {

constexpr auto unknown_words = "sbatch: error: the moon is full";
constexpr int lost_claim_exit = 73;
/// What has ended is remembered for so long, and may be requeued.
constexpr seconds remembered_for{300};
constexpr auto stranger = "vezzzzzzzzzzzz";

}  // namespace

/// The honest port; the daemon sees it through a decorator that lies.
class cluster_port final : public adapters::scheduler {
 public:
  explicit cluster_port(cluster& truth) : truth_(truth) {}

  std::vector<adapters::submit_outcome> submit(std::span<const adapters::submission> jobs,
                                               deadline) override {
    std::vector<adapters::submit_outcome> out;
    for (const auto& one : jobs) {
      if (truth_.down()) {
        out.emplace_back(adapters::not_sent{"connection refused"});
        continue;
      }
      if (truth_.faults_.unknown_words) {
        out.emplace_back(adapters::unknown_outcome{truth_.garbage(unknown_words)});
        continue;
      }
      out.emplace_back(adapters::accepted{scheduler_job_id{std::to_string(truth_.accept(one))}});
    }
    return out;
  }

  std::vector<adapters::find_outcome> find(std::span<const adapters::lookup> what,
                                           deadline) override {
    ++queries_;
    std::vector<adapters::find_outcome> out;
    for (const auto& asked : what) {
      if (truth_.down()) {
        out.emplace_back(adapters::not_known{"connection refused"});
        continue;
      }
      adapters::found hits;
      for (const auto& [id, one] : truth_.copies())
        if (one.token == asked.token && !one.lost) hits.ids.emplace_back(std::to_string(id));
      if (hits.ids.empty())
        out.emplace_back(adapters::absent{truth_.garbage("queue, accounting")});
      else
        out.emplace_back(std::move(hits));
    }
    return out;
  }

  result<adapters::poll_result> observe(std::span<const adapters::tracked_job> jobs,
                                        adapters::poll_kind kind, deadline) override {
    ++queries_;
    if (truth_.down()) return fail(errc::unavailable, "connection refused");
    const bool leaves_accounts =
        kind == adapters::poll_kind::quick &&
        std::any_of(jobs.begin(), jobs.end(), [&](const adapters::tracked_job& job) {
          const copy* one = known(job.id);
          return one != nullptr && cluster::is_live(*one);
        });
    adapters::poll_result out;
    for (const auto& job : jobs) {
      const copy* one = known(job.id);
      if (leaves_accounts && one != nullptr && !cluster::is_live(*one)) {
        out.observations.emplace_back(shown_.try_emplace(one->id, as_begun(*one)).first->second);
        ++out.settling;
        continue;
      }
      if (one == nullptr)
        out.observations.emplace_back(adapters::missing{true, "not in queue nor accounting",
                                                        !truth_.claims_.contains(job.job)});
      else
        out.observations.emplace_back(shown_[one->id] = status_of(*one));
    }
    add_strays(out, jobs);
    out.returns_within = remembered_for;
    return out;
  }

  std::vector<adapters::control_outcome> control(
      std::span<const adapters::control_request> requests, deadline) override {
    std::vector<adapters::control_outcome> out;
    for (const auto& request : requests) {
      if (truth_.down()) {
        out.emplace_back(adapters::control_unknown{"connection refused"});
      } else if (request.job.id.empty() && request.control == pb::JOB_CONTROL_CANCEL) {
        out.push_back(truth_.bar(request.job.job));
      } else if (const copy* one = known(request.job.id); one == nullptr) {
        out.emplace_back(adapters::control_refused{"invalid job id"});
      } else {
        out.push_back(truth_.control(one->id, request.control));
      }
    }
    return out;
  }

  result<adapters::inventory> take_inventory(deadline) override {
    ++queries_;
    if (truth_.down()) return fail(errc::unavailable, "connection refused");
    return adapters::inventory{};
  }
  adapters::health check_health(deadline) override { return {}; }
  result<adapters::output_chunk> read_output(const adapters::output_request&, deadline) override {
    return fail(errc::not_found, "no output in the simulation");
  }
  std::int64_t queries() const override { return queries_; }

 private:
  const copy* known(const scheduler_job_id& id) const {
    const auto it = truth_.copies().find(std::strtoull(id.str().c_str(), nullptr, 10));
    return it == truth_.copies().end() || it->second.lost ? nullptr : &it->second;
  }

  void add_strays(adapters::poll_result& to, std::span<const adapters::tracked_job> jobs) const {
    for (const auto& [number, one] : truth_.copies()) {
      const scheduler_job_id id{std::to_string(number)};
      const bool followed = std::any_of(jobs.begin(), jobs.end(),
                                        [&](const auto& job) { return job.id == id; });
      const bool lives = cluster::is_live(one);
      if (!followed && (lives || one.ended_as))
        to.strays.push_back({one.job, one.token, id, lives, one.submitted_at, 0, one.started_at});
    }
  }

  static adapters::job_status as_begun(const copy& one) {
    adapters::job_status out;
    out.state = is_set(one.started_at) ? pb::JOB_STATE_RUNNING : pb::JOB_STATE_QUEUED;
    out.started_at = one.started_at;
    return out;
  }

  adapters::job_status status_of(const copy& one) const {
    adapters::job_status out;
    out.state = one.state;
    out.reason = truth_.garbage(one.reason);
    out.enqueued_at = one.submitted_at;
    out.started_at = one.started_at;
    out.finished_at = one.finished_at;
    out.exit_code = one.exit_code;
    out.lost_claim_to = one.lost_claim_to;
    if (one.names_stranger) out.lost_claim_to = submission_token{stranger};
    if (is_terminal(one.state)) out.usage = pb::JobUsage{};
    return out;
  }

  cluster& truth_;
  std::map<std::uint64_t, adapters::job_status> shown_;  ///< by a copy's id, in the last poll
  std::int64_t queries_ = 0;
};

cluster::cluster(std::string name, timeline& time, dice& luck, history& story)
    : name_(std::move(name)), time_(time), luck_(luck), story_(story) {}

std::unique_ptr<adapters::scheduler> cluster::connect() {
  return std::make_unique<cluster_port>(*this);
}

void cluster::tell(const copy& one, const std::string& what) {
  if (story_.on())
    story_.add(time_.now(), name_ + ": copy " + std::to_string(one.id) + " of " + one.job.str() +
                                " (" + one.token.str() + ") " + what);
}

int cluster::executions(const job_id& job) const {
  const auto it = executions_.find(job);
  return it == executions_.end() ? 0 : it->second;
}

bool cluster::is_live(const copy& one) {
  return !one.lost && !is_terminal(one.state);
}

void cluster::set_down(bool down) {
  if (down_ != down) story_.add(time_.now(), name_ + (down ? ": down" : ": up again"));
  down_ = down;
}

std::string cluster::garbage(const std::string& text) {
  if (!luck_.chance(faults_.garbage)) return text;
  std::string bytes(luck_.below(2'000), '\0');
  for (char& byte : bytes) byte = static_cast<char>(luck_.below(256));
  return bytes;
}

copy& cluster::make_copy(const adapters::submission& what, bool doubled) {
  copy one;
  one.id = next_id_++;
  one.job = what.job;
  one.token = what.token;
  one.submitted_at = time_.now();
  one.run_for = luck_.between(milliseconds{50}, seconds{90});
  one.limit = seconds{what.spec.max_runtime_seconds()};
  one.exit_code = luck_.chance(0.2) ? 3 : 0;
  one.doubled = doubled;
  copy& made = copies_[one.id] = std::move(one);
  tell(made, "accepted");
  plan_start(made, luck_.chance(0.5) ? luck_.between(milliseconds{1}, seconds{1})
                                     : luck_.between(seconds{1}, seconds{60}));
  if (luck_.chance(faults_.loses_record)) {
    time_.in(luck_.between(milliseconds{1}, seconds{100}), [this, id = made.id] { lose(id); });
  }
  return made;
}

std::uint64_t cluster::accept(const adapters::submission& what) {
  const bool twice = luck_.chance(faults_.doubles);
  const auto id = make_copy(what, twice).id;
  if (twice) make_copy(what, true);
  return id;
}

void cluster::plan_start(copy& one, microseconds pause) {
  const auto plan = ++one.plan;
  time_.in(pause, [this, id = one.id, plan] { start(id, plan); });
}

void cluster::plan_end(copy& one) {
  const auto plan = ++one.plan;
  time_.at(one.ends_at, [this, id = one.id, plan] { end(id, plan); });
}

void cluster::start(std::uint64_t id, unsigned plan) {
  copy& one = copies_.at(id);
  if (one.plan != plan || one.lost) return;
  one.state = pb::JOB_STATE_STARTING;
  const auto next = ++one.plan;
  time_.in(luck_.chance(0.7) ? microseconds{0} : luck_.between(milliseconds{10}, seconds{8}),
           [this, id, next] { run(id, next); });
}

void cluster::run(std::uint64_t id, unsigned plan) {
  copy& one = copies_.at(id);
  if (one.plan != plan || one.lost) return;
  one.started_at = time_.now();
  const auto [winner, first] = claims_.try_emplace(one.job, claim{one.id, one.token});
  if (winner->second.id == 0) {
    finish(one, pb::JOB_STATE_CANCELLED, "it was cancelled before it could start");
    return;
  }
  if (winner->second.id != one.id) {
    one.lost_claim_to = winner->second.token;
    tell(one, "lost the claim to " + winner->second.token.str());
    one.exit_code = lost_claim_exit;
    finish(one, pb::JOB_STATE_FAILED, "");
    return;
  }
  if (first) {
    ++executions_[one.job];
    one.claimed = true;
    one.claimed_at = time_.now();
  }
  tell(one, "runs");
  // What it wrote stays there when it runs again.
  one.names_stranger = luck_.chance(faults_.foreign_winner) || one.names_stranger;
  one.state = pb::JOB_STATE_RUNNING;
  one.ends_at = time_.now() + one.run_for;
  const bool over = one.limit > microseconds{0} && one.run_for > one.limit;
  if (over && !luck_.chance(faults_.ignores_limit)) {
    one.ends_at = time_.now() + one.limit;
  } else {
    one.limit = microseconds{0};
  }
  plan_end(one);
  if (luck_.chance(faults_.requeues)) {
    time_.in(luck_.between(milliseconds{1}, one.run_for), [this, id] {
      copy& back = copies_.at(id);
      if (back.lost || back.state != pb::JOB_STATE_RUNNING) return;
      tell(back, "is requeued");
      back.state = pb::JOB_STATE_QUEUED;
      back.reason = "requeued";
      back.started_at = {};
      plan_start(back, luck_.between(milliseconds{10}, seconds{20}));
    });
  }
}

void cluster::end(std::uint64_t id, unsigned plan) {
  copy& one = copies_.at(id);
  if (one.plan != plan || one.lost) return;
  if (one.limit > microseconds{0} && one.run_for > one.limit)
    finish(one, pb::JOB_STATE_TIMEOUT, "TimeLimit");
  else
    finish(one, one.exit_code == 0 ? pb::JOB_STATE_COMPLETED : pb::JOB_STATE_FAILED, "");
}

void cluster::finish(copy& one, pb::JobState state, const std::string& reason) {
  ++one.plan;
  one.state = state;
  one.reason = reason;
  one.finished_at = time_.now();
  tell(one, "ends as " + pb::JobState_Name(state));
  if (luck_.chance(faults_.returns)) plan_return(one);
}

/// Its owner, or an administrator, runs it again.
void cluster::plan_return(const copy& one) {
  time_.in(luck_.between(milliseconds{1}, remembered_for), [this, id = one.id, plan = one.plan] {
    copy& back = copies_.at(id);
    if (back.lost || back.plan != plan || faults_.returns == 0) return;
    tell(back, "is requeued after its end");
    if (!back.ended_as) back.ended_as = back.state;
    back.state = pb::JOB_STATE_QUEUED;
    back.submitted_at = time_.now();
    back.started_at = {};
    plan_start(back, luck_.between(milliseconds{10}, seconds{200}));
  });
}

void cluster::lose(std::uint64_t id) {
  copy& one = copies_.at(id);
  ++one.plan;
  one.lost = true;
  tell(one, "is lost with its record");
}

adapters::control_outcome cluster::bar(const job_id& job) {
  if (claims_.try_emplace(job, claim{0, submission_token{"cancelled"}}).first->second.id != 0)
    return adapters::control_refused{"a copy has the claim"};
  return adapters::control_done{};
}

adapters::control_outcome cluster::control(std::uint64_t id, pb::JobControl what) {
  copy& one = copies_.at(id);
  tell(one, "is asked for " + pb::JobControl_Name(what));
  const auto refuse = [] { return adapters::control_refused{"not in a state for that"}; };
  const bool waits = one.state == pb::JOB_STATE_QUEUED;
  const bool held = one.state == pb::JOB_STATE_SUSPENDED && !is_set(one.started_at);
  switch (what) {
    case pb::JOB_CONTROL_CANCEL:
      if (is_terminal(one.state)) return adapters::control_done{};
      finish(one, pb::JOB_STATE_CANCELLED, "cancelled");
      return adapters::control_done{};
    case pb::JOB_CONTROL_HOLD:
      if (held) return adapters::control_done{};
      if (!waits) return refuse();
      ++one.plan;
      one.state = pb::JOB_STATE_SUSPENDED;
      return adapters::control_done{};
    case pb::JOB_CONTROL_RELEASE:
      if (waits) return adapters::control_done{};
      if (!held) return refuse();
      one.state = pb::JOB_STATE_QUEUED;
      plan_start(one, luck_.between(milliseconds{10}, seconds{10}));
      return adapters::control_done{};
    case pb::JOB_CONTROL_SUSPEND:
      if (one.state == pb::JOB_STATE_SUSPENDED && !held) return adapters::control_done{};
      if (one.state != pb::JOB_STATE_RUNNING) return refuse();
      ++one.plan;
      one.state = pb::JOB_STATE_SUSPENDED;
      one.ends_at = time_point{} + (one.ends_at - time_.now());  // what is left
      return adapters::control_done{};
    case pb::JOB_CONTROL_RESUME:
      if (one.state == pb::JOB_STATE_RUNNING) return adapters::control_done{};
      if (one.state != pb::JOB_STATE_SUSPENDED || held) return refuse();
      one.state = pb::JOB_STATE_RUNNING;
      one.ends_at = time_.now() + (one.ends_at - time_point{});
      plan_end(one);
      return adapters::control_done{};
    default: return refuse();
  }
}

}  // namespace ved::sim
