#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "actors/job/core.hpp"
#include "messages/error.hpp"
#include "messages/event.pb.h"
#include "store/event_log.hpp"

namespace ved::runtime {

/// Tells a reader of the log what a job was before and after an event. The stored state cannot: it
/// is that of the log's end. Folds along for the jobs seen lately, and reads a stream again for
/// the others. One follower owns it; not thread-safe.
class job_tracker {
 public:
  /// `kept_max`: jobs in memory, about 1 KB each.
  explicit job_tracker(const store::event_log& log, std::size_t kept_max = 4'096);

  struct step {
    core::job::job before;
    core::job::job after;
  };
  /// The step that an event of a job stream was. Errors: what the log says when it cannot be read,
  /// corrupt when the stream does not fold.
  result<step> follow(const pb::Envelope& what);

 private:
  struct entry {
    std::uint64_t version = 0;
    core::job::job now;
  };

  result<entry> load(const std::string& stream, std::uint64_t version) const;

  const store::event_log& log_;
  const std::size_t kept_max_;
  std::unordered_map<std::string, entry> kept_;
};

}  // namespace ved::runtime
