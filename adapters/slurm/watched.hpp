#pragma once

#include <optional>
#include <string>

#include "adapters/slurm/cluster_state.hpp"
#include "adapters/slurm/traces.hpp"

/// Private to the poll: observe.cpp asks, accounts.cpp reads what sacct says, runs.cpp tells runs
/// apart, own_record.cpp what a job left, conclude.cpp judges.
namespace ved::adapters::slurm {

/// Clocks of nodes, and the time between two looks.
constexpr seconds clock_slack{60};

/// What came of the look into its directory.
enum class look_result {
  not_asked,
  answered,
  cut,         ///< the call ended before it came, or its directory hangs
  no_getting,  ///< at the directory of all jobs
};

/// One job in the course of an observation.
struct slurm_cluster::watched {
  const tracked_job* job = nullptr;
  time_point site_now;               ///< the site's clock at this poll
  bool shares_number = false;        ///< with another job that is followed
  std::optional<job_status> status;  ///< not empty: squeue shows it alive
  bool completing = false;           ///< alive for squeue: its nodes are being cleaned up
  bool ended = false;                ///< squeue shows it ended
  bool may_return = false;
  bool strange = false;              ///< a state word that we do not know
  bool outdated = false;             ///< squeue shows it as it was before a requeue
  std::string unseen;                ///< why squeue may know it, though it did not show it
  std::string word;                  ///< Slurm's
  std::string waits_for;             ///< squeue's reason
  std::optional<std::int64_t> priority;  ///< squeue's; 0: somebody holds it
  /// It ended on its nodes, and squeue shows what it held: accounting is not asked for that.
  std::optional<pb::JobUsage> held;
  memory* kept = nullptr;

  bool has_traces() const { return look == look_result::answered; }
  /// They were asked for, and there was no getting at them.
  bool is_unread() const { return look == look_result::cut || look == look_result::no_getting; }

  std::optional<account> accounted;
  std::string doubt;            ///< why the end that accounting tells, and nothing else, is none
  bool accounts_answer = false;
  bool put_off = false;         ///< it has ended, and this poll does not ask accounting for it
  look_result look = look_result::not_asked;
  traces left;                  ///< `answered`
  bool controller_denies = false;    ///< scontrol does not know the id either
  bool controller_shows = false;     ///< but scontrol knows it
  bool unnamed_accounts = false;     ///< accounting has records of its number, of no known name
  bool unnamed_later = false;        ///< and later ones than its own
  /// So long squeue shows what has ended; 0: for ever. Unset: not told.
  std::optional<seconds> shown_for;
  bool settling = false;             ///< it has ended, and accounting does not tell yet
};

/// Clocks of the login node and of the controller: munge(7) takes no credential beyond that.
inline constexpr seconds controller_slack{300};

/// Of a command that ended well and cannot have asked.
inline constexpr std::string_view printed_nothing =
    "it printed nothing, not even the names of its columns";

/// What squeue alone tells of a job's use: no processor time, no memory.
pb::JobUsage usage_of(const queue_row& row);

/// What a path as ours, ".../<job id>/<token>.<number or %j>.out", says; empty: it is none.
struct path_marks {
  std::string_view directory;
  std::string_view job;
  std::string_view token;
};
path_marks marks_in(std::string_view output_path);

/// Why it ended, in words.
std::string ending_reason(const std::string& state, const std::string& reason,
                          const exit_status& exit);

}  // namespace ved::adapters::slurm
