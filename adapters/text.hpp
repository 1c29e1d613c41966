#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// How adapters take the text of commands apart. Views point into the text given.
namespace ved::adapters {

/// Between the columns of tables that are asked for, with what `program::separator` adds.
inline constexpr char column_end = '\x1f';

std::string_view trim(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);
std::vector<std::string_view> split(std::string_view text, std::string_view separator);
std::size_t count_of(std::string_view text, std::string_view part);
bool starts_with_any_case(std::string_view text, std::string_view prefix);
bool equal_any_case(std::string_view a, std::string_view b);
bool contains_any_case(std::string_view text, std::string_view part);

/// One line of valid UTF-8 without control characters, at most `bytes_max` bytes.
std::string printable(std::string_view text, std::size_t bytes_max);

/// Takes the first line off `rest`, without its end; `whole` is false when the end is missing.
struct text_line {
  std::string_view text;
  bool whole = false;
};
text_line take_line(std::string_view& rest);

}  // namespace ved::adapters
