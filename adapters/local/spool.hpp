#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "adapters/system/files.hpp"
#include "adapters/system/owned_directory.hpp"
#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "messages/local_job.pb.h"
#include "messages/time.hpp"

/// The local scheduler's state on disk, shared by the cluster object and the supervisors.
///
///     lock                      held by the one cluster object that uses this directory
///     next_id                   text: ids below it may have been given away
///     opened                    text: how often the directory was opened; see local_options
///     identity                  text: its id, and what the log knew of it (identity.hpp)
///     birthmark                 text: which directory it is (birthmark.hpp): in a copy, another
///     jobs/<token>/spec         LocalJob; without it the directory is no job (crash in submit)
///     jobs/<token>/held         exists: do not start
///     jobs/<token>/cancel       exists: cancel was asked; text: why
///     jobs/<token>/suspend      exists: suspend was asked, removed by resume
///     jobs/<token>/status       LocalJobStatus while it runs
///     jobs/<token>/exit         LocalJobStatus of the end; written once, durable, final
///     jobs/<token>/exit.reserved  becomes `exit`: holds the room for it while the job runs
///     jobs/<token>/steps        text: begin and end of each step
///     jobs/<token>/stdout, stderr, supervisor.log, work/
///     supervisors/<token>       LocalSupervisor; locked by the supervisor as long as it lives
///     claims/<job id>           "TOKEN\nHASH": the copy of the job that runs and the hash of its
///                               spec; appears whole, in one link(2), and is durable before the
///                               job starts
///
/// A job was started if and only if its claim holds its own token. Hence, with the lock free and
/// no exit file: claim with own token = its supervisor was lost; otherwise = still queued.
namespace ved::adapters::local {

struct job_user;

inline constexpr std::size_t spool_file_bytes_max = 4u << 20;
/// Of the reason in an exit file.
inline constexpr std::size_t reason_bytes_max = 1000;

/// Who holds the claim on a job id.
struct claim_record {
  submission_token token;  ///< empty: nobody does
  std::string spec_hash;   ///< BLAKE2b-256 in hex; empty: not known

  /// The same id once meant a job with another spec.
  bool is_of_other_spec(const std::string& hash) const {
    return !token.empty() && !spec_hash.empty() && !hash.empty() && spec_hash != hash;
  }
};

/// BLAKE2b-256 of the canonical spec in hex, as the spool stores it.
std::string spec_hash_hex(const pb::JobSpec& spec);

class spool {
 public:
  explicit spool(std::string directory);

  const std::string& directory() const noexcept { return directory_; }
  std::string lock_path() const { return directory_ + "/lock"; }
  std::string jobs_directory() const { return directory_ + "/jobs"; }
  std::string job_directory(const submission_token& token) const;
  /// A file of one job: "spec", "exit", "stdout", ...
  std::string job_file(const submission_token& token, const char* name) const;
  /// The same for a system call: of the job that is held by its directory, in that one.
  file_name file_of(const submission_token& token, const char* name) const;
  std::string supervisor_path(const submission_token& token) const;
  std::string claims_directory() const { return directory_ + "/claims"; }
  std::string claim_path(const job_id& job) const;

  /// Takes the directory for the cluster and creates those in it; jobs of another `user` may reach
  /// their own work directory through it (search permission only). `conflict` when it is somebody
  /// else's: see adapters/system/owned_directory.hpp.
  result<void> create(const directory_owner& owner, const job_user& user) const;

  /// From now on the files of this job are those in its directory of now, wherever that, or the
  /// whole spool, is moved to; and whoever looks at this process sees where it works.
  result<void> hold_job(const submission_token& token);
  /// Whether the job surely has no directory; false also where nobody can tell.
  bool has_no_directory(const submission_token& token) const;
  /// Whether the directory of the job that is held was removed.
  bool held_is_gone() const;

  /// Removes a job's directory that holds nothing but what a submission that was cut short or an
  /// interrupted removal leaves. `conflict`, and nothing is touched, when there is more in it.
  result<void> remove_remains(const submission_token& token) const;

  result<pb::LocalJob> read_job(const submission_token& token) const;
  /// Writes jobs durably, in stages, so that many share one way to the disk. `result[i]` belongs
  /// to `jobs[i]`; after an error the job may or may not be there.
  std::vector<result<void>> write_jobs(std::span<const pb::LocalJob> jobs, bool traversable) const;

  /// `not_found` before the job started.
  result<pb::LocalJobStatus> read_status(const submission_token& token) const;
  result<void> write_status(const submission_token& token, const pb::LocalJobStatus& status) const;

  /// `not_found` while the job has not ended.
  result<pb::LocalJobStatus> read_exit(const submission_token& token) const;
  /// `reserved`: from `reserve_exit`, so that a full disk hides no end.
  result<void> write_exit(const submission_token& token, const pb::LocalJobStatus& status,
                          const unique_fd& reserved = {}) const;
  /// Takes the room on disk that the end will need; with a reason of `reason_bytes_max`.
  result<unique_fd> reserve_exit(const submission_token& token) const;

  /// `not_found` while no supervisor was started.
  result<pb::LocalSupervisor> read_supervisor(const submission_token& token) const;

  /// Who holds the claim on the job id.
  result<claim_record> read_claim(const job_id& job) const;
  /// Claims the job id durably, or returns who already has.
  result<claim_record> claim(const job_id& job, const claim_record& who) const;

  /// Gives the owner of a job's directory back its way in.
  void reopen_job(const submission_token& token) const;

  /// The same with the directories of all jobs: one job must not close them to the others.
  void reopen_directories() const;

  /// Removes what claims left behind that a crash cut short.
  void remove_half_claims() const;

  /// Removes the job's claim (if its own), supervisor file and directory, in this order.
  /// False: it was not to go on, and some of it is left; it ended all the same.
  bool remove_job(const submission_token& token, const job_id& job,
                  const std::function<bool()>& goes_on) const;

  /// Names in a directory of the spool.
  result<std::vector<std::string>> list(const std::string& path) const;

 private:
  std::string named_;      ///< as it was given: links lead to it
  std::string directory_;  ///< without them
  submission_token held_;
  unique_fd held_directory_;
  unique_fd held_root_;
};

/// What the directory of a local cluster is marked with.
inline constexpr auto spool_kind = "local-cluster";

/// What the spool's `create` would say of the directory itself, without changing anything.
result<void> judge_spool(const std::string& directory, const directory_owner& owner,
                         const job_user& user);

/// Tokens become directory names: letters, digits, '-' and '_', 1..64 of them.
bool is_valid_token(const submission_token& token) noexcept;

/// A file name that any job id maps to and no two share: hex of its bytes where needed.
std::string escaped_name(const std::string& id);

}  // namespace ved::adapters::local
