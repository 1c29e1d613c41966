#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/slurm/cluster.hpp"
#include "adapters/ssh/keys.hpp"
#include "tests/adapters/slurm/text.hpp"

namespace ved::tests {

/// The program that a command carries, as the receiving shell runs it.
inline std::string program_in(const adapters::remote_command& what) {
  const auto begin = what.input.find_first_not_of('\n');
  return adapters::ssh::from_base64(what.input.substr(begin, what.input.size() - begin - 1))
      .value_or("");
}

/// Begins a cell of `scripted_reply::out` that is left out when the program does not ask for it.
inline std::string mark_of(std::string_view field) {
  return "{" + std::string(field) + "}";
}

/// What one command of a program prints. "{nonce}" in `out` is the program's own.
struct scripted_reply {
  int exit_code = 0;
  std::string out = {};
  std::string err = {};
  bool skipped = false;  ///< a submission that the program left out
  bool cut = false;      ///< the connection ends in the middle of it
  bool mute = false;     ///< a table without the line of its columns' names
};

/// A login node without a shell: answers the sections and submissions of a program from a table.
/// A section that is not in the table never began.
class scripted_transport : public adapters::transport {
 public:
  std::map<std::string, scripted_reply> table;
  std::map<std::string, scripted_reply> afterwards;  ///< takes the place of one that was given
  std::string refuses;  ///< not empty: no command can be started
  bool denies = false;  ///< and that is because of who we are
  /// Set: the login's shell prints and ends so, and runs nothing.
  std::optional<scripted_reply> instead;
  std::vector<std::string> programs;
  std::vector<std::string> asked;  ///< the names of all sections so far

  std::vector<deadline> deadlines;  ///< of all programs so far

  adapters::command_outcome run(const adapters::remote_command& what, deadline until) override {
    programs.push_back(program_in(what));
    deadlines.push_back(until);
    const auto& text = programs.back();
    if (!refuses.empty()) return adapters::command_not_started{refuses, denies};
    nonce_ = text.substr(1, text.find('\n') - 1);
    if (instead)
      return adapters::command_finished{instead->exit_code, 0, with_nonce(instead->out),
                                        with_nonce(instead->err)};
    const bool submits = text.find(send_mark) != std::string::npos;
    std::string out = "Welcome to the cluster\n" + nonce_ + " run\n";
    std::string err = nonce_ + " run\n";
    for (const auto& name : names(text)) {
      asked.push_back(name);
      const auto it = table.find(name);
      if (it == table.end()) continue;
      auto reply = it->second;
      if (auto next = afterwards.extract(name)) it->second = next.mapped();
      if (!submits && !reply.mute && reply.exit_code == 0 && reply.err.empty())
        reply.out = header_of(name) + reply.out;
      reply.out = with_nonce(std::move(reply.out));
      for (const auto field : {adapters::slurm::allocation_field, adapters::slurm::cluster_field,
                               adapters::slurm::submission_field})
        leave_out(reply.out, mark_of(field), text.find(field) == std::string::npos);
      separate(reply.out);
      if (reply.skipped) {
        out += nonce_ + " s " + name + "\n";
        continue;
      }
      if (submits) {
        out += nonce_ + " t " + name + "\n";
        out += each_line('m', name, reply.err) + each_line('m', name, reply.out);
      } else {
        out += nonce_ + " b " + name + "\n" + reply.out;
        err += nonce_ + " b " + name + "\n" + reply.err;
      }
      if (reply.cut) return adapters::command_interrupted{"the connection was lost", out, err};
      if (submits) {
        out += nonce_ + " r " + name + " " + std::to_string(reply.exit_code) + "\n";
        continue;
      }
      const auto end = "\n" + nonce_ + " e " + std::to_string(reply.exit_code) + "\n";
      out += end;
      err += end;
    }
    return adapters::command_finished{0, 0, out, err};
  }
  void stop() override {}
  std::string place() const override { return "the scripted site"; }

 private:
  static constexpr const char* send_mark = "\nved_send '";

  std::string with_nonce(std::string text) const {
    for (auto at = text.find("{nonce}"); at != std::string::npos; at = text.find("{nonce}"))
      text.replace(at, 7, nonce_);
    return text;
  }
  static void leave_out(std::string& text, const std::string& mark, bool all_of_it) {
    for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark))
      text.erase(at, all_of_it ? text.find(adapters::column_end, at) + 1 - at
                               : mark.size());
  }
  /// What the command of that section prints above its rows.
  static std::string header_of(const std::string& section) {
    if (section.starts_with("squeue") || section == "queue") return columns("JOBID|STATE|\n");
    if (section.starts_with("sacct") || section == "names") return columns("JobIDRaw|State\n");
    return {};
  }
  /// Columns are told apart by what this program asked for.
  void separate(std::string& text) const {
    std::string out;
    for (const char c : text) {
      out += c;
      if (c == adapters::column_end) out += nonce_.substr(3, 8);
    }
    text = std::move(out);
  }
  std::string each_line(char kind, const std::string& name, std::string_view text) const {
    std::string out;
    while (!text.empty()) {
      const auto end = std::min(text.find('\n'), text.size());
      out += nonce_ + " " + kind + " " + name + " " + std::string(text.substr(0, end)) + "\n";
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
  }
  /// Of the program's sections, or of its submissions.
  std::vector<std::string> names(const std::string& program) const {
    std::vector<std::string> out;
    for (const std::string& begin : {"echo '" + nonce_ + " b ", std::string(send_mark)})
      for (auto at = program.find(begin); at != std::string::npos;
           at = program.find(begin, at + 1)) {
        const auto from = at + begin.size();
        auto name = program.substr(from, program.find('\'', from) - from);
        if (out.empty() || out.back() != name) out.push_back(std::move(name));
      }
    return out;
  }

  std::string nonce_;
};

