#pragma once

#include <google/protobuf/message.h>

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "messages/api.pb.h"

/// JSON form of the protobuf messages, the same for HTTP and `vectl -o json`:
/// snake_case names; numbers as numbers (also 64 bit); enum values in lower case without their
/// prefix ("running"); `x_at_us` as "x_at" in RFC 3339, null when zero; bytes as lower-case hex
/// (OutputChunk.data: text, invalid UTF-8 replaced); repeated EnvironmentVariable as an object;
/// the envelope's event as "type" ("job_submitted") and "data".
namespace ved {

constexpr std::size_t json_bytes_max = 8 << 20;  ///< longest text that from_json reads
constexpr std::size_t json_depth_max = 16;       ///< deepest nesting that from_json reads
constexpr std::size_t json_problems_max = 100;   ///< from_json stops looking after so many

/// All fields are present, also empty ones; unset sub-messages are null.
nlohmann::json to_json(const google::protobuf::Message& message);

/// The same as compact text.
std::string to_json_text(const google::protobuf::Message& message);

/// Reads strictly: unknown keys, wrong types, numbers out of range, invalid UTF-8, duplicate keys
/// and control characters in strings (but tab, newline and carriage return, which scripts hold)
/// are problems, each with its path ("workload_spec.steps[2].command"). All problems are returned
/// at once; empty means `out` is filled, else `out` is cleared. A problem of the text as a whole
/// (not JSON, too long, too deep) has an empty path. Absent fields keep their defaults; null
/// stands for an unset sub-message or time.
std::vector<pb::Problem> from_json(std::string_view text, google::protobuf::Message& out);

}  // namespace ved
