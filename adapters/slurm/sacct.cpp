#include <algorithm>
#include <limits>

#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {

namespace {

/// The id stands at both ends, so that a cut or spilled row does not pass for a whole one.
constexpr std::string_view id_field = "JobIDRaw";
constexpr std::string_view wanted[] = {
    id_field,     "State",  "ExitCode", "Submit",         "Start",    "End",
    "ElapsedRaw", "NNodes", "NCPUS",    allocation_field, "TotalCPU", "MaxRSS",
    "Reason",     "NodeList", cluster_field, "JobName", submission_field, id_field};

/// "123", "123.batch", "123.0"; with `step` empty for the job itself.
struct row_id {
  std::string_view job;
  std::string_view step;
};
std::optional<row_id> read_id(std::string_view text) {
  const auto dot = text.find('.');
  row_id id{text.substr(0, dot), {}};
  if (!is_job_id(id.job)) return std::nullopt;
  if (dot == std::string_view::npos) return id;
  id.step = text.substr(dot + 1);
  if (id.step.empty() || id.step.size() > 32 ||
      id.step.find_first_of(" \t\r\n") != std::string_view::npos) {
    return std::nullopt;
  }
  return id;
}

bool is_row_id(std::string_view cell) {
  return read_id(cell).has_value();
}

class row_reader {
 public:
  row_reader(const std::vector<std::string>& fields, std::vector<std::string_view> cells)
      : fields_(fields), cells_(std::move(cells)) {}

  std::optional<account_row> read() {
    const auto id = read_id(cells_.front());
    if (!id || cells_.back() != cells_.front()) return std::nullopt;
    account_row row;
    row.id = scheduler_job_id(std::string(id->job));
    row.step = id->step;
    row.state = cell("State");
    const auto submitted = parse_moment(cell("Submit"));
    const auto started = parse_moment(cell("Start"));
    const auto ended = parse_moment(cell("End"));
    const auto elapsed = number("ElapsedRaw");
    const auto nodes = parse_small_count(or_zero("NNodes"));
    const auto cpus = parse_small_count(or_zero("NCPUS"));
    const auto allocated = parse_tres(cell(allocation_field));
    if (!is_state_text(row.state) || !submitted || !started || !ended || !elapsed || !nodes ||
        !cpus || !allocated) {
      return std::nullopt;
    }
    row.submitted_at = *submitted;
    row.started_at = *started;
    row.ended_at = *ended;
    const auto is_told = [&](std::string_view field) {
      return !is_nothing(cell(field)) && cell(field) != "0";
    };
    row.has_started = is_told("Start");
    row.has_ended = is_told("End");
    for (const auto field : {"Submit", "Start", "End"}) row.times += std::string(cell(field)) + ' ';
    row.elapsed_seconds = *elapsed;
    row.nodes = *nodes;
    row.cpus = *cpus;
    row.allocated = *allocated;
    // Empty where the end was never told: of a step, when its controller was killed meanwhile.
    if (const auto exit = cell("ExitCode"); is_ended(row.state) && !exit.empty()) {
      row.exit = parse_exit(exit);
      if (!row.exit) return std::nullopt;
    }
    if (!read_usage(row)) return std::nullopt;
    row.reason = printable(or_empty(cell("Reason")), reason_bytes_max);
    row.node_list = or_empty(cell("NodeList"));
    row.name = cell("JobName");
    row.submit_line = cell(submission_field);
    row.cluster = cell(cluster_field);
    return row;
  }

 private:
  /// "" for a field that was not asked for.
  std::string_view cell(std::string_view field) const {
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      if (fields_[i] == field) return cells_[i];
    }
    return {};
  }
  std::string_view or_zero(std::string_view field) const {
    const std::string_view text = cell(field);
    return text.empty() ? std::string_view("0") : text;
  }
  std::optional<std::int64_t> number(std::string_view field) const {
    return parse_count(or_zero(field));
  }
  /// What was used stays absent unless the database really has it. Before the end it holds zeroes
  /// or samples, and without a gathering plugin zeroes for ever; a job that ran used something.
  bool read_usage(account_row& row) const {
    if (!row.has_ended) return true;
    const std::string_view cpu = cell("TotalCPU");
    if (!is_nothing(cpu) && !equal_any_case(cpu, "INVALID")) {
      const auto time = parse_duration(cpu);
      if (!time || time->unlimited) return false;
      if (time->length.count() > 0) row.cpu_time = time->length;
    }
    const std::string_view memory = cell("MaxRSS");
    if (!is_nothing(memory) && !is_no_data(memory)) {
      const auto size = parse_memory(memory, 1);
      if (!size || size->per != 0) return false;
      if (size->bytes > 0) row.memory_bytes_max = size->bytes;
    }
    return true;
  }
  /// NO_VAL64 and its neighbours, printed as a number from 2^63-2 on.
  static bool is_no_data(std::string_view text) {
    if (text.find_first_not_of("0123456789") != std::string_view::npos) return false;
    const auto value = parse_count(text);
    return !value || *value >= std::numeric_limits<std::int64_t>::max() - 1;
  }

  const std::vector<std::string>& fields_;
  std::vector<std::string_view> cells_;
};

}  // namespace

std::vector<std::string> sacct_fields(std::string_view helpformat) {
  std::vector<std::string_view> known;
  std::string_view rest = helpformat;
  while (!rest.empty()) {
    const auto begin = rest.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) break;
    rest.remove_prefix(begin);
    const auto end = std::min(rest.find_first_of(" \t\r\n"), rest.size());
    known.push_back(rest.substr(0, end));
    rest.remove_prefix(end);
  }
  std::vector<std::string> fields;
  for (const std::string_view field : wanted) {
    if (std::any_of(known.begin(), known.end(),
                    [&](std::string_view one) { return equal_any_case(one, field); })) {
      fields.emplace_back(field);
    }
  }
  return fields;
}

std::vector<std::string> without(std::vector<std::string> fields, std::string_view field) {
  std::erase(fields, field);
  return fields;
}

table<account_row> parse_sacct(std::string_view text, const std::vector<std::string>& fields,
                               std::string_view separator) {
  table<account_row> found;
  // Without the id at both ends no row could be told from a damaged one.
  if (fields.size() < 2 || fields.front() != id_field || fields.back() != id_field) {
    if (!text.empty()) found.count(text, {}, 0, 0);
    return found;
  }
  const auto free_text = std::find(fields.begin(), fields.end() - 1, "JobName") - fields.begin();
  return read_table<account_row>(
      text, {fields.size() - 1, static_cast<std::size_t>(free_text), false, is_row_id,
             separator, id_field},
      [&](std::string_view record) {
        return row_reader(fields, split(record, separator)).read();
      });
}

}  // namespace ved::adapters::slurm
