#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace ved::actors {

enum class log_severity { trace, debug, info, warn, error, critical };

/// One named value of a log line.
using log_field = std::pair<std::string_view, std::string>;

/// Where the program's own log lines go. A line is a fixed event name and fields, not prose.
/// Any thread. This base class drops everything; runtime/ provides the one that writes.
class log_sink {
 public:
  virtual ~log_sink() = default;
  virtual void write(log_severity severity, std::string_view component, std::string_view event,
                     std::initializer_list<log_field> fields) {
    static_cast<void>(severity), static_cast<void>(component), static_cast<void>(event),
        static_cast<void>(fields);
  }
};

}  // namespace ved::actors
