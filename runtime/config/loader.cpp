#include "runtime/config/loader.hpp"

#include <cstdio>
#include <utility>

#include "messages/url_mask.hpp"

namespace ved::runtime {
namespace {

constexpr std::size_t shown_bytes_max = 60;

}  // namespace

int loading::line_of(std::string path) const {
  while (!path.empty()) {
    const auto known = lines.find(path);
    if (known != lines.end()) return known->second;
    const auto cut = path.find_last_of(".[");
    path = cut == std::string::npos ? "" : path.substr(0, cut);
  }
  return 1;
}

void loading::complain(int line, std::string key, std::string message) {
  problems.push_back({line, std::move(key), std::move(message)});
}

void loading::complain(const std::string& key, std::string message) {
  complain(line_of(key), key, std::move(message));
}

std::string join_path(const std::string& parent, const std::string& name) {
  return parent.empty() ? name : parent + "." + name;
}

std::string shown(const std::string& raw) {
  const auto text = mask_urls(raw);
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // Cut between characters, never inside one.
    if (out.size() > shown_bytes_max && (byte & 0xc0) != 0x80) return out + "...\"";
    if (byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      out += escape;
    } else {
      out += text[i];
    }
  }
  return out + "\"";
}

std::string shown(const yaml_node& node) {
  switch (node.type) {
    case yaml_node::kind::null: return "nothing";
    case yaml_node::kind::scalar: return shown(node.scalar);
    case yaml_node::kind::sequence: return "a list";
    case yaml_node::kind::mapping: return "a section with keys";
  }
  return "";
}

void walk(const section& top, const std::string& path, bool enabled,
          const std::function<void(const std::string&, const section&, bool)>& visit) {
  const bool on = enabled && (top.enabled == nullptr || *top.enabled);
  visit(path, top, on);
  for (const auto& child : top.sections) walk(child, join_path(path, child.name), on, visit);
  for (const auto& l : top.lists) {
    const auto items = l.items();
    for (std::size_t i = 0; i < items.size(); ++i) {
      walk(items[i], join_path(path, l.name) + "[" + std::to_string(i) + "]", on, visit);
    }
  }
}

}  // namespace ved::runtime
