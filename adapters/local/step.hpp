#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "adapters/system/access.hpp"
#include "messages/error.hpp"
#include "messages/local_job.pb.h"

/// Starting the processes of a job: what they run, as whom, with which environment.
namespace ved::adapters::local {

/// One command of a job.
struct step {
  std::string name;  ///< empty for the single command of a plain job
  std::string command;
  std::vector<std::string> arguments;
};

/// The steps of a spec, or its single command as one step.
std::vector<step> steps_of(const pb::WorkloadSpec& workload);

/// The user that a job runs as.
struct job_user {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  std::string home;
  std::string shell;
  bool switch_user = false;  ///< the supervisor is root and takes this identity on
};

/// The user called `name`, or the own one when it is empty.
result<job_user> find_user(const std::string& name);
/// Nobody whom such jobs could be, with any group that initgroups(3) gives them; where they are
/// ved itself there is nobody else.
place_trust trust_beside(const job_user& user);

/// "NAME=value" lines: a fixed minimum, then the job's own variables, then the names that tell
/// the job about itself (which the job cannot override). Nothing of the caller's environment.
std::vector<std::string> job_environment(const pb::LocalJob& job, const job_user& user,
                                         const std::vector<int>& gpus);

/// How one process of a job is started.
struct step_launch {
  std::string directory;  ///< absolute
  int directory_fd = -1;  ///< of the same, wherever it is moved to; -1: by its path
  std::vector<std::string> environment;
  job_user user;
  int stdout_fd = -1;
  int stderr_fd = -1;
  int cgroup_fd = -1;  ///< of `cgroup.procs` of the job's cgroup; -1: it has none
  std::uint64_t open_files = 0;  ///< soft limit; 0: the caller's
  std::uint64_t file_bytes_max = 0;  ///< of each file that it writes; 0: the caller's
  mode_t umask = 022;
};

/// Why a step did not start; as a shell would say it: 127 no such command, 126 not runnable.
struct start_failure {
  int exit_code = 0;
  std::string reason;
  bool may_pass = false;  ///< the machine, or the account, had no room for it just then
};

/// Whether an errno of fork(2), pipe(2), open(2) or execve(2) tells of what others use up:
/// processes (EAGAIN, also of execve over RLIMIT_NPROC), memory, open files.
bool may_pass(int number);

struct started_step {
  pid_t pid = 0;  ///< 0: `failure` says why
  start_failure failure;
  pid_t attempt = 0;  ///< that ends before its command, still to be waited for; 0: there is none
};

/// Starts the step as the leader of a session of its own. No shell sees the command. It gets
/// KILL when the calling thread ends without having waited for it. Until it runs its command it is
/// the job's user already, who may stop it there: `meanwhile` is called now and then, must not wait
/// for processes, and may end it.
started_step start_step(const step& what, const step_launch& how,
                        const std::function<void()>& meanwhile);

}  // namespace ved::adapters::local
