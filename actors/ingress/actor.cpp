#include "actors/ingress/actor.hpp"

#include <caf/typed_event_based_actor.hpp>

namespace ved::actors {
namespace {

using self_pointer = ingress_actor::stateful_pointer<ingress_state>;

/// The request was delivered and its answer did not come: it may have taken effect.
error no_answer(const std::string& what, const caf::error& cause) {
  return {errc::unknown_outcome,
          what + ": no answer in time" + (cause ? "" : " (the actor ended)")};
}

template <class Request, class Done>
void pass_on(self_pointer self, const registry_actor& registry, const Request& what,
             const std::string& id, const Done& done) {
  self->request(registry, ingress_timeout, what)
      .then([done](const job_reply& reply) { done(reply.outcome); },
            [done, id](const caf::error& cause) {
              done(result<job_snapshot>{tl::unexpect, no_answer("job " + id, cause)});
            });
}

/// Collects the clusters' descriptions; a link that does not answer shows as unknown.
struct gathering {
  std::vector<pb::Cluster> clusters;
  registry_view registry;
  std::size_t open = 0;
  std::function<void(std::vector<pb::Cluster>, registry_view)> done;

  void one_less() {
    if (--open == 0) done(std::move(clusters), registry);
  }
};

constexpr auto describe_timeout = seconds{2};

void describe(self_pointer self, const ingress_deps& deps, const ingress_describe& what) {
  auto all = std::make_shared<gathering>();
  all->done = what.done;
  const auto links = deps.links->all();
  all->open = links.size() + 1;
  all->clusters.resize(links.size());
  std::size_t place = 0;
  for (const auto& [id, link] : links) {
    all->clusters[place].set_cluster_id(id.str());
    all->clusters[place].set_breaker("unknown");
    self->request(link, describe_timeout, describe_atom::value)
        .then(
            [all, place](const cluster_reply& reply) {
              all->clusters[place] = reply.cluster;
              all->one_less();
            },
            [all, place](const caf::error&) {
              all->clusters[place].set_reason("its link does not answer");
              all->one_less();
            });
    ++place;
  }
  self->request(deps.registry, describe_timeout, describe_atom::value)
      .then(
          [all](const registry_view& view) {
            all->registry = view;
            all->one_less();
          },
          [all](const caf::error&) {
            all->registry.answers = false;
            all->one_less();
          });
}

/// Passes a question on to the cluster's link; `take` is given the reply.
template <class Reply, class In, class Question, class Take>
void ask_link(self_pointer self, const ingress_deps& deps, const In& in, milliseconds timeout,
              const Question& question, Take take) {
  const auto link = deps.links->find(in.cluster);
  if (!link) return in.done(fail(errc::unavailable, "its link is being started"));
  self->request(link, timeout, question)
      .then([done = in.done, take](const Reply& reply) { done(take(reply)); },
            [done = in.done](const caf::error& cause) {
              done(fail(no_answer("its link", cause)));
            });
}

/// Longer than the link lets a check wait for its turn; a check that began then is of use to the
/// next who asks.
constexpr auto health_timeout = seconds{10};

}  // namespace

ingress_actor::behavior_type ingress(self_pointer self, ingress_deps deps) {
  auto shared = std::make_shared<const ingress_deps>(std::move(deps));
  return {
      [self, shared](const ingress_submit& in) {
        pass_on(self, shared->registry, in.what, in.what.spec->job_id(), in.done);
      },
      [self, shared](const ingress_ask& in) {
        pass_on(self, shared->registry, in.what, in.what.job.str(), in.done);
      },
      [self, shared](const ingress_describe& in) { describe(self, *shared, in); },
      [self, shared](const ingress_ask_about& in) {
        ask_link<about_reply>(self, *shared, in, describe_timeout, ask_about{in.job},
                              [](const about_reply& reply) { return reply.note; });
      },
      [self, shared](const ingress_check_health& in) {
        ask_link<health_reply>(self, *shared, in, health_timeout, check_health_atom::value,
                               [](const health_reply& reply) { return reply.outcome; });
      },
  };
}

}  // namespace ved::actors
