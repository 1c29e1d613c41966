#include "adapters/slurm/errors.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {

namespace {

constexpr std::size_t words_bytes_max = 400;
/// Texts beyond this are a broken command's, not Slurm's.
constexpr std::size_t lines_max = 200;

template <std::size_t Count>
bool contains_any(std::string_view text, const std::array<std::string_view, Count>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return contains_any_case(text, part); });
}

/// The request went out and no readable answer came back.
constexpr std::array<std::string_view, 23> answer_lost{
    "Socket timed out on send/recv",
    "(receive failure)",
    "(send failure)",
    "(shutdown failure)",
    "Zero Bytes were transmitted or received",
    "Unexpected message received",
    "Message receive failure",
    "Message send failure",
    "Communication shutdown failure",
    "Unexpected missing socket",
    "Header lengths are longer than data received",
    "Insane message length",
    "Incompatible versions of client and server code",
    "Connection timed out writing",
    "Connection timed out reading",
    "quiesce timeout",
    "Kernel reported delayed socket error",
    "shutting down and closing all communications",
    "Connection reset by peer",
    "Broken pipe",
    "Munge decode failed",
    "auth_g_verify",
    "RESPONSE_"};

/// The controller was not reached, or turned the request away before it made a job of it.
constexpr std::array<std::string_view, 21> never_arrived{
    "(connect failure)",
    "Communication connection failure",
    "Connection timed out establishing",
    "MaxJobCount limit",
    "Unable to create job record, try again",
    "Slurm job queue full",
    "Job creation temporarily disabled",
    "temporarily unable to accept job",
    "Resource temporarily unavailable",
    "Rate limit exceeded",
    "in standby mode",
    "Protocol authentication error",
    "Munge encode failed",
    "Invalid authentication credential",
    "Authentication credential",
    "Token Generation failed",
    "Can't find an address, check slurm.conf",
    "Could not establish a configuration source",
    "Unable to process configuration file",
    "Failed to resolve",
    "Name or service not known"};

/// The site's limits and states, of which each may pass.
constexpr std::array<std::string_view, 25> policy{
    // A filter of the site, before sbatch asks the controller (cli_filter.c).
    "cli_filter plugin terminated with error",
    // Who may do what is asked of directories and databases that can be away for a while.
    "User's group not permitted to use this partition",
    "Invalid account",
    "Invalid or unknown association",
    "Invalid user id",
    "Invalid group id",
    "Job violates accounting/QOS policy",
    "Requested partition configuration not available now",
    "Required partition not available",
    "Partition in DOWN state",
    "System submissions disabled",
    "Requested operation is presently disabled",
    "Requested account has breached requested QOS usage threshold",
    "Requested nodes are busy",
    "Required node not available",
    "Required ports are in use",
    "Licenses currently unavailable",
    "Requested reservation is in use",
    "Requested reservation not usable now",
    "Job can not start due to maintenance reservation",
    "Burst Buffer resource limit exceeded",
    "Max powered up nodes reached",
    "No eligible clusters for federated job",
    "Immediate execution impossible",
    "I/O error writing script/environment to file"};

/// What no waiting changes: the controller's words, then those of sbatch before it asks anybody.
constexpr std::array<std::string_view, 69> permanent{
    "Invalid partition name",
    "No partition specified or system default partition",
    "Multiple partition job request not supported",
    "Invalid qos specification",
    "Invalid QOS specification",
    "Invalid wckey",
    "Access/permission denied",
    "Access denied to requested reservation",
    "Requested reservation is invalid",
    "Requested node configuration is not available",
    "Requested topology configuration is not available",
    "Requested nodes not in this partition",
    "Invalid node name specified",
    "Node count specification invalid",
    "CPU count specification invalid",
    "Task count specification invalid",
    "Task distribution specification invalid",
    "More processors requested than permitted",
    "Requested more tasks than available processors",
    "Cannot request more threads per core",
    "Job size specification needs to be provided",
    "Memory required by task is not available",
    "Memory specification can not be satisfied",
    "Requested time limit is invalid",
    "Time limit specification required",
    "Invalid time-min specification",
    "Invalid time specified",
    "Invalid generic resource",
    "Duplicate generic resource",
    "Invalid GRES specification",
    "Insufficient GRES available",
    "Requested GRES option unsupported",
    "Invalid Trackable RESource",
    "RestrictedCoresPerGPU",
    "Invalid feature specification",
    "Invalid preferred feature specification",
    "Invalid extra constraints",
    "Invalid cluster feature",
    "Invalid cluster name",
    "Invalid license specification",
    "Invalid job array specification",
    "Invalid mcs_label",
    "Job dependency problem",
    "Circular job dependency",
    "Burst Buffer request invalid",
    "Burst Buffer permission denied",
    "X11 forwarding not available",
    "Requested operation not supported on this system",
    "Pathname of a file, directory or other parameter too long",
    "Environment is missing in job",
    "without the current working directory",
    "Job script not specified",
    "Invalid directive found in batch script",
    "This does not look like a batch script",
    "Batch script is empty",
    "contains only whitespace",
    "contains DOS line breaks",
    "does not allow scripts that",
    "Unable to open file",
    "Script arguments not permitted",
    "Invalid --",
    "Invalid numeric value",
    "invalid number of",
    "unrecognized option",
    "unrecognised option",
    "invalid option",
    "ambiguous",
    "requires an argument",
    "mutually exclusive"};

