#include <algorithm>
#include <array>

#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {

namespace {

/// Names of sinfo -O that every Slurm from 20.11 on knows. AllocMem has no letter in sinfo -o.
enum column : std::size_t {
  node,
  partition,
  state,
  cpus,
  memory,
  allocated_memory,
  gres,
  gres_used,
  features,
  column_count
};
constexpr std::string_view names[column_count] = {
    "NodeList", "Partition", "StateCompact", "CPUsState", "Memory",
    "AllocMem", "Gres",      "GresUsed",     "Features"};

/// In compact and long form. Sleeping (cloud) nodes wake up for a job, rebooting ones come back.
constexpr std::array<std::string_view, 16> unusable{
    "down",   "drain", "drained", "draining", "drng",    "fail",  "failg", "failing",
    "failed", "maint", "inval",   "unk",      "unknown", "error", "futr",  "future"};

/// What stands behind the state's word (sinfo(1), NODE STATE CODES).
constexpr std::string_view marks = "*~#!%$@^-+";
constexpr std::string_view unusable_marks = "*$";

bool is_node_name(std::string_view cell) {
  return !cell.empty() && cell.find_first_of(" \t") == std::string_view::npos;
}

/// "1/3/0/4": allocated, idle, other, total.
bool read_cpus(std::string_view text, node_row& row) {
  const auto parts = split(text, '/');
  if (parts.size() != 4) return false;
  const auto allocated = parse_small_count(parts[0]);
  const auto total = parse_small_count(parts[3]);
  if (!allocated || !total) return false;
  row.cpus_allocated = *allocated;
  row.cpus = *total;
  return true;
}

/// Megabytes; "4000+" is the least of several nodes.
std::optional<std::int64_t> read_megabytes(std::string_view text) {
  if (text.ends_with('+')) text.remove_suffix(1);
  if (is_nothing(text)) return 0;
  const auto size = parse_memory(text, 1 << 20);
  if (!size || size->per != 0) return std::nullopt;
  return size->bytes >> 20;
}

std::optional<node_row> read_row(std::string_view record, std::string_view separator) {
  const auto cells = split(record, separator);
  node_row row;
  row.node = cells[node];
  row.partition = cells[partition];
  if (row.partition.ends_with('*')) row.partition.pop_back();
  std::string_view word = cells[state];
  const auto end = word.find_first_of(marks);
  const std::string_view mark = end == std::string_view::npos ? "" : word.substr(end);
  word = word.substr(0, end);
  const auto total = read_megabytes(cells[memory]);
  const auto allocated = read_megabytes(cells[allocated_memory]);
  auto gpus = parse_gpus(cells[gres]);
  if (row.partition.empty() || !is_state_text(word) || !read_cpus(cells[cpus], row) || !total ||
      !allocated || !gpus) {
    return std::nullopt;
  }
  row.state = word;
  row.usable = std::find(unusable.begin(), unusable.end(), word) == unusable.end() &&
               mark.find_first_of(unusable_marks) == std::string_view::npos;
  row.memory_mb = *total;
  row.memory_mb_allocated = *allocated;
  row.gpus = std::move(*gpus);
  if (const auto used = parse_gpus(cells[gres_used])) {
    row.gpus_allocated = 0;
    for (const auto& kind : *used) *row.gpus_allocated += kind.count;
  }
  row.features = or_empty(cells[features]);
  return row;
}

}  // namespace

std::string sinfo_format(std::string_view separator) {
  return columns_of(names, separator);
}

table<node_row> parse_sinfo(std::string_view text, std::string_view separator) {
  return read_table<node_row>(
      text, {column_count, features, true, is_node_name, separator},
      [&](std::string_view record) { return read_row(record, separator); });
}

}  // namespace ved::adapters::slurm
