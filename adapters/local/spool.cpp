#include "adapters/local/spool.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <memory>
#include <string_view>

#include "adapters/local/step.hpp"
#include "adapters/local/told.hpp"
#include "adapters/system/access.hpp"
#include "adapters/system/owned_directory.hpp"
#include "messages/job_spec.hpp"

namespace ved::adapters::local {

namespace {

/// Those that hold what belongs to all jobs.
constexpr const char* inner_directories[] = {"/jobs", "/supervisors", "/claims"};

bool is_name_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

/// From so many jobs on, one sync of the file system is cheaper than three per job.
constexpr std::size_t sync_together_min = 4;

/// What a submission that was cut short, or a removal, leaves last.
constexpr std::string_view remains[] = {"spec.tmp", "exit"};

/// Whether the open file is the one of that name, and has no other.
bool is_at(const unique_fd& open, const file_name& file) {
  struct stat held {};
  struct stat named {};
  return ::fstat(open.get(), &held) == 0 &&
         ::fstatat(file.directory, file.name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         held.st_dev == named.st_dev && held.st_ino == named.st_ino && named.st_nlink == 1;
}

template <class Message>
result<Message> read_text(const file_name& file) {
  const auto bytes = read_own_file(file, spool_file_bytes_max);
  if (!bytes) return fail(bytes.error());
  google::protobuf::TextFormat::Parser parser;
  Message message;
  struct silent : google::protobuf::io::ErrorCollector {
    void AddError(int, int, const std::string& text) override { problem = text; }
    std::string problem;
  } problems;
  parser.RecordErrorsTo(&problems);
  if (!parser.ParseFromString(*bytes, &message)) {
    return fail(errc::corrupt,
                file.shown + ": not in the expected form: " + problems.problem);
  }
  return message;
}

/// What `exit` takes at most: a byte of its reason may be written as four.
constexpr off_t exit_bytes_reserved = 8192;
static_assert(4 * reason_bytes_max + 2048 <= exit_bytes_reserved);

std::string to_text(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(message, &text);
  return text;
}

}  // namespace

std::string spec_hash_hex(const pb::JobSpec& spec) {
  std::string text;
  for (const char byte : spec_hash(spec)) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(byte));
    text += hex;
  }
  return text;
}

bool is_valid_token(const submission_token& token) noexcept {
  const std::string& text = token.str();
  return !text.empty() && text.size() <= 64 &&
         std::all_of(text.begin(), text.end(), is_name_character);
}

std::string escaped_name(const std::string& id) {
  std::string name;
  for (const char c : id) {
    if (is_name_character(c)) {
      name += c;
    } else {
      char hex[4];
      std::snprintf(hex, sizeof hex, "%%%02x", static_cast<unsigned char>(c));
      name += hex;
    }
  }
  // File names hold 255 bytes; ids of 64 characters fit even when every byte is escaped.
  return name;
}

spool::spool(std::string directory)
    : named_(std::move(directory)), directory_(resolved_path(named_)) {}

std::string spool::job_directory(const submission_token& token) const {
  return directory_ + "/jobs/" + token.str();
}
std::string spool::job_file(const submission_token& token, const char* name) const {
  return job_directory(token) + "/" + name;
}
file_name spool::file_of(const submission_token& token, const char* name) const {
  if (held_directory_ && token == held_) return {held_directory_, name, job_directory(token)};
  return job_file(token, name);
}
std::string spool::supervisor_path(const submission_token& token) const {
  return directory_ + "/supervisors/" + token.str();
}
std::string spool::claim_path(const job_id& job) const {
  return claims_directory() + "/" + escaped_name(job.str());
}

result<void> judge_spool(const std::string& directory, const directory_owner& owner,
                         const job_user& user) {
  const auto trust = trust_beside(user);
  const auto would = judge_directory(directory, owner, trust);
  if (!would) return fail(would.error());
  for (const auto* name : inner_directories) {
    const auto ours = judge_own_directory(directory + name);
    if (!ours && ours.error().code != errc::not_found) return ours;
  }
  if (would->made || !user.switch_user) return {};
  if (!lets_through(directory, user.uid, trust.never_groups))
    return fail(errc::denied, directory + ": jobs of user " + user.name +
                                  " cannot pass through it; run: chmod o+x '" + directory + "'");
  return {};
}

result<void> spool::create(const directory_owner& owner, const job_user& user) const {
  const unsigned open_mode = user.switch_user ? 0711 : 0700;
  if (auto fine = judge_spool(named_, owner, user); !fine) return fine;
  // A link may lead elsewhere since it was followed.
  if (auto fine = judge_spool(directory_, owner, user); !fine) return fine;
  const auto taken = take_directory(directory_, owner, open_mode, trust_beside(user));
  if (!taken) return fail(taken.error());
  // Only what ved made follows a change of run_as.
  if (taken->made && ::chmod(directory_.c_str(), open_mode) != 0)
    return fail(errno_error("chmod", directory_));
  if (auto made = make_directory(jobs_directory(), open_mode); !made) return made;
  if (::chmod(jobs_directory().c_str(), open_mode) != 0)
    return fail(errno_error("chmod", jobs_directory()));
  for (const char* name : {"/supervisors", "/claims"}) {
    if (auto made = make_directory(directory_ + name, 0700); !made) return made;
  }
  return sync_directory(directory_);
}

