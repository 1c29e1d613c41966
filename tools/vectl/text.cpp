#include "tools/vectl/text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <optional>

#include "messages/utf8.hpp"

namespace vectl {

namespace pb = ved::pb;

std::string paint(std::string_view text, tone how, const style& look) {
  const char* code = "";
  switch (how) {
    case tone::plain: break;
    case tone::good: code = "32"; break;
    case tone::bad: code = "31"; break;
    case tone::warn: code = "33"; break;
    case tone::busy: code = "36"; break;
    case tone::dim: code = "2"; break;
    case tone::bold: code = "1"; break;
  }
  if (!look.color || *code == '\0') return std::string(text);
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

tone tone_of(pb::JobState state) {
  switch (state) {
    case pb::JOB_STATE_COMPLETED: return tone::good;
    case pb::JOB_STATE_FAILED:
    case pb::JOB_STATE_TIMEOUT: return tone::bad;
    case pb::JOB_STATE_CANCELLED:
    case pb::JOB_STATE_SUSPENDED: return tone::warn;
    case pb::JOB_STATE_STARTING:
    case pb::JOB_STATE_RUNNING: return tone::busy;
    default: return tone::plain;
  }
}

namespace {

/// The code point at the front and how many bytes it takes; none for an ill-formed one.
struct code_point {
  std::optional<char32_t> value;
  std::size_t bytes = 1;
};

code_point first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const std::size_t bytes = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (bytes > text.size() || !ved::is_utf8(text.substr(0, bytes))) return {};
  char32_t value = byte(0) & (0xffU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) value = value << 6U | (byte(i) & 0x3fU);
  return {value, bytes};
}

/// Unicode 15: Cc beyond ASCII, Cf, Zl, Zp, and the fillers that are drawn as nothing.
bool is_unseen(char32_t c) {
  struct range {
    char32_t first;
    char32_t last;
  };
  constexpr range all[] = {
      {0x80, 0x9f},         {0xad, 0xad},         {0x34f, 0x34f},       {0x600, 0x605},
      {0x61c, 0x61c},       {0x6dd, 0x6dd},       {0x70f, 0x70f},       {0x890, 0x891},
      {0x8e2, 0x8e2},       {0x115f, 0x1160},     {0x17b4, 0x17b5},     {0x180b, 0x180f},
      {0x200b, 0x200f},     {0x2028, 0x202e},     {0x2060, 0x206f},     {0x3164, 0x3164},
      {0xfeff, 0xfeff},     {0xffa0, 0xffa0},     {0xfff0, 0xfffb},
      {0x110bd, 0x110bd},   {0x110cd, 0x110cd},   {0x13430, 0x1343f},   {0x1bca0, 0x1bca3},
      {0x1d173, 0x1d17a},   {0xe0000, 0xe0fff}};
  return std::any_of(std::begin(all), std::end(all),
                     [&](const range& one) { return c >= one.first && c <= one.last; });
}

/// "\u202e"; a pair of surrogates beyond U+FFFF (RFC 8259, 7).
std::string json_escape(char32_t c) {
  char text[16];
  if (c < 0x10000) {
    std::snprintf(text, sizeof text, "\\u%04x", static_cast<unsigned>(c));
  } else {
    const auto rest = static_cast<unsigned>(c) - 0x10000;
    std::snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + (rest >> 10U),
                  0xdc00 + (rest & 0x3ffU));
  }
  return text;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto [value, bytes] = first_of(text);
    if (value == U'\n' || value == U'\t' || value == U'\r') {
      out += ' ';
    } else if (!value || *value < 0x20 || *value == 0x7f || is_unseen(*value)) {
      out += '?';
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return out;
}

std::string printable_json(std::string_view json) {
  std::string out;
  while (!json.empty()) {
    const auto [value, bytes] = first_of(json);
    out += value && (is_unseen(*value) || *value == 0x7f) ? json_escape(*value)
                                                          : std::string(json.substr(0, bytes));
    json.remove_prefix(bytes);
  }
  return out;
}

std::size_t columns_of(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string cut(std::string_view text, std::size_t columns, const style& look) {
  if (columns_of(text) <= columns) return std::string(text);
  const std::string_view mark = look.unicode ? "…" : "...";
  const std::size_t room = columns > columns_of(mark) ? columns - columns_of(mark) : 0;
  std::size_t seen = 0;
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0) != 0x80 && seen++ == room) break;
  }
  return std::string(text.substr(0, end)) + std::string(mark);
}

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  constexpr const char* units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", value, units[unit]);
  return text;
}

std::string hex(std::string_view bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::string table::text(const style& look) const {
  std::vector<std::size_t> widths;
  for (const auto& title : head_) widths.push_back(columns_of(title));
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], columns_of(row[i].text));

  std::string out;
  const auto put = [&](std::size_t i, const std::string& text, tone how, std::size_t left) {
    const bool last = i + 1 == widths.size();
    std::string shown = text;
    if (last && look.live && static_cast<int>(left) < look.width)
      shown = cut(text, static_cast<std::size_t>(look.width) - left, look);
    out += paint(shown, how, look);
    if (!last) out += std::string(widths[i] - columns_of(text) + 2, ' ');
  };
  const auto end_line = [&] {
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out += '\n';
  };
  std::size_t left = 0;
  for (std::size_t i = 0; i < head_.size(); ++i) {
    put(i, head_[i], tone::bold, left);
    left += widths[i] + 2;
  }
  end_line();
  for (const auto& row : rows_) {
    left = 0;
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      put(i, row[i].text, row[i].how, left);
      left += widths[i] + 2;
    }
    end_line();
  }
  return out;
}

void sheet::add(std::string name, std::string value, tone how) {
  lines_.push_back({std::move(name), std::move(value), how});
}

void sheet::add_if(std::string name, std::string value, tone how) {
  if (!value.empty()) add(std::move(name), std::move(value), how);
}

std::string sheet::text(const style& look) const {
  std::size_t width = 0;
  for (const auto& entry : lines_) width = std::max(width, columns_of(entry.name));
  std::string out;
  for (const auto& entry : lines_)
    out += paint(entry.name + ":", tone::dim, look) +
           std::string(width - columns_of(entry.name) + 2, ' ') +
           paint(entry.value, entry.how, look) + "\n";
  return out;
}

}  // namespace vectl
