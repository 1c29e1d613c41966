#include "adapters/local/birthmark.hpp"
#include "adapters/local/cluster_state.hpp"
#include "adapters/local/supervisor_process.hpp"

/// A copy of a work directory looks as if its jobs had lost their supervisors, or waited: whoever
/// took it up would end them where they run, and run again what runs.
namespace ved::adapters::local {

namespace {

constexpr std::size_t birthmark_bytes_max = 128;

std::string birthmark_path(const spool& files) {
  return files.directory() + "/birthmark";
}

}  // namespace

result<void> local_cluster::check_original() const {
  const auto tokens = spool_.list(spool_.jobs_directory());
  if (!tokens) return fail(tokens.error());
  std::size_t live = 0;
  std::string unmade;  ///< a job that began, and waits here
  for (const std::string& name : *tokens) {
    const submission_token token(name);
    if (!is_valid_token(token)) continue;
    const auto known = spool_.read_supervisor(token);
    if (known && known->token() == name &&
        locate(*known, spool_, boot_id_) == whereabouts::elsewhere)
      return fail(errc::conflict,
                  "work directory " + spool_.directory() + " is a copy: job " + name +
                      " in it runs under process " + std::to_string(known->pid()) +
                      " of this machine, but for the directory that this one was copied from. "
                      "Nothing was changed. Use that one, or an empty one; to go on with the copy, "
                      "stop the ved there and wait for the ends of its jobs, or end them");
    if (exists(spool_.job_file(token, "exit"))) continue;
    const auto job = spool_.read_job(token);
    if (!job) continue;
    const auto id = job_id(job->job_id());
    const auto before =
        options_.remembers ? options_.remembers(id, token) : remembered::nothing;
    if (before == remembered::ended) continue;
    ++live;
    if (before != remembered::began || known || has_trace_of_run(token)) continue;
    const auto claim = spool_.read_claim(id);
    const bool is_claimed = claim && claim->token == token;
    if (!is_claimed && !is_locked(spool_.supervisor_path(token))) unmade = id.str();
  }
  if (!unmade.empty() && !options_.takes_copy)
    return fail(errc::conflict,
                "work directory " + spool_.directory() + " was set back: job " + unmade +
                    " waits in it, but the log saw it run, and it may run still. Nothing was "
                    "changed. Put back what was there last; only where that is gone for good, "
                    "start once with --give-up-jobs-of " + options_.cluster +
                    ": what is left of jobs that had begun is ended, and they are told as lost");
  if (live == 0 || options_.takes_copy) return {};
  const auto text = read_own_file(birthmark_path(spool_), birthmark_bytes_max);
  // None of before there were any, or none that can be read: then only the processes tell.
  const auto before = text ? parse_birthmark(*text) : std::nullopt;
  if (!before) return {};
  const auto here = birthmark_of(root_.get(), spool_.directory());
  if (!here) return fail(here.error());
  if (is_same(*before, *here)) return {};
  return fail(errc::conflict,
              "work directory " + spool_.directory() +
                  " is a copy (its file birthmark is of another directory), and " +
                  std::to_string(live) +
                  " jobs in it have not ended: where it was copied from they may run, and would "
                  "run twice. Nothing was changed. Put the original back (is its disk not "
                  "mounted?), or name an empty directory. Only where the original is used no more "
                  "(the disk was replaced, a backup restored, the machine moved), start once with "
                  "--give-up-jobs-of " + options_.cluster +
                  ": jobs that wait then run here, and those that ran are told as lost");
}

result<void> local_cluster::note_birthmark() const {
  const auto here = birthmark_of(root_.get(), spool_.directory());
  if (!here) return fail(here.error());
  const auto path = birthmark_path(spool_);
  if (const auto text = read_own_file(path, birthmark_bytes_max); text && *text == to_text(*here))
    return {};
  return replace_file_durably(path, to_text(*here));
}

}  // namespace ved::adapters::local
