#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "adapters/slurm/states.hpp"
#include "adapters/slurm/values.hpp"

/// Any text as each of Slurm's small values: nothing overflows, nothing exceeds its bound.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ved::adapters::slurm;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto count = parse_count(text); count && *count < 0) std::abort();
  if (const auto length = parse_duration(text); length && length->length.count() < 0) std::abort();
  for (const std::int64_t unit : {1, 1024, 1 << 20})
    if (const auto memory = parse_memory(text, unit); memory && memory->bytes < 0) std::abort();
  if (const auto all = parse_tres(text);
      all && (all->cpus < 0 || all->gpus < 0 || all->memory_bytes < 0))
    std::abort();
  if (const auto gpus = parse_gpus(text))
    for (const gpu_kind& kind : *gpus)
      if (kind.count < 0) std::abort();
  if (const auto nodes = expand_nodes(text, 500)) {
    if (nodes->size() > 500) std::abort();
    for (const std::string& node : *nodes)
      if (node.empty()) std::abort();
  }
  if (const auto exit = parse_exit(text);
      exit && (exit->code < 0 || exit->code > 255 || exit->signal < 0 || exit->signal > 127))
    std::abort();
  static_cast<void>(parse_moment(text));
  static_cast<void>(parse_state(text));
  static_cast<void>(is_hold(text));
  static_cast<void>(is_for_ever(text));
  static_cast<void>(explain_reason(text));
  return 0;
}
