#include <algorithm>

#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {

namespace {

/// Calls `complete` with each record of `scontrol show KIND`: it begins with a line that starts
/// with `key`. With -o it is one line (more only by newlines in free text); without, it goes on in
/// indented lines and ends at an empty one. The newline at its end tells it from a cut one.
template <class Complete, class Damaged>
bool for_each_shown(std::string_view text, std::string_view key, const Complete& complete,
                    const Damaged& damaged) {
  std::string_view rest = text;
  const char* begin = nullptr;
  const char* end = nullptr;
  bool whole = false;
  bool several_lines = false;
  const auto flush = [&] {
    if (begin == nullptr) return;
    const std::string_view record(begin, static_cast<std::size_t>(end - begin));
    if (whole && record.size() <= record_bytes_max) {
      complete(record);
    } else {
      damaged(record);
    }
    begin = nullptr;
  };
  while (!rest.empty()) {
    const text_line line = take_line(rest);
    const bool empty = trim(line.text).empty();
    if (empty && begin != nullptr) {
      whole = true;
      flush();
    } else if (line.text.starts_with(key)) {
      // A record over several lines that lacks its empty line was cut.
      flush();
      begin = line.text.data();
      end = begin + line.text.size();
      whole = line.whole;
      several_lines = false;
    } else if (begin != nullptr) {
      several_lines = several_lines || line.text.starts_with("   ");
      end = line.text.data() + line.text.size();
      whole = line.whole;
    } else if (!empty) {
      damaged(line.text);
    }
    if (several_lines && rest.empty()) whole = false;
  }
  const bool cut = begin != nullptr && !whole;
  flush();
  return !cut;
}

/// Keys of `scontrol show job`, where values may hold blanks and '='. A value ends where the next
/// of these begins. A blank stands before and behind each.
constexpr std::string_view job_keys =
    " JobId ArrayJobId ArrayTaskId ArrayTaskThrottle HetJobId HetJobOffset HetJobIdSet "
    "JobName UserId GroupId MCS_label Priority Nice Account QOS WCKey JobState Reason "
    "FailedNode Dependency Requeue Restarts BatchFlag Reboot ExitCode DerivedExitCode "
    "RunTime TimeLimit TimeMin SubmitTime EligibleTime AccrueTime ResizeTime StartTime "
    "EndTime Deadline PreemptEligibleTime PreemptTime SuspendTime SecsPreSuspend "
    "LastSchedEval Scheduler Partition AllocNode:Sid ReqNodeList ExcNodeList NodeList "
    "BatchHost SchedNodeList StepMgrEnabled NumNodes NumCPUs NumTasks CPUs/Task "
    "ReqB:S:C:T TRES ReqTRES AllocTRES Socks/Node NtasksPerN:B:S:C CoreSpec JOB_GRES "
    "MinCPUsNode MinMemoryNode MinMemoryCPU MinTmpDiskNode Features DelayBoot "
    "Reservation OverSubscribe Contiguous Licenses LicensesAlloc Network Command WorkDir "
    "AdminComment SystemComment Comment Extra StdErr StdIn StdOut BatchFeatures "
    "BurstBuffer Container ContainerID Power CpusPerTres MemPerTres TresBind TresFreq "
    "TresPerJob TresPerNode TresPerSocket TresPerTask NtasksPerTRES MailUser MailType "
    "Switches Shared SLUID SubmitLine SegmentSize ";

/// Those that may hold blanks. The others end at the first one, so that a key of a later Slurm
/// behind them does no harm.
constexpr std::string_view free_text_keys =
    " JobName Command WorkDir AdminComment SystemComment Comment Extra StdErr StdIn StdOut "
    "Container SubmitLine ";

/// Keys of `scontrol show partition`, 20.11 to 26.05.
constexpr std::string_view partition_keys =
    " PartitionName AllowGroups AllowAccounts DenyAccounts AllowQos DenyQos AllocNodes Alternate "
    "CpuBind Default QoS DefaultTime DisableRootJobs ExclusiveUser ExclusiveTopo GraceTime Hidden "
    "MaxNodes MaxTime MinNodes LLN MaxCPUsPerNode MaxCPUsPerSocket NodeSets Nodes "
    "PriorityJobFactor PriorityTier RootOnly ReqResv OverSubscribe OverTimeLimit PreemptMode "
    "State TotalCPUs TotalNodes SelectTypeParameters JobDefaults DefMemPerCPU DefMemPerNode "
    "MaxMemPerCPU MaxMemPerNode TRES TRESBillingWeights SuspendTime SuspendTimeout ResumeTimeout "
    "PowerDownOnIdle Topology ";

/// Those whose names may hold blanks: slurm.conf takes them in quotes, and groups and accounts of a
/// domain have them.
constexpr std::string_view partition_names =
    " PartitionName AllowGroups AllowAccounts DenyAccounts AllowQos DenyQos Alternate QoS NodeSets "
    "Topology ";

bool is_among(std::string_view key, std::string_view keys) {
  return keys.find(' ' + std::string(key) + ' ') != std::string_view::npos;
}

class key_values {
 public:
  /// A word with '=' is a key when `keys` holds it; the value of one of `names` may hold blanks.
  key_values(std::string_view record, std::string_view keys, std::string_view names) {
    std::size_t at = 0;
    while (at < record.size()) {
      at = record.find_first_not_of(" \t\r\n", at);
      if (at == std::string_view::npos) break;
      const auto stop = std::min(record.find_first_of(" \t\r\n", at), record.size());
      const std::string_view word = record.substr(at, stop - at);
      const auto equals = word.find('=');
      const std::string_view key = word.substr(0, equals);
      const bool is_key =
          equals != std::string_view::npos && equals != 0 && is_among(key, keys);
      if (is_key) {
        items_.push_back({key, at + equals + 1, stop});
      } else if (!items_.empty() && is_among(items_.back().key, names)) {
        items_.back().end = stop;
      }
      at = stop;
    }
    record_ = record;
  }

