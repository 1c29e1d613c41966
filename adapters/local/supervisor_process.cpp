#include "adapters/local/supervisor_process.hpp"

#include <sys/stat.h>

#include "adapters/system/processes.hpp"

namespace ved::adapters::local {

whereabouts locate(const pb::LocalSupervisor& known, const spool& files,
                   const std::string& boot_id) {
  if (known.pid() <= 1 || known.boot_id() != boot_id) return whereabouts::gone;
  const auto info = read_process(known.pid());
  if (!info || info->start_ticks != known.start_ticks() || info->state == 'Z')
    return whereabouts::gone;
  // A job of the same user may have written any process into the file.
  if (!has_argument(known.pid(), known.token())) return whereabouts::gone;
  const submission_token token(known.token());
  if (is_locked(files.supervisor_path(token))) return whereabouts::here;
  for (const auto& path : {files.directory(), files.job_directory(token)}) {
    struct stat wanted {};
    if (::lstat(path.c_str(), &wanted) == 0 && has_open(known.pid(), wanted))
      return whereabouts::here;
  }
  // One that ends has let go of its files, and before that of its arguments: it is nowhere.
  return has_argument(known.pid(), known.token()) ? whereabouts::elsewhere : whereabouts::gone;
}

}  // namespace ved::adapters::local
