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

void collect_notices(loading& state, load_outcome& out) {
  const auto root = describe(state.draft);
  std::vector<std::pair<int, std::string>> found;
  const std::function<void(const section&, const std::string&, std::string)> visit =
      [&](const section& s, const std::string& path, std::string why) {
        if (!s.not_used.empty()) why = s.not_used;
        for (const auto& k : s.keys) {
          const auto key_path = join_path(path, k.name);
          const auto& reason = k.not_used.empty() ? why : k.not_used;
          const auto line = state.lines.find(key_path);
          if (reason.empty() || line == state.lines.end()) continue;
          found.emplace_back(line->second,
                             "accepted, not yet used: " + key_path + " (" + reason + ")");
        }
        for (const auto& child : s.sections) visit(child, join_path(path, child.name), why);
        for (const auto& l : s.lists) {
          const auto items = l.items();
          for (std::size_t i = 0; i < items.size(); ++i) {
            visit(items[i], join_path(path, l.name) + "[" + std::to_string(i) + "]", why);
          }
        }
      };
  visit(root, "", "");
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [line, text] : found) {
    out.notices.push_back(out.file + ":" + std::to_string(line) + ": " + text);
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
  loading state;
  state.options = &effective;
  apply(*tree, state);
  settle(state);
  check(state);
  load_outcome out;
  out.file = std::move(file);
  collect_notices(state, out);
  // From here on the single form is an ordinary cluster.
  auto& clusters = state.draft.value.clusters;
  if (clusters.empty() && (state.given(single_form_path) || state.draft.value.hpc.enabled)) {
    clusters.push_back(state.draft.single);
  }
  if (effective.secrets) fetch_secrets(state);
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
