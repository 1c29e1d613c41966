#include "adapters/local/step.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "adapters/system/files.hpp"

namespace ved::adapters::local {

namespace {

/// Between two looks at a step that does not come to its command.
constexpr int start_look_ms = 100;

enum class stage : int { descriptors, identity, directory, command };

struct child_problem {
  stage where;
  int number;
};

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> all;
  all.reserve(words.size() + 1);
  for (const std::string& word : words) all.push_back(const_cast<char*>(word.c_str()));
  all.push_back(nullptr);
  return all;
}

/// The kernel that is out of memory shall take a job's processes before `ved` and its supervisors,
/// which are small and few. To raise the value needs no right, see proc(5); where it cannot be
/// written the job runs all the same.
void offer_to_the_oom_killer() {
  constexpr auto path = "/proc/self/oom_score_adj";
  constexpr int above = 500;
  constexpr int most = 1000;
  const unique_fd file(::open(path, O_RDWR | O_CLOEXEC));
  char text[16] = {};
  if (!file || ::read(file.get(), text, sizeof text - 1) <= 0) return;
  const int own = std::max(0, std::atoi(text));
  const int length = std::snprintf(text, sizeof text, "%d", std::min(own + above, most));
  if (::pwrite(file.get(), text, static_cast<std::size_t>(length), 0) != length) errno = 0;
}

/// The part between fork and exec: returns only when something failed.
child_problem become(const std::vector<std::string>& words, const step_launch& how, pid_t parent) {
  ::setsid();
  // Where this fails the process tree still holds the job together.
  if (how.cgroup_fd >= 0 && ::write(how.cgroup_fd, "0", 1) != 1) errno = 0;
  offer_to_the_oom_killer();
  const int null = ::open("/dev/null", O_RDONLY);
  if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(how.stdout_fd, 1) < 0 ||
      ::dup2(how.stderr_fd, 2) < 0) {
    return {stage::descriptors, errno};
  }
  if (null > 2) ::close(null);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(how.umask);
  if (how.open_files > 0) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(how.open_files, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (how.file_bytes_max > 0) {
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_max = std::min<rlim_t>(how.file_bytes_max, limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (how.user.switch_user && (::initgroups(how.user.name.c_str(), how.user.gid) != 0 ||
                               ::setgid(how.user.gid) != 0 || ::setuid(how.user.uid) != 0)) {
    return {stage::identity, errno};
  }
  // Taking on another identity clears the death signal, so it comes after that.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  const int entered = how.directory_fd >= 0 ? ::fchdir(how.directory_fd)
                                            : ::chdir(how.directory.c_str());
  if (entered != 0) return {stage::directory, errno};
  std::vector<char*> environment = pointers(how.environment);
  const std::vector<char*> arguments = pointers(words);
  environ = environment.data();  // execvp looks the command up in the job's PATH
  ::execvp(arguments[0], arguments.data());
  return {stage::command, errno};
}

start_failure explain(const child_problem& problem, const step& what, const step_launch& how) {
  const std::string cause = errno_text(problem.number);
  const bool passes = may_pass(problem.number);
  switch (problem.where) {
    case stage::descriptors: return {126, "cannot open the job's files: " + cause, passes};
    case stage::identity:
      return {126, "cannot become user " + how.user.name + ": " + cause, passes};
    case stage::directory:
      return {126, "cannot enter working directory " + how.directory + ": " + cause, passes};
    case stage::command: break;
  }
  return {problem.number == ENOENT ? 127 : 126, "cannot run " + what.command + ": " + cause,
          passes};
}

started_step no_room(const char* call) {
  const int number = errno;
  return {0, {126, std::string("cannot start the job: ") + call + ": " + errno_text(number),
              may_pass(number)},
          0};
}

}  // namespace

std::vector<step> steps_of(const pb::WorkloadSpec& workload) {
  std::vector<step> steps;
  for (const pb::Step& one : workload.steps()) {
    steps.push_back({one.name(), one.command(), {one.arguments().begin(), one.arguments().end()}});
  }
  if (steps.empty()) {
    steps.push_back(
        {"", workload.command(), {workload.arguments().begin(), workload.arguments().end()}});
  }
  return steps;
}

result<job_user> find_user(const std::string& name) {
  char buffer[16384];
  struct passwd entry {};
  struct passwd* found = nullptr;
  if (name.empty()) {
    ::getpwuid_r(::geteuid(), &entry, buffer, sizeof buffer, &found);
  } else {
    ::getpwnam_r(name.c_str(), &entry, buffer, sizeof buffer, &found);
    if (!found) {
      return fail(errc::invalid, "user " + name +
                                     ": no such user on this machine; make it or name another");
    }
  }
  job_user user{::geteuid(), ::getegid(), std::to_string(::geteuid()), "/", "/bin/sh", false};
  if (!found) return user;
  user.uid = entry.pw_uid;
  user.gid = entry.pw_gid;
  user.name = entry.pw_name;
  user.home = entry.pw_dir;
  if (*entry.pw_shell != '\0') user.shell = entry.pw_shell;
  user.switch_user = user.uid != ::geteuid();
  if (user.switch_user && ::geteuid() != 0) {
    return fail(errc::denied,
                "user " + name + ": ved is not root and cannot run jobs as another user");
  }
  return user;
}

place_trust trust_beside(const job_user& user) {
  place_trust trust;
  if (!user.switch_user) return trust;
  trust.never_users.push_back(user.uid);
  int count = 64;
  do {
    trust.never_groups.resize(static_cast<std::size_t>(count));
  } while (::getgrouplist(user.name.c_str(), user.gid, trust.never_groups.data(), &count) < 0 &&
           count > static_cast<int>(trust.never_groups.size()));
  trust.never_groups.resize(static_cast<std::size_t>(count));
  return trust;
}

std::vector<std::string> job_environment(const pb::LocalJob& job, const job_user& user,
                                         const std::vector<int>& gpus) {
  const pb::JobSpec& spec = job.spec();
  std::string gpu_list;
  for (const int gpu : gpus) gpu_list += (gpu_list.empty() ? "" : ",") + std::to_string(gpu);

  std::map<std::string, std::string> variables{
      {"PATH", "/usr/local/bin:/usr/bin:/bin"},
      {"HOME", user.home},
      {"USER", user.name},
      {"LOGNAME", user.name},
      {"SHELL", user.shell},
      {"LANG", "C.UTF-8"},
  };
  for (const pb::EnvironmentVariable& variable : spec.workload_spec().environment()) {
    variables[variable.name()] = variable.value();
  }
  variables["VIRTENGINE_JOB_ID"] = job.job_id();
  variables["VIRTENGINE_CLUSTER_ID"] = spec.cluster_id();
  variables["VIRTENGINE_OFFERING_ID"] = spec.offering_id();
  variables["VED_JOB_ID"] = job.job_id();
  variables["VED_SCHEDULER_JOB_ID"] = std::to_string(job.id());
  variables["VED_TOKEN"] = job.token();
  variables["VED_GPUS"] = gpu_list;
  variables["CUDA_VISIBLE_DEVICES"] = gpu_list;

  std::vector<std::string> lines;
  for (const auto& [name, value] : variables) lines.push_back(name + "=" + value);
  return lines;
}

bool may_pass(int number) {
  return number == EAGAIN || number == ENOMEM || number == EMFILE || number == ENFILE;
}

started_step start_step(const step& what, const step_launch& how,
                        const std::function<void()>& meanwhile) {
  std::vector<std::string> words{what.command};
  words.insert(words.end(), what.arguments.begin(), what.arguments.end());
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return no_room("pipe");
  }
  unique_fd reader(ends[0]);
  unique_fd writer(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return no_room("fork");
  if (pid == 0) {
    const child_problem problem = become(words, how, parent);
    const ssize_t sent = ::write(writer.get(), &problem, sizeof problem);
    ::_exit(sent == sizeof problem ? 127 : 126);
  }
  writer.reset();
  // The pipe closes by itself when exec succeeds.
  pollfd start{reader.get(), POLLIN, 0};
  while (::poll(&start, 1, start_look_ms) <= 0) meanwhile();
  child_problem problem{};
  ssize_t got = 0;
  do {
    got = ::read(reader.get(), &problem, sizeof problem);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof problem) return {pid, {}, 0};
  return {0, explain(problem, what, how), pid};
}

}  // namespace ved::adapters::local
