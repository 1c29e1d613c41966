#pragma once

#include <cstdint>
#include <string>

#include "messages/api.pb.h"

/// Server-Sent Events (WHATWG HTML, 9.2) of one job, as text. The id of an event is its version in
/// the job's stream, so that Last-Event-ID says where to go on.
namespace ved::runtime::http {

/// What a client of a job's events has got so far.
class sse_cursor {
 public:
  explicit sse_cursor(std::uint64_t after_version) : after_version_(after_version) {}

  std::uint64_t after_version() const { return after_version_; }
  /// The terminal event has been turned into text: nothing follows.
  bool finished() const { return finished_; }

  /// The events as text; those that the client already has are left out.
  std::string take(const pb::EventList& events);

 private:
  std::uint64_t after_version_;
  bool finished_ = false;
};

/// First bytes of a stream: how soon to come back after a cut.
std::string sse_greeting();

/// A comment that keeps proxies from closing a quiet connection.
std::string sse_comment(std::string_view text);

/// One HTTP/1.1 chunk around the text; an empty text makes the last chunk.
std::string chunk(std::string_view text);

}  // namespace ved::runtime::http
