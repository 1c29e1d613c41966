#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/scheduler.hpp"
#include "adapters/system/access.hpp"
#include "adapters/watcher.hpp"
#include "messages/error.hpp"
#include "messages/secret.hpp"
#include "runtime/config/config.hpp"
#include "runtime/own_stream.hpp"
#include "runtime/schedulers/sections.hpp"

namespace ved::core::job {
struct policy;
}

/// A kind of scheduler is a row: all that the rest of the daemon has to know of it. Who wants
/// something of a cluster asks its row, and never which row that is.
namespace ved::runtime {

struct section;
class secret_reader;

/// What is around a cluster when it is opened.
struct cluster_environment {
  std::string state_directory;
  std::string supervisor_path;  ///< of ved-job-supervisor
  /// Faults to inject, for torture runs: "seed=7,reply_lost=0.1,..."; empty: none.
  std::string fault_plan;
  /// Tells this daemon's log from every other: names its part of directories that others share.
  std::string instance;
  std::function<time_point()> clock;
  /// A command of the scheduler was run, so many times; any thread.
  std::function<void(const cluster_id&, std::string_view command, int times)> count;
  /// Something that an operator should change.
  std::function<void(const cluster_id&, const std::string& warning)> warn;
  /// What keeps the cluster from taking or starting jobs, until it tells another; empty: nothing.
  std::function<void(const cluster_id&, const std::string& problem)> tell = {};
  std::int64_t min_free_bytes = 0;  ///< of the state directory's guard: of work directories, too
  /// What the log knows of the cluster; nothing of one whose jobs the operator gives up.
  remember_cluster remember = [](const cluster_id&) { return remembered_cluster{}; };
  /// Whether the log knows the job's end; any thread.
  std::function<adapters::remembered(const job_id&, const submission_token&)> remembers = {};
  /// Which scheduler the log met there last, also without live jobs; any thread.
  std::function<std::optional<pb::ClusterRecord>(const cluster_id&)> met = {};
};

struct opened_cluster {
  adapters::scheduler_factory factory;
  /// Lets it start jobs, once the daemon is sure to serve.
  std::function<void()> begin = [] {};
  /// Ends calls that are under way and lets none begin: before the workers are waited for.
  std::function<void()> stop = [] {};
  /// Who sees jobs start and end; null: nobody.
  std::shared_ptr<adapters::job_watcher> watcher = {};
};

/// What a section says for keys that the cluster itself leaves out.
struct section_pace {
  milliseconds poll_interval{0};
  std::optional<milliseconds> connection_timeout;  ///< absent: the section has no such key
  std::optional<int> max_retries;                  ///< absent: the section has no such key
};

/// A secret of a section, by the key that it would have.
struct held_secret {
  std::string key;
  const secret* value = nullptr;
};

/// A file of this machine that the cluster needs.
struct needed_file {
  std::string key;  ///< that names it: "slurm.conf_file"
  std::string path;
  bool is_program = false;
};

/// A directory of this machine that the cluster has for itself.
struct own_directory {
  std::string key;
  std::string path;
};

/// The one scheduler that the configuration asks for by its name.
struct named_scheduler {
  std::string key;    ///< "slurm.cluster_name"
  std::string among;  ///< "Slurm": what bears such names
  std::string name;   ///< empty: whichever answers
};

/// Where jobs leave what is read of them later, beside what the scheduler tells.
struct records_place {
  std::string key;   ///< "slurm.job_directory"
  std::string what;  ///< its name, the same only for the same place; empty: there is none
};

/// What a kind does not name is what most need: nothing. A cluster that a function gets is of this
/// kind. None changes what is outside of the process but `open`.
struct scheduler_kind {
  std::string_view name;  ///< as scheduler_type, and of its section
  const char* doc = "";   ///< of the section

  // The section's keys.
  scheduler_section (*defaults)() = nullptr;
  void (*describe)(section& into, scheduler_sections& values) = nullptr;
  const char* poll_key = "job_poll_interval";
  section_pace (*pace)(const scheduler_sections& values) = nullptr;

  // Its secrets.
  std::span<const char* const> variables = {};  ///< of the environment, that secrets come from
  /// Reads them, from files too. `path` is that of the section.
  void (*fetch)(scheduler_sections& values, const std::string& path, secret_reader& from) =
      [](scheduler_sections&, const std::string&, secret_reader&) {};
  std::vector<held_secret> (*secrets)(const scheduler_sections& values) =
      [](const scheduler_sections&) { return std::vector<held_secret>{}; };
  /// Paths, some empty, of files that nobody else may read; also of a section that is not in use.
  std::vector<std::string> (*secret_files)(const scheduler_sections& values) =
      [](const scheduler_sections&) { return std::vector<std::string>{}; };

  // What a start needs of this machine.
  /// What would keep the cluster from being opened, as far as files of this machine tell. Reads
  /// them, changes nothing.
  std::vector<error> (*check)(const cluster_config& cluster) =
      [](const cluster_config&) { return std::vector<error>{}; };
  /// A sentence about a setting that works and is dangerous; nothing where `check` refuses.
  std::optional<std::string> (*warning)(const cluster_config& cluster) =
      [](const cluster_config&) { return std::optional<std::string>{}; };
  /// A sentence about what may become a trouble, for --check-config and the log of a start.
  std::optional<std::string> (*advice)(const cluster_config& cluster,
                                       const std::string& state_directory) =
      [](const cluster_config&, const std::string&) { return std::optional<std::string>{}; };
  std::vector<needed_file> (*files)(const cluster_config& cluster) =
      [](const cluster_config&) { return std::vector<needed_file>{}; };
  std::optional<own_directory> (*directory)(const cluster_config& cluster) =
      [](const cluster_config&) { return std::optional<own_directory>{}; };
  /// Names the accounts of this machine that jobs run as, where it is not that of ved.
  void (*distrust)(const cluster_config& cluster, adapters::place_trust& into) =
      [](const cluster_config&, adapters::place_trust&) {};
  bool uses_supervisor = false;  ///< jobs run below ved-job-supervisor

  // How its link may ask.
  /// It is a part of this process: nobody else pays for asking it.
  bool in_process = false;
  /// Changes what came of the cluster's own keys.
  void (*limit)(core::link::limits& link) = [](core::link::limits&) {};
  /// The same for the rules of its jobs.
  void (*rule)(core::job::policy& jobs, const cluster_config& cluster) =
      [](core::job::policy&, const cluster_config&) {};
  named_scheduler (*named)(const cluster_config& cluster) =
      [](const cluster_config&) { return named_scheduler{}; };
  records_place (*place)(const cluster_config& cluster) =
      [](const cluster_config&) { return records_place{}; };

  /// Opens the scheduler of a cluster whose jobs `known` tells of. Null: this version has no
  /// adapter for it.
  result<opened_cluster> (*open)(const cluster_config& cluster, const remembered_cluster& known,
                                 const cluster_environment& around) = nullptr;
};

/// All of them, in the order of the documentation.
std::span<const scheduler_kind* const> scheduler_kinds() noexcept;
/// Null: none bears the name.
const scheduler_kind* find_scheduler_kind(std::string_view name) noexcept;
/// "local, slurm, moab, ood", with other words before the last name.
std::string scheduler_kind_names(std::string_view before_last = ", ");

}  // namespace ved::runtime
