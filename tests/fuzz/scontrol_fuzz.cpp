#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "adapters/slurm/tables.hpp"

/// Any answer of scontrol, read as partitions, as jobs and as the configuration.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ved::adapters::slurm;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const partition_row& row : parse_partitions(text).rows) {
    if (row.name.empty() || row.state.empty() || row.nodes < 0) std::abort();
    if (row.nodes_per_job_max < 0 || row.memory_mb_per_node_max < 0) std::abort();
  }
  for (const job_record& row : parse_jobs(text).rows)
    if (row.id.empty() || row.state.empty() || row.nodes < 0 || row.restarts < 0) std::abort();
  const auto config = parse_config(text);
  if (config && (config->version.empty() || config->message_timeout.count() < 0)) std::abort();
  if (!config && config.error().message.empty()) std::abort();
  return 0;
}
