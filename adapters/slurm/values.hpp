#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/ids.hpp"
#include "messages/time.hpp"

/// The small values in Slurm's text: numbers, durations, sizes, TRES, node lists. Every function
/// answers nullopt for text that it does not understand, never a guess. Pure.
/// Sources: squeue(1), sacct(1), sinfo(1), slurm.conf(5) of Slurm 20.11 to 26.05.
namespace ved::adapters::slurm {

/// A job's number and the cluster whose it is, when another one of the site took the job than the
/// one that is asked: "17" and "17@east" as a scheduler_job_id.
struct job_number {
  std::string number;
  std::string cluster;
};
job_number number_of(const scheduler_job_id& id);
scheduler_job_id id_of(const job_number& from);
/// From here on a number is a federation's: its upper bits name the cluster that it came from
/// (slurm.h, FED_MGR_CLUSTER_ID_BEGIN).
inline constexpr std::int64_t federated_from = std::int64_t{1} << 26;

/// A count of zero and more; no sign, no blanks.
std::optional<std::int64_t> parse_count(std::string_view text);

/// A moment as SLURM_TIME_FORMAT=%s prints it (epoch seconds). "Unknown", "None", "N/A", "NONE", ""
/// and 0: an unset time_point; so is one in local time, "2026-01-15T10:00:00", whose zone nobody
/// knows.
std::optional<time_point> parse_moment(std::string_view text);

/// "[DD-[HH:]]MM:SS[.mmm]", "DD-HH[:MM[:SS]]", "MM" (a limit without colon is minutes),
/// "UNLIMITED"; "Partition_Limit", "NOT_SET", "NONE", "N/A" are a length of zero. "INVALID" (a
/// clock that ran backwards) is nullopt.
struct duration {
  microseconds length{0};
  bool unlimited = false;
};
std::optional<duration> parse_duration(std::string_view text);

/// "77460K", "16G", "1.50T", "64Gn" and "4000Mc" (before 21.08: per node, per core), "0"; a bare
/// number counts in `unit` bytes (sacct's MaxRSS: 1024 with --noconvert prints bytes: 1).
struct memory_size {
  std::int64_t bytes = 0;
  char per = 0;  ///< 'n' per node, 'c' per core, 0 in total
};
std::optional<memory_size> parse_memory(std::string_view text, std::int64_t unit);

/// "cpu=4,mem=16G,node=1,billing=4,gres/gpu=1,gres/gpu:a100=1". Unknown items are kept out.
/// `gpus` is gres/gpu; typed ones are never added up, and count only when gres/gpu is absent.
struct tres {
  std::int64_t cpus = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t nodes = 0;
  std::int64_t gpus = 0;
  std::optional<std::int64_t> energy_joules;  ///< values from 2^63-2 on mean: no data
};
std::optional<tres> parse_tres(std::string_view text);

/// One kind of GPU in a node's GRES: "gpu:a100:2(S:0-1)", "gpu:2", "gpu:a100:1,gpu:v100:1",
/// "gpu(S:0)". Other GRES are left out; "(null)" and "": none.
struct gpu_kind {
  std::string type;  ///< empty: the site names none
  int count = 0;

  friend bool operator==(const gpu_kind&, const gpu_kind&) = default;
};
std::optional<std::vector<gpu_kind>> parse_gpus(std::string_view gres);

/// "node[1-3,07-10],login1,rack[1-2]n[1-2]" as names; bounded: more than `most` names is nullopt.
std::optional<std::vector<std::string>> expand_nodes(std::string_view list, std::size_t most);

/// "0:0", "7:0", "0:15" (squeue, sacct: code:signal). Codes above 255 are cut as wait(2) does.
struct exit_status {
  int code = 0;
  int signal = 0;
  int slurmd = 0;  ///< not 0: no exit of the job, but why slurmd could not run it (4000 to 4031)

  friend bool operator==(const exit_status&, const exit_status&) = default;
};
std::optional<exit_status> parse_exit(std::string_view text);
/// A signal above the kernel's is one of Slurm's own marks and becomes 0.
exit_status make_exit(int code, int signal);

/// slurmd gives its own error (slurm_errno.h, ESLURMD_*) in place of a wait status.
bool is_slurmd_error(int status);

}  // namespace ved::adapters::slurm
