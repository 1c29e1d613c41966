#include "adapters/local/supervisor.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <thread>

#include "adapters/local/job_cgroup.hpp"
#include "adapters/local/job_run.hpp"
#include "adapters/local/spool.hpp"
#include "adapters/system/processes.hpp"

namespace ved::adapters::local {

namespace {

constexpr seconds exit_write_pause{1};

/// As long as it takes: a full disk must not turn a finished job into a lost one.
result<void> write_exit_stubbornly(const spool& files, const submission_token& token,
                                   const pb::LocalJobStatus& status, const unique_fd& reserved) {
  result<void> written = files.write_exit(token, status, reserved);
  // Without its directory there is no one left to tell.
  while (!written && !files.held_is_gone()) {
    // A job of the same user may have closed its own directory.
    files.reopen_job(token);
    std::this_thread::sleep_for(exit_write_pause);
    written = files.write_exit(token, status, reserved);
  }
  return written;
}

result<void> announce(const spool& files, int lock_fd, const pb::LocalJob& job,
                      const std::vector<int>& gpus, const job_cgroup& cgroup) {
  const auto self = read_process(::getpid());
  if (!self) return fail(errc::unavailable, "/proc: cannot read the own process");
  std::string text = "id: " + std::to_string(job.id()) + "\ntoken: \"" + job.token() +
                     "\"\npid: " + std::to_string(self->pid) +
                     "\nstart_ticks: " + std::to_string(self->start_ticks) + "\nboot_id: \"" +
                     boot_id() + "\"\npid_namespace: \"" + pid_namespace() + "\"\n";
  if (cgroup) text += "cgroup: \"" + cgroup.path() + "\"\n";
  for (const int gpu : gpus) text += "gpus: " + std::to_string(gpu) + "\n";
  const std::string path = files.supervisor_path(submission_token(job.token()));
  if (::ftruncate(lock_fd, 0) != 0) return fail(errno_error("truncate", path));
  return write_all(lock_fd, text, path);
}

/// The end of a copy that is too late.
pb::LocalJobStatus lost_claim(const claim_record& winner, const std::string& spec_hash,
                              time_point now) {
  pb::LocalJobStatus lost;
  lost.set_finished_at_us(to_us(now));
  if (winner.is_of_other_spec(spec_hash)) {
    lost.set_state(pb::JOB_STATE_FAILED);
    lost.set_reason("did not start: its id was used before for a job with another spec (" +
                    winner.token.str() + "); submit it under another id");
    return lost;
  }
  lost.set_state(pb::JOB_STATE_CANCELLED);
  lost.set_reason("did not start: another copy of the job holds the claim");
  lost.set_lost_claim_to(winner.token.str());
  return lost;
}

template <class Number>
bool parse_number(const std::string& text, Number& out) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  return problem == std::errc{} && end == text.data() + text.size() && out >= 0;
}

/// "TIME@BOOT", both in microseconds.
bool parse_anchor(const std::string& text, clock_anchor& out) {
  const auto at = text.find('@');
  std::int64_t time = 0;
  std::int64_t boot = 0;
  if (at == std::string::npos || !parse_number(text.substr(0, at), time) ||
      !parse_number(text.substr(at + 1), boot))
    return false;
  out = {from_us(time), microseconds{boot}};
  return true;
}

}  // namespace

std::vector<std::string> to_arguments(const supervisor_options& options) {
  std::vector<std::string> words{"--directory", options.directory,
                                 "--token",     options.token.str(),
                                 "--kill-wait", std::to_string(options.kill_wait.count()),
                                 "--clock",     std::to_string(to_us(options.clock.time)) + "@" +
                                                    std::to_string(options.clock.boot.count())};
  if (!options.cgroup.empty()) words.insert(words.end(), {"--cgroup", options.cgroup});
  if (!options.run_as.empty()) words.insert(words.end(), {"--run-as", options.run_as});
  if (options.open_files > 0)
    words.insert(words.end(), {"--open-files", std::to_string(options.open_files)});
  if (options.file_bytes_max > 0)
    words.insert(words.end(), {"--file-bytes-max", std::to_string(options.file_bytes_max)});
  if (options.start_patience != default_start_patience)
    words.insert(words.end(), {"--start-patience", std::to_string(options.start_patience.count())});
  for (const int gpu : options.gpus) words.insert(words.end(), {"--gpu", std::to_string(gpu)});
  return words;
}

