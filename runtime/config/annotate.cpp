#include <algorithm>
#include <string>

#include "runtime/config/loader.hpp"

// The configuration file that documents itself, written from the description of the keys.
namespace ved::runtime {
namespace {

constexpr std::size_t columns = 100;

// How a duration or size is written stands at the top of the file, not at every key.
std::string short_form(std::string expected) {
  const auto from = expected.find(" (such as ");
  if (from != std::string::npos) expected.erase(from, expected.find(')', from) + 1 - from);
  return expected;
}

class annotator {
 public:
  std::string take() { return std::move(out_); }

  void text(const std::string& words, const std::string& indent) {
    std::string line = indent + "#";
    for (std::size_t from = 0; from < words.size();) {
      const auto to = std::min(words.find(' ', from), words.size());
      const auto word = words.substr(from, to - from);
      if (line.size() + 1 + word.size() > columns && line.size() > indent.size() + 1) {
        out_ += line + "\n";
        line = indent + "#";
      }
      line += " " + word;
      from = to + 1;
    }
    out_ += line + "\n";
  }

  // `prefix` stands before every key: indentation, or a comment sign and indentation.
  void body(const section& s, const std::string& prefix, const std::string& why) {
    for (const auto& k : s.keys) write_key(k, prefix, why);
    for (const auto& child : s.sections) {
      out_ += "\n";
      write_section(child, prefix, why);
    }
    for (const auto& l : s.lists) write_list(l, prefix, why);
  }

 private:
  void write_section(const section& s, const std::string& prefix, const std::string& outer) {
    const auto& why = s.not_used.empty() ? outer : s.not_used;
    text(s.doc + (s.not_used.empty() ? "" : " Not yet used: " + s.not_used + "."), prefix);
    out_ += prefix + s.name + ":\n";
    body(s, prefix + "  ", why);
  }

  void write_key(const key& k, const std::string& prefix, const std::string& why) {
    if (std::holds_alternative<refused_secret>(k.target)) {
      text(k.name + ": " + k.doc, prefix);
      return;
    }
    auto words = k.doc + " (" + short_form(expected_text(k)) +
                 (k.required ? "; required" : "") + ")";
    if (why.empty() && !k.not_used.empty()) words += " Not used: " + k.not_used + ".";
    text(words, prefix);
    const auto value = value_text(k);
    const bool off = k.derived || !value;
    out_ += prefix + (off ? "# " : "") + k.name + ": " + value.value_or("info") + "\n";
  }

  // Items are shown as comments: the default is an empty list.
  void write_list(const list& l, const std::string& prefix, const std::string& why) {
    out_ += "\n";
    text(l.doc, prefix);
    out_ += prefix + l.name + ": []\n";
    const bool commented = prefix.find('#') != std::string::npos;
    const auto inner = commented ? prefix : prefix + "# ";
    out_ += inner + l.name + ":\n";
    if (l.example.empty()) {
      out_ += inner + "  -\n";
      body(l.sample(), inner + "    ", why);
      return;
    }
    for (std::size_t from = 0; from < l.example.size();) {
      const auto to = std::min(l.example.find('\n', from), l.example.size());
      out_ += inner + "  " + l.example.substr(from, to - from) + "\n";
      from = to + 1;
    }
  }

  std::string out_;
};

}  // namespace

std::string annotated_yaml() {
  config_draft draft;
  annotator out;
  out.text("Configuration of ved. Every key stands here with its default; what is left out keeps "
           "it. Check a file with: ved --check-config --config FILE", "");
  std::string variables;
  for (const std::string name : secret_variables())
    variables += (variables.empty() ? "" : ", ") + name;
  out.text("Durations are written like 500ms, 15s, 1m30s or 24h, sizes like 1000B, 64KiB, 256MiB "
           "or 2GiB. Secrets never stand in this "
           "file: they come from the environment (" + variables + ") or from files of mode 0600.",
           "");
  out.body(describe(draft), "", "");
  return out.take();
}

}  // namespace ved::runtime
