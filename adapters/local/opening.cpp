#include "adapters/local/cluster_state.hpp"

/// Which directory was opened, and whether it and its owner's log belong together: each keeps the
/// other's name, so that neither is taken for what it is not when one was set back or exchanged.
/// A crash may come between an opening and the log's record of it; the directory tells that from a
/// log which knew of the opening and does not any more.
namespace ved::adapters::local {

namespace {

constexpr std::size_t identity_bytes_max = 512;

std::string identity_path(const spool& files) {
  return files.directory() + "/identity";
}

std::string opened_path(const spool& files) {
  return files.directory() + "/opened";
}

}  // namespace

result<void> local_cluster::read_opening() {
  const auto path = opened_path(spool_);
  const auto count = read_file(path, 64);
  if (!count && count.error().code != errc::not_found) return fail(count.error());
  const auto before = count ? parse_number(*count) : std::optional<std::uint64_t>{0};
  if (!before) return fail(errc::corrupt, path + ": not a number");
  opening_ = *before;
  const auto text = read_own_file(identity_path(spool_), identity_bytes_max);
  if (!text && text.error().code == errc::unavailable) return fail(text.error());
  // One of before there were any, or one that cannot be read, is nobody's for certain.
  if (const auto known = text ? parse_directory_identity(*text) : std::nullopt) identity_ = *known;
  return {};
}

/// Of a directory that jobs are bound to.
result<void> local_cluster::check_directory() const {
  const auto bound = parse_directory_name(options_.bound_to);
  const bool was_not_recorded = !identity_.id.empty() && identity_.recorded < opening_ &&
                                identity_.log_name == options_.bound_to;
  if (was_not_recorded) return {};
  const std::string what_then =
      " Put the right one back (is its disk not mounted? was the configuration set back?); only to "
      "give up what this one does not know, and to run again what waits in it, start once with "
      "--give-up-jobs-of " + options_.cluster;
  const auto no_id = [this] {
    const auto text = read_own_file(identity_path(spool_), identity_bytes_max);
    if (text) return "not readable, what is in " + identity_path(spool_) + " is none";
    if (text.error().code == errc::not_found) return std::string("not there");
    return "not readable (" + text.error().message + ")";
  };
  if (!bound.id.empty() && bound.id != identity_.id)
    return fail(errc::conflict,
                "work directory " + spool_.directory() +
                    " is another one than jobs that have not ended were sent to: its id is " +
                    (identity_.id.empty() ? no_id() : identity_.id) + ", the log knows " +
                    bound.id + ". Here they would be told as vanished while they run. Nothing was "
                    "changed." + what_then);
  if (opening_ < bound.count)
    return fail(errc::conflict,
                "work directory " + spool_.directory() + " is an older copy: it was opened " +
                    std::to_string(opening_) + " times, but the log knows of " +
                    std::to_string(bound.count) +
                    ", and jobs that have not ended were sent there. In a copy, jobs that ran "
                    "wait and would run again." + what_then);
  return {};
}

/// A log that knew of an opening and does not any more is an older one; so is one, or it is of
/// somebody else, that knows nothing of a job which it must have sent here.
result<void> local_cluster::check_log() {
  if (!options_.recorded || !options_.remembers) return {};
  const auto name = options_.recorded();
  if (!name) return {};
  const auto known = parse_directory_name(*name);
  const bool is_of_this = known.id.empty() || known.id == identity_.id;
  const bool was_set_back = is_of_this && known.count < identity_.recorded;
  const auto tokens = spool_.list(spool_.jobs_directory());
  if (!tokens) return fail(tokens.error());
  std::size_t unknown = 0;
  std::size_t live = 0;
  std::string first;  ///< of those that live
  for (const std::string& one : *tokens) {
    const submission_token token(one);
    const bool over = exists(spool_.job_file(token, "exit"));
    if (over && !was_set_back) continue;
    const auto job = is_valid_token(token) ? spool_.read_job(token) : fail(errc::invalid, one);
    if (job && options_.takes_copy)
      identity_.given_up_below = std::max<std::uint64_t>(identity_.given_up_below, job->id() + 1);
    if (!job || job->id() < identity_.given_up_below) continue;
    if (options_.remembers(job_id(job->job_id()), token) != remembered::nothing) continue;
    ++unknown;
    if (!over && live++ == 0) first = job->job_id();
  }
  const std::string what =
      was_set_back
          ? "the log of cluster " + options_.cluster + " is older than its work directory " +
                spool_.directory() + ": it knew of " + std::to_string(identity_.recorded) +
                " openings of that and knows of " + std::to_string(known.count) + " now. "
          : "the log of cluster " + options_.cluster + " is older than what stands in its work "
            "directory " + spool_.directory() + ", or not the one that its jobs came from. ";
  if (live > 0)
    return fail(errc::conflict,
                what + std::to_string(live) + " jobs in the directory have not ended and are not "
                "in that log (" + first + "): they would go on unheard. Nothing was changed. Put "
                "the newer log back; only where that is gone for good, start once with "
                "--give-up-jobs-of " + options_.cluster +
                    ": they then go on to their ends, and who submits one again gets that one");
  // With this opening the log that comes goes its own way.
  if (was_set_back && (unknown > 0 || !options_.bound_to.empty()))
    log_problem_ = what + std::to_string(unknown) + " jobs that have ended in the directory are "
                   "not in that log, and what it tells of others may be told twice; put the newer "
                   "log back where it is still there";
  return {};
}

void local_cluster::count_opening() {
  auto next = identity_;
  result<void> noted;
  if (next.id.empty()) {
    auto id = make_directory_id();
    if (id) next.id = std::move(*id);
    else noted = fail(id.error());
  }
  next.log_name = recorded_name();
  if (options_.takes_copy) next.recorded = 0;
  if (noted) noted = write_identity(next);
  if (noted) identity_ = std::move(next);
  if (noted) noted = note_birthmark();
  if (noted) noted = replace_file_durably(opened_path(spool_), std::to_string(opening_ + 1));
  if (noted) ++opening_;
  // On a full disk jobs end and are cancelled, but none starts.
  else note_failed_write(noted.error());
  name_ = to_text(directory_name{opening_, identity_.id});
}

std::string local_cluster::recorded_name() const {
  return options_.recorded ? options_.recorded().value_or("") : options_.bound_to;
}

result<void> local_cluster::write_identity(const directory_identity& identity) const {
  return replace_file_durably(identity_path(spool_), to_text(identity));
}

/// Once the log knows of this opening the directory keeps that.
void local_cluster::look_at_log() {
  if (identity_.id.empty() || identity_.recorded >= opening_ || recorded_name() != name_ ||
      !is_in_place())
    return;
  auto next = identity_;
  next.recorded = opening_;
  // What cannot be written now is with the next look.
  if (write_identity(next)) identity_ = std::move(next);
}

}  // namespace ved::adapters::local
