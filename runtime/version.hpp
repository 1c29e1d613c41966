#pragma once

#include <string_view>

namespace ved::runtime {

/// The program's version, as CMake has it.
extern const std::string_view version;

}  // namespace ved::runtime
