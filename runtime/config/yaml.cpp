#include "runtime/config/yaml.hpp"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <optional>
#include <sstream>

namespace ved::runtime {
namespace {

// Thrown out of yaml-cpp's parser, which offers no other way to stop it.
struct stop {
  yaml_failure why;
};

class tree_builder final : public YAML::EventHandler {
 public:
  yaml_node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(yaml_node::kind::null, mark), anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    auto node = make(yaml_node::kind::scalar, mark);
    node.scalar = value;
    add(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) throw stop{{mark.line + 1, "an alias to its own parent"}};
    auto copy = known->second;
    count(size(copy), mark);
    if (open_.size() + static_cast<std::size_t>(depth(copy)) > yaml_depth_max) too_deep(mark);
    copy.line = mark.line + 1;
    add(std::move(copy), 0);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(yaml_node::kind::sequence, mark), anchor, mark);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(yaml_node::kind::mapping, mark), anchor, mark);
  }
  void OnMapEnd() override { close(); }

 private:
  struct frame {
    yaml_node node;
    YAML::anchor_t anchor = 0;
  };

  yaml_node make(yaml_node::kind type, const YAML::Mark& mark) {
    count(1, mark);
    yaml_node node;
    node.type = type;
    node.line = mark.line + 1;
    return node;
  }

  void count(int more, const YAML::Mark& mark) {
    nodes_ += more;
    if (nodes_ > yaml_nodes_max) {
      throw stop{{mark.line + 1, "more than " + std::to_string(yaml_nodes_max) + " values"}};
    }
  }

  [[noreturn]] static void too_deep(const YAML::Mark& mark) {
    throw stop{
        {mark.line + 1, "nested deeper than " + std::to_string(yaml_depth_max) + " levels"}};
  }

  void open(yaml_node node, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (open_.size() >= yaml_depth_max) too_deep(mark);
    open_.push_back({std::move(node), anchor});
  }

  void close() {
    auto done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done.node), done.anchor);
  }

  void add(yaml_node node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = node;
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    auto& parent = open_.back().node;
    if (parent.type == yaml_node::kind::sequence) {
      parent.items.push_back(std::move(node));
    } else if (parent.keys.size() == parent.values.size()) {
      parent.keys.push_back(std::move(node));
    } else {
      parent.values.push_back(std::move(node));
    }
  }

  template <class Fold>
  static int fold_children(const yaml_node& node, int start, Fold fold) {
    for (const auto* children : {&node.items, &node.keys, &node.values}) {
      for (const auto& child : *children) start = fold(start, child);
    }
    return start;
  }
  static int size(const yaml_node& node) {
    return fold_children(node, 1, [](int sum, const yaml_node& c) { return sum + size(c); });
  }
  static int depth(const yaml_node& node) {
    return fold_children(node, 0,
                         [](int most, const yaml_node& c) { return std::max(most, depth(c)); }) +
           1;
  }

  std::vector<frame> open_;
  std::map<YAML::anchor_t, yaml_node> anchors_;
  yaml_node root_;
  int nodes_ = 0;
};

// Well-formed UTF-8 without NUL (RFC 3629: no overlong forms, no surrogates).
std::optional<std::size_t> first_bad_byte(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead == 0) return i;
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || i + more >= text.size()) return i;
    for (std::size_t k = 1; k <= more; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return i;
    }
    const auto second = static_cast<unsigned char>(text[i + 1]);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return i;
    }
    i += more + 1;
  }
  return std::nullopt;
}

int line_of(std::string_view text, std::size_t offset) {
  int line = 1;
  for (std::size_t i = 0; i < offset; ++i) line += text[i] == '\n' ? 1 : 0;
  return line;
}

}  // namespace

tl::expected<yaml_node, yaml_failure> parse_yaml(std::string_view text) {
  if (text.size() > yaml_bytes_max) {
    return tl::unexpected(yaml_failure{1, "larger than 1 MiB"});
  }
  if (const auto bad = first_bad_byte(text)) {
    return tl::unexpected(yaml_failure{line_of(text, *bad), "not UTF-8 text"});
  }
  try {
    std::istringstream input{std::string(text)};
    YAML::Parser parser(input);
    tree_builder builder;
    parser.HandleNextDocument(builder);
    auto root = builder.take();
    tree_builder rest;
    if (parser.HandleNextDocument(rest)) {
      const auto second = rest.take();
      return tl::unexpected(yaml_failure{second.line, "a second document; one is expected"});
    }
    return root;
  } catch (const stop& stopped) {
    return tl::unexpected(stopped.why);
  } catch (const YAML::DeepRecursion& failure) {
    return tl::unexpected(
        yaml_failure{failure.mark.line + 1,
                     "nested deeper than " + std::to_string(yaml_depth_max) + " levels"});
  } catch (const YAML::Exception& failure) {
    const int line = failure.mark.is_null() ? 1 : failure.mark.line + 1;
    return tl::unexpected(yaml_failure{line, "not valid YAML: " + failure.msg});
  }
}

}  // namespace ved::runtime
