#include "tools/vectl/exit_code.hpp"

#include <array>

namespace vectl {

using ved::errc;

exit_code to_exit_code(errc code) noexcept {
  switch (code) {
    case errc::invalid: return exit_code::usage;
    case errc::not_found: return exit_code::not_found;
    case errc::conflict: return exit_code::conflict;
    case errc::denied: return exit_code::denied;
    case errc::unavailable:
    case errc::overloaded: return exit_code::unavailable;
    case errc::unknown_outcome: return exit_code::unknown_outcome;
    case errc::corrupt: return exit_code::corrupt;
    case errc::internal: return exit_code::failed;
  }
  return exit_code::failed;
}

exit_code to_exit_code(std::string_view api_error) noexcept {
  for (const errc code :
       {errc::invalid, errc::not_found, errc::conflict, errc::denied, errc::unavailable,
        errc::overloaded, errc::unknown_outcome, errc::corrupt, errc::internal})
    if (ved::to_string(code) == api_error) return to_exit_code(code);
  return exit_code::failed;
}

exit_code to_exit_code(ved::pb::JobState final_state) noexcept {
  return final_state == ved::pb::JOB_STATE_COMPLETED ? exit_code::ok : exit_code::failed;
}

std::string_view exit_code_help() noexcept {
  return "Exit codes:\n"
         "  0  ok; with --wait and watch: the job completed\n"
         "  1  the operation failed, or the job did not complete\n"
         "  2  wrong options, or an invalid request or job spec\n"
         "  3  the daemon cannot be reached\n"
         "  4  no such job, cluster or file\n"
         "  5  denied\n"
         "  6  conflict with what is stored or with another process\n"
         "  7  overloaded, full or stopping: try again later\n"
         "  8  corrupt: stored data contradicts itself\n"
         "  9  sent but not answered: look before trying again\n"
         "  10  done, but not whole: what could not be read is left out, and named\n"
         "  130  interrupted\n";
}

}  // namespace vectl
