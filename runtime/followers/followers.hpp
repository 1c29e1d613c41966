#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/shell/commit_feed.hpp"
#include "actors/shell/log_sink.hpp"
#include "messages/error.hpp"
#include "runtime/config/config.hpp"
#include "runtime/followers/audit.hpp"
#include "runtime/followers/hooks.hpp"
#include "runtime/metrics/metrics.hpp"
#include "store/event_logs.hpp"

namespace ved::runtime {

/// A log, who hears of its commits, and how to append to it.
struct followed_log {
  store::named_log log;
  std::shared_ptr<actors::commit_feed> feed;
  /// For the records of hooks; must answer, be it with an error, until stop() has returned.
  append_function append;
};

struct follower_deps {
  config settings;
  std::vector<followed_log> followed;  ///< the daemon's own first
  std::shared_ptr<actors::log_sink> logs;
  std::shared_ptr<metrics> numbers;
  std::function<time_point()> clock;
  std::string instance;  ///< of the daemon: see instance_of
  scheduler_type_of type_of = [](const std::string&) { return std::string{}; };
};

/// Everything that reads along behind the writers of the logs: for each log metrics, audit file and
/// one follower per hook, each on its own thread. Owned by the daemon's root: started once the
/// writers run and the daemon's start is recorded, stopped before the writers are.
class followers {
 public:
  /// Errors: only what the log says; an audit file or a receiver that is not there is retried.
  static result<std::unique_ptr<followers>> start(follower_deps deps);
  /// Stops.
  ~followers();
  followers(const followers&) = delete;
  followers& operator=(const followers&) = delete;

  /// One more log, while the others are followed. Nothing where it is followed already.
  result<void> add(const followed_log& log);

  /// Ends all threads and stores their cursors. Commands and requests under way are cut; takes at
  /// most about the 2 s that a command has between TERM and KILL. Safe to repeat.
  void stop();

  /// Log rotation (SIGHUP): goes on in the audit file that has the name now.
  result<void> reopen();

  /// Audits what leaves no event: refused tokens and requests. Never blocks on the disk. Any
  /// thread.
  void audit(audit_note note);

  /// How each of them fares. Any thread.
  std::vector<pb::Follower> seen() const;
  /// Of those that have not got on for follower_patience. Any thread.
  std::vector<actors::problem> problems() const;

 private:
  struct impl;
  explicit followers(std::unique_ptr<impl> parts);
  std::unique_ptr<impl> impl_;
};

}  // namespace ved::runtime
