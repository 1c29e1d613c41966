#include "tools/vectl/text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>

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

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\n' || c == '\t' || c == '\r') {
      out += ' ';
    } else if (c < 0x20 || c == 0x7f) {
      out += '?';
    } else if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      out += '?';  // C1 controls, in UTF-8: some terminals obey them
      ++i;
    } else {
      out += static_cast<char>(c);
    }
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
