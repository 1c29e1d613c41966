#pragma once

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

#include "tools/vectl/channel.hpp"
#include "tools/vectl/exit_code.hpp"
#include "tools/vectl/text.hpp"

namespace vectl {

/// What a command works with. Tests give a scripted channel, string streams and a fake clock.
struct context {
  global_options global;
  channel* requests = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  std::istream* in = nullptr;
  style look;  ///< of `out`
  std::string user;
  std::function<ved::time_point()> now;
  std::function<void(ved::milliseconds)> sleep;
  std::function<bool()> interrupted;  ///< Ctrl-C was pressed

  /// Sends the request. When there is no good reply, says so on `err` and sets `failure`.
  std::optional<ved::pb::ApiReply> ask(ved::pb::ApiRequest request);
  /// The same for loops that outlive a restart of the daemon: once something was answered, tries
  /// again for a while when it cannot be reached, and says so once.
  std::optional<ved::pb::ApiReply> ask_patiently(const ved::pb::ApiRequest& request);
  exit_code failure = exit_code::ok;

  /// Prints the message as JSON, indented, or as one line of a stream of JSON lines.
  void print_json(const google::protobuf::Message& message, bool one_line = false);
  /// Reports a failure on `err` in the form asked for.
  exit_code report(const ved::error& problem);
  exit_code report(const ved::pb::Error& problem);

 private:
  bool answered_ = false;
};

}  // namespace vectl
