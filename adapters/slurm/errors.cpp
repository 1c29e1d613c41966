#include "adapters/slurm/errors.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "adapters/slurm/text.hpp"

namespace ved::adapters::slurm {

namespace {

constexpr std::size_t words_bytes_max = 400;
/// Texts beyond this are a broken command's, not Slurm's.
constexpr std::size_t lines_max = 200;
constexpr std::string_view failed = "Batch job submission failed: ";

bool contains(std::string_view text, std::string_view part) {
  const auto at = std::search(text.begin(), text.end(), part.begin(), part.end(),
                              [](char a, char b) { return equal_any_case({&a, 1}, {&b, 1}); });
  return at != text.end();
}

template <std::size_t Count>
bool contains_any(std::string_view text, const std::array<std::string_view, Count>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return contains(text, part); });
}

/// The request went out and no readable answer came back.
constexpr std::array<std::string_view, 17> answer_lost{
    "Socket timed out on send/recv",
    "(receive failure)",
    "(send failure)",
    "(shutdown failure)",
    "Zero Bytes were transmitted or received",
    "Unexpected message received",
    "Message receive failure",
    "Message send failure",
    "Communication shutdown failure",
    "Header lengths are longer than data received",
    "Insane message length",
    "Incompatible versions of client and server code",
    "Connection reset by peer",
    "Broken pipe",
    "Munge decode failed",
    "auth_g_verify",
    "RESPONSE_"};

/// The controller was not reached, or turned the request away before it looked at the job.
constexpr std::array<std::string_view, 26> never_arrived{
    "(connect failure)",
    "Communication connection failure",
    "MaxJobCount limit",
    "Resource temporarily unavailable",
    "temporarily unable to accept job",
    "temporarily unable to contact",
    "Rate limit exceeded",
    "rate limited",
    "in standby mode",
    "Protocol authentication error",
    "Munge encode failed",
    "authentication credential",
    "authentication plugin",
    "Invalid authentication",
    "fetch configuration",
    "configuration source",
    "Could not establish a configuration",
    "Unable to process configuration file",
    "error resolving",
    "Unable to resolve",
    "Name or service not known",
    "Slurmctld is not responding",
    "Slurm controller is not running",
    "Job can not be submitted: controller is powering",
    "All clusters down",
    "Cannot allocate memory"};

/// The site's limits, of which each may pass.
constexpr std::array<std::string_view, 14> policy{
    "Job violates accounting/QOS policy",
    "Requested partition configuration not available now",
    "Required partition not available",
    "System submissions disabled",
    "submissions disabled",
    "Requested operation is presently disabled",
    "QOSMaxSubmitJob",
    "AssocMaxSubmitJob",
    "AssocGrpSubmitJobsLimit",
    "QOSGrpSubmitJobsLimit",
    "Requested nodes are busy",
    "Required node not available",
    "Job dependency can't be checked now",
    "Reservation not available now"};

/// What no waiting changes.
constexpr std::array<std::string_view, 56> permanent{
    "Invalid partition name",
    "No partition specified or system default partition",
    "Invalid account",
    "Invalid qos",
    "Invalid reservation",
    "Requested reservation is invalid",
    "Requested node configuration is not available",
    "More processors requested than permitted",
    "More nodes requested than permitted",
    "Node count specification invalid",
    "Invalid node name specified",
    "Memory required by task is not available",
    "Memory specification can not be satisfied",
    "Requested time limit is invalid",
    "Time limit specification required",
    "Invalid generic resource",
    "Invalid Trackable RESource",
    "Invalid TRES",
    "User's group not permitted to use this partition",
    "Invalid feature specification",
    "Invalid job array specification",
    "Access/permission denied",
    "This does not look like a batch script",
    "Batch script is empty",
    "contains DOS line breaks",
    "Unable to open file",
    "Invalid user id",
    "Invalid group id",
    "Invalid working directory",
    "without the current working directory",
    "Pathname of a file, directory or other parameter too long",
    "Invalid license",
    "Invalid wckey",
    "Invalid cluster",
    "Invalid burst buffer",
    "Burst Buffer request invalid",
    "Invalid job dependency",
    "Job dependency problem",
    "Job size specification needs to be provided",
    "Task count specification invalid",
    "Tasks per node",
    "Invalid CPU",
    "Invalid core",
    "Invalid --",
    "Invalid numeric value",
    "Invalid time",
    "Invalid begin time",
    "unrecognized option",
    "invalid option",
    "ambiguous option",
    "requires an argument",
    "Invalid directive found in batch script",
    "Required power management",
    "Exclusive job allocation is not supported",
    "Script arguments not permitted",
    "mutually exclusive"};

