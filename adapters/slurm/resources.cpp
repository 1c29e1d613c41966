#include <algorithm>
#include <charconv>

#include "adapters/slurm/records.hpp"
#include "adapters/slurm/values.hpp"

/// Lists of nodes and of generic resources.
namespace ved::adapters::slurm {

namespace {

constexpr std::int64_t gpus_per_node_max = 1'000'000;
constexpr std::size_t padding_max = 18;

bool is_name_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '_' || c == '.';
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.size() <= padding_max &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Splits at commas that stand outside of every pair of brackets; nullopt: brackets do not match.
std::optional<std::vector<std::string_view>> split_outside(std::string_view text, char open,
                                                           char close) {
  std::vector<std::string_view> parts;
  bool inside = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == open) {
      if (inside) return std::nullopt;
      inside = true;
    } else if (text[i] == close) {
      if (!inside) return std::nullopt;
      inside = false;
    } else if (text[i] == ',' && !inside) {
      parts.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  if (inside) return std::nullopt;
  parts.push_back(text.substr(begin));
  return parts;
}

/// The inside of one pair of brackets: "1-3,07-10".
std::optional<std::vector<std::string>> expand_range(std::string_view inside, std::size_t most) {
  std::vector<std::string> numbers;
  for (const std::string_view part : split(inside, ',')) {
    const auto dash = part.find('-');
    const std::string_view low = part.substr(0, dash);
    const std::string_view high = dash == std::string_view::npos ? low : part.substr(dash + 1);
    if (!all_digits(low) || !all_digits(high)) return std::nullopt;
    const auto first = parse_count(low);
    const auto last = parse_count(high);
    if (!first || !last || *last < *first) return std::nullopt;
    if (static_cast<std::uint64_t>(*last - *first) >= most - numbers.size()) return std::nullopt;
    for (std::int64_t number = *first; number <= *last; ++number) {
      std::string shown = std::to_string(number);
      if (shown.size() < low.size()) shown.insert(0, low.size() - shown.size(), '0');
      numbers.push_back(std::move(shown));
    }
  }
  return numbers;
}

/// One item of the list: "rack[1-2]n[1-2]".
std::optional<std::vector<std::string>> expand_item(std::string_view item, std::size_t most) {
  std::vector<std::string> names{""};
  while (!item.empty()) {
    const auto open = item.find('[');
    const std::string_view plain = item.substr(0, open);
    if (!std::all_of(plain.begin(), plain.end(), is_name_char)) return std::nullopt;
    for (std::string& name : names) name += plain;
    if (open == std::string_view::npos) return names;
    const auto close = item.find(']');
    if (close == std::string_view::npos || close < open) return std::nullopt;
    const auto numbers = expand_range(item.substr(open + 1, close - open - 1), most);
    if (!numbers || names.size() > most / numbers->size()) return std::nullopt;
    std::vector<std::string> longer;
    longer.reserve(names.size() * numbers->size());
    for (const std::string& name : names) {
      for (const std::string& number : *numbers) longer.push_back(name + number);
    }
    names = std::move(longer);
    item.remove_prefix(close + 1);
  }
  return names;
}

/// "a100:2", "2", "a100", "", "a100:no_consume:2" behind "gpu:".
std::optional<gpu_kind> parse_gpu_item(std::string_view rest) {
  gpu_kind kind{"", 1};
  if (rest.empty()) return kind;
  auto parts = split(rest, ':');
  std::erase(parts, std::string_view("no_consume"));
  if (parts.empty() || parts.size() > 2) return std::nullopt;
  if (all_digits(parts.back())) {
    const auto count = parse_count(parts.back());
    if (!count || *count > gpus_per_node_max) return std::nullopt;
    kind.count = static_cast<int>(*count);
    parts.pop_back();
  } else if (parts.size() == 2) {
    return std::nullopt;
  }
  if (!parts.empty()) {
    // Slurm takes any word, also one with signs.
    if (parts.front().empty() || parts.front().find_first_of(" \t") != std::string_view::npos)
      return std::nullopt;
    kind.type = std::string(parts.front());
  }
  return kind;
}

}  // namespace

std::optional<std::vector<gpu_kind>> parse_gpus(std::string_view gres) {
  std::vector<gpu_kind> kinds;
  if (is_nothing(gres)) return kinds;
  const auto items = split_outside(gres, '(', ')');
  if (!items) return std::nullopt;
  for (const std::string_view whole : *items) {
    // Sockets or indexes in parentheses say where, not how many.
    const std::string_view item = whole.substr(0, whole.find('('));
    const auto colon = item.find(':');
    if (item.substr(0, colon) != "gpu") continue;
    if (colon != std::string_view::npos && colon + 1 == item.size()) return std::nullopt;
    const auto kind = parse_gpu_item(colon == std::string_view::npos ? "" : item.substr(colon + 1));
    if (!kind) return std::nullopt;
    const auto same = std::find_if(kinds.begin(), kinds.end(),
                                   [&](const gpu_kind& k) { return k.type == kind->type; });
    if (same == kinds.end()) {
      kinds.push_back(*kind);
    } else if (same->count > gpus_per_node_max - kind->count) {
      return std::nullopt;
    } else {
      same->count += kind->count;
    }
  }
  return kinds;
}

std::optional<std::vector<std::string>> expand_nodes(std::string_view list, std::size_t most) {
  std::vector<std::string> names;
  if (is_nothing(list)) return names;
  const auto items = split_outside(list, '[', ']');
  if (!items) return std::nullopt;
  for (const std::string_view item : *items) {
    if (item.empty() || names.size() >= most) return std::nullopt;
    auto more = expand_item(item, most - names.size());
    if (!more || more->size() > most - names.size()) return std::nullopt;
    for (std::string& name : *more) names.push_back(std::move(name));
  }
  return names;
}

}  // namespace ved::adapters::slurm