  /// nullopt: no such key, or more than one, of which either may be somebody's free text.
  std::optional<std::string_view> get(std::string_view key) const {
    const item* found = nullptr;
    for (const item& one : items_) {
      if (one.key != key) continue;
      if (found != nullptr) return std::nullopt;
      found = &one;
    }
    if (found == nullptr) return std::nullopt;
    return record_.substr(found->begin, found->end - found->begin);
  }
  bool has(std::string_view key) const {
    return std::any_of(items_.begin(), items_.end(),
                       [&](const item& one) { return one.key == key; });
  }

 private:
  struct item {
    std::string_view key;
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  std::string_view record_;
  std::vector<item> items_;
};

std::optional<int> read_limit(std::optional<std::string_view> text) {
  if (!text || equal_any_case(*text, "UNLIMITED") || is_nothing(*text)) return 0;
  return parse_small_count(*text);
}

/// "5", of a partition, or "5 min"; nullopt: it says nothing.
std::optional<seconds> read_over_time(std::string_view text) {
  constexpr seconds year{365 * 86'400};
  if (equal_any_case(text, "UNLIMITED")) return year;
  const auto minutes = parse_small_count(text.substr(0, text.find(' ')));
  if (!minutes) return std::nullopt;
  return std::min(seconds{60} * *minutes, year);
}

std::optional<partition_row> read_partition(std::string_view record) {
  const key_values values(record, partition_keys, partition_names);
  const auto name = values.get("PartitionName");
  const auto state = values.get("State");
  const auto time = values.get("MaxTime");
  const auto nodes = values.get("TotalNodes");
  if (!name || name->empty() || !state || state->empty() || !time || !nodes) return std::nullopt;
  partition_row row;
  row.name = *name;
  row.state = *state;
  row.is_default = values.get("Default") == "YES";
  row.hidden = values.get("Hidden") == "YES";
  const auto limit = parse_duration(*time);
  const auto total = parse_small_count(*nodes);
  const auto most = read_limit(values.get("MaxNodes"));
  const auto least = read_limit(values.get("MinNodes"));
  const auto cpus = read_limit(values.get("MaxCPUsPerNode"));
  const auto memory = read_limit(values.get("MaxMemPerNode"));
  if (!limit || !total || !most || !least || !cpus || !memory) return std::nullopt;
  row.time_limit = *limit;
  if (const auto over = values.get("OverTimeLimit")) row.over_time = read_over_time(*over);
  row.nodes = *total;
  row.nodes_per_job_max = *most;
  row.nodes_per_job_min = *least;
  row.cpus_per_node_max = *cpus;
  row.memory_mb_per_node_max = *memory;
  return row;
}

std::optional<job_record> read_job(std::string_view text) {
  const key_values values(text, job_keys, free_text_keys);
  job_record record;
  const auto id = values.get("JobId");
  const auto state = values.get("JobState");
  const auto reason = values.get("Reason");
  const auto exit = values.get("ExitCode");
  const auto submitted = values.get("SubmitTime");
  const auto started = values.get("StartTime");
  const auto ended = values.get("EndTime");
  const auto nodes = values.get("NumNodes");
  const auto cpus = values.get("NumCPUs");
  if (!id || !is_job_id(*id) || !state || !is_state_text(*state) || !reason || !exit ||
      !submitted || !started || !ended || !nodes || !cpus) {
    return std::nullopt;
  }
  record.id = scheduler_job_id(std::string(*id));
  record.state = *state;
  record.reason = or_empty(*reason);
  if (is_ended(*state)) {
    record.exit = parse_exit(*exit);
    if (!record.exit) return std::nullopt;
  }
  const auto submit_time = parse_moment(*submitted);
  const auto start_time = parse_moment(*started);
  const auto end_time = parse_moment(*ended);
  const auto node_count = parse_small_count(*nodes);
  const auto cpu_count = parse_small_count(*cpus);
  // Since 23.11 what is asked for and what is given stand apart.
  const auto allocated = parse_tres(
      values.get(values.has("AllocTRES") ? "AllocTRES" : "TRES").value_or(std::string_view{}));
  const auto restarts = read_limit(values.get("Restarts"));
  if (!submit_time || !start_time || !end_time || !node_count || !cpu_count || !allocated ||
      !restarts) {
    return std::nullopt;
  }
  record.submitted_at = *submit_time;
  record.started_at = *start_time;
  record.ended_at = *end_time;
  record.nodes = *node_count;
  record.cpus = *cpu_count;
  record.allocated = *allocated;
  record.restarts = *restarts;
  record.name = values.get("JobName").value_or(std::string_view{});
  record.comment = or_empty(values.get("Comment").value_or(std::string_view{}));
  record.output_path = or_empty(values.get("StdOut").value_or(std::string_view{}));
  return record;
}

template <class Row, class Read>
table<Row> read_records(std::string_view text, std::string_view key, const Read& read) {
  return collect_rows<Row>(
      [&](const auto& complete, const auto& damaged) {
        return for_each_shown(text, key, complete, damaged);
      },
      read,
      [&](table<Row>& found, std::string_view record) {
        found.count(record, {}, record.starts_with(key) ? 1 : 0, 0);
      });
}

/// "10 sec"
std::optional<seconds> read_seconds(std::string_view text) {
  const auto count = parse_count(text.substr(0, text.find(' ')));
  if (!count || *count > 1'000'000'000) return std::nullopt;
  return seconds{*count};
}

}  // namespace

table<partition_row> parse_partitions(std::string_view text) {
  return read_records<partition_row>(text, "PartitionName=", read_partition);
}

table<job_record> parse_jobs(std::string_view text) {
  return read_records<job_record>(text, "JobId=", read_job);
}

job_counts parse_counts(std::string_view text) {
  job_counts out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const text_line line = take_line(rest);
    const auto colon = line.text.find(':');
    if (!line.whole || colon == std::string_view::npos) continue;
    const auto key = trim(line.text.substr(0, colon));
    const auto count = parse_small_count(trim(line.text.substr(colon + 1)));
    if (key == "Jobs pending") out.pending = count;
    if (key == "Jobs running") out.running = count;
  }
  return out;
}

result<site_config> parse_config(std::string_view text) {
  site_config config;
  bool up = false;
  bool down = false;
  std::string_view rest = text;
  while (!rest.empty()) {
    const text_line line = take_line(rest);
    if (!line.whole) break;  // may be cut in the middle of a value
    if (line.text.starts_with("Slurmctld(")) {
      up = up || trim(line.text).ends_with(" is UP");
      down = down || trim(line.text).ends_with(" is DOWN");
      continue;
    }
    const auto equals = line.text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = trim(line.text.substr(0, equals));
    const std::string_view value = trim(line.text.substr(equals + 1));
    if (key == "SLURM_VERSION") {
      config.version = value;
    } else if (key == "ClusterName") {
      config.cluster_name = value;
    } else if (key == "BOOT_TIME") {
      config.booted_at = parse_moment(value).value_or(time_point{});
    } else if (key == "SelectTypeParameters") {
      config.manages_memory = value.find("MEMORY") != std::string_view::npos;
    } else if (key == "AccountingStorageType") {
      config.accounting = !is_nothing(value) && value != "accounting_storage/none";
    } else if (key == "OverTimeLimit") {
      config.over_time = read_over_time(value).value_or(config.over_time);
    } else if (key == "MessageTimeout" || key == "MinJobAge" || key == "KillWait") {
      // Where it says something else, Slurm's default stands.
      auto& to = key == "MinJobAge"  ? config.min_job_age
                 : key == "KillWait" ? config.kill_wait
                                     : config.message_timeout;
      to = read_seconds(value).value_or(to);
    }
  }
  // Keys come in the order of the alphabet: with the version all others were there, too.
  if (config.version.empty() || config.cluster_name.empty()) {
    return fail(errc::unavailable,
                "scontrol show config: the answer is cut or not Slurm's: it begins with \"" +
                    printable(text.substr(0, text.find('\n')), 120) + "\"");
  }
  config.scheduler_up = up || !down;
  return config;
}

}  // namespace ved::adapters::slurm
