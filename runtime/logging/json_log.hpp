#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/shell/log_sink.hpp"
#include "actors/shell/problem_board.hpp"
#include "messages/error.hpp"
#include "runtime/config/config.hpp"

namespace ved::runtime {

/// Longest value of one field; what is longer is cut and marked with "...".
constexpr std::size_t log_value_bytes_max = 4'096;

/// The daemon's log: one JSON object per line, "time", "level", "component" and "event" first,
/// then the fields in their order. Control characters are escaped and invalid UTF-8 is replaced,
/// so a line is always one line. Any thread; owned by the daemon's root.
class json_log final : public actors::log_sink {
 public:
  /// Opens logging.file, or standard error. Error: unavailable, when the file cannot be opened.
  static result<std::shared_ptr<json_log>> open(const logging_config& logging);
  ~json_log() override;

  void write(actors::log_severity severity, std::string_view component, std::string_view event,
             std::initializer_list<actors::log_field> fields) override;

  /// What keeps lines from being written; none once one was written again, which is followed by how
  /// many were lost.
  std::vector<actors::problem> problems() const;

  /// Whether such a line would be written; for lines that are costly to make.
  bool enabled(actors::log_severity severity, std::string_view component) const noexcept;

  /// Takes the levels of a new configuration at once; a new file needs reopen().
  void set_levels(const logging_config& logging) noexcept;

  /// Opens the file anew under its name (log rotation, SIGHUP), or a new one. When that fails,
  /// lines keep going where they went.
  result<void> reopen(const logging_config& logging);

 private:
  struct impl;
  explicit json_log(std::unique_ptr<impl> inner);

  std::unique_ptr<impl> impl_;
};

/// The line of an event, without its end; `time` is RFC 3339.
std::string log_line(std::string_view time, actors::log_severity severity,
                     std::string_view component, std::string_view event,
                     std::initializer_list<actors::log_field> fields);

}  // namespace ved::runtime
