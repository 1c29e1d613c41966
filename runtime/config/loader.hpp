#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "runtime/config/load.hpp"
#include "runtime/config/schema.hpp"
#include "runtime/config/yaml.hpp"

/// The steps of loading; they share one state. Inside of runtime/config only.
namespace ved::runtime {

/// Where `loading::lines` keeps the first line of the single form; no key has this path.
inline constexpr auto single_form_path = "hpc (single form)";

struct loading {
  const load_options* options = nullptr;
  config_draft draft;
  /// Lines of keys and sections that the file gives, by path.
  std::map<std::string, int> lines;
  std::vector<config_problem> problems;
  /// Environment variables that were taken.
  std::set<std::string> variables_used;

  bool given(const std::string& path) const { return lines.contains(path); }
  /// Of the key, or of the nearest section around it that the file gives.
  int line_of(std::string path) const;
  void complain(int line, std::string key, std::string message);
  void complain(const std::string& key, std::string message);
};

/// "a" + "b" = "a.b"; "" + "b" = "b".
std::string join_path(const std::string& parent, const std::string& name);
/// A value in quotes for a message: short, without control characters and what URLs keep secret.
std::string shown(const std::string& text);
/// What was found where a text was expected.
std::string shown(const yaml_node& node);

/// Calls `visit(path, section, enabled)` for a section and all below, list items too; `enabled` is
/// false below a switch that is off.
void walk(const section& top, const std::string& path, bool enabled,
          const std::function<void(const std::string&, const section&, bool)>& visit);

/// Step 1: values of the file go where the description says; unknown keys, duplicates, types.
void apply(const yaml_node& root, loading& state);
/// Step 2: what one key says for another (poll intervals, state directory, single form).
void complete(loading& state);
/// Step 3: the rules of single keys and between keys.
void check(loading& state);
/// Step 4: secrets from files and the environment.
void fetch_secrets(loading& state);
/// The environment variables of the guide that secrets come from.
std::vector<const char*> secret_variables();
/// The variables of the guide that are set and that nothing has taken.
std::vector<std::string> unused_variables(const loading& state);

}  // namespace ved::runtime
