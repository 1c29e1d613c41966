#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "adapters/slurm/tables.hpp"

/// Any answer of squeue: rows have an id and a state, and an answer that lacks its last
/// lines gives no row that the whole one does not give.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ved::adapters::slurm;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto whole = parse_squeue(text);
  for (const queue_row& row : whole.rows) {
    if (row.id.empty() || row.shown_id.empty() || row.state.empty()) std::abort();
    if (row.nodes < 0 || row.cpus < 0 || row.allocated.memory_bytes < 0) std::abort();
  }
  if (whole.damaged < 0 || whole.first_damaged.size() > 200) std::abort();
  const auto lines = text.substr(0, size - size / 3).rfind('\n');
  const auto cut = parse_squeue(text.substr(0, lines == std::string_view::npos ? 0 : lines + 1));
  if (cut.rows.size() > whole.rows.size()) std::abort();
  for (std::size_t i = 0; i < cut.rows.size(); ++i) {
    const queue_row& a = cut.rows[i];
    const queue_row& b = whole.rows[i];
    if (a.id != b.id || a.state != b.state || a.name != b.name || a.comment != b.comment)
      std::abort();
  }
  return 0;
}
