#include <caf/send.hpp>
#include <utility>

#include "actors/api/shell/service_call.hpp"
#include "actors/shell/answer_once.hpp"

namespace ved::actors {
namespace {

/// What is asked without a token costs the actors one question in this time.
constexpr milliseconds public_status_age{250};
constexpr std::size_t public_askers_max = 1'024;

/// "2026-01-15T10:00:00Z": people read it, and nothing was measured to the microsecond.
std::string to_whole_second(time_point at) {
  return to_rfc3339(at).substr(0, 19) + "Z";
}

}  // namespace

void service::describe(std::function<void(std::vector<pb::Cluster>, registry_view)> done) {
  using picture = std::pair<std::vector<pb::Cluster>, registry_view>;
  const answer_once<picture> answer("status", [done = std::move(done)](result<picture> seen) {
    if (!seen) return done({}, {});
    done(std::move(seen->first), seen->second);
  });
  const ingress_describe question{[answer](std::vector<pb::Cluster> all, registry_view jobs) {
    answer(picture{std::move(all), jobs});
  }};
  if (!to_ingress([&](const ingress_actor& to) { caf::anon_send(to, question); }))
    answer(fail(errc::unavailable, "the daemon is starting or stopping"));
}

std::optional<error> service::why_unknown(const std::string& cluster) const {
  const cluster_id id{cluster};
  if (cluster.empty() || deps_.clusters->is_configured(id)) return std::nullopt;
  return error{errc::not_found, "cluster " + cluster + ": not configured"};
}

void service::clusters(const std::shared_ptr<call>& c, const std::string& only) {
  if (const auto refused = why_unknown(only)) return c->done(to_reply(*refused));
  describe([this, c, only](std::vector<pb::Cluster> all, const registry_view&) {
    pb::ApiReply reply;
    for (const auto& [id, why] : deps_.clusters->out_of_service()) {
      auto& one = all.emplace_back();
      one.set_cluster_id(id.str());
      one.set_breaker("open");
      one.set_reason("out of service: " + why);
    }
    for (auto& one : all)
      if (const auto served = deps_.clusters->find(cluster_id{one.cluster_id()}))
        one.set_drains(served->drains);
    if (only.empty()) reply.mutable_clusters();
    for (auto& one : all) {
      if (only.empty()) *reply.mutable_clusters()->add_clusters() = std::move(one);
      else if (one.cluster_id() == only) *reply.mutable_cluster() = std::move(one);
    }
    if (reply.result_case() == pb::ApiReply::RESULT_NOT_SET)
      reply = to_reply({errc::unavailable, "the daemon is starting or stopping"});
    c->done(std::move(reply));
  });
}

void service::health(const std::shared_ptr<call>& c) {
  const auto only = c->request.check_health().cluster_id();
  if (const auto refused = why_unknown(only)) return c->done(to_reply(*refused));
  if (const auto why = deps_.clusters->why_out(cluster_id{only}))
    return c->done(to_reply({errc::unavailable, "cluster " + only + ": out of service: " + *why}));
  describe([this, c, only](const std::vector<pb::Cluster>& all, const registry_view&) {
    if (all.empty() && deps_.clusters->serves_any())
      return c->done(to_reply({errc::unavailable, "the daemon is starting or stopping"}));
    struct gathered {
      std::mutex mutex;
      pb::HealthReport report;
      int open = 0;
    };
    auto got = std::make_shared<gathered>();
    for (const auto& one : all) {
      if (!only.empty() && one.cluster_id() != only) continue;
      auto& health = *got->report.add_clusters();
      health.set_cluster_id(one.cluster_id());
      health.set_scheduler_type(one.scheduler_type());
      health.set_last_poll_at_us(one.last_poll_at_us());
      health.set_active_jobs(one.jobs_tracked());
    }
    got->open = got->report.clusters_size() + 1;
    const auto finish_one = [c, got] {
      const std::lock_guard lock(got->mutex);
      if (--got->open > 0) return;
      pb::ApiReply reply;
      *reply.mutable_health() = got->report;
      c->done(std::move(reply));
    };
    for (int i = 0; i < got->report.clusters_size(); ++i) {
      const answer_once<checked_health> note(
          "health", [got, i, finish_one](const result<checked_health>& seen) {
            {
              const std::lock_guard lock(got->mutex);
              auto& health = *got->report.mutable_clusters(i);
              health.set_connection(seen ? seen->connection : seen.error().message);
              health.set_authentication(seen ? seen->authentication : "not checked");
              health.set_queue_access(seen ? seen->queue_access : "not checked");
              if (seen) health.set_checked_at_us(to_us(seen->at));
              if (seen)
                for (const auto& one : seen->notes) health.add_notes(one);
            }
            finish_one();
          });
      const ingress_check_health question{
          cluster_id{got->report.clusters(i).cluster_id()}, note};
      if (!to_ingress([&](const ingress_actor& to) { caf::anon_send(to, question); }))
        note(fail(errc::unavailable, "the daemon is starting or stopping"));
    }
    finish_one();
  });
}

void service::answer_status(const std::shared_ptr<call>& c) {
  status([c](pb::Status now) {
    pb::ApiReply reply;
    *reply.mutable_status() = std::move(now);
    c->done(std::move(reply));
  });
}

void service::answer_public_status(reply_to done) {
  const auto reply_of_word = [](const std::string& word) {
    pb::ApiReply reply;
    reply.mutable_status()->set_status(word);
    return reply;
  };
  {
    std::unique_lock lock(status_mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (!stopping_ && !status_word_.empty() && now - status_at_ < public_status_age) {
      const auto word = status_word_;
      lock.unlock();
      return done(reply_of_word(word));
    }
    if (status_askers_.size() >= public_askers_max) {
      lock.unlock();
      return done(to_reply({errc::overloaded, "too many questions after the status are waiting"}));
    }
    status_askers_.push_back(std::move(done));
    if (status_askers_.size() > 1) return;
  }
  status([this, reply_of_word](const pb::Status& now) {
    std::vector<reply_to> askers;
    {
      const std::lock_guard lock(status_mutex_);
      askers.swap(status_askers_);
      status_word_ = now.status();
      status_at_ = std::chrono::steady_clock::now();
    }
    for (const auto& asker : askers) asker(reply_of_word(now.status()));
  });
}

void service::status(std::function<void(pb::Status)> done) {
  describe([this, done](std::vector<pb::Cluster> all, registry_view registry) {
    pb::Status out;
    out.set_version(deps_.version);
    out.set_boot_id(deps_.boot_id);
    out.set_started_at_us(to_us(deps_.started_at));
    out.set_log_position(deps_.logs->events());
    out.set_live_jobs(registry.live_jobs);
    std::string word = "ok";
    for (auto& one : all) {
      if (!one.connected()) {
        word = "degraded";
        out.add_problems("cluster " + one.cluster_id() +
                         (one.breaker() == "closed" ? " has not answered yet"
                                                    : " is down: " + one.reason()));
      } else if (!one.reason().empty()) {
        word = "degraded";
        out.add_problems("cluster " + one.cluster_id() + " takes no jobs for now: " +
                         one.reason());
      }
      *out.add_clusters() = std::move(one);
    }
    if (!registry.answers) {
      word = "degraded";
      out.add_problems("the registry of jobs does not answer: none is taken, nor told anything, "
                       "meanwhile; if its disk hangs, that is told too");
    } else if (!all.empty() && !registry.recovered) {
      word = "degraded";
      out.add_problems("stored jobs are still being taken up");
    }
    if (all.empty() && deps_.clusters->serves_any()) {
      word = "degraded";
      out.add_problems("the job actors are being restarted");
    }
    if (deps_.problems) {
      for (auto& one : deps_.problems()) {
        if (one.how_bad == problem::weight::degraded) word = "degraded";
        out.add_problems(std::move(one.text) +
                         (is_set(one.since) ? " (since " + to_whole_second(one.since) + ")" : ""));
      }
    }
    if (deps_.followers)
      for (auto& one : deps_.followers()) *out.add_followers() = std::move(one);
    if (auto may = deps_.may_accept(); !may) {
      word = "full";
      out.add_problems(may.error().message);
    }
    if (stopping_) word = "stopping";
    out.set_status(word);
    done(std::move(out));
  });
}

}  // namespace ved::actors
