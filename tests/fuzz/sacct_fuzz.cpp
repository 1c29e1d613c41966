#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "adapters/slurm/tables.hpp"

/// The text of --helpformat up to the first zero byte, then any answer of sacct: rows have an id,
/// and what was used is never negative.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ved::adapters::slurm;
  constexpr std::string_view all =
      "AllocTRES ElapsedRaw End ExitCode JobIDRaw JobName MaxRSS NCPUS NNodes NodeList Reason "
      "Start State Submit SubmitLine Suspended TotalCPU";
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto zero = text.find('\0');
  const bool own_help = zero != std::string_view::npos;
  const auto fields = sacct_fields(own_help ? text.substr(0, zero) : all);
  const auto read = parse_sacct(own_help ? text.substr(zero + 1) : text, fields);
  for (const account_row& row : read.rows) {
    if (row.id.empty() || row.state.empty()) std::abort();
    if (row.elapsed_seconds < 0) std::abort();
    if (row.cpu_time && row.cpu_time->count() <= 0) std::abort();
    if (row.memory_bytes_max && *row.memory_bytes_max <= 0) std::abort();
  }
  return 0;
}