/// A line without what the commands put in front.
std::string_view bare(std::string_view line) {
  constexpr std::string_view commands[] = {
      "sbatch: ", "squeue: ", "sacct: ", "sinfo: ", "scontrol: ", "scancel: ", "sacctmgr: "};
  constexpr std::string_view levels[] = {"error: ", "fatal: ", "warning: "};
  line = trim(line);
  for (const std::string_view command : commands)
    if (line.starts_with(command)) line.remove_prefix(command.size());
  for (const std::string_view level : levels)
    if (line.starts_with(level)) line.remove_prefix(level.size());
  return trim(line);
}

/// Rules, boxes and empty lines.
bool is_blank(std::string_view line) {
  return std::none_of(line.begin(), line.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
  });
}

/// A greeting, and a wrapper's steps that went well ("Verifying ...OK").
bool is_noise(std::string_view line) {
  return contains_any_case(line, "Welcome to") || line.ends_with("...OK") ||
         line.ends_with("... OK");
}

/// The last line of the text, which is shortened by it.
std::string_view take_last_line(std::string_view& rest) {
  const auto end = rest.rfind('\n');
  const auto line = rest.substr(end == std::string_view::npos ? 0 : end + 1);
  rest = rest.substr(0, end == std::string_view::npos ? 0 : end);
  return line;
}

/// At most so many bytes of the end of a line, on a character's border.
std::string_view last_bytes(std::string_view line, std::size_t bytes_max) {
  if (line.size() <= bytes_max) return line;
  line.remove_prefix(line.size() - bytes_max);
  while (!line.empty() && (static_cast<unsigned char>(line[0]) & 0xc0) == 0x80)
    line.remove_prefix(1);
  return line;
}

/// The id of "123", "123;cluster" or "Submitted batch job 123 on cluster x".
std::optional<std::string_view> id_in(std::string_view line) {
  constexpr std::string_view submitted = "Submitted batch job ";
  if (line.starts_with(submitted)) {
    line.remove_prefix(submitted.size());
    const auto end = line.find(' ');
    if (end != std::string_view::npos && !line.substr(end).starts_with(" on cluster ")) {
      return std::nullopt;
    }
    line = line.substr(0, end);
  } else if (const auto semicolon = line.find(';'); semicolon != std::string_view::npos) {
    const std::string_view cluster = line.substr(semicolon + 1);
    if (cluster.empty() || cluster.find_first_of(" \t;") != std::string_view::npos) {
      return std::nullopt;
    }
    line = line.substr(0, semicolon);
  }
  if (!is_job_id(line)) return std::nullopt;
  return line;
}

/// The one id that a line of its own names; two different ones name none.
std::optional<std::string_view> submitted_id(std::string_view text) {
  std::optional<std::string_view> found;
  while (!text.empty()) {
    const auto id = id_in(trim(take_line(text).text));
    if (!id) continue;
    if (found && *found != *id) return std::nullopt;
    found = id;
  }
  return found;
}

/// The controller's own words, which sbatch tells last: what stands behind "submission failed".
std::string_view final_words(std::string_view text) {
  constexpr std::string_view failed = "Batch job submission failed: ";
  while (!text.empty()) {
    const auto line = bare(take_last_line(text));
    if (line.starts_with(failed)) return line.substr(failed.size());
  }
  return {};
}

/// A refusal in known words; else nullopt.
std::optional<submit_outcome> refusal_in(std::string_view text, const std::string& reason) {
  if (contains_any(text, policy)) return refused{false, reason};
  if (contains_any(text, permanent)) return refused{true, reason};
  return std::nullopt;
}

std::string reason_of(std::string_view text, int exit_code) {
  std::string words = words_of(text);
  if (words.empty()) words = "exit code " + std::to_string(exit_code) + " without a message";
  return words;
}

}  // namespace

