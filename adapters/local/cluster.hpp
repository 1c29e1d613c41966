#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/remembered.hpp"
#include "adapters/scheduler.hpp"

/// The local scheduler: real process trees on this machine, and the reference for the port.
///
///     submit ─► spool (durable) ─► queue ─► slots free ─► ved-job-supervisor ─► exit file ─► ended
///
/// One `local_cluster` per spool directory owns the queue and the slots; its own thread starts
/// supervisors and notices their end (pidfd). Jobs run under supervisors that outlive this
/// process, so a new cluster object on the same directory takes up where the last one stopped.
///
/// Under systemd the daemon's unit needs KillMode=process, or stopping it ends the jobs as well.
///
/// Limits: a call can overrun its deadline by as long as the disk takes for one sync; jobs of one
/// node; memory is reserved but not enforced; no containers; the head of the
/// queue is never overtaken by jobs of lower priority, so nothing starves. When this process does
/// not run as root, a job runs as the same user and could tamper with the spool.
namespace ved::adapters::local {

struct local_options {
  std::string directory;        ///< private spool, on a local file system
  std::string cluster;          ///< whose spool it is: its mark says so
  std::string log;              ///< and of which event log; empty: of any
  std::string supervisor_path;  ///< the ved-job-supervisor binary
  int cpus = 1;
  std::int64_t memory_mb = 1024;
  int gpus = 0;
  std::string gpu_type;             ///< empty: any type asked for is taken
  std::vector<std::string> queues;  ///< names beside "default" and "local"
  std::string cgroup;  ///< directory to make the jobs' cgroups in (job_cgroup.hpp); empty: none
  std::string run_as;               ///< user; empty: the own one. Only root can name another
  std::uint64_t open_files = 0;     ///< the jobs' soft limit; 0: as this process has it
  std::uint64_t file_bytes_max = 0;  ///< of each file that a job writes; 0: no limit
  seconds kill_wait{30};            ///< from TERM to KILL, as Slurm's KillWait
  seconds start_patience{180};      ///< with a step for whose process there is no room
  std::size_t queued_max = 100'000;
  std::size_t ended_max = 20'000;    ///< ended jobs kept, with their output
  seconds retention{7 * 24 * 3600};  ///< of ended jobs
  /// Ended jobs stay at least so long after this process noticed their end.
  seconds retention_min{600};
  milliseconds check_interval{1000};  ///< safety net behind the notification by pidfd
  /// What all times of jobs are told by; unset: the system's clock. Any thread.
  std::function<time_point()> clock;
  /// With less room than this in the directory no job is taken or started; at least 1 MiB counts.
  std::int64_t min_free_bytes = 0;
  /// What the owner's log calls the directory that jobs which have not ended were sent to
  /// (identity.hpp); empty: there are none, or they are given up. Another directory knows none of
  /// them, and in one that was opened less often jobs that ran look as if they waited.
  std::string bound_to;
  /// What the owner's log calls the directory now, also without such jobs; nothing where it cannot
  /// be read; unset: as `bound_to`. Asked until the log knows of this opening. Any thread.
  std::function<std::optional<std::string>()> recorded;
  /// What the owner remembers of a job under that token. One that began or ended is not started
  /// again, whatever the directory says; unset: nothing. Any thread.
  std::function<remembered(const job_id&, const submission_token&)> remembers;
  /// The owner knows that the directory is a copy, that the one it was copied from is used no more,
  /// and means to go on with it.
  bool takes_copy = false;
  /// Told what keeps jobs from being taken or started, and an empty text once nothing does. Called
  /// on the cluster's thread.
  std::function<void(const std::string&)> tell;
};

class local_cluster;

/// Opens the spool and takes up the jobs in it; none is started or ended before `begin`. `conflict`
/// when another process uses it, or it is a copy of a directory whose jobs live.
/// The jobs go on when the last reference goes away; only the starting of queued ones pauses.
result<std::shared_ptr<local_cluster>> open_local_cluster(local_options options);

/// From now on jobs are started, and their ends noticed; once.
void begin(local_cluster& cluster);

/// Port objects of the cluster; each is a thin handle and may be used from any thread.
scheduler_factory make_local_factory(std::shared_ptr<local_cluster> cluster);

}  // namespace ved::adapters::local
