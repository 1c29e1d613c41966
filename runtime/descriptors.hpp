#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/config/config.hpp"

/// The process's limit of open files (getrlimit(2), RLIMIT_NOFILE) and what HTTP may take of it.
namespace ved::runtime {

/// Kept from HTTP connections: the event log's files (512), the gateway's connections, connections
/// to schedulers, files of jobs, log and audit file, /health and metrics.
inline constexpr std::uint64_t descriptors_reserved = 1'024;

std::uint64_t descriptor_limit();
std::uint64_t hard_descriptor_limit();

/// What it was when the process began: for programs of others, some of which use select(2), which
/// knows no descriptor above 1,023.
std::uint64_t first_descriptor_limit();

/// Raises the limit to its hard bound; what it is then.
std::uint64_t raise_descriptor_limit();

/// `wanted`, or how many connections leave the reserve alone: never less than a quarter of all
/// descriptors, and at least 8.
int connections_that_fit(std::uint64_t descriptors, int wanted);

/// What to tell when http.connections_max does not fit.
std::optional<std::string> too_many_connections(std::uint64_t descriptors, const http_config& http);

}  // namespace ved::runtime
