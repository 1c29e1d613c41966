#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "adapters/slurm/tables.hpp"

/// Any answer of sinfo: rows name a node, a partition and a state, and count nothing below zero.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ved::adapters::slurm;
  const auto read = parse_sinfo(std::string_view(reinterpret_cast<const char*>(data), size));
  for (const node_row& row : read.rows) {
    if (row.node.empty() || row.partition.empty() || row.state.empty()) std::abort();
    if (row.cpus < 0 || row.cpus_allocated < 0 || row.memory_mb < 0) std::abort();
    for (const gpu_kind& kind : row.gpus)
      if (kind.count < 0) std::abort();
  }
  return 0;
}
