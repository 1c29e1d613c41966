#pragma once

#include <algorithm>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "adapters/scheduler.hpp"

namespace ved::tests {

/// A cluster that does what the test says, shared by all ports on it. It keeps every job that it
/// ever took, so that the test can count. Any thread.
class scripted_cluster {
 public:
  /// What a submission's caller finds: an answer; none until `let_go`, although the job is taken;
  /// or an error before anything happened.
  enum class manner { answering, silent, failing };

  struct job {
    std::string id;  ///< the cluster's name for it
    std::string token;
    std::string of;  ///< ved's job
    pb::JobState state = pb::JOB_STATE_QUEUED;
  };

  ~scripted_cluster() { let_go(); }

  void submissions_are(manner how) { change([&] { submissions_ = how; }); }
  /// Whether polls and lookups answer; failing: an error; silent: nothing until `let_go`.
  void queries_are(manner how) { change([&] { queries_ = how; }); }
  /// Ends every silence, now and later.
  void let_go() {
    change([&] { submissions_ = queries_ = manner::answering; });
  }
  void set_all(pb::JobState state) {
    change([&] {
      for (auto& one : jobs_)
        if (one.state != pb::JOB_STATE_COMPLETED) one.state = state;
    });
  }
  void set(const std::string& of, pb::JobState state) {
    change([&] {
      for (auto& one : jobs_)
        if (one.of == of) one.state = state;
    });
  }
  /// Copies that it took of that job.
  std::size_t copies(const std::string& of) const {
    const std::lock_guard lock(mutex_);
    std::size_t count = 0;
    for (const auto& one : jobs_) count += one.of == of ? 1 : 0;
    return count;
  }
  /// The most often that one token arrived.
  int most_sent() const {
    const std::lock_guard lock(mutex_);
    int most = 0;
    for (const auto& [token, times] : arrivals_) most = std::max(most, times);
    return most;
  }
  std::size_t calls_held() const {
    const std::lock_guard lock(mutex_);
    return held_;
  }

  static adapters::scheduler_factory factory(std::shared_ptr<scripted_cluster> cluster) {
    return [cluster]() -> result<std::unique_ptr<adapters::scheduler>> {
      return std::make_unique<port>(cluster);
    };
  }

 private:
  class port final : public adapters::scheduler {
   public:
    explicit port(std::shared_ptr<scripted_cluster> cluster) : cluster_(std::move(cluster)) {}

    std::vector<adapters::submit_outcome> submit(std::span<const adapters::submission> jobs,
                                                 deadline) override {
      ++asked_;
      auto& c = *cluster_;
      std::unique_lock lock(c.mutex_);
      std::vector<adapters::submit_outcome> out;
      for (const auto& one : jobs) {
        ++c.arrivals_[one.token.str()];
        if (c.submissions_ == manner::failing) {
          out.emplace_back(adapters::unknown_outcome{"the connection was cut"});
          continue;
        }
        c.jobs_.push_back({std::to_string(c.jobs_.size() + 1), one.token.str(), one.job.str(),
                           pb::JOB_STATE_QUEUED});
        out.emplace_back(adapters::accepted{scheduler_job_id{c.jobs_.back().id}});
      }
      c.wait_while(lock, c.submissions_);
      return out;
    }

    std::vector<adapters::find_outcome> find(std::span<const adapters::lookup> what,
                                             deadline) override {
      ++asked_;
      auto& c = *cluster_;
      std::unique_lock lock(c.mutex_);
      c.wait_while(lock, c.queries_);
      std::vector<adapters::find_outcome> out;
      for (const auto& asked : what) {
        adapters::found hits;
        for (const auto& one : c.jobs_)
          if (one.token == asked.token.str()) hits.ids.emplace_back(one.id);
        if (c.queries_ == manner::failing)
          out.emplace_back(adapters::not_known{"no connection"});
        else if (hits.ids.empty())
          out.emplace_back(adapters::absent{"queue and accounting"});
        else
          out.emplace_back(std::move(hits));
      }
      return out;
    }

    result<adapters::poll_result> observe(std::span<const adapters::tracked_job> jobs,
                                          adapters::poll_kind, deadline) override {
      ++asked_;
      auto& c = *cluster_;
      std::unique_lock lock(c.mutex_);
      c.wait_while(lock, c.queries_);
      if (c.queries_ == manner::failing) return fail(errc::unavailable, "no connection");
      adapters::poll_result out;
      for (const auto& asked : jobs) {
        adapters::observation seen = adapters::missing{true, "unknown id"};
        for (const auto& one : c.jobs_)
          if (one.id == asked.id.str()) {
            adapters::job_status status;
            status.state = one.state;
            seen = std::move(status);
          }
        out.observations.push_back(std::move(seen));
      }
      return out;
    }

    std::vector<adapters::control_outcome> control(
        std::span<const adapters::control_request> requests, deadline) override {
      auto& c = *cluster_;
      const std::lock_guard lock(c.mutex_);
      for (const auto& request : requests)
        for (auto& one : c.jobs_)
          if (one.id == request.job.id.str() && request.control == pb::JOB_CONTROL_CANCEL &&
              one.state != pb::JOB_STATE_COMPLETED)
            one.state = pb::JOB_STATE_CANCELLED;
      return std::vector<adapters::control_outcome>(requests.size(), adapters::control_done{});
    }

    result<adapters::inventory> take_inventory(deadline) override {
      ++asked_;
      auto& c = *cluster_;
      std::unique_lock lock(c.mutex_);
      c.wait_while(lock, c.queries_);
      if (c.queries_ == manner::failing) return fail(errc::unavailable, "no connection");
      return adapters::inventory{};
    }
    adapters::health check_health(deadline) override {
      ++asked_;
      return {};
    }
    result<adapters::output_chunk> read_output(const adapters::output_request&,
                                               deadline) override {
      return fail(errc::not_found, "no output");
    }
    std::int64_t queries() const override { return asked_; }

   private:
    std::shared_ptr<scripted_cluster> cluster_;
    std::int64_t asked_ = 0;
  };

  template <class F>
  void change(F how) {
    {
      const std::lock_guard lock(mutex_);
      how();
    }
    changed_.notify_all();
  }
  void wait_while(std::unique_lock<std::mutex>& lock, const manner& how) {
    if (how != manner::silent) return;
    ++held_;
    changed_.wait(lock, [&] { return how != manner::silent; });
    --held_;
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  manner submissions_ = manner::answering;
  manner queries_ = manner::answering;
  std::size_t held_ = 0;
  std::vector<job> jobs_;
  std::map<std::string, int> arrivals_;
};

}  // namespace ved::tests
