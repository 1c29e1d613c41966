#pragma once

#include <memory>

#include "adapters/slurm/shell.hpp"
#include "adapters/transport.hpp"
#include "adapters/watcher.hpp"

namespace ved::adapters::slurm {

/// Watches what jobs leave in their directory when they start and end, by one small loop that runs
/// where Slurm's commands run, over the same connection: see hint_lines.hpp. It asks Slurm nothing.
/// It ends with its reader, and after an hour by itself, to begin anew.
std::shared_ptr<job_watcher> make_slurm_watcher(const shell_environment& around,
                                                std::shared_ptr<transport> way);

}  // namespace ved::adapters::slurm
