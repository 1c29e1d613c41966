#include "actors/supervisor/actor.hpp"

#include <algorithm>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace ved::actors {
namespace {

namespace policy = core::supervisor;
using self_pointer = supervisor_actor::stateful_pointer<supervisor_state>;

class supervisor_body {
 public:
  supervisor_body(self_pointer self, supervisor_deps deps) : self_(self), deps_(std::move(deps)) {
    auto& state = self_->state;
    std::vector<std::string> group_names;
    for (auto& spec : deps_.groups) {
      group_names.push_back(spec.name);
      std::vector<std::string> names;
      std::vector<supervisor_state::child> children;
      for (auto& child : spec.children) {
        names.push_back(child.name);
        children.push_back({std::move(child), {}});
      }
      state.groups.push_back({spec.name, std::move(children),
                              policy::restart_policy(spec.how, spec.limits, std::move(names)), 0});
    }
    state.root = std::make_unique<policy::restart_policy>(
        policy::strategy::rest_for_one, deps_.root_limits, std::move(group_names));
    for (std::size_t g = 0; g < state.groups.size(); ++g) {
      state.root->started(g, deps_.clock());
      for (std::size_t c = 0; c < state.groups[g].children.size(); ++c) start(g, c);
    }
  }

  void down(const caf::down_msg& what) {
    auto& groups = self_->state.groups;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (std::size_t c = 0; c < groups[g].children.size(); ++c) {
        auto& child = groups[g].children[c];
        if (!child.handle || child.handle.address() != what.source) continue;
        child.handle = {};
        ended(g, c, what.reason);
        return;
      }
    }
  }

  void restart(const restart_order& what) {
    auto& group = self_->state.groups[what.group];
    if (what.generation != group.generation) return;
    for (const auto c : what.children) {
      if (group.children[c].handle || !group.children[c].spec.start) continue;
      start(what.group, c);
      deps_.restarted(group.children[c].spec.name);
    }
  }

  child_list put(const put_child& what) {
    auto* group = find_group(what.group);
    if (group == nullptr) return {};
    auto c = find_child(*group, what.child.name);
    if (c == group->children.size()) {
      group->children.emplace_back();
      group->policy.add(what.child.name);
    }
    stop(*group, c);
    group->children[c].spec = what.child;
    start(static_cast<std::size_t>(group - self_->state.groups.data()), c);
    return children();
  }

  child_list take(const take_child& what) {
    child_list out;
    auto* group = find_group(what.group);
    if (group == nullptr) return out;
    const auto c = find_child(*group, what.name);
    if (c == group->children.size()) return out;
    auto& child = group->children[c];
    if (child.handle) out.children.emplace_back(what.name, child.handle);
    stop(*group, c);
    child.spec.start = {};
    return out;
  }

  child_list children() const {
    child_list out;
    for (const auto& group : self_->state.groups)
      for (const auto& child : group.children)
        if (child.handle) out.children.emplace_back(child.spec.name, child.handle);
    return out;
  }

  void stop_all() {
    auto& groups = self_->state.groups;
    for (auto group = groups.rbegin(); group != groups.rend(); ++group)
      for (const auto c : group->policy.stop_order()) stop(*group, c);
    self_->quit();
  }

 private:
  supervisor_state::group* find_group(const std::string& name) {
    auto& groups = self_->state.groups;
    const auto at = std::find_if(groups.begin(), groups.end(),
                                 [&](const auto& one) { return one.name == name; });
    return at == groups.end() ? nullptr : &*at;
  }

  /// How many there are: none bears the name.
  static std::size_t find_child(const supervisor_state::group& group, const std::string& name) {
    const auto& all = group.children;
    const auto at = std::find_if(all.begin(), all.end(),
                                 [&](const auto& one) { return one.spec.name == name; });
    return static_cast<std::size_t>(at - all.begin());
  }

  void start(std::size_t g, std::size_t c) {
    auto& group = self_->state.groups[g];
    auto& child = group.children[c];
    child.handle = child.spec.start();
    self_->monitor(child.handle);
    group.policy.started(c, deps_.clock());
  }

  void stop(supervisor_state::group& group, std::size_t c) {
    auto& child = group.children[c];
    if (!child.handle) return;
    self_->demonitor(child.handle);
    self_->send_exit(child.handle, caf::exit_reason::kill);
    child.handle = {};
  }

  void ended(std::size_t g, std::size_t c, const caf::error& reason) {
    auto& group = self_->state.groups[g];
    const auto& name = group.children[c].spec.name;
    const auto why = self_->system().render(reason);
    deps_.logs->write(log_severity::error, "ved", "actor_failed",
                      {{"actor", name}, {"reason", why}});
    const auto decided = group.policy.ended(c, policy::ending::failure, why, deps_.clock());
    if (decided.escalate) return escalate(g, decided.reason);
    for (const auto other : decided.stop) stop(group, other);
    schedule(g, decided.start, decided.start_at);
  }

  /// A whole group keeps failing: the root starts it and the groups after it anew.
  void escalate(std::size_t g, const std::string& why) {
    auto& state = self_->state;
    const auto decided = state.root->ended(g, policy::ending::failure, why, deps_.clock());
    if (decided.escalate) {
      deps_.fatal(decided.reason);
      stop_all();
      return;
    }
    for (std::size_t later = state.groups.size(); later-- > g;) {
      auto& group = state.groups[later];
      const auto order = group.policy.stop_order();
      for (const auto c : order) stop(group, c);
      schedule(later, {order.rbegin(), order.rend()}, decided.start_at);
      state.root->started(later, deps_.clock());
    }
  }

  void schedule(std::size_t g, std::vector<std::size_t> children, time_point at) {
    auto& group = self_->state.groups[g];
    restart_order order{g, std::move(children), ++group.generation};
    // Children of an order that this one makes void must not be forgotten.
    for (std::size_t c = 0; c < group.children.size(); ++c)
      if (!group.children[c].handle &&
          std::find(order.children.begin(), order.children.end(), c) == order.children.end())
        order.children.push_back(c);
    std::sort(order.children.begin(), order.children.end());
    const auto wait = std::max(microseconds{0}, at - deps_.clock());
    self_->delayed_send(self_, wait, std::move(order));
  }

  self_pointer self_;
  supervisor_deps deps_;
};

}  // namespace

supervisor_actor::behavior_type supervisor(self_pointer self, supervisor_deps deps) {
  // Nobody restarts the supervisor: without one the process must end and start anew.
  self->attach_functor([fatal = deps.fatal](const caf::error& why) {
    if (why != caf::exit_reason::normal) fatal("the supervisor ended");
  });
  auto body = std::make_shared<supervisor_body>(self, std::move(deps));
  self->set_down_handler([body](const caf::down_msg& what) { body->down(what); });
  return {
      [body](const restart_order& what) { body->restart(what); },
      [body](children_atom) { return body->children(); },
      [body](const put_child& what) { return body->put(what); },
      [body](const take_child& what) { return body->take(what); },
      [body](stop_atom) { body->stop_all(); },
  };
}

}  // namespace ved::actors
