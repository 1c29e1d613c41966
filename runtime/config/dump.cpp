#include <string>

#include "messages/url_mask.hpp"
#include "runtime/config/loader.hpp"
#include "runtime/schedulers/kind.hpp"

// The effective configuration as YAML, and the list of all keys.
namespace ved::runtime {
namespace {

class writer {
 public:
  std::string take() { return std::move(out_); }

  void write(const section& s, int depth) { write_body(s, depth, false); }

 private:
  // `in_item`: the first line follows the dash of a list item.
  void write_body(const section& s, int depth, bool in_item) {
    bool dash = in_item;
    const auto start = [&] {
      out_ += dash ? std::string(static_cast<std::size_t>(depth - 1) * 2, ' ') + "- "
                   : std::string(static_cast<std::size_t>(depth) * 2, ' ');
      dash = false;
    };
    for (const auto& k : s.keys) {
      if (k.single_form) continue;
      const auto text = value_text(k);
      if (!text) continue;
      start();
      out_ += k.name + ": " + mask_urls(*text) + "\n";
    }
    for (const auto& child : s.sections) {
      if (child.single_form) continue;
      start();
      out_ += child.name + ":\n";
      write_body(child, depth + 1, false);
    }
    for (const auto& l : s.lists) {
      const auto items = l.items();
      start();
      out_ += l.name + (items.empty() ? ": []\n" : ":\n");
      for (const auto& item : items) write_body(item, depth + 2, true);
    }
  }

  std::string out_;
};

void collect(const section& s, const std::string& path, std::string why,
             std::vector<key_info>& out) {
  if (!s.not_used.empty()) why = s.not_used;
  for (const auto& k : s.keys) {
    out.push_back({join_path(path, k.name), expected_text(k), value_text(k).value_or(""), k.doc,
                   k.not_used.empty() ? why : k.not_used, k.choices});
    if (std::holds_alternative<const scheduler_kind**>(k.target))
      for (const auto* kind : scheduler_kinds()) out.back().choices.emplace_back(kind->name);
  }
  for (const auto& child : s.sections) collect(child, join_path(path, child.name), why, out);
  for (const auto& l : s.lists) collect(l.sample(), join_path(path, l.name) + "[]", why, out);
}

std::string secret_lines(const config& value) {
  std::string out;
  const auto note = [&](const std::string& path, const secret& what) {
    if (!what.empty()) out += "# " + path + ": ******** (set, not shown)\n";
  };
  for (std::size_t i = 0; i < value.clusters.size(); ++i) {
    const auto& c = value.clusters[i];
    const auto path = "hpc.clusters[" + std::to_string(i) + "]." + std::string(c.kind->name) + ".";
    for (const auto& held : c.kind->secrets(c.sections)) note(path + held.key, *held.value);
  }
  for (std::size_t i = 0; i < value.hooks.size(); ++i) {
    note("hooks[" + std::to_string(i) + "].secret", value.hooks[i].signing_secret);
  }
  return out;
}

/// Takes the guide's name of the state directory out where another directory is in force.
void drop_other_state_path(section& root, const config& value) {
  if (value.hpc.job_service.state_store_path == value.state.directory) return;
  for (auto& hpc : root.sections) {
    if (hpc.name != "hpc") continue;
    for (auto& child : hpc.sections)
      std::erase_if(child.keys, [](const key& k) { return k.name == "state_store_path"; });
  }
}

}  // namespace

std::string to_yaml(const config& value) {
  // The description points into what it describes, and wants to write.
  config_draft draft{value, {}};
  auto root = describe(draft);
  drop_other_state_path(root, value);
  writer out;
  out.write(root, 0);
  return secret_lines(value) + out.take();
}

std::vector<key_info> all_keys() {
  config_draft draft;
  std::vector<key_info> out;
  collect(describe(draft), "", "", out);
  return out;
}

}  // namespace ved::runtime
