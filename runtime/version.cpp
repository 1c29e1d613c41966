#include "runtime/version.hpp"

namespace ved::runtime {

const std::string_view version = VED_VERSION;

}  // namespace ved::runtime
