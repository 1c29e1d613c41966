#pragma once

#include <caf/fwd.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "actors/shell/log_sink.hpp"
#include "actors/shell/log_writers.hpp"
#include "actors/shell/problem_board.hpp"
#include "adapters/system/files.hpp"
#include "messages/time.hpp"
#include "runtime/event_logs.hpp"
#include "runtime/log_damage.hpp"

namespace ved::runtime {

/// The event logs of a running daemon: held against all others, opened, each with its one writer.
/// Owned by the daemon's root; started first, stopped last.
class logs_part {
 public:
  struct options {
    std::string state_directory;
    std::shared_ptr<actors::log_sink> logs;
    std::shared_ptr<actors::problem_board> problems;
    std::function<time_point()> clock;
    std::function<void(const std::string& why)> fatal;  ///< a log cannot be written any more
  };

  /// Opens what is there. An error is one of the daemon's own log; a cluster's is a problem.
  static result<std::unique_ptr<logs_part>> open(options how);
  logs_part(const logs_part&) = delete;
  logs_part& operator=(const logs_part&) = delete;

  const std::shared_ptr<store::event_logs>& logs() const noexcept { return logs_; }
  const std::shared_ptr<actors::log_writers>& writers() const noexcept { return writers_; }

  /// Sees to the log of a cluster that is configured: made for one that never had one, and given
  /// its writer once the others have theirs. A running daemon tries a lost one again. Returns its
  /// name, see `instance_of`. An error keeps the cluster out of service, and is told as a problem.
  result<std::string> need(const cluster_id& cluster);
  /// It is not configured any more: that its log could not be made is no problem then.
  void leave(const cluster_id& cluster);

  /// Gives each log its writer.
  void start(caf::actor_system& system);
  /// Through the log's writer; blocks for a bounded time. Any thread but an actor's.
  result<store::append_ack> append(const std::string& log, store::append_request request);
  /// Adds an event to the daemon's own stream.
  result<void> record(pb::Envelope event);
  /// Ends the writers; what they have taken is written.
  void stop();

  /// Writes that have not returned for long. Any thread.
  std::vector<actors::problem> problems() const;
  /// When the last event of all was recorded.
  std::optional<time_point> last_recorded_at() const;
  /// Reads that met damage, by table.
  std::map<std::string, std::uint64_t> damaged_reads() const;
  /// The first damage in one sentence; empty: none was met.
  std::string first_damage() const;

 private:
  explicit logs_part(options how);
  log_options_of options_of();
  std::string first_damage_of(const std::string& name) const;
  result<void> know_places();
  void tell_lost(const std::string& name, const error& why);
  result<void> reopen(const cluster_id& cluster, const std::string& name);
  /// Gives it its writer, if it has none.
  void start(const store::named_log& one);
  /// Once for each cluster.
  result<void> record_log(const cluster_id& cluster);

  const options how_;
  adapters::unique_fd hold_;
  mutable std::mutex damage_mutex_;
  std::map<std::string, std::shared_ptr<log_damage>> damage_;
  std::shared_ptr<store::event_logs> logs_;
  std::shared_ptr<actors::log_writers> writers_;
  std::set<std::string> had_logs_;  ///< clusters
  caf::actor_system* system_ = nullptr;
};

}  // namespace ved::runtime
