#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "adapters/system/files.hpp"
#include "messages/event.pb.h"
#include "messages/ids.hpp"
#include "messages/time.hpp"
#include "store/event_log.hpp"

/// The daemon's log and what the daemon writes there of itself: the stream "daemon".
namespace ved::runtime {

/// Makes an empty event log below a state directory, for `ved init` alone: a daemon that finds none
/// has lost it, and would run every job once more that it is sent again. One that is there is kept.
result<void> make_event_log(const std::string& state_directory);

/// Makes one in the place of a log that is gone for good, together with what is noted of it.
/// errc::conflict while there is one.
result<void> begin_new_event_log(const std::string& state_directory);

bool has_event_log(const std::string& state_directory);

/// Keeps everybody else from writing the log of a state directory, or putting another in its place,
/// for the life of the descriptor: a daemon and what mends or restores a log exclude each other
/// from their first look to their end. errc::conflict while another holds it.
result<adapters::unique_fd> hold_event_log(const std::string& state_directory);

/// Opens the event log below a state directory and holds it; the writer of the process. Of `how`
/// only whom to tell counts. errc::not_found says what to do where there is none.
result<std::shared_ptr<store::event_log>> open_event_log(const std::string& state_directory,
                                                         store::event_log::options how = {});

/// What the log knows of a cluster with live jobs of which a submission was sent or may have been.
struct remembered_cluster {
  std::uint64_t sent_jobs = 0;
  pb::ClusterRecord scheduler;  ///< empty: it was never met
};
/// Nothing of a cluster without such jobs, nor of `given_up`. The log must outlive it.
using remember_cluster = std::function<result<remembered_cluster>(const cluster_id&)>;
remember_cluster remembering(const store::event_log& log, std::string given_up);

/// Whether a job has ended, as the log knows. The log must outlive it; any thread.
std::function<bool(const job_id&)> ended_in(const store::event_log& log);

/// Sixteen random hex digits: one start of the program.
std::string make_boot_id();

/// Writes daemon_started and gives the log's name, see `instance_of`. Before any actor exists, so
/// nobody else writes yet.
result<std::string> record_start(store::event_log& log, const std::string& boot_id, time_point now);

/// The event as the next one of the daemon's own stream.
result<store::append_request> of_daemon(const store::event_log& log, pb::Envelope event);

/// Sixteen hex digits of the log's first event: the same for ever, also after a restore; of two
/// logs never the same.
result<std::string> instance_of(const store::event_log& log);

}  // namespace ved::runtime
