#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/local/moments.hpp"
#include "messages/job.pb.h"
#include "messages/local_job.pb.h"

/// Whether what a supervisor wrote into its job's files can be of one: where jobs run as the user
/// of `ved`, they write there too. A text within these bounds may still be a job's own; it then
/// harms only what is told of that job.
///
///     exit           a final state, an end and a use that are possible: otherwise it is damaged
///     status         RUNNING or SUSPENDED and a start that is possible: otherwise it is not read
///     supervisor     GPUs of this cluster, each once, as many as the job asks for: the others are
///                    nobody's
///     spec           an id that can have been given away and is no other's, and resources that are
///                    not negative
///     claim, cancel  a token, and a text of so many bytes
namespace ved::adapters::local {

/// So a supervisor begins the reason of a job that waits for room to start a step.
inline constexpr std::string_view waits_for_room = "waits: ";

/// What is known of a job by others than itself.
struct told_bounds {
  int cpus = 1;
  std::int64_t memory_mb = 0;
  int gpus = 0;
  time_point submitted;
  clock_anchor now;
  std::string boot_id;
  seconds limit{0};  ///< of its time; 0: none
};

/// Why the text of an `exit` file is no end of that job; nothing: it may be.
std::optional<std::string> problem_of_end(const pb::LocalJobStatus& end, const told_bounds& known);

/// The same of the `status` of one that runs.
std::optional<std::string> problem_of_running(const pb::LocalJobStatus& status,
                                              const told_bounds& known);

/// The same of a `spec`.
std::optional<std::string> problem_of_job(const pb::LocalJob& job);

/// Those of a job's GPUs that there are, each once.
std::vector<int> possible_gpus(const pb::LocalSupervisor& supervisor, int asked, int all);

/// By how much the limit of a job was put off that waited, or waits, for room; so its supervisor
/// told last.
microseconds put_off(const pb::LocalJobStatus& status, seconds limit);

/// Whether the times are told with those of this boot's clock, which nobody set.
bool is_of_this_boot(const pb::LocalJobStatus& status, const told_bounds& known);

}  // namespace ved::adapters::local