result<void> spool::hold_job(const submission_token& token) {
  const std::string path = job_directory(token);
  unique_fd opened(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!opened) return fail(errno_error("open directory", path));
  held_directory_ = std::move(opened);
  held_root_ = unique_fd(::open(directory_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  held_ = token;
  return {};
}

bool spool::has_no_directory(const submission_token& token) const {
  struct stat info {};
  if (::lstat(job_directory(token).c_str(), &info) == 0) return !S_ISDIR(info.st_mode);
  return errno == ENOENT;
}

bool spool::held_is_gone() const {
  struct stat info {};
  if (::fstat(held_directory_.get(), &info) != 0) return errno == ESTALE;
  return info.st_nlink == 0;
}

result<pb::LocalJob> spool::read_job(const submission_token& token) const {
  const std::string path = job_file(token, "spec");
  const auto bytes = read_own_file(path, spool_file_bytes_max);
  if (!bytes) return fail(bytes.error());
  pb::LocalJob job;
  if (!job.ParseFromString(*bytes) || job.id() == 0 || job.token() != token.str()) {
    return fail(errc::corrupt, path + ": not the job that its directory names");
  }
  if (const auto problem = problem_of_job(job))
    return fail(errc::corrupt, path + ": not in the expected form: " + *problem);
  return job;
}

std::vector<result<void>> spool::write_jobs(std::span<const pb::LocalJob> jobs,
                                            bool traversable) const {
  const unsigned mode = traversable ? 0711 : 0700;
  const bool together = jobs.size() >= sync_together_min;
  std::vector<result<void>> outcomes(jobs.size());
  const auto for_each = [&](auto&& act) {
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const submission_token token(jobs[i].token());
      if (outcomes[i]) outcomes[i] = act(job_directory(token), job_file(token, "spec"), jobs[i]);
    }
  };
  // A rename must not reach the disk before the bytes that it names, nor the answer before both.
  const auto barrier = [&](auto&& sync_one) {
    if (!together) return for_each(sync_one);
    const auto synced = sync_file_system(directory_);
    for_each([&](const auto&, const auto&, const auto&) { return synced; });
  };
  for_each([&](const std::string& directory, const std::string& path, const pb::LocalJob& job) {
    // What is there was left behind by a submission that failed half-way and was answered so.
    if (auto cleared = remove_remains(submission_token(job.token())); !cleared) return cleared;
    if (auto made = make_directory(directory, mode); !made) return made;
    return write_temporary(path, job.SerializeAsString());
  });
  barrier([](const auto&, const std::string& path, const auto&) { return sync_temporary(path); });
  for_each(
      [](const auto&, const std::string& path, const auto&) { return rename_temporary(path); });
  barrier([](const std::string& directory, const auto&, const auto&) {
    return sync_directory(directory);
  });
  if (!together) {
    const auto synced = sync_directory(jobs_directory());
    for_each([&](const auto&, const auto&, const auto&) { return synced; });
  }
  return outcomes;
}

result<pb::LocalJobStatus> spool::read_status(const submission_token& token) const {
  return read_text<pb::LocalJobStatus>(file_of(token, "status"));
}
result<void> spool::write_status(const submission_token& token,
                                 const pb::LocalJobStatus& status) const {
  return replace_file(file_of(token, "status"), to_text(status));
}

result<pb::LocalJobStatus> spool::read_exit(const submission_token& token) const {
  return read_text<pb::LocalJobStatus>(file_of(token, "exit"));
}

result<void> spool::write_exit(const submission_token& token, const pb::LocalJobStatus& status,
                               const unique_fd& reserved) const {
  const auto file = file_of(token, "exit");
  const auto text = to_text(status);
  const auto room = file.with(".reserved");
  // A job of the same user may have put something else in its place.
  if (!reserved || !is_at(reserved, room)) return replace_file_durably(file, text);
  if (::lseek(reserved.get(), 0, SEEK_SET) != 0) return fail(errno_error("write", room.shown));
  if (auto written = write_all(reserved.get(), text, room.shown); !written) return written;
  if (::ftruncate(reserved.get(), static_cast<off_t>(text.size())) != 0 ||
      ::fsync(reserved.get()) != 0)
    return fail(errno_error("write", room.shown));
  if (auto renamed = rename_over(room, file); !renamed) return renamed;
  return sync_directory_of(file);
}

result<unique_fd> spool::reserve_exit(const submission_token& token) const {
  const auto room = file_of(token, "exit").with(".reserved");
  clear_way(room);
  unique_fd file(::openat(room.directory, room.name.c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail(errno_error("create", room.shown));
  errno = ::posix_fallocate(file.get(), 0, exit_bytes_reserved);
  if (errno != 0) return fail(errno_error("reserve room in", room.shown));
  return file;
}

result<pb::LocalSupervisor> spool::read_supervisor(const submission_token& token) const {
  return read_text<pb::LocalSupervisor>(supervisor_path(token));
}

result<claim_record> spool::read_claim(const job_id& job) const {
  const auto path = claim_path(job);
  auto bytes = read_file(path, 256);
  if (!bytes && bytes.error().code == errc::not_found) return claim_record{};
  if (!bytes && reopen(path)) bytes = read_file(path, 256);
  if (!bytes) return fail(bytes.error());
  const auto line = bytes->find('\n');
  claim_record who{submission_token(bytes->substr(0, line)), {}};
  if (line != std::string::npos) who.spec_hash = bytes->substr(line + 1);
  if (!is_valid_token(who.token)) return fail(errc::corrupt, claim_path(job) + ": not a claim");
  return who;
}

result<claim_record> spool::claim(const job_id& job, const claim_record& who) const {
  const std::string path = claim_path(job);
  // '+' stands in no escaped name, so a temporary file is never mistaken for a claim.
  const std::string temporary = claims_directory() + "/+" + who.token.str();
  const std::string text =
      who.token.str() + (who.spec_hash.empty() ? "" : "\n" + who.spec_hash);
  if (auto put = replace_file_synced(temporary, text); !put) return fail(put.error());
  // link(2) never replaces: the claim appears at once, with its content, or somebody has it.
  const bool linked = ::link(temporary.c_str(), path.c_str()) == 0;
  const bool taken = !linked && errno == EEXIST;
  const error problem = errno_error("link", temporary);
  ::unlink(temporary.c_str());
  if (linked) {
    if (auto synced = sync_directory(claims_directory()); !synced) return fail(synced.error());
    return who;
  }
  if (!taken) return fail(problem);
  return read_claim(job);
}

void spool::reopen_job(const submission_token& token) const {
  if (held_directory_ && token == held_) {
    struct stat held {};
    if (::fstat(held_directory_.get(), &held) == 0)
      ::fchmod(held_directory_.get(), held.st_mode | 0700);
    return;
  }
  reopen(job_directory(token));
}

void spool::reopen_directories() const {
  for (const auto& path :
       {directory_, jobs_directory(), directory_ + "/supervisors", claims_directory()})
    reopen(path);
}

void spool::remove_half_claims() const {
  const auto names = list(claims_directory());
  if (!names) return;
  for (const std::string& name : *names) {
    if (name[0] != '+' || is_locked(supervisor_path(submission_token(name.substr(1))))) continue;
    ::unlink((claims_directory() + "/" + name).c_str());
  }
}

bool spool::remove_job(const submission_token& token, const job_id& job,
                       const std::function<bool()>& goes_on) const {
  // A job without a spec is none; until that is gone for good a crash leaves an ended job, which is
  // removed again later. Its end goes last, or it would be queued once more.
  if (const auto winner = read_claim(job); winner && winner->token == token) {
    ::unlink(claim_path(job).c_str());
  }
  ::unlink(supervisor_path(token).c_str());
  const std::string path = job_directory(token);
  const unique_fd directory(
      ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  const auto names = list(path);
  if (!directory || !names) return true;
  for (const std::string& name : *names) {
    if (name == "spec" || name == "exit") continue;
    if (!remove_tree_at(directory.get(), name, goes_on) && !goes_on()) return false;
  }
  ::unlinkat(directory.get(), "spec", 0);
  if (::fsync(directory.get()) != 0) return true;
  (void)remove_remains(token);
  return true;
}

result<void> spool::remove_remains(const submission_token& token) const {
  const std::string path = job_directory(token);
  const unique_fd directory(
      ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory && errno == ENOENT) return {};
  if (!directory) return fail(errno_error("open directory", path));
  const auto names = list(path);
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    if (std::find(std::begin(remains), std::end(remains), name) == std::end(remains))
      return fail(errc::conflict, path + ": holds '" + name + "' and is no job of ved; left alone");
  }
  for (const std::string& name : *names) ::unlinkat(directory.get(), name.c_str(), 0);
  if (::rmdir(path.c_str()) != 0) return fail(errno_error("remove directory", path));
  return {};
}

result<std::vector<std::string>> spool::list(const std::string& path) const {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return fail(errno_error("open directory", path));
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (!entry) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) return fail(errno_error("read directory", path));
  return names;
}

}  // namespace ved::adapters::local