/// Lines without what the commands put in front, in order, each once.
std::vector<std::string_view> lines_of(std::string_view text) {
  constexpr std::string_view commands[] = {"sbatch: ", "squeue: ", "sacct: ",    "sinfo: ",
                                           "scontrol: ", "scancel: ", "sacctmgr: "};
  constexpr std::string_view levels[] = {"error: ", "fatal: ", "warning: "};
  std::vector<std::string_view> lines;
  while (!text.empty() && lines.size() < lines_max) {
    std::string_view line = trim(take_line(text).text);
    for (const std::string_view command : commands) {
      if (line.starts_with(command)) line.remove_prefix(command.size());
    }
    for (const std::string_view level : levels) {
      if (line.starts_with(level)) line.remove_prefix(level.size());
    }
    line = trim(line);
    if (line.empty() || std::find(lines.begin(), lines.end(), line) != lines.end()) continue;
    lines.push_back(line);
  }
  return lines;
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

std::optional<std::string_view> submitted_id(std::string_view out) {
  out = trim(out);
  const auto last = out.rfind('\n');
  return id_in(trim(last == std::string_view::npos ? out : out.substr(last + 1)));
}

std::string reason_of(std::string_view err, std::string_view out, int exit_code) {
  std::string words = words_of(err);
  if (words.empty()) words = words_of(out);
  if (words.empty()) words = "exit code " + std::to_string(exit_code) + " without a message";
  return words;
}

}  // namespace

std::string words_of(std::string_view err) {
  std::string words;
  for (const std::string_view line : lines_of(err)) {
    const std::string clean = printable(line, words_bytes_max);
    if (clean.empty()) continue;
    if (!words.empty()) words += "; ";
    words += clean;
    if (words.size() > words_bytes_max) break;
  }
  return printable(words, words_bytes_max);
}

submit_outcome judge_sbatch(int exit_code, std::string_view out, std::string_view err) {
  const auto id = submitted_id(out);
  if (exit_code == 0) {
    if (id) return accepted{scheduler_job_id(std::string(*id))};
    return unknown_outcome{"sbatch succeeded without naming a job: " +
                           reason_of(err, out, exit_code)};
  }
  std::string reason = reason_of(err, out, exit_code);
  // An id in spite of the failure, and a command that something killed: a job may be there.
  if (id) {
    return unknown_outcome{"sbatch failed after it named job " + std::string(*id) + ": " + reason};
  }
  // Site wrappers send everything to one stream.
  const std::string text = std::string(err) + '\n' + std::string(out);
  if (contains_any(text, answer_lost)) return unknown_outcome{std::move(reason)};
  // The shell's words: there is no sbatch to speak to anybody.
  if (exit_code == 127 && contains(text, "not found")) return not_sent{std::move(reason)};
  if (exit_code == 126 && contains(text, "Permission denied")) return not_sent{std::move(reason)};
  if (contains_any(text, never_arrived)) return not_sent{std::move(reason)};
  if (contains_any(text, policy)) return refused{false, std::move(reason)};
  if (contains_any(text, permanent)) return refused{true, std::move(reason)};
  return unknown_outcome{std::move(reason)};
}

failure judge_failure(int exit_code, std::string_view err) {
  constexpr std::array<std::string_view, 14> silent{
      "Unable to contact slurm controller", "Problem talking to the database",
      "slurmdbd: Unable to",                "Connection refused",
      "Connection timed out",               "No route to host",
      "slurm_persist_conn_open",            "Unable to contact",
      "Slurmctld is not responding",        "configuration source",
      "fetch configuration",                "Unable to establish controller",
      "temporarily unable",                 "communication failure"};
  constexpr std::array<std::string_view, 5> not_known_to_us{
      "Protocol authentication error", "Munge encode failed", "Munge decode failed",
      "Invalid authentication", "authentication credential"};
  if (contains(err, "Slurm accounting storage is disabled")) return failure::no_accounting;
  if (contains_any(err, not_known_to_us)) return failure::authentication;
  if (contains_any(err, silent) || contains_any(err, answer_lost) ||
      contains_any(err, never_arrived)) {
    return failure::unreachable;
  }
  if (contains(err, "Invalid job id specified") || contains(err, "Invalid job id ")) {
    return failure::no_such_job;
  }
  if (contains(err, "already completing or completed")) return failure::already_ended;
  if (contains(err, "Access/permission denied") || contains(err, "not owner") ||
      contains(err, "Permission denied")) {
    return failure::denied;
  }
  if (exit_code == 0) {
    return contains(err, "error:") || contains(err, "fatal:") ? failure::other : failure::none;
  }
  // Killed or cut off (128 + signal, 255 of ssh) without a word: no answer.
  const bool ended_itself = exit_code > 0 && exit_code < 128;
  return ended_itself || !trim(err).empty() ? failure::other : failure::unreachable;
}

}  // namespace ved::adapters::slurm
