#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/config/config.hpp"

namespace ved::runtime {

/// Something that a start finds on this machine.
struct finding {
  bool refuses = false;  ///< the daemon must not start with it; else it is only told
  std::string text;      ///< with the command that helps
};

/// Who else can read what is secret, or change what the daemon trusts: the state directory with its
/// keys, certificates, tokens and log, the configuration file, and the files of secrets that it
/// names, each with the way to it. A file that is not there is no finding here.
std::vector<finding> check_modes(const std::filesystem::path& config_file, const config& settings);

/// Whether lines may be appended to that file: errc::denied when others could put something else in
/// its place, take lines out of it, or have made it.
result<void> judge_appended(const std::string& file, const config& settings);

}  // namespace ved::runtime
