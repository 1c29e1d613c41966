#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/slurm/states.hpp"
#include "adapters/slurm/values.hpp"
#include "adapters/text.hpp"
#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "messages/time.hpp"

/// The tables that Slurm's commands print, as structs. Pure: text in, rows out. A line that cannot
/// be read is counted, never guessed and never silently part of another row.
namespace ved::adapters::slurm {

/// Separates the columns of squeue, sacct and sinfo (all take any text: -O 'Name:<sep>', sacct
/// --delimiter). A program draws what follows it anew for each question, so that no free text, not
/// even one that a job gives itself while it runs, can look like a column or a row.
inline constexpr std::string_view plain_separator{&column_end, 1};

/// What of an answer cannot be read, and whose it may be: nobody else's row is in doubt.
struct damage {
  int damaged = 0;            ///< lines: cut, too few columns, unreadable numbers
  std::string first_damaged;  ///< at most 200 bytes, printable
  bool cut = false;           ///< the answer ends in the middle of a row: any may be missing
  std::set<std::string> damaged_ids;  ///< of the rows that begin with one
  std::vector<std::string> strays;    ///< rows that do not
  std::vector<std::string> texts;     ///< all of them; more than texts_max: the answer is cut
  bool unnamed = false;               ///< one of them ends before its name

  static constexpr std::size_t texts_max = 100;
  /// `id`: empty when the line begins with none; `separators`: none, and the line is no row.
  void count(std::string_view line, std::string_view id, std::size_t separators,
             std::size_t separators_before_name);
  /// A row that cannot be read may be the one of `id`, which names `token`.
  bool may_be(const std::string& id, const std::string& token) const;
  /// A row that cannot be read may be one that names `token`, whatever its id.
  bool may_name(const std::string& token) const;
};

template <class Row>
struct table : damage {
  std::vector<Row> rows;
  bool headed = false;  ///< the names of its columns stand above it

  /// Where that is false nothing was asked: a command that prints nothing and ends well is broken.
  bool is_told() const { return headed || !rows.empty(); }
};

// --- squeue ------------------------------------------------------------------------------------

/// The argument of `squeue --noconvert --states=all --array -O`.
std::string squeue_format(std::string_view separator = plain_separator);

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
  int restarts = 0;                 ///< how often it was requeued
  std::int64_t session = 0;         ///< on the login node, of the sbatch that submitted it
  time_point started_at;            ///< unset, or the planned start while it is pending
  time_point ended_at;              ///< unset, or the planned end while it runs
  /// Since its start, without the time that it stood suspended; unset: not told.
  std::optional<seconds> time_used;
  std::optional<exit_status> exit;  ///< only of an ended job, or one whose nodes are cleaned up
  int nodes = 0;
  int cpus = 0;
  std::optional<std::int64_t> priority;  ///< 0: somebody holds it
  tres allocated;
  std::string name;
  std::string comment;
  std::string output_path;  ///< StdOut, as the scheduler stores it
};
/// Only the rows whose id `wanted` says yes to are read whole; of the others only what tells whose
/// they are, and whether they live: a busy account's finished jobs stand in squeue for minutes.
table<queue_row> parse_squeue(std::string_view text,
                              const std::function<bool(std::string_view id)>& wanted = {},
                              std::string_view separator = plain_separator);

// --- sacct -------------------------------------------------------------------------------------

/// The fields for `sacct --parsable2 --noconvert --delimiter=<separator> --format`, those that
/// `helpformat` (the text of `sacct --helpformat`) lacks taken out: an unknown field is an error of
/// sacct. Free text comes late, and the id again at the end, by which a cut row shows.
std::vector<std::string> sacct_fields(std::string_view helpformat);
/// Fields that cost, and that not every question needs.
/// AllocTRES: sacct asks slurmdbd a second time for the names in it. With Slurm 22.05 that doubles
/// the 90 ms that it takes (each question waits for delayed acknowledgements of TCP, twice).
inline constexpr std::string_view allocation_field = "AllocTRES";
/// SubmitLine: of a step it is the whole line of srun, up to 64 KiB and many lines.
inline constexpr std::string_view submission_field = "SubmitLine";
inline constexpr std::string_view cluster_field = "Cluster";
std::vector<std::string> without(std::vector<std::string> fields, std::string_view field);

/// One row: of a job (`step` empty) or one of its steps ("batch", "extern", "0").
struct account_row {
  scheduler_job_id id;  ///< JobIDRaw without the step
  std::string step;
  std::string state;                ///< Slurm's word, "CANCELLED by 1000" whole
  std::optional<exit_status> exit;  ///< only with an ended state, and not even always then
  time_point submitted_at;
  time_point started_at;
  time_point ended_at;
  /// Told, though perhaps in a zone that nobody knows.
  bool has_started = false;
  bool has_ended = false;
  std::string times;  ///< all three as they stand there
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
  std::string cluster;
};
/// `fields` as sacct_fields() gave them, in the order that the command was given.
table<account_row> parse_sacct(std::string_view text, const std::vector<std::string>& fields,
                               std::string_view separator = plain_separator);

// --- sinfo, scontrol ---------------------------------------------------------------------------

/// The argument of `sinfo --noheader --noconvert --all --Node -O`: one line per node and partition.
/// (-O, because -o has no letter for the allocated memory.)
std::string sinfo_format(std::string_view separator = plain_separator);

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
  std::optional<int> gpus_allocated;
  std::string features;
};
table<node_row> parse_sinfo(std::string_view text, std::string_view separator = plain_separator);

/// `scontrol show partition -o`.
struct partition_row {
  std::string name;
  std::string state;  ///< "UP", "DOWN", "DRAIN", "INACTIVE"
  bool is_default = false;
  bool hidden = false;
  duration time_limit;                      ///< MaxTime
  std::optional<seconds> over_time;         ///< OverTimeLimit; unset: the site's counts
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
  seconds kill_wait{30};     ///< between the signals TERM and KILL at a job's limit
  seconds over_time{0};      ///< OverTimeLimit: so much longer than its limit a job may take
  bool accounting = true;    ///< false: accounting_storage/none
  bool manages_memory = true;  ///< false: SelectTypeParameters without memory
  time_point booted_at;      ///< when the controller that answers started; unset: not told
  bool scheduler_up = true;  ///< of the lines "Slurmctld(primary) at X is UP"
};
result<site_config> parse_config(std::string_view text);

/// What `sdiag` counts of all accounts' jobs, at most half a minute ago; absent: it does not tell.
struct job_counts {
  std::optional<int> pending;
  std::optional<int> running;
};
job_counts parse_counts(std::string_view text);

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
