#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "runtime/security/token_file.hpp"

/// A tokens.json of any bytes is refused, or writes back to a file that reads to the same tokens.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(ved::runtime::parse_scopes(text));
  const auto tokens = ved::runtime::parse_token_file(text);
  if (!tokens) return 0;
  const auto again = ved::runtime::parse_token_file(ved::runtime::to_token_file(*tokens));
  if (!again || again->size() != tokens->size()) std::abort();
  for (std::size_t i = 0; i < tokens->size(); ++i)
    if ((*again)[i].hash != (*tokens)[i].hash || (*again)[i].name != (*tokens)[i].name)
      std::abort();
  return 0;
}
