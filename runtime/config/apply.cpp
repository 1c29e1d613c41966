#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

#include "runtime/config/loader.hpp"
#include "runtime/config/quantity.hpp"
#include "runtime/schedulers/kind.hpp"

namespace ved::runtime {
namespace {

bool has_control(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

template <class Number>
bool read_number(const std::string& text, Number& out) {
  Number value{};
  const auto* last = text.data() + text.size();
  const auto [end, failure] = std::from_chars(text.data(), last, value);
  if (failure != std::errc{} || end != last) return false;
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(value)) return false;
  }
  out = value;
  return true;
}

bool read_bool(const std::string& text, bool& out) {
  for (const char* word : {"true", "True", "TRUE", "yes", "Yes", "on", "On"}) {
    if (text == word) return out = true, true;
  }
  for (const char* word : {"false", "False", "FALSE", "no", "No", "off", "Off"}) {
    if (text == word) return out = false, true;
  }
  return false;
}

template <class Enum>
bool read_enum(const std::string& text, Enum last, Enum& out) {
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (text != to_string(static_cast<Enum>(i))) continue;
    out = static_cast<Enum>(i);
    return true;
  }
  return false;
}

// Puts one scalar into its place; false: it is not of that type.
struct scalar_reader {
  const std::string& text;
  const key& described;

  bool operator()(bool* v) const { return read_bool(text, *v); }
  bool operator()(int* v) const { return read_number(text, *v); }
  bool operator()(std::int64_t* v) const { return read_number(text, *v); }
  bool operator()(double* v) const { return read_number(text, *v); }
  bool operator()(std::string* v) const { return *v = text, true; }
  bool operator()(ved::cluster_id* v) const { return *v = ved::cluster_id(text), true; }
  bool operator()(std::vector<std::string>*) const { return false; }
  bool operator()(milliseconds* v) const {
    const auto value = parse_duration(text);
    if (value) *v = *value;
    return value.has_value();
  }
  bool operator()(const scheduler_kind** v) const {
    const auto* named = find_scheduler_kind(text);
    if (named != nullptr) *v = named;
    return named != nullptr;
  }
  bool operator()(log_level* v) const { return read_enum(text, log_level::off, *v); }
  bool operator()(size_target v) const {
    const auto value = parse_size(text);
    if (value) *v.bytes = *value;
    return value.has_value();
  }
  bool operator()(component_target v) const {
    log_level level{};
    if (!read_enum(text, log_level::off, level)) return false;
    (*v.levels)[described.name] = level;
    return true;
  }
  bool operator()(const refused_secret&) const { return false; }
};

// Edits between two words (Levenshtein), for "did you mean".
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t k = 0; k < b.size(); ++k) {
      const auto change = diagonal + (a[i] == b[k] ? 0 : 1);
      diagonal = row[k + 1];
      row[k + 1] = std::min({row[k] + 1, row[k + 1] + 1, change});
    }
  }
  return row.back();
}

class applier {
 public:
  applier(loading& state, section& root) : state_(state), root_(root) {}

  void run(const yaml_node& node) { apply_section(root_, node, ""); }

