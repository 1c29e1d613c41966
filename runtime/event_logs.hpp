#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "adapters/system/files.hpp"
#include "messages/api.pb.h"
#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "store/event_logs.hpp"

/// The event logs on disk. Below a state directory, and likewise below a backup:
///
///     log/                  the daemon's own
///     clusters/ID/log/      that of a cluster: with all its jobs, it moves as one directory
///     log.check             what the daemon's own holds (store/head_check.hpp), not in a backup
///     checks/ID.check       likewise that of a cluster: who puts an older copy of clusters/ID, or
///                           of all of them, in its place leaves this
///     log.lock              who writes to any of them (hold_event_logs)
namespace ved::runtime {

/// Where the log of that name stands, and where it is noted what it holds.
store::log_place log_place_of(const std::string& state_directory, std::string_view log_name);
std::string log_directory(const std::string& state_directory, std::string_view log_name);

bool has_event_log(const std::string& state_directory, std::string_view log_name);

/// Makes an empty log of the daemon below a state directory, for `ved init` alone: a daemon that
/// finds none has lost it, and would run every job once more that it is sent again. One that is
/// there is kept.
result<void> make_event_log(const std::string& state_directory);

/// Makes an empty log in the place of one that is gone for good, together with what is noted of it.
/// errc::conflict while there is one.
result<void> begin_new_event_log(const std::string& state_directory, std::string_view log_name);

/// Keeps everybody else from writing the logs of a state directory, or putting others in their
/// place, for the life of the descriptor: a daemon and what mends or restores a log exclude each
/// other from their first look to their end. errc::conflict while another holds them.
result<adapters::unique_fd> hold_event_logs(const std::string& state_directory);

/// Names of the logs that are there, whole or not, and of what looks like one: the daemon's first.
std::vector<std::string> logs_there(const std::string& state_directory);

/// How the log of that name is opened; only whom to tell counts.
using log_options_of = std::function<store::event_log::options(const std::string& log_name)>;

/// Opens all logs of a state directory to write to them; whoever calls it holds them. Those of
/// clusters that the daemon's own log knows and that cannot be opened, are another cluster's or are
/// not there are lost, the others serve on; an error is one of the daemon's own log, or says that a
/// restoration was cut short (runtime/restoration.hpp).
/// errc::not_found says what to do where there is none.
result<std::shared_ptr<store::event_logs>> open_event_logs(const std::string& state_directory,
                                                           const log_options_of& how);

/// The log of a cluster that is configured: opened already, or made now for one that never had one.
/// `had_one`: it has; then none is made, and what is missing is lost.
result<void> need_cluster_log(store::event_logs& logs, const std::string& state_directory,
                              const cluster_id& cluster, bool had_one, const log_options_of& how);

/// Opens a cluster's log that is lost once more: its disk may be there again, or have room.
result<void> reopen_lost_log(store::event_logs& logs, const std::string& state_directory,
                             const cluster_id& cluster, const log_options_of& how);

/// Opens all logs for reading, also beside a daemon: of a state directory, or of a backup. Damaged
/// ones are opened as far as `verify` and readers need.
result<std::shared_ptr<store::event_logs>> read_event_logs(const std::string& directory);

/// What logs fold with, and nothing else.
store::event_log::options plain_log_options();

/// In a backup that is not whole: which logs it lacks, and why.
inline constexpr const char* incomplete_file = "INCOMPLETE";

/// Copies all logs of a state directory into the new `directory` while writing goes on. Clusters'
/// logs that are lost or damaged are left out: the answer and `incomplete_file` name them.
/// errc::conflict when anything is at `directory`, errc::invalid when that is where logs stand.
result<pb::BackupDone> back_up_event_logs(const store::event_logs& logs,
                                          const std::string& state_directory,
                                          const std::string& directory);

/// Names of clusters' logs that a backup lacks, though its daemon's log or `incomplete_file` knows
/// of them, or the state directory that it is to be restored to does.
result<std::set<std::string>> logs_missing_in(const std::string& backup,
                                              const std::string& state_directory);

/// A log that never was in a state directory whose daemon's log does not know of it is made anew by
/// a start; one that is noted is lost, until it is restored or given up.
result<void> note_lost_log(const std::string& state_directory, const std::string& log_name);

}  // namespace ved::runtime
