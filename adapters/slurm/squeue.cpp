#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {

namespace {

/// Names of squeue -O that every Slurm from 20.11 on knows, free text last.
enum column : std::size_t {
  raw_id,
  shown_id,
  state,
  reason,
  partition,
  exit_code,
  submit_time,
  restart_count,
  submit_session,
  start_time,
  end_time,
  time_used,
  node_count,
  cpu_count,
  priority,
  tres_alloc,
  node_list,
  job_name,
  comment,
  standard_output,
  column_count
};
constexpr std::string_view names[column_count] = {
    "JobID",      "JobArrayID", "State",   "Reason",   "Partition", "exit_code",
    "SubmitTime", "RestartCnt", "AllocSID",     "StartTime",  "EndTime",  "TimeUsed",
    "NumNodes",   "NumCPUs",    "PriorityLong", "tres-alloc", "NodeList", "Name",     "Comment",
    "StdOut"};

/// squeue prints the status of wait(2) as one number; newer forms with a colon are read too.
std::optional<exit_status> read_exit(std::string_view text) {
  if (text.find(':') != std::string_view::npos) return parse_exit(text);
  const auto status = parse_count(text);
  if (!status || *status > 0xffff) return std::nullopt;
  if (is_slurmd_error(static_cast<int>(*status)))
    return exit_status{0, 0, static_cast<int>(*status)};
  // What sacct makes of it: with a signal the upper byte means nothing.
  const int signal = static_cast<int>(*status & 0x7f);
  return make_exit(signal == 0 ? static_cast<int>(*status >> 8) : 0, signal);
}

std::optional<queue_row> read_row(std::string_view record, std::string_view separator) {
  const auto cells = split(record, separator);
  queue_row row;
  row.id = scheduler_job_id(std::string(cells[raw_id]));
  row.shown_id = std::string(cells[shown_id]);
  row.state = std::string(cells[state]);
  const auto submitted = parse_moment(cells[submit_time]);
  const auto started = parse_moment(cells[start_time]);
  const auto ended = parse_moment(cells[end_time]);
  const auto restarts = parse_small_count(cells[restart_count]);
  const auto nodes = parse_small_count(cells[node_count]);
  const auto cpus = parse_small_count(cells[cpu_count]);
  const auto allocated = parse_tres(cells[tres_alloc]);
  if (row.shown_id.empty() || !is_state_text(row.state) || !submitted || !started || !ended ||
      !nodes || !cpus || !allocated) {
    return std::nullopt;
  }
  row.submitted_at = *submitted;
  row.restarts = restarts.value_or(0);
  row.session = parse_count(cells[submit_session]).value_or(0);
  row.started_at = *started;
  row.ended_at = *ended;
  if (const auto used = parse_duration(cells[time_used]);
      used && cells[time_used].find(':') != std::string_view::npos)
    row.time_used = std::chrono::duration_cast<seconds>(used->length);
  row.nodes = *nodes;
  row.cpus = *cpus;
  row.priority = parse_count(cells[priority]);
  row.allocated = *allocated;
  if (is_ended(row.state)) {
    row.exit = read_exit(cells[exit_code]);
    if (!row.exit) return std::nullopt;
  }
  if (row.state == "COMPLETING") row.exit = read_exit(cells[exit_code]);
  row.reason = printable(or_empty(cells[reason]), reason_bytes_max);
  row.partition = cells[partition];
  row.node_list = or_empty(cells[node_list]);
  row.name = cells[job_name];
  row.comment = or_empty(cells[comment]);
  row.output_path = or_empty(cells[standard_output]);
  return row;
}

/// Of a job that nobody asked for: its number, its state, whose it says that it is, and what tells
/// its runs apart.
std::optional<queue_row> read_outline(std::string_view record, std::string_view separator) {
  std::string_view ends[column_count - job_name];
  auto rest = record;
  if (rest.ends_with(separator)) rest.remove_suffix(separator.size());
  for (auto cell = std::rbegin(ends); cell != std::rend(ends); ++cell) {
    const auto begin = rest.rfind(separator);
    *cell = rest.substr(begin + separator.size());
    rest.remove_suffix(rest.size() - begin);
  }
  std::string_view cells[node_list + 1];
  for (auto& cell : cells) {
    const auto end = record.find(separator);
    cell = record.substr(0, end);
    record.remove_prefix(end + separator.size());  // a record has all its separators
  }
  if (!is_state_text(cells[state])) return std::nullopt;
  queue_row row;
  row.id = scheduler_job_id(std::string(cells[raw_id]));
  row.state = std::string(cells[state]);
  row.submitted_at = parse_moment(cells[submit_time]).value_or(time_point{});
  row.restarts = parse_small_count(cells[restart_count]).value_or(0);
  row.session = parse_count(cells[submit_session]).value_or(0);
  row.started_at = parse_moment(cells[start_time]).value_or(time_point{});
  row.ended_at = parse_moment(cells[end_time]).value_or(time_point{});
  row.node_list = or_empty(cells[node_list]);
  row.name = ends[0];
  row.output_path = or_empty(ends[standard_output - job_name]);
  return row;
}

}  // namespace

std::string squeue_format(std::string_view separator) {
  return columns_of(names, separator);
}

table<queue_row> parse_squeue(std::string_view text,
                              const std::function<bool(std::string_view id)>& wanted,
                              std::string_view separator) {
  const auto read = [&](std::string_view record) -> std::optional<queue_row> {
    const auto id = record.substr(0, record.find(separator));
    if (!wanted || wanted(id)) return read_row(record, separator);
    return read_outline(record, separator);
  };
  return read_table<queue_row>(
      text, {column_count, job_name, true, is_job_id, separator, names[raw_id]}, read);
}

}  // namespace ved::adapters::slurm