result<supervisor_options> parse_supervisor_options(const std::vector<std::string>& arguments) {
  supervisor_options options;
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string& name = arguments[i];
    if (i + 1 == arguments.size()) return fail(errc::invalid, name + ": needs a value");
    const std::string& value = arguments[i + 1];
    std::int64_t number = 0;
    if (name == "--directory") {
      options.directory = value;
    } else if (name == "--token") {
      options.token = submission_token(value);
    } else if (name == "--cgroup") {
      options.cgroup = value;
    } else if (name == "--run-as") {
      options.run_as = value;
    } else if (name == "--kill-wait" && parse_number(value, number)) {
      options.kill_wait = seconds(number);
    } else if (name == "--start-patience" && parse_number(value, number)) {
      options.start_patience = seconds(number);
    } else if (name == "--open-files" && parse_number(value, number)) {
      options.open_files = static_cast<std::uint64_t>(number);
    } else if (name == "--file-bytes-max" && parse_number(value, number)) {
      options.file_bytes_max = static_cast<std::uint64_t>(number);
    } else if (name == "--clock" && parse_anchor(value, options.clock)) {
      continue;
    } else if (name == "--gpu" && parse_number(value, number)) {
      options.gpus.push_back(static_cast<int>(number));
    } else {
      return fail(errc::invalid, name + " " + value + ": not understood");
    }
  }
  if (options.directory.empty()) return fail(errc::invalid, "--directory: missing");
  if (!is_valid_token(options.token)) return fail(errc::invalid, "--token: missing or invalid");
  return options;
}

result<void> run_supervisor(const supervisor_options& options, supervisor_hold& hold,
                            int ready_fd) {
  unique_fd ready(ready_fd);
  spool& files = hold.files;
  const submission_token& token = options.token;
  auto lock = lock_file(files.supervisor_path(token));
  if (!lock) return fail(lock.error());
  hold.lock = std::move(*lock);
  if (auto held = files.hold_job(token); !held) return fail(held.error());
  // Whoever held the lock before may have run the job already.
  if (exists(files.file_of(token, "exit"))) return {};
  auto job = files.read_job(token);
  if (!job) return fail(job.error());
  const job_id id(job->job_id());
  const auto claimed = files.read_claim(id);
  if (!claimed) return fail(claimed.error());
  if (claimed->token == token) {
    return fail(errc::conflict, "was started before; its first supervisor is gone");
  }
  const auto user = find_user(options.run_as);
  if (!user) return fail(user.error());

  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  const auto cgroup = job_cgroup::make(options.cgroup, token);
  const auto nothing_ran = [&](const error& why) {
    cgroup.remove();
    return fail(why);
  };
  if (auto announced = announce(files, hold.lock.get(), *job, options.gpus, cgroup);
      !announced) {
    return nothing_ran(announced.error());
  }
  ready.reset();

  job_run run(options, files, *job, *user, cgroup);
  // Before the claim: what fails here is no fault of the job, which stays queued.
  if (auto prepared = run.prepare(); !prepared) return nothing_ran(prepared.error());
  const auto reserved = files.reserve_exit(token);
  if (!reserved) return nothing_ran(reserved.error());
  const auto winner = files.claim(id, {token, job->spec_hash()});
  if (!winner) return nothing_ran(winner.error());
  if (winner->token != token) {
    cgroup.remove();
    return write_exit_stubbornly(files, token,
                                 lost_claim(*winner, job->spec_hash(), options.now()), *reserved);
  }
  const auto end = run.run();
  cgroup.remove();
  return write_exit_stubbornly(files, token, end, *reserved);
}

}  // namespace ved::adapters::local
