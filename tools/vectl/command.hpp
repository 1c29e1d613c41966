#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "messages/time.hpp"

/// What the user asked for, as plain values: the command line is parsed in cli*.cpp and carried
/// out in run*.cpp, and neither knows the other.
namespace vectl {

struct global_options {
  std::string config_dir;  ///< empty: looked for
  std::string address;     ///< empty: the client directory's
  std::string state;       ///< a state directory to read directly; empty: none
  bool json = false;
  bool no_color = false;
  ved::milliseconds timeout{10'000};
  bool timeout_given = false;
};

struct job_submit {
  std::string file;  ///< JSON spec; "-" is standard input; empty: a job of `command`
  std::string name;
  std::string cluster;
  std::string queue;
  std::string directory;
  int nodes = 1;
  int cpus = 1;
  int memory_gb = 1;
  int gpus = 0;
  int priority = 0;
  ved::seconds time{3600};
  std::vector<std::string> environment;  ///< NAME=VALUE
  std::vector<std::string> command;      ///< program and arguments
  bool wait = false;
};
struct job_list {
  std::string state;  ///< a word of the API, or empty
  std::string cluster;
  std::string customer;
  std::int64_t since_us = 0;
  int limit = 1'000;
  bool ids = false;  ///< ids only, one per line
};
struct job_show {
  std::string id;
};
struct job_watch {
  std::string id;
};
struct job_events {
  std::string id;
  bool follow = false;
};
struct job_explain {
  std::string id;
  std::int64_t at_us = 0;
};
struct job_output {
  std::string id;
  bool standard_error = false;
  bool follow = false;
};
struct job_cancel {
  std::string id;
  std::string reason;
  bool give_up = false;
};
struct job_hold {
  std::string id;
  std::string reason;
};
struct job_release {
  std::string id;
  std::string reason;
};
struct cluster_list {};
struct cluster_show {
  std::string id;
};
struct health_check {
  std::string cluster;
};
struct status {};
struct log_verify {
  std::string log; /* empty: all */
};
struct log_stats {};
struct log_dump {
  std::string log; /* empty: all, one after the other */
  std::uint64_t after = 0;
  std::int64_t limit = 0; /* 0: all */
};
struct log_events {
  std::string after;  ///< a position, "latest", or empty: from the first event
  std::string cluster;
  bool follow = false;
};
struct log_rebuild {
  std::string log; /* empty: all */
};
struct log_backup {
  std::string directory;
};
struct log_restore {
  std::string directory;
  std::string log; /* empty: all of the backup */
  bool force = false;
  bool incomplete = false;
};
struct config_show {
  std::string file; /* empty: the daemon's */
};
struct config_reload {};

using command = std::variant<job_submit, job_list, job_show, job_watch, job_events, job_explain,
                             job_output, job_cancel, job_hold, job_release, cluster_list,
                             cluster_show, health_check, status, log_verify, log_stats, log_dump,
                             log_events, log_rebuild, log_backup, log_restore, config_show,
                             config_reload>;

struct invocation {
  global_options global;
  command what = status{};
};

/// Jobs that one `job list` prints at most, over all pages.
inline constexpr int list_jobs_max = 100'000;

}  // namespace vectl