std::string words_of(std::string_view err) {
  constexpr std::string_view gap = "; ";
  constexpr std::string_view left_out = "... ";
  std::vector<std::string> lines;  // the last one first
  std::size_t room = words_bytes_max;
  bool all = true;
  std::string_view noise;
  for (std::size_t seen = 0; !err.empty(); ++seen) {
    const auto line = bare(take_last_line(err));
    if (is_blank(line)) continue;
    if (is_noise(line)) {
      noise = line;
      continue;
    }
    auto clean = printable(last_bytes(line, words_bytes_max), words_bytes_max);
    if (clean.empty() || std::find(lines.begin(), lines.end(), clean) != lines.end()) continue;
    if (seen >= lines_max || clean.size() + gap.size() + left_out.size() > room) {
      all = false;
      if (lines.empty())
        lines.emplace_back(last_bytes(clean, words_bytes_max - left_out.size()));
      break;
    }
    room -= clean.size() + gap.size();
    lines.push_back(std::move(clean));
  }
  if (lines.empty()) return printable(noise, words_bytes_max);
  std::string words = all ? "" : std::string(left_out);
  for (auto line = lines.rbegin(); line != lines.rend(); ++line)
    words += (line == lines.rbegin() ? "" : std::string(gap)) + *line;
  return words;
}

namespace {

/// The shell's words: there is no sbatch to speak to anybody. What a site's own sbatch lacks, its
/// shell tells otherwise ("sbatch: line 3: hook: not found"), perhaps after it has sent the job.
bool has_no_sbatch(std::string_view text) {
  constexpr std::array<std::string_view, 6> words{
      "sbatch: not found",         "sbatch: command not found", "sbatch: No such file",
      "sbatch: Permission denied", "sbatch: cannot execute",    "sbatch: Is a directory"};
  return contains_any(text, words);
}

}  // namespace

submit_outcome judge_sbatch(int exit_code, std::string_view text) {
  const auto id = submitted_id(text);
  std::string reason = reason_of(text, exit_code);
  if (exit_code == 0) {
    if (id) return accepted{scheduler_job_id(std::string(*id))};
    return unknown_outcome{"sbatch succeeded without naming one job: " + reason};
  }
  // An id in spite of the failure, and a command that something killed: a job may be there.
  if (id) {
    return unknown_outcome{"sbatch failed after it named job " + std::string(*id) + ": " + reason};
  }
  // What comes before may be the request's own words, told back ("invalid partition specified: X").
  const auto last = final_words(text);
  if (auto told = refusal_in(last, reason)) return *told;
  if (contains_any(text, answer_lost)) return unknown_outcome{std::move(reason)};
  if ((exit_code == 126 || exit_code == 127) && has_no_sbatch(text))
    return not_sent{std::move(reason)};
  if (contains_any(text, never_arrived)) return not_sent{std::move(reason)};
  if (auto told = refusal_in(text, reason)) return *told;
  return unknown_outcome{std::move(reason), !last.empty()};
}

failure judge_failure(int exit_code, std::string_view err) {
  constexpr std::array<std::string_view, 14> silent{"Unable to contact slurm controller",
                                                    "Problem talking to the database",
                                                    "slurmdbd: Unable to",
                                                    "Connection refused",
                                                    "Connection timed out",
                                                    "No route to host",
                                                    "slurm_persist_conn_open",
                                                    "Unable to contact",
                                                    "Slurmctld is not responding",
                                                    "configuration source",
                                                    "fetch configuration",
                                                    "Unable to establish controller",
                                                    "temporarily unable",
                                                    "communication failure"};
  constexpr std::array<std::string_view, 5> not_known_to_us{
      "Protocol authentication error", "Munge encode failed", "Munge decode failed",
      "Invalid authentication", "authentication credential"};
  if (contains_any_case(err, "Slurm accounting storage is disabled")) return failure::no_accounting;
  if (contains_any(err, not_known_to_us)) return failure::authentication;
  if (contains_any(err, silent) || contains_any(err, answer_lost) ||
      contains_any(err, never_arrived)) {
    return failure::unreachable;
  }
  if (contains_any_case(err, "Invalid job id specified")) return failure::no_such_job;
  if (contains_any_case(err, "already completing or completed") ||
      contains_any_case(err, "Job has already finished")) {
    return failure::already_ended;
  }
  if (contains_any_case(err, "Access/permission denied") || contains_any_case(err, "not owner") ||
      contains_any_case(err, "Permission denied")) {
    return failure::denied;
  }
  constexpr std::array<std::string_view, 3> not_whole{"error:", "fatal:", "incomplete"};
  if (exit_code == 0) return contains_any(err, not_whole) ? failure::other : failure::none;
  // Killed or cut off (128 + signal, 255 of ssh) without a word: no answer.
  const bool ended_itself = exit_code > 0 && exit_code < 128;
  return ended_itself || !trim(err).empty() ? failure::other : failure::unreachable;
}

}  // namespace ved::adapters::slurm
