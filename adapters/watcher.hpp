#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "messages/ids.hpp"

/// An optional part beside the scheduler port: somebody who sees at once that jobs start and end,
/// at no cost to the scheduler. What it tells is a hint, never a fact: it makes `ved` ask sooner.
namespace ved::adapters {

/// The job has probably started, or ended. It may be a lie.
struct job_hint {
  enum class what { started, ended };

  job_id job;
  submission_token token;
  what seems = what::ended;

  friend bool operator==(const job_hint&, const job_hint&) = default;
};

/// How watching ended.
struct watch_end {
  bool watched = false;  ///< for a while it did
  std::string problem;   ///< why it ended or never began; empty: its time was over, or a stop
  bool waits = false;    ///< nothing is wrong with it: the way there is not open yet
};

class job_watcher {
 public:
  /// Gets what was seen, none from time to time while all is quiet: then it is known to watch.
  /// False: nobody needs it any more. Called on any one thread; must not block.
  using listener = std::function<bool(std::vector<job_hint> seen)>;

  virtual ~job_watcher() = default;

  /// Watches until `tell` answers false, a stop is asked for, or it cannot go on. Blocks; one call
  /// at a time. Nothing of it runs on when it has returned, or only for some seconds where a
  /// machine or the way to it does not answer.
  virtual watch_end watch(const listener& tell, std::stop_token stop) = 0;
};

}  // namespace ved::adapters
