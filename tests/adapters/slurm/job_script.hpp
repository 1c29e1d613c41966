#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/shell.hpp"
#include "adapters/slurm/traces.hpp"
#include "tests/support/temp_dir.hpp"

/// Jobs as the adapter scripts them, and a node that runs the scripts, under several shells.
namespace ved::adapters::slurm::test_jobs {

namespace fs = std::filesystem;

inline const std::string token = "veaaaaaaaaaaaa";

inline submission job_of(const std::string& command = "/bin/true",
                  const std::vector<std::string>& arguments = {}) {
  submission what;
  what.job = job_id{"j-1"};
  what.token = submission_token{token};
  what.spec.set_job_id("j-1");
  what.spec.set_cluster_id("hpc");
  auto& work = *what.spec.mutable_workload_spec();
  work.set_command(command);
  for (const auto& one : arguments) work.add_arguments(one);
  return what;
}

/// A job that runs shell text.
inline submission script_of(const std::string& text) {
  return job_of("/bin/sh", {"-c", text});
}

inline void set_variable(submission& what, const std::string& name, const std::string& value) {
  auto& variable = *what.spec.mutable_workload_spec()->add_environment();
  variable.set_name(name);
  variable.set_value(value);
}

inline void add_step(submission& what, const std::string& name, const std::string& text) {
  auto& work = *what.spec.mutable_workload_spec();
  work.clear_command();
  work.clear_arguments();
  auto& step = *work.add_steps();
  step.set_name(name);
  step.set_command("/bin/sh");
  step.add_arguments("-c");
  step.add_arguments(text);
}

inline std::vector<std::string> options_of(const submission& what, const slurm_options& site = {}) {
  return sbatch_options(what, site);
}

inline bool has(const std::vector<std::string>& options, const std::string& one) {
  return std::count(options.begin(), options.end(), one) == 1;
}

inline bool has_any(const std::vector<std::string>& options, const std::string& prefix) {
  return std::any_of(options.begin(), options.end(),
                     [&](const auto& one) { return one.starts_with(prefix); });
}

inline std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_program(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
  fs::permissions(file, fs::perms::owner_all);
}

/// A compute node for one script: HOME, the job directory, /bin/sh and a PATH of its own.
class node {
 public:
  explicit node(const std::string& shell = "dash") : shell_(root_.path() / "sh") {
    fs::create_symlink("/bin/" + shell, shell_);
    options.shell.job_directory = (root_.path() / "jobs of 'all'").string();
    fs::create_directories(job_directory());
    fs::create_directories(home());
    // Only what a batch script may need: no container runtime of this machine.
    fs::create_directories(tools());
    for (const auto* name : {"ln", "mkdir", "readlink", "mv", "env", "rm", "sed", "sleep",
                             "touch", "dd", "stat"})
      fs::create_symlink(fs::path("/usr/bin") / name, tools() / name);
  }

  fs::path home() const { return root_.path() / "home"; }
  fs::path tools() const { return root_.path() / "tools"; }
  fs::path job_directory() const { return fs::path(options.shell.job_directory) / "j-1"; }
  fs::path claim() const { return job_directory() / "claim"; }
  /// Without the number of the start, which is drawn anew.
  std::string claimed_by() const {
    const auto whole = fs::read_symlink(claim()).string();
    return whole.substr(0, whole.rfind(':'));
  }
  std::string end_text(const std::string& id) const {
    return read_text(job_directory() / (token + "." + id + ".end"));
  }
  /// As the poll reads it: behind the time when it was written.
  traces end_of(const std::string& id) const { return parse_end("at 1\n" + end_text(id)); }

  command_finished run(const submission& what, const std::string& id = "41", int restarts = 0) {
    return run_line(limits + "exec " + words_of_start(what, id, restarts));
  }
  /// Starts it, and once the job has made the file "ready" in its home does what `then` says with
  /// the shell's number $w; ends as the script did.
  command_finished run_and(const submission& what, const std::string& then, int restarts = 0) {
    return run_line("setsid env --default-signal " + words_of_start(what, "41", restarts) +
                 " &\nw=$!\nwhile ! [ -e " + quote((home() / "ready").string()) +
                 " ]; do sleep 0.02; done\n" + then + "\nwait $w");
  }

  slurm_options options;
  std::string limits;  ///< commands before the start

 private:
  std::string words_of_start(const submission& what, const std::string& id, int restarts) const {
    const auto file = root_.path() / "script";
    std::ofstream(file, std::ios::binary) << batch_script(what, options);
    auto line = "env -i HOME=" + quote(home().string()) + " PATH=" + quote(tools().string()) +
                " SLURM_JOB_ID=" + id + " SLURMD_NODENAME=n1 LC_ALL=C";
    if (restarts > 0) line += " SLURM_RESTART_COUNT=" + std::to_string(restarts);
    return line + " " + quote(shell_.string()) + " " + quote(file.string());
  }
  static command_finished run_line(const std::string& line) {
    const auto outcome =
        make_process_transport()->run({line, ""}, std::chrono::steady_clock::now() + seconds{60});
    const auto* ended = std::get_if<command_finished>(&outcome);
    REQUIRE(ended != nullptr);
    return *ended;
  }

  tests::temp_dir root_;
  fs::path shell_;
};

inline const std::vector<std::string> shells{"dash", "bash"};

}  // namespace ved::adapters::slurm::test_jobs
