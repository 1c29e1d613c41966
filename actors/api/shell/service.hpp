#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "actors/api/shell/output_reads.hpp"
#include "actors/api/shell/query_pool.hpp"
#include "actors/api/shell/rate_limiter.hpp"
#include "actors/interfaces.hpp"
#include "actors/shell/cluster_directory.hpp"
#include "actors/shell/problem_board.hpp"
#include "store/event_logs.hpp"
#include "messages/api.pb.h"

namespace ved::actors {

/// Who asks, as a bearer token tells.
struct principal {
  std::string name;
  bool read = false;
  bool submit = false;
  bool events = false;
  bool admin = false;
  std::string token_id = {};  ///< which of the tokens that had this name
  time_point since = {};      ///< when it was made

  /// Whose share of what all share a request takes.
  std::string share() const { return token_id.empty() ? name : name + "#" + token_id; }
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

/// What one principal may ask, over all ingresses together; `overloaded` beyond.
struct principal_limits {
  int requests_per_second = 0;  ///< 0: any
  int requests_burst = 0;
  /// Holds and releases: each one is an event that is kept for ever.
  int controls_per_second = 5;
  int controls_burst = 300;
  /// Bytes of jobs submitted: they are kept, too. 0: any.
  double submitted_bytes_per_second = 0;
  double submitted_bytes_burst = 0;
};

struct service_deps {
  std::shared_ptr<const store::event_logs> logs;
  /// Copies all logs into a new directory.
  std::function<result<pb::BackupDone>(const std::string& directory)> backup;
  std::int64_t max_runtime_seconds_default = 24 * 3'600;  ///< limit of jobs that name none
  std::shared_ptr<const cluster_directory> clusters;
  principal_limits limits;
  std::function<result<principal>(const std::string& token)> authenticate;
  /// Refuses new work: the disk is nearly full, the daemon stops.
  std::function<result<void>()> may_accept;
  std::function<std::string()> config_yaml;
  /// Takes over the configuration as it is now.
  std::function<result<pb::ConfigReloaded>()> reload;
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

/// An answer of more bytes costs milliseconds to turn into text, for its ingress a long time.
inline constexpr std::size_t small_answer_bytes_max = 16 << 10;

/// Every operation of the daemon, once; HTTP and the gateway only carry it.
/// Thread-safe. What reads the log is answered on threads of its own, where principals take turns,
/// and so is every answer above small_answer_bytes_max: who takes it may work on it there. Commands
/// go through the ingress actor, whose current handle the supervisor sets.
class service {
 public:
  using reply_to = std::function<void(pb::ApiReply)>;

  explicit service(service_deps deps);
  /// Ends verifications, and waits for backups that are still running.
  ~service();
  service(const service&) = delete;
  service& operator=(const service&) = delete;

  void handle(pb::ApiRequest request, reply_to done);
  /// The principal's share, empty for what needs no token; or what handle() would answer for want
  /// of a token or a right, before the request is whole.
  tl::expected<std::string, pb::ApiReply> identify(const pb::ApiRequest& head);

  void set_ingress(ingress_actor current);
  void set_stopping();
  /// Health of the daemon itself, for the service manager and /health.
  void status(std::function<void(pb::Status)> done);

 private:
  struct call;  // one request under way

  using judgement = std::variant<principal, pb::ApiReply>;
  judgement judge(const pb::ApiRequest& request);
  std::optional<error> over_its_rate(const call& c);
  void answer(const std::shared_ptr<call>& c);
  void query(const std::shared_ptr<call>& c, query_pool::kind what, std::function<void()> work);
  /// An answer from a thread that must go on, such as an actor's.
  void deliver(const std::shared_ptr<call>& c, pb::ApiReply reply);

  void submit(const std::shared_ptr<call>& c);
  std::int64_t limit_of(const pb::JobSpec& spec) const;
  result<void> may_take(const pb::JobSpec& spec) const;
  /// A repeat of what was accepted is answered wherever its cluster is.
  bool is_known(const pb::JobSpec& spec) const;
  void ask(const std::shared_ptr<call>& c, const std::string& job, core::job::command what);
  void cancel(const std::shared_ptr<call>& c);
  void get_job(call& c);
  void list_jobs(call& c);
  void job_events(call& c);
  void list_events(call& c);
  /// None: a cluster of that name is configured, or none is named.
  std::optional<error> why_unknown(const std::string& cluster) const;
  void explain(const std::shared_ptr<call>& c);
  void output(const std::shared_ptr<call>& c);
  void clusters(const std::shared_ptr<call>& c, const std::string& only);
  void health(const std::shared_ptr<call>& c);
  void verify(const std::shared_ptr<call>& c);
  void backup(const std::shared_ptr<call>& c);
  void answer_status(const std::shared_ptr<call>& c);
  void answer_public_status(reply_to done);
  void log_stats(call& c);
  void dump(call& c);

  void describe(std::function<void(std::vector<pb::Cluster>, registry_view)> done);
  void in_background(const std::shared_ptr<call>& c, std::function<pb::ApiReply()> work);
  bool to_ingress(const std::function<void(const ingress_actor&)>& send);

  service_deps deps_;
  rate_limiter requests_;
  rate_limiter controls_;
  rate_limiter submitted_bytes_;
  std::mutex mutex_;
  ingress_actor ingress_;
  std::atomic<bool> stopping_{false};
  std::stop_source stop_;  ///< of what runs in the background
  std::atomic<int> background_{0};
  std::mutex status_mutex_;
  std::vector<reply_to> status_askers_;  ///< without a token; they share one answer
  std::string status_word_;              ///< the last one
  std::chrono::steady_clock::time_point status_at_;
  query_pool queries_;  ///< last: its threads use all of the above
};

/// The error reply of a failure.
pb::ApiReply to_reply(const error& what);
/// That of a right that is missing: it tells that from a missing identity (HTTP 403 from 401).
pb::ApiReply lacks_scope(pb::Scope needed, const std::string& why);

}  // namespace ved::actors
