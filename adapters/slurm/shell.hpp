#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/transport.hpp"
#include "messages/error.hpp"
#include "messages/secret.hpp"

/// The little programs that run on the login node. Each goes as standard input of `/bin/sh -s`, so
/// that no value ever stands on a command line that a login shell reads; what they print is
/// framed, so that one exec can carry many commands. Pure.
namespace ved::adapters::slurm {

/// The text as one word for a POSIX shell, whatever it holds but NUL.
std::string quote(std::string_view text);

/// What every program needs to know of the account's environment on the login node.
struct shell_environment {
  std::string bin_directory;   ///< of Slurm's commands; empty: they are in PATH
  std::string conf_file;       ///< SLURM_CONF; empty: the account's own
  secret token;                ///< SLURM_JWT; empty: munge
  std::string job_directory = ".ved/jobs";  ///< absolute, or below the account's home
};

/// The command line of every exec: a clean environment (nothing of SBATCH_*, SQUEUE_*, SLURM_*
/// but SLURM_CONF), LC_ALL=C, times as epoch seconds; everything is killed after `limit_seconds`,
/// so that nothing is submitted long after its caller gave up.
std::string shell_line(int limit_seconds);

/// What one framed command printed, and its exit code.
struct section {
  bool complete = false;  ///< it ran to its end
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// Builds one program.
class program {
 public:
  /// `nonce`: 16 or more random characters of [a-z0-9]; frames the output.
  program(const shell_environment& around, std::string nonce);

  const std::string& nonce() const { return nonce_; }
  /// Runs `command` (shell text; values quoted by the caller) as the section `name`, a name of
  /// [A-Za-z0-9_.-].
  void add_section(std::string_view name, std::string_view command);
  /// Shell text as it is.
  void add(std::string_view text);
  const std::string& text() const { return text_; }

 private:
  std::string nonce_;
  std::string text_;
};

/// Cuts what a program printed into its sections by name; what never began is not in it.
std::map<std::string, section> split_sections(std::string_view nonce, std::string_view out,
                                              std::string_view err);

}  // namespace ved::adapters::slurm
