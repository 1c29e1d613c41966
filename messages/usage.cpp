#include "messages/usage.hpp"

#include <algorithm>

namespace ved::pb {

void add_usage(JobUsage& to, const JobUsage& more) {
  if (more.has_wall_clock_seconds())
    to.set_wall_clock_seconds(to.wall_clock_seconds() + more.wall_clock_seconds());
  if (more.has_cpu_time_us()) to.set_cpu_time_us(to.cpu_time_us() + more.cpu_time_us());
  if (more.has_memory_bytes_max())
    to.set_memory_bytes_max(std::max(to.memory_bytes_max(), more.memory_bytes_max()));
  if (more.has_nodes_used()) to.set_nodes_used(std::max(to.nodes_used(), more.nodes_used()));
  if (more.has_cpu_cores()) to.set_cpu_cores(std::max(to.cpu_cores(), more.cpu_cores()));
  if (more.has_gpus()) to.set_gpus(std::max(to.gpus(), more.gpus()));
  if (more.has_memory_bytes_allocated())
    to.set_memory_bytes_allocated(
        std::max(to.memory_bytes_allocated(), more.memory_bytes_allocated()));
}

}  // namespace ved::pb
