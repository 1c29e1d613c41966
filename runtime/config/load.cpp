#include "runtime/config/load.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "runtime/config/loader.hpp"

namespace ved::runtime {
namespace {

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

load_outcome unreadable(std::string file, std::string message) {
  load_outcome out;
  out.file = std::move(file);
  out.problems.push_back({1, "", std::move(message)});
  return out;
}

/// Keys of one section that are not acted upon for one reason.
struct unused_keys {
  int line = 0;
  std::string section;
  std::string why;
  std::vector<std::string> keys;
};

void collect_unused(const section& s, const std::string& path, std::string why,
                    const loading& state, std::vector<unused_keys>& out) {
  if (!s.not_used.empty()) why = s.not_used;
  for (const auto& k : s.keys) {
    const auto& reason = k.not_used.empty() ? why : k.not_used;
    const auto line = state.lines.find(join_path(path, k.name));
    if (reason.empty() || line == state.lines.end()) continue;
    const auto same = std::find_if(out.begin(), out.end(), [&](const unused_keys& one) {
      return one.section == path && one.why == reason;
    });
    auto& group = same == out.end() ? out.emplace_back(unused_keys{line->second, path, reason, {}})
                                    : *same;
    group.line = std::min(group.line, line->second);
    group.keys.push_back(k.name);
  }
  for (const auto& child : s.sections)
    collect_unused(child, join_path(path, child.name), why, state, out);
  for (const auto& l : s.lists) {
    const auto items = l.items();
    for (std::size_t i = 0; i < items.size(); ++i)
      collect_unused(items[i], join_path(path, l.name) + "[" + std::to_string(i) + "]", why, state,
                     out);
  }
}

void collect_notices(loading& state, load_outcome& out) {
  std::vector<unused_keys> found;
  collect_unused(describe(state.draft), "", "", state, found);
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.line < b.line; });
  for (const auto& group : found) {
    std::string keys;
    for (const auto& name : group.keys) keys += (keys.empty() ? "" : ", ") + name;
    out.notices.push_back(out.file + ":" + std::to_string(group.line) +
                          ": accepted, not yet used: " + join_path(group.section, keys) + " (" +
                          group.why + ")");
  }
}

}  // namespace

std::string load_outcome::problem_text() const {
  std::string text;
  for (const auto& problem : problems) {
    text += file + ":" + std::to_string(problem.line) + ": ";
    if (!problem.key.empty()) text += problem.key + ": ";
    text += problem.message + "\n";
  }
  return text;
}

load_outcome load_config_text(std::string_view text, std::string file,
                              const load_options& options) {
  const auto tree = parse_yaml(text);
  if (!tree) {
    auto out = unreadable(std::move(file), tree.error().message);
    out.problems.front().line = tree.error().line;
    return out;
  }
  auto effective = options;
  if (!effective.environment) effective.environment = process_environment;
  if (tree->type == yaml_node::kind::null || (tree->type == yaml_node::kind::mapping &&
                                              tree->keys.empty()))
    return unreadable(std::move(file), "sets nothing: an empty configuration is not taken");
  loading state;
  state.options = &effective;
  apply(*tree, state);
  complete(state);
  check(state);
  load_outcome out;
  out.file = std::move(file);
  collect_notices(state, out);
  out.tells_clusters = state.given("hpc.clusters") || state.given("hpc.enabled");
  // From here on the single form is an ordinary cluster.
  auto& clusters = state.draft.value.clusters;
  if (clusters.empty() && (state.given(single_form_path) || state.draft.value.hpc.enabled)) {
    clusters.push_back(state.draft.single);
  }
  if (effective.secrets) {
    fetch_secrets(state);
    for (const auto& name : unused_variables(state))
      out.notices.push_back("environment variable " + name + ": is set, nothing here uses it");
  }
  std::stable_sort(state.problems.begin(), state.problems.end(),
                   [](const auto& a, const auto& b) { return a.line < b.line; });
  if (state.problems.size() > config_problems_max) {
    state.problems.resize(config_problems_max);
    state.problems.push_back({state.problems.back().line, "", "further problems are not listed"});
  }
  out.value = std::move(state.draft.value);
  out.problems = std::move(state.problems);
  return out;
}

load_outcome load_config(const std::filesystem::path& file, const load_options& options) {
  std::error_code failure;
  if (std::filesystem::is_directory(file, failure)) {
    return unreadable(file.string(), "is a directory, expected a YAML file");
  }
  std::ifstream input(file, std::ios::binary);
  if (!input) {
    return unreadable(file.string(), std::string("cannot be read: ") + std::strerror(errno));
  }
  std::string text(yaml_bytes_max + 1, '\0');
  input.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (input.bad()) return unreadable(file.string(), "cannot be read to its end");
  text.resize(static_cast<std::size_t>(input.gcount()));
  return load_config_text(text, file.string(), options);
}

}  // namespace ved::runtime