 private:
  void apply_section(section& into, const yaml_node& node, const std::string& path) {
    if (node.type == yaml_node::kind::null) return refuse_nothing(path);
    if (node.type != yaml_node::kind::mapping) {
      state_.complain(node.line, path, "expected a section with keys, got " + shown(node));
      return;
    }
    // Lists last: their items take defaults from the keys beside them.
    std::vector<std::pair<list*, std::size_t>> later;
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      if (auto* waiting = apply_entry(into, node, i, path)) later.emplace_back(waiting, i);
    }
    for (const auto& [waiting, i] : later) {
      apply_list(*waiting, node.values[i], join_path(path, waiting->name));
    }
  }

  list* apply_entry(section& into, const yaml_node& node, std::size_t i, const std::string& path) {
    const auto& name_node = node.keys[i];
    const auto& value = node.values[i];
    if (name_node.type != yaml_node::kind::scalar) {
      state_.complain(name_node.line, path, "expected the name of a key, got " + shown(name_node));
      return nullptr;
    }
    const auto& name = name_node.scalar;
    const auto key_path = join_path(path, name);
    for (const auto& k : into.keys) {
      if (k.name != name) continue;
      if (first_time(key_path, name_node.line)) {
        note_single(path, k.single_form, name_node.line);
        apply_key(k, value, key_path);
      }
      return nullptr;
    }
    for (auto& child : into.sections) {
      if (child.name != name) continue;
      if (first_time(key_path, name_node.line)) {
        note_single(path, child.single_form, name_node.line);
        apply_section(child, value, key_path);
      }
      return nullptr;
    }
    for (auto& l : into.lists) {
      if (l.name == name) return first_time(key_path, name_node.line) ? &l : nullptr;
    }
    if (path.empty() && apply_shorthand(name_node, value)) return nullptr;
    state_.complain(name_node.line, shown_key(key_path), "unknown key" + advice(into, name));
    return nullptr;
  }

  // The guide shows parts of hpc on their own ("moab:", "job_service:" at the top).
  bool apply_shorthand(const yaml_node& name_node, const yaml_node& value) {
    for (auto& hpc : root_.sections) {
      if (hpc.name != "hpc") continue;
      for (auto& child : hpc.sections) {
        if (child.name != name_node.scalar) continue;
        const auto path = "hpc." + child.name;
        if (first_time(path, name_node.line)) {
          note_single("hpc", child.single_form, name_node.line);
          apply_section(child, value, path);
        }
        return true;
      }
    }
    return false;
  }

  // A section of which all is commented out is as if it were not there; but where clusters stand
  // that is more likely a file that was cut short, and would give all of them up.
  void refuse_nothing(const std::string& path) {
    if (path == "hpc")
      state_.complain(path, "has nothing in it; leave it out where that is meant");
    else if (path == "hpc.clusters")
      state_.complain(path, "has nothing in it; write [] where no cluster is meant");
  }

  void apply_list(list& into, const yaml_node& node, const std::string& path) {
    if (node.type == yaml_node::kind::null) return refuse_nothing(path);
    if (node.type != yaml_node::kind::sequence) {
      state_.complain(node.line, path, "expected a list, got " + shown(node));
      return;
    }
    if (node.items.size() > into.items_max) {
      state_.complain(node.line, path,
                      "expected at most " + std::to_string(into.items_max) + " items, got " +
                          std::to_string(node.items.size()));
      return;
    }
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const auto item_path = path + "[" + std::to_string(i) + "]";
      state_.lines[item_path] = node.items[i].line;
      auto item = into.append();
      apply_section(item, node.items[i], item_path);
    }
  }

  void apply_key(const key& k, const yaml_node& value, const std::string& path) {
    if (const auto* refused = std::get_if<refused_secret>(&k.target)) {
      state_.complain(path, "a secret does not belong into this file; use " + refused->instead);
      return;
    }
    if (auto* const* items = std::get_if<std::vector<std::string>*>(&k.target)) {
      apply_texts(k, value, path, **items);
      return;
    }
    if (value.type != yaml_node::kind::scalar) {
      state_.complain(path, "expected " + expected_text(k) + ", got " + shown(value));
      return;
    }
    if (!usable_text(k, value, path)) return;
    if (!std::visit(scalar_reader{value.scalar, k}, k.target)) {
      const auto expected = "expected " + expected_text(k) + ", got " + shown(value);
      const bool own_words =
          std::holds_alternative<const scheduler_kind**>(k.target) && !k.rule.empty();
      state_.complain(path, own_words ? k.rule + ": " + expected : expected);
    }
  }

  void apply_texts(const key& k, const yaml_node& value, const std::string& path,
                   std::vector<std::string>& out) {
    if (value.type != yaml_node::kind::sequence) {
      state_.complain(path, "expected " + expected_text(k) + ", got " + shown(value));
      return;
    }
    if (value.items.size() > k.items_max) {
      state_.complain(path, "expected at most " + std::to_string(k.items_max) + " items, got " +
                                std::to_string(value.items.size()));
      return;
    }
    out.clear();
    for (const auto& item : value.items) {
      if (item.type != yaml_node::kind::scalar) {
        state_.complain(item.line, path, "expected " + expected_text(k) + ", got " + shown(item));
      } else if (usable_text(k, item, path)) {
        out.push_back(item.scalar);
      }
    }
  }

  bool usable_text(const key& k, const yaml_node& value, const std::string& path) {
    if (value.scalar.size() > config_text_bytes_max) {
      state_.complain(path, "longer than " + std::to_string(config_text_bytes_max) + " bytes");
      return false;
    }
    if (has_control(value.scalar)) {
      state_.complain(path, "control characters are not allowed, got " +
                                (k.form == is_absolute_path ? shown_path(value.scalar)
                                                            : shown(value)));
      return false;
    }
    return true;
  }

  bool first_time(const std::string& path, int line) {
    const auto [known, fresh] = state_.lines.emplace(path, line);
    if (!fresh) {
      state_.complain(line, path,
                      "given twice, first on line " + std::to_string(known->second));
    }
    return fresh;
  }

  void note_single(const std::string& path, bool single_form, int line) {
    if (path == "hpc" && single_form) state_.lines.emplace(single_form_path, line);
  }

  static std::string shown_key(const std::string& path) {
    const auto text = shown(path);
    return text.substr(1, text.size() - 2);
  }

  static std::string advice(const section& in, const std::string& name) {
    std::string nearest;
    std::size_t best = std::max<std::size_t>(2, name.size() / 3) + 1;
    std::string known;
    const auto consider = [&](const std::string& candidate) {
      known += (known.empty() ? "" : ", ") + candidate;
      if (name.size() > 64) return;
      const auto d = distance(name, candidate);
      if (d < best) {
        best = d;
        nearest = candidate;
      }
    };
    for (const auto& k : in.keys) consider(k.name);
    for (const auto& s : in.sections) consider(s.name);
    for (const auto& l : in.lists) consider(l.name);
    if (!nearest.empty()) return "; did you mean " + nearest + "?";
    return "; expected one of " + known;
  }

  loading& state_;
  section& root_;
};

}  // namespace

void apply(const yaml_node& root, loading& state) {
  auto described = describe(state.draft);
  applier(state, described).run(root);
}

}  // namespace ved::runtime