/// A row of squeue; what is not set is of a job that runs.
struct queue_line {
  std::string id = "41";
  std::string state = "RUNNING";
  std::string reason = "None";
  int status = 0;  ///< of wait(2)
  std::string submitted = "1799998000";
  int restarts = 0;
  int session = 4711;
  std::string started = "1799999000";
  std::string ended = "N/A";
  std::string time_used = "";  ///< since its start, without suspensions; empty: "INVALID"
  std::string priority = "4294901759";
  std::string name = "veaaaaaaaaaaaa";
  std::string comment = "(null)";
  std::string path = "/home/x/slurm-41.out";
  std::string allocated = "cpu=8,mem=16G,node=2,billing=8,gres/gpu=2";
  std::string nodes = "n[1-2]";
  int node_count = 2;

  std::string text() const {
    return columns(id + "|" + id + "|" + state + "|" + reason + "|batch|" + std::to_string(status) +
                   "|" + submitted + "|" + std::to_string(restarts) + "|" +
                   std::to_string(session) + "|" + started + "|" + ended + "|" +
                   (time_used.empty() ? "INVALID" : time_used) + "|" +
                   std::to_string(node_count) + "|8|" + priority + "|" + allocated + "|" + nodes +
                   "|" + name + "|" + comment + "|" + path + "|\n");
  }
};

/// A row of sacct.
struct account_line {
  std::string id = "41";
  std::string state = "COMPLETED";
  std::string exit = "0:0";
  std::string submitted = "1799998000";
  std::string started = "1799999000";
  std::string ended = "1799999500";
  int elapsed_seconds = 500;
  std::string cpu_time = "00:10.500";
  std::string memory = "";
  std::string name = "veaaaaaaaaaaaa";
  std::string submit_line = "sbatch --parsable";
  std::string allocated = "billing=8,cpu=8,gres/gpu=2,mem=16G,node=2";
  std::string cluster = "";
  int node_count = 2;

  std::string text() const {
    return columns(id + "|" + state + "|" + exit + "|" + submitted + "|" + started + "|" + ended +
                   "|" + std::to_string(elapsed_seconds) + "|" + std::to_string(node_count) +
                   "|8|" + mark_of("AllocTRES") + allocated + "|" + cpu_time + "|" + memory +
                   "|None|n[1-2]|" + mark_of("Cluster") + cluster + "|" + name + "|" +
                   mark_of("SubmitLine") + submit_line + "|" + id + "\n");
  }
};

/// A Slurm cluster behind a scripted transport, and its clock.
struct scripted_site {
  std::shared_ptr<scripted_transport> way = std::make_shared<scripted_transport>();
  time_point now = from_us(1'800'000'000'000'000);
  std::map<std::string, int> commands;  ///< of Slurm, how often each
  std::unique_ptr<adapters::scheduler> port;

  explicit scripted_site(adapters::slurm::slurm_options options = {}) {
    options.cluster = "hpc";
    options.shell.job_directory = "/jobs";
    options.clock = [this] { return now; };
    options.count = [this](std::string_view command, int times) {
      commands[std::string(command)] += times;
    };
    port = std::move(*adapters::slurm::make_slurm_factory(
        adapters::slurm::open_slurm_cluster(std::move(options), way))());
    reply("squeue", "");
    reply("sacct0", "");
    reply("sacct", "");
    reply("traces", "");
    reply("fields",
          "AllocTRES Cluster ElapsedRaw End ExitCode JobID JobIDRaw JobName MaxRSS NCPUS NNodes "
          "NodeList Reason Start State Submit SubmitLine Suspended TotalCPU\n");
  }

  void reply(const std::string& section, const std::string& out) { way->table[section] = {0, out}; }
  void fails(const std::string& section, const std::string& err, int exit_code = 1) {
    way->table[section] = {exit_code, "", err};
  }
  /// The cluster keeps no accounts.
  void disable_accounting() {
    fails("sacct0", "Slurm accounting storage is disabled\n");
    fails("sacct", "Slurm accounting storage is disabled\n");
  }
  bool was_asked(const std::string& section) const {
    return std::count(way->asked.begin(), way->asked.end(), section) > 0;
  }
  static adapters::scheduler::deadline until() {
    return std::chrono::steady_clock::now() + seconds{60};
  }
};

/// The outcome, which must be of that kind.
template <class As>
As as(const auto& outcome) {
  REQUIRE(std::holds_alternative<As>(outcome));
  return std::get<As>(outcome);
}

// What the commands say, from slurm_errno.c and captured from Slurm 22.05.8.
inline const std::string no_controller =
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n";
inline const std::string no_database =
    "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to "
    "host:localhost:6819: Connection refused\n"
    "sacct: error: Problem talking to the database: Connection refused\n";
/// The directory of the first submission that is looked up: there is nothing.
inline const std::string no_files = "{nonce} j 0\nclaim \n";
inline const std::string no_such_job = "slurm_load_jobs error: Invalid job id specified\n";

}  // namespace ved::tests
