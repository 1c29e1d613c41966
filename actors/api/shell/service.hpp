#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "actors/interfaces.hpp"
#include "actors/shell/io_pool.hpp"
#include "actors/shell/problem_board.hpp"
#include "messages/api.pb.h"

namespace ved::actors {

/// Who asks, as a bearer token tells.
struct principal {
  std::string name;
  bool read = false;
  bool submit = false;
  bool events = false;
  bool admin = false;
};

/// A request that was turned away, for log and audit. Never holds a token.
struct refusal_note {
  std::string_view event_type;
  std::string principal;  ///< empty: unknown
  std::string source;
  std::string reason;
  std::string job_id;
  std::string cluster_id;
};

/// What the API knows of a configured cluster besides its actors.
struct api_cluster {
  std::string scheduler_type;
  core::job::policy policy;
  std::shared_ptr<io_pool> pool;
};

struct service_deps {
  std::shared_ptr<store::event_log> log;
  std::map<cluster_id, api_cluster> clusters;
  std::function<result<principal>(const std::string& token)> authenticate;
  /// Refuses new work: the disk is nearly full, the daemon stops.
  std::function<result<void>()> may_accept;
  std::function<std::string()> config_yaml;
  std::function<std::uint64_t()> disk_free_bytes;
  /// What else is wrong, for the status; empty: nothing is asked.
  std::function<std::vector<problem>()> problems;
  /// Who reads along behind the log, for the status; empty: nothing is asked.
  std::function<std::vector<pb::Follower>()> followers;
  /// Told of what is refused and so leaves no event: "authentication_failed",
  /// "unauthorized_access", "job_validation_failed".
  std::function<void(const refusal_note&)> refused;
  std::string version;
  std::string boot_id;
  time_point started_at;
};

/// Every operation of the daemon, once; HTTP and the gateway only carry it.
/// Thread-safe. Queries are answered on the caller's thread from the log; commands go through the
/// ingress actor, whose current handle the supervisor sets.
class service {
 public:
  using reply_to = std::function<void(pb::ApiReply)>;

  explicit service(service_deps deps);
  /// Waits for verifications and backups that are still running.
  ~service();
  service(const service&) = delete;
  service& operator=(const service&) = delete;

  void handle(pb::ApiRequest request, reply_to done);

  void set_ingress(ingress_actor current);
  void set_stopping();
  /// Health of the daemon itself, for the service manager and /health.
  void status(std::function<void(pb::Status)> done);

 private:
  struct call;  // one request under way

  void submit(const std::shared_ptr<call>& c);
  void ask(const std::shared_ptr<call>& c, const std::string& job, core::job::command what);
  void get_job(call& c);
  void list_jobs(call& c);
  void job_events(call& c);
  void explain(const std::shared_ptr<call>& c);
  void output(const std::shared_ptr<call>& c);
  void clusters(const std::shared_ptr<call>& c, const std::string& only);
  void health(const std::shared_ptr<call>& c);
  void verify(const std::shared_ptr<call>& c);
  void backup(const std::shared_ptr<call>& c);
  void answer_status(const std::shared_ptr<call>& c);
  void log_stats(call& c);
  void dump(call& c);

  void describe(std::function<void(std::vector<pb::Cluster>, registry_view)> done);
  void in_background(const std::shared_ptr<call>& c, std::function<pb::ApiReply()> work);
  bool to_ingress(const std::function<void(const ingress_actor&)>& send);

  service_deps deps_;
  std::mutex mutex_;
  ingress_actor ingress_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> background_{0};
};

/// The error reply of a failure.
pb::ApiReply to_reply(const error& what);

}  // namespace ved::actors
