#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/slurm/states.hpp"
#include "adapters/slurm/values.hpp"
#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "messages/time.hpp"

/// The tables that Slurm's commands print, as structs. Pure: text in, rows out. A line that cannot
/// be read is counted, never guessed and never silently part of another row.
namespace ved::adapters::slurm {

/// Separates the columns of squeue, sacct and sinfo (all take any byte: -O 'Name:<sep>', sacct
/// --delimiter): control characters are refused in every value that we submit. Other people's free
/// text may hold anything, so it stands in the last columns.
inline constexpr char column_end = '\x1f';

/// A table, and how many of its lines were damaged (cut, too few columns, unreadable numbers).
template <class Row>
struct table {
  std::vector<Row> rows;
  int damaged = 0;
  std::string first_damaged;  ///< at most 200 bytes, printable
};

// --- squeue ------------------------------------------------------------------------------------

/// The argument of `squeue --noheader --noconvert --states=all --array -O`. It holds column_end.
std::string squeue_format();

struct queue_row {
  /// The raw job id, decimal; of a component its own, of an array task its own once it started
  /// (before: the array's).
  scheduler_job_id id;
  std::string shown_id;  ///< "14", "14_3", "14+1"
  std::string state;     ///< Slurm's word
  std::string reason;    ///< Slurm's word; "None" is ""
  std::string partition;
  std::string node_list;
  time_point submitted_at;
  time_point started_at;            ///< unset, or the planned start while it is pending
  time_point ended_at;              ///< unset, or the planned end while it runs
  std::optional<exit_status> exit;  ///< only with an ended state
  int nodes = 0;
  int cpus = 0;
  tres allocated;
  std::string name;
  std::string comment;
  std::string output_path;  ///< StdOut, as the scheduler stores it
};
/// Only the rows whose id `wanted` says yes to are read; of the others only id and state: a busy
/// account's finished jobs stand in squeue for minutes.
table<queue_row> parse_squeue(std::string_view text,
                              const std::function<bool(std::string_view id)>& wanted = {});

// --- sacct -------------------------------------------------------------------------------------

/// The fields for `sacct --parsable2 --noheader --noconvert --delimiter=<column_end> --format`,
/// those that `helpformat` (the text of `sacct --helpformat`) lacks taken out: an unknown field is
/// a hard error of sacct. Free text comes late, and the id again at the end, by which a cut row
/// shows.
std::vector<std::string> sacct_fields(std::string_view helpformat);
/// Without what was allocated. sacct asks slurmdbd a second time for the names of the TRES in it:
/// with Slurm 22.05 that doubles the 90 ms that it takes (each question waits for delayed
/// acknowledgements of TCP, twice).
std::vector<std::string> without_allocation(std::vector<std::string> fields);

/// One row: of a job (`step` empty) or one of its steps ("batch", "extern", "0").
struct account_row {
  scheduler_job_id id;  ///< JobIDRaw without the step
  std::string step;
  std::string state;                ///< Slurm's word, "CANCELLED by 1000" whole
  std::optional<exit_status> exit;  ///< only with an ended state, and not even always then
  time_point submitted_at;
  time_point started_at;
  time_point ended_at;
  std::int64_t elapsed_seconds = 0;  ///< without the time that it was suspended
  int nodes = 0;
  int cpus = 0;
  tres allocated;
  std::optional<microseconds> cpu_time;          ///< TotalCPU: user + system; of ended rows
  std::optional<std::int64_t> memory_bytes_max;  ///< MaxRSS; of ended steps
  std::string reason;
  std::string node_list;
  std::string name;
  std::string submit_line;  ///< Slurm 21.08 and later
};
/// `fields` as sacct_fields() gave them, in the order that the command was given.
table<account_row> parse_sacct(std::string_view text, const std::vector<std::string>& fields);

// --- sinfo, scontrol ---------------------------------------------------------------------------

/// The argument of `sinfo --noheader --noconvert --all --Node -O`: one line per node and partition.
/// (-O, because -o has no letter for the allocated memory.)
std::string sinfo_format();

struct node_row {
  std::string node;
  std::string partition;
  std::string state;   ///< compact form without its suffix: "idle", "mix", "drain", ...
  bool usable = true;  ///< false: down, drained, failing, powered off for good, not responding
  int cpus = 0;
  int cpus_allocated = 0;
  std::int64_t memory_mb = 0;
  std::int64_t memory_mb_allocated = 0;
  std::vector<gpu_kind> gpus;
  std::string features;
};
table<node_row> parse_sinfo(std::string_view text);

/// `scontrol show partition -o`.
struct partition_row {
  std::string name;
  std::string state;  ///< "UP", "DOWN", "DRAIN", "INACTIVE"
  bool is_default = false;
  bool hidden = false;
  duration time_limit;                      ///< MaxTime
  int nodes = 0;                            ///< TotalNodes
  int nodes_per_job_max = 0;                ///< MaxNodes; 0: no limit
  int nodes_per_job_min = 0;                ///< MinNodes
  int cpus_per_node_max = 0;                ///< MaxCPUsPerNode; 0: no limit
  std::int64_t memory_mb_per_node_max = 0;  ///< MaxMemPerNode; 0: no limit
};
table<partition_row> parse_partitions(std::string_view text);

/// What we need of `scontrol show config`.
struct site_config {
  std::string version;  ///< "22.05.8"
  std::string cluster_name;
  seconds message_timeout{10};
  seconds min_job_age{300};
  bool accounting = true;    ///< false: accounting_storage/none
  bool scheduler_up = true;  ///< of the lines "Slurmctld(primary) at X is UP"
};
result<site_config> parse_config(std::string_view text);

/// One `Key=Value` line of `scontrol show job -o` (or a whole record over lines): values may hold
/// blanks and '=', so it splits at the keys that it knows.
struct job_record {
  scheduler_job_id id;
  std::string state;
  std::string reason;
  std::optional<exit_status> exit;  ///< only with an ended state
  time_point submitted_at;
  time_point started_at;
  time_point ended_at;
  int nodes = 0;
  int cpus = 0;
  tres allocated;
  int restarts = 0;
  std::string name;
  std::string comment;
  std::string output_path;
};
table<job_record> parse_jobs(std::string_view text);

}  // namespace ved::adapters::slurm
