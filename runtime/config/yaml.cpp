#include "runtime/config/yaml.hpp"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include "messages/utf8.hpp"

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

// Lines are judged one by one, to name the one that is wrong; no UTF-8 character spans two.
std::optional<int> first_bad_line(std::string_view text) {
  int line = 1;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
    const auto one = text.substr(0, end);
    if (!is_utf8(one) || one.find('\0') != std::string_view::npos) return line;
    text.remove_prefix(end);
    ++line;
  }
  return std::nullopt;
}

}  // namespace

tl::expected<yaml_node, yaml_failure> parse_yaml(std::string_view text) {
  if (text.size() > yaml_bytes_max) {
    return tl::unexpected(yaml_failure{1, "larger than 1 MiB"});
  }
  if (const auto bad = first_bad_line(text)) {
    return tl::unexpected(yaml_failure{*bad, "not UTF-8 text"});
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
