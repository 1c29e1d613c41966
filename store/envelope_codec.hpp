#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "messages/error.hpp"
#include "messages/event.pb.h"

/// Stored bytes of the log and back.
namespace ved::store {

/// Appends the deterministic serialization to `out`: equal messages give equal bytes.
void encode(const google::protobuf::MessageLite& message, std::string& out);

/// The event stored at `position`; errc::corrupt names the position.
result<pb::Envelope> decode_envelope(std::uint64_t position, std::string_view bytes);

/// errc::corrupt names the stream.
result<pb::StoredState> decode_state(std::string_view stream, std::string_view bytes);

/// Bytes that come from a broken log, fit for a message: control characters replaced, bounded.
std::string printable(std::string_view bytes);

}  // namespace ved::store
