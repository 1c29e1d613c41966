#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/api.pb.h"
#include "messages/job.pb.h"

/// What makes a job spec acceptable, and the form in which two specs are compared.
/// The required fields and their order are VirtEngine's (x/hpc HPCJob); the upper bounds, names
/// and paths, which VirtEngine leaves open, are ours.
namespace ved {

namespace spec_limits {
constexpr std::size_t id_bytes_max = 64;
constexpr std::size_t address_bytes_max = 101;  ///< prefix, "1" and 1..90 characters
constexpr std::size_t text_bytes_max = 256;     ///< escrow ids, checksums and the like
constexpr std::size_t path_bytes_max = 4096;    ///< paths, URIs, container images
/// The kernel's longest single argument (MAX_ARG_STRLEN) without its end.
constexpr std::size_t argument_bytes_max = 131071;
constexpr int arguments_max = 4096;  ///< per command
constexpr int steps_max = 256;
constexpr int variables_max = 1024;
constexpr std::size_t value_bytes_max = 65536;  ///< of one environment variable
constexpr int data_references_max = 256;
constexpr int coins_max = 16;
constexpr std::size_t spec_bytes_max = 1 << 20;  ///< of the whole spec, serialized
constexpr std::int32_t nodes_max = 100'000;
constexpr std::int32_t cpu_cores_max = 65'536;     ///< per node
constexpr std::int32_t memory_gb_max = 1'048'576;  ///< per node
constexpr std::int32_t gpus_max = 1'024;           ///< per node
constexpr std::int32_t storage_gb_max = 1 << 30;
constexpr std::int64_t runtime_seconds_min = 60;           ///< VirtEngine's rule
constexpr std::int64_t runtime_seconds_max = 315'360'000;  ///< ten years
constexpr std::int32_t priority_max = 1'000'000;           ///< also its negative
}  // namespace spec_limits

/// A name that is safe in paths, stream names and scheduler options: 1..64 of [A-Za-z0-9._-],
/// not starting with a dot or dash, without "..".
bool is_id(std::string_view text) noexcept;

/// An account address: "ve1" or "virtengine1" (the documented prefix) and 1..90 of [a-z0-9].
/// The bech32 checksum is not verified: the chain owns addresses, and marketplaces' test
/// addresses ("virtengine1provider") are not checksummed.
bool is_address(std::string_view text) noexcept;

/// Every reason why the spec cannot be accepted, in the order of VirtEngine's checks; empty when
/// it is fine. A job needs a container image, a command, steps or is_preconfigured. Without
/// `resources` a job gets one core on one node; without `max_runtime_seconds` it names no limit.
std::vector<pb::Problem> validate(const pb::JobSpec& spec);

/// The spec with its defaults filled in and its environment sorted by name.
pb::JobSpec canonical(pb::JobSpec spec);

/// BLAKE2b-256 (32 bytes) of the canonical spec: equal for specs that mean the same job.
std::string spec_hash(const pb::JobSpec& spec);

}  // namespace ved
