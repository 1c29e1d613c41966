#pragma once

#include <functional>
#include <string>

namespace ved::actors {

/// Named places where the process can be made to die, for torture runs: "NAME:N" kills it with
/// SIGKILL at the N-th passage of NAME. Empty: a function that does nothing.
/// Points: before_append after_intent after_append before_submit after_submit.
std::function<void(const char* point)> make_crash_points(const std::string& plan);

}  // namespace ved::actors
