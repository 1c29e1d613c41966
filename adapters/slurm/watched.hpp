#pragma once

#include <optional>
#include <string>

#include "adapters/slurm/cluster_state.hpp"
#include "adapters/slurm/traces.hpp"

/// Private to the poll: observe.cpp asks, accounts.cpp reads what sacct says, conclude.cpp judges.
namespace ved::adapters::slurm {

/// One job in the course of an observation.
struct slurm_cluster::watched {
  const tracked_job* job = nullptr;
  std::optional<job_status> status;  ///< not empty: squeue shows it alive
  bool completing = false;           ///< alive for squeue: its nodes are being cleaned up
  bool ended = false;                ///< squeue shows it ended
  bool may_return = false;
  bool strange = false;              ///< a state word that we do not know
  std::string unseen;                ///< why squeue may know it, though it did not show it
  std::string word;                  ///< Slurm's
  /// It ended on its nodes, and squeue shows what it held: accounting is not asked for that.
  std::optional<pb::JobUsage> held;
  memory* kept = nullptr;
  std::optional<account> accounted;
  bool accounts_answer = false;
  bool put_off = false;         ///< it has ended, and this poll does not ask accounting for it
  bool traces_asked = false;
  bool traces_answer = false;
  bool traces_cut = false;      ///< they were asked for, and the call ended before they came
  bool unread = false;          ///< they were asked for, and there was no getting at them
  traces left;
  bool controller_denies = false;    ///< scontrol does not know the id either
  bool controller_shows = false;     ///< but scontrol knows it
  bool unnamed_accounts = false;     ///< accounting has records of its number, of no known name
  bool settling = false;             ///< it has ended, and accounting does not tell yet
};

/// Why it ended, in words.
std::string ending_reason(const std::string& state, const std::string& reason,
                          const exit_status& exit);

}  // namespace ved::adapters::slurm
