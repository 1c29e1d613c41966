#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

/// Child processes of the benchmarks, begun with posix_spawn: cheaper than any shell's fork, so
/// that a loop of commands is a floor that nothing here makes slower.
namespace ved::bench {

struct child_files {
  std::string in;   ///< empty: ours
  std::string out = "/dev/null";
};

/// `words[0]` is an absolute path. `environment` empty: ours. Throws when it cannot be started.
pid_t spawn(std::vector<std::string> words, std::vector<std::string> environment = {},
            const child_files& files = {});

/// Its exit code, or -1 when a signal ended it.
int wait_for(pid_t child);

}  // namespace ved::bench
