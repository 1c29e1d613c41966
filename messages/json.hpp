#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "messages/api.pb.h"

/// JSON form of the protobuf messages, the same for HTTP and `vectl -o json`:
/// snake_case names; numbers as numbers (also 64 bit); enum values in lower case without their
/// prefix ("running"); `x_at_us` as "x_at" in RFC 3339, null when zero; bytes as lower-case hex
/// (OutputChunk.data: text, invalid UTF-8 replaced); repeated EnvironmentVariable as an object;
/// the envelope's oneof as "type" (snake_case event name) and "data".
namespace ved {

/// All fields are present, also empty ones; unset sub-messages are null.
nlohmann::json to_json(const google::protobuf::Message& message);

/// Reads strictly: unknown keys, wrong types, numbers out of range, invalid UTF-8, duplicate keys
/// and control characters in strings are problems, each with its path. All problems are returned
/// at once; empty means `out` is filled.
std::vector<pb::Problem> from_json(std::string_view text, google::protobuf::Message& out);

}  // namespace ved
