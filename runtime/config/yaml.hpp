#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "messages/error.hpp"

namespace ved::runtime {

/// A YAML document as a tree that knows its lines. Aliases are resolved by copy, bounded.
struct yaml_node {
  enum class kind { null, scalar, sequence, mapping };

  kind type = kind::null;
  int line = 1;  ///< of the value, from 1
  std::string scalar;
  std::vector<yaml_node> items;     ///< sequence
  std::vector<yaml_node> keys;      ///< mapping: keys[i] belongs to values[i], duplicates kept
  std::vector<yaml_node> values;
};

/// Bounds of a configuration file.
constexpr std::size_t yaml_bytes_max = 1 << 20;
constexpr int yaml_depth_max = 32;
constexpr int yaml_nodes_max = 100'000;

/// Where and why a text is not the YAML that is accepted.
struct yaml_failure {
  int line = 1;
  std::string message;
};

/// Reads one document; an empty text is a null node. Refused: more than one document, invalid
/// UTF-8, NUL bytes, and whatever is beyond the bounds.
tl::expected<yaml_node, yaml_failure> parse_yaml(std::string_view text);

}  // namespace ved::runtime
