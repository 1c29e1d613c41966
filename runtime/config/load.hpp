#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/config/config.hpp"

namespace ved::runtime {

/// One thing that is wrong with a configuration file.
struct config_problem {
  int line = 1;
  std::string key;  ///< "hpc.retry.max_retries"; empty: the file as a whole
  std::string message;

  friend bool operator==(const config_problem&, const config_problem&) = default;
};

/// More problems than this are not listed.
constexpr std::size_t config_problems_max = 100;
/// Longest text of one value.
constexpr std::size_t config_text_bytes_max = 4'096;

struct load_options {
  /// Looks an environment variable up; the process's own when empty.
  std::function<std::optional<std::string>(const char* name)> environment;
  /// False: secrets are neither read nor missed (`--check-config` on another machine).
  bool secrets = true;
};

/// What came out of a configuration file. `value` counts only when there are no problems.
struct load_outcome {
  std::string file;
  config value;
  std::vector<config_problem> problems;  ///< all of them, in order of line
  /// "FILE:LINE: accepted, not yet used: SECTION.KEY, KEY, ... (why)", one per section, for keys
  /// that the file gives; and variables of the environment that are set for nothing.
  std::vector<std::string> notices;
  /// The file says which clusters there are, also that there are none: one that was cut short, or
  /// is another, says nothing of them.
  bool tells_clusters = false;

  bool ok() const noexcept { return problems.empty(); }
  /// One "FILE:LINE: KEY: MESSAGE" per line, for the operator.
  std::string problem_text() const;
};

/// Reads a file; what cannot be read is a problem too.
load_outcome load_config(const std::filesystem::path& file, const load_options& options = {});

/// The same from memory; `file` stands in messages.
load_outcome load_config_text(std::string_view text, std::string file,
                              const load_options& options = {});

/// The effective configuration as YAML that loads to the same value. Clusters stand in
/// hpc.clusters; secrets are named in comments, never shown, and those in URLs masked.
std::string to_yaml(const config& value);

/// One key as documentation and shell completion need it.
struct key_info {
  std::string path;           ///< "hpc.clusters[].slurm.controller_port"
  std::string expected;       ///< "integer from 1 to 65535"
  std::string default_text;   ///< as YAML; empty: none
  std::string doc;
  std::string not_used;       ///< why this version does not act upon it; empty: it does
  std::vector<std::string> choices;
};

/// Every key, in the order of the documentation.
std::vector<key_info> all_keys();

/// A configuration file with every key, its default and its documentation: conf/ved.yaml.
std::string annotated_yaml();

}  // namespace ved::runtime
