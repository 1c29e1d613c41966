#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "actors/shell/log_sink.hpp"
#include "messages/error.hpp"
#include "messages/event.pb.h"
#include "messages/time.hpp"
#include "runtime/config/config.hpp"
#include "runtime/followers/audit_file.hpp"
#include "runtime/followers/consumer.hpp"
#include "runtime/followers/follower_report.hpp"
#include "runtime/followers/job_tracker.hpp"
#include "store/event_logs.hpp"

namespace ved::runtime {

/// Something to be audited that is no event of the log: a refused request leaves none.
struct audit_note {
  std::string event_type;  ///< "authentication_failed", "unauthorized_access", ...
  std::string job_id;
  std::string cluster_id;
  std::vector<std::pair<std::string, std::string>> details;  ///< never a token
  bool success = false;
};

/// The part of hpc.audit's switches that an event type belongs to (provider operations guide,
/// "Audit Logging"); other events are always written.
enum class audit_category { job, security, usage, daemon };
audit_category category_of(std::string_view event_type);
bool is_wanted(const audit_config& switches, std::string_view event_type);

/// The type of a cluster's scheduler, for details: "slurm" of "hpc-1"; empty: not known. Any
/// thread.
using scheduler_type_of = std::function<std::string(const std::string& cluster)>;

/// The lines of one event, each with its line end:
///
///     {"timestamp": RFC 3339, "event_type": "job_submitted", "job_id": "job-123",
///      "cluster_id": "cluster-001", "details": {...}, "success": true}
///
/// `details.log` and `details.position` tell where the event stands; after a crash the file goes on
/// behind the last line of that log that it holds. `step`: of a job's event, else null.
std::vector<std::string> audit_lines(const pb::Envelope& what, const std::string& log,
                                     const job_tracker::step* step,
                                     const scheduler_type_of& type_of,
                                     const audit_config& switches);
std::string audit_line(const audit_note& note, time_point at);

/// Longest value of a note's detail; what clients send is cut there.
inline constexpr std::size_t audit_value_bytes_max = 1'024;

/// Notes that wait for the file; beyond, they are counted, and the count is written.
inline constexpr std::size_t audit_notes_max = 4'096;

/// Notes on their way to the file. Any thread.
class audit_inbox {
 public:
  void put(audit_note note, time_point at);
  /// The lines that wait, at most `limit`; they stay until `written`.
  std::vector<std::string> waiting(std::size_t limit) const;
  void written(std::size_t lines);

 private:
  mutable std::mutex mutex_;
  std::deque<std::string> lines_;
  std::uint64_t dropped_ = 0;
};

struct audit_parts {
  audit_config settings;
  scheduler_type_of type_of;
  store::named_log log;
  std::shared_ptr<audit_file> file;
  std::shared_ptr<audit_inbox> inbox;  ///< none: another log's consumer writes the notes
  std::shared_ptr<actors::log_sink> logs;
  std::shared_ptr<follower_report> report;
};

/// How far back the end of the file is looked through for the line of an event.
inline constexpr std::size_t audit_tail_bytes_max = 4U << 20;

/// Writes the audit file; synced before the cursor moves, so at least once. What a crash left
/// between the two is found at the end of the file and not written again.
class audit_consumer final : public consumer {
 public:
  explicit audit_consumer(audit_parts parts);

  /// Opens the file, so that one that cannot be written is known before there is an event.
  result<void> begin() override;
  result<void> take(const committed_batch& batch) override;
  std::optional<moment> work(const std::stop_token& stop) override;
  /// Also what was noted while the daemon stopped.
  result<std::uint64_t> make_durable(std::uint64_t taken) override;

 private:
  /// Lines of an event that stand in the file: of the events before it, all.
  struct mark {
    std::uint64_t position = 0;
    std::vector<std::string> lines;
  };

  /// Writes the oldest notes; how many.
  result<std::size_t> write_notes();
  std::vector<std::string> lines_of(const committed& what) const;
  /// What the file ends with, when that is of this log.
  result<mark> find_end() const;

  const audit_parts parts_;
  mark written_;
};

}  // namespace ved::runtime
