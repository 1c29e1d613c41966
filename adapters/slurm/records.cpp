#include "adapters/slurm/records.hpp"

#include <algorithm>
#include <limits>

#include "messages/utf8.hpp"

namespace ved::adapters::slurm {

namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
}  // namespace

bool is_nothing(std::string_view text) {
  for (const std::string_view word : {"", "(null)", "None", "N/A", "None assigned", "Unknown"}) {
    if (equal_any_case(text, word)) return true;
  }
  return false;
}

std::string_view or_empty(std::string_view text) {
  return is_nothing(text) ? std::string_view{} : text;
}

std::optional<std::int64_t> parse_short_count(std::string_view text) {
  // squeue and sinfo shorten counts by 1024 unless they are asked not to.
  const auto range = text.find('-');
  if (range != std::string_view::npos) {
    if (!parse_short_count(text.substr(range + 1))) return std::nullopt;
    text = text.substr(0, range);
  }
  // Only a unit makes a fraction whole.
  if (text.find('.') != std::string_view::npos && is_digit(text.back())) return std::nullopt;
  const auto size = parse_memory(text, 1);
  if (!size || size->per != 0) return std::nullopt;
  return size->bytes;
}

std::optional<int> parse_small_count(std::string_view text) {
  const auto count = parse_short_count(text);
  if (!count || *count > std::numeric_limits<int>::max()) return std::nullopt;
  return static_cast<int>(*count);
}

bool is_job_id(std::string_view text) {
  if (text.empty() || text.size() > 18 || text.front() == '0') return false;
  return std::all_of(text.begin(), text.end(), is_digit);
}

bool is_state_text(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_digit(c) || is_letter(c) || c == '_' || c == '+' || c == ' ';
  });
}

void damage::count(std::string_view line, std::string_view id, std::size_t separators,
                   std::size_t separators_before_name) {
  if (damaged++ == 0) first_damaged = printable(line, 200);
  if (separators == 0) return;
  unnamed = unnamed || separators <= separators_before_name;
  if (texts.size() == texts_max) {
    cut = true;
    return;
  }
  texts.emplace_back(line.substr(0, record_bytes_max));
  if (!id.empty()) damaged_ids.emplace(id);
  else strays.emplace_back(texts.back());
}

bool damage::may_name(const std::string& token) const {
  return cut || unnamed || std::any_of(texts.begin(), texts.end(), [&](const std::string& row) {
    return row.find(token) != std::string::npos;
  });
}

bool damage::may_be(const std::string& id, const std::string& token) const {
  return cut || damaged_ids.contains(id) ||
         std::any_of(strays.begin(), strays.end(), [&](const std::string& row) {
           return row.find(id) != std::string::npos || row.find(token) != std::string::npos;
         });
}

namespace {

/// The names of the columns; with -M above each cluster's rows.
bool is_header(std::string_view line, const record_shape& shape) {
  return !shape.header.empty() && starts_with_any_case(line, shape.header) &&
         line.substr(shape.header.size()).starts_with(shape.separator);
}

}  // namespace

bool for_each_record(std::string_view text, const record_shape& shape,
                     const std::function<void(std::string_view)>& complete,
                     const std::function<void(std::string_view)>& damaged) {
  std::string_view rest = text;
  const char* begin = nullptr;  // of the record under way
  const char* end = nullptr;
  std::size_t separators = 0;
  bool last_is_whole = true;
  const auto record = [&] {
    return std::string_view(begin, static_cast<std::size_t>(end - begin));
  };
  const auto flush = [&](const std::function<void(std::string_view)>& to) {
    to(record());
    begin = nullptr;
    separators = 0;
  };
  while (!rest.empty()) {
    const text_line line = take_line(rest);
    last_is_whole = line.whole;
    const auto here = count_of(line.text, shape.separator);
    const bool begins = here >= shape.separators_before_free_text && here > 0 &&
                        shape.is_id(line.text.substr(0, line.text.find(shape.separator)));
    const bool heads = line.whole && is_header(line.text, shape);
    if (begin != nullptr && (begins || heads)) flush(damaged);
    if (heads) continue;
    if (begin == nullptr) {
      if (!begins) {
        // squeue -M and sacct -M head each cluster's rows with such a line.
        if (!trim(line.text).empty() && !line.text.starts_with("CLUSTER: ")) damaged(line.text);
        continue;
      }
      begin = line.text.data();
    }
    end = line.text.data() + line.text.size();
    separators += here;
    if (separators < shape.separators) {
      if (record().size() > record_bytes_max) flush(damaged);
      continue;
    }
    const bool ended = !shape.separator_ends_it || line.text.ends_with(shape.separator);
    flush(separators == shape.separators && ended ? complete : damaged);
  }
  const bool whole = begin == nullptr && last_is_whole;
  if (begin != nullptr) flush(damaged);
  return whole;
}

bool has_header(std::string_view text, const record_shape& shape) {
  while (!text.empty())
    if (const auto line = take_line(text); line.whole && is_header(line.text, shape)) return true;
  return false;
}

std::string columns_of(std::span<const std::string_view> names, std::string_view separator) {
  std::string format;
  for (const std::string_view name : names) {
    if (!format.empty()) format += ',';
    format += std::string(name) + ':' + std::string(separator);
  }
  return format;
}

}  // namespace ved::adapters::slurm
