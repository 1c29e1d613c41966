#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/options.hpp"

/// The program that submits many jobs in one exec, and what it prints. Pure.
namespace ved::adapters::slurm {

/// How many sbatch of one program run at the same time. Most of its time each waits for the
/// controller: a few fill the pauses, more would only wait for each other.
inline constexpr std::size_t submissions_at_once = 3;

/// A submission with its batch script.
struct scripted_job {
  const submission* what = nullptr;
  std::string script;
};

/// Makes the jobs' directories, which may take `limit_seconds`, then submits those that have one.
void add_submissions(program& to, const std::vector<scripted_job>& jobs,
                     const slurm_options& site, int limit_seconds);

/// What became of one submission.
struct submitted {
  bool tried = false;         ///< its sbatch was started
  bool skipped = false;       ///< left out: it surely was not sent
  bool no_directory = false;  ///< its directory could not be made: nor was it sent
  bool complete = false;      ///< its sbatch ran to its end
  int exit_code = -1;
  std::string text;  ///< what it wrote to either of its streams
};

struct submissions {
  std::map<std::string, submitted> by_token;  ///< one that is not there may have been sent
  std::string hangs;             ///< the token at whose directory all were stopped; "": none
  std::string directories_said;  ///< why some have none
};
submissions split_submissions(const std::string& nonce, std::string_view text);

}  // namespace ved::adapters::slurm
