#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/slurm/tables.hpp"
#include "adapters/text.hpp"

/// How the codecs of this folder take text apart; private to them. Views point into the text given.
namespace ved::adapters::slurm {

/// A record that spans more bytes is damaged: free text in Slurm ends at 64 KiB.
inline constexpr std::size_t record_bytes_max = 128u << 10;

/// Of a reason, a name or another text of Slurm's that goes on to people.
inline constexpr std::size_t reason_bytes_max = 400;

/// Slurm's empty values: "(null)", "None", "N/A", "None assigned", "NONE".
bool is_nothing(std::string_view text);
/// The text, or "" when it is one of those.
std::string_view or_empty(std::string_view text);

/// A count that Slurm may have shortened: "2048", "2K", "1.50K", "4-8" (its lower end).
std::optional<std::int64_t> parse_short_count(std::string_view text);
/// The same as an int; nullopt beyond it.
std::optional<int> parse_small_count(std::string_view text);

/// An id of a job, decimal and above zero.
bool is_job_id(std::string_view text);

/// True for the words of a state column: letters, digits, '_', '+', blanks.
bool is_state_text(std::string_view text);

/// Puts records together: free text may hold newlines, so that a record ends where it has all its
/// separators. A line that begins like a record always begins one: its first column is an id, and
/// the columns before the free text are all there.
struct record_shape {
  std::size_t separators = 0;
  std::size_t separators_before_free_text = 0;
  bool separator_ends_it = false;  ///< the last separator is the record's last byte
  bool (*is_id)(std::string_view cell) = nullptr;
  std::string_view separator = plain_separator;
  std::string_view header = {};  ///< the first column's name, in any case of letters
};
/// Calls `complete` for each record, `damaged` for everything else, in order. False: the text ends
/// in the middle of one.
bool for_each_record(std::string_view text, const record_shape& shape,
                     const std::function<void(std::string_view)>& complete,
                     const std::function<void(std::string_view)>& damaged);

/// The names of its columns stand above a table, whatever rows it has: what lacks them, another has
/// printed than the command.
bool has_header(std::string_view text, const record_shape& shape);

/// The columns as `-O` of squeue and sinfo takes them: a separator behind the colon also takes the
/// limit of 20 characters off the column.
std::string columns_of(std::span<const std::string_view> names, std::string_view separator);

/// The records that `records(complete, damaged)` gives as rows; what `read` cannot read is counted
/// as damaged.
template <class Row, class Records, class Read, class Count>
table<Row> collect_rows(Records records, const Read& read, const Count& count) {
  table<Row> found;
  const auto damage = [&](std::string_view record) { count(found, record); };
  found.cut = !records(
      [&](std::string_view record) {
        if (auto row = read(record)) {
          found.rows.push_back(std::move(*row));
        } else {
          damage(record);
        }
      },
      damage);
  return found;
}

template <class Row, class Read>
table<Row> read_table(std::string_view text, const record_shape& shape, const Read& read) {
  auto out = collect_rows<Row>(
      [&](const auto& complete, const auto& damaged) {
        return for_each_record(text, shape, complete, damaged);
      },
      read,
      [&](table<Row>& found, std::string_view record) {
        const auto id = record.substr(0, record.find(shape.separator));
        found.count(record, shape.is_id(id) ? id : std::string_view{},
                    count_of(record, shape.separator), shape.separators_before_free_text);
      });
  out.headed = has_header(text, shape);
  return out;
}

}  // namespace ved::adapters::slurm
