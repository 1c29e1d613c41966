#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "runtime/config/load.hpp"

/// Any text either loads, and then its dump loads to the same value, or is refused with reasons.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ved::runtime::load_options how;
  how.secrets = false;
  how.environment = [](const char*) { return std::nullopt; };
  const auto first = ved::runtime::load_config_text(text, "fuzz.yaml", how);
  if (!first.ok()) return 0;
  const auto again =
      ved::runtime::load_config_text(ved::runtime::to_yaml(first.value), "dump.yaml", how);
  if (!again.ok() || !(again.value == first.value)) std::abort();
  return 0;
}
