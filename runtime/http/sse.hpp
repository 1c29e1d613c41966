#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "messages/api.pb.h"

/// Server-Sent Events (WHATWG HTML, 9.2) as text. The id of an event is what `Last-Event-ID` and
/// the parameter `after` take: its version among the events of one job, its position among those of
/// all logs.
namespace ved::runtime::http {

/// What a client of a stream of events has got so far.
class sse_cursor {
 public:
  /// `question`: the operation that the client asked for, from where it goes on.
  explicit sse_cursor(pb::ApiRequest question) : next_(std::move(question)) {}

  /// Asks for at most `limit` more events; without who asks.
  pb::ApiRequest question(std::int32_t limit) const;
  /// The stream of the log whose commits bring news; none: every commit does.
  std::optional<std::string> stream() const;

  /// The events of an answer as text; those that the client already has are left out. None: the
  /// answer is no events.
  std::optional<std::string> take(const pb::ApiReply& answer);
  /// Text that tells a client where to go on though no event came; empty: not needed.
  std::string mark() const;
  /// The last answer was not all that there is, and brought the cursor forward.
  bool has_more() const { return more_; }
  /// The terminal event of a job has been turned into text: nothing follows.
  bool finished() const { return finished_; }
  /// The version behind which a job's events are asked for; none: it is not one job's stream.
  std::optional<std::uint64_t> version() const;

 private:
  pb::ApiRequest next_;
  std::vector<std::string> missing_logs_;  ///< as the client was told
  bool more_ = false;
  bool finished_ = false;
};

/// First bytes of a stream: how soon to come back after a cut.
std::string sse_greeting();

/// A comment that keeps proxies from closing a quiet connection.
std::string sse_comment(std::string_view text);

/// One HTTP/1.1 chunk around the text; an empty text makes the last chunk.
std::string chunk(std::string_view text);

}  // namespace ved::runtime::http
