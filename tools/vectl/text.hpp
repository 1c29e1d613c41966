#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/job.pb.h"

/// The few pieces that all text output is made of.
namespace vectl {

/// How output may look; decided once at the start.
struct style {
  bool color = false;    ///< a terminal, and neither NO_COLOR nor --no-color
  bool unicode = false;  ///< the locale is UTF-8
  bool live = false;     ///< a terminal that can be redrawn
  int width = 80;        ///< columns
};

enum class tone { plain, good, bad, warn, busy, dim, bold };
/// The text in its colour, or as it is.
std::string paint(std::string_view text, tone how, const style& look);
tone tone_of(ved::pb::JobState state);

/// Text from elsewhere (reasons, ids) without what could drive the terminal or make a line look
/// like another one: control characters, ill-formed UTF-8, and characters that are not seen
/// themselves (direction overrides, zero width, line and paragraph separators, tags). Each becomes
/// a '?'.
std::string printable(std::string_view text);

/// JSON with the same characters, which can only stand in its strings, as \u escapes.
std::string printable_json(std::string_view json);
/// At most `columns` wide, cut with "…" or "...". Counts code points.
std::string cut(std::string_view text, std::size_t columns, const style& look);
/// Columns that a UTF-8 text takes, one per code point.
std::size_t columns_of(std::string_view text) noexcept;

/// "512 B", "1.5 MiB".
std::string human_bytes(std::uint64_t bytes);
/// Lower-case hex.
std::string hex(std::string_view bytes);

/// Columns as wide as their widest cell; two blanks between.
class table {
 public:
  explicit table(std::vector<std::string> head) : head_(std::move(head)) {}

  struct cell {
    std::string text;
    tone how = tone::plain;
  };
  void add(std::vector<cell> row) { rows_.push_back(std::move(row)); }
  bool empty() const noexcept { return rows_.empty(); }
  /// The last column is cut at the width of a terminal, never in a pipe.
  std::string text(const style& look) const;

 private:
  std::vector<std::string> head_;
  std::vector<std::vector<cell>> rows_;
};

/// "name:   value" lines with aligned values.
class sheet {
 public:
  void add(std::string name, std::string value, tone how = tone::plain);
  /// Leaves out an empty value.
  void add_if(std::string name, std::string value, tone how = tone::plain);
  std::string text(const style& look) const;

 private:
  struct line {
    std::string name;
    std::string value;
    tone how;
  };
  std::vector<line> lines_;
};

}  // namespace vectl
