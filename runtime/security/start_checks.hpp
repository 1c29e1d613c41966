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
/// names, each with the directory that it lies in. A file that is not there is no finding here.
std::vector<finding> check_modes(const std::filesystem::path& config_file, const config& settings);

}  // namespace ved::runtime
