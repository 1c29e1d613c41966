#pragma once

#include <string>
#include <variant>
#include <vector>

#include "tools/vectl/command.hpp"
#include "tools/vectl/exit_code.hpp"

namespace vectl {

/// Help, version, completion scripts and usage errors need no daemon: print and leave.
struct answer {
  std::string text;
  exit_code code = exit_code::ok;  ///< not ok: the text belongs on standard error
};

/// Reads the arguments after the program's name. `now` is what relative times refer to.
std::variant<invocation, answer> parse_command_line(const std::vector<std::string>& arguments,
                                                    ved::time_point now);

}  // namespace vectl
