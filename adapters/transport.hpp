#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>

/// The transport port: runs one command where a scheduler's tools are, on this machine or through
/// ssh. It retries nothing, and it tells apart what surely did not run from what may have run.
namespace ved::adapters {

/// A command for the account's login shell, and what it reads from standard input.
struct remote_command {
  /// Fixed text of ours: values from outside travel in `input`, never here.
  std::string line;
  std::string input;
  std::size_t output_bytes_max = 64u << 20;  ///< of stdout and stderr each; beyond: interrupted
};

/// It ran to its end. `signal`: what ended it, else 0.
struct command_finished {
  int exit_code = 0;
  int signal = 0;
  std::string out;
  std::string err;
};
/// It surely never started.
struct command_not_started {
  std::string reason;
  bool denied = false;  ///< the host was reached, but who we or it are was not accepted
  bool away = false;    ///< a kept command: there is no connection now
};
/// It started, or may have; how far it came is not known beyond the output that arrived.
struct command_interrupted {
  std::string reason;
  std::string out;
  std::string err;
};
using command_outcome = std::variant<command_finished, command_not_started, command_interrupted>;

/// How a command is kept that goes on for long, and whose output is read while it runs.
struct kept_command {
  remote_command what;
  /// Gets standard output as it comes, in pieces of any size; must not block. False: no more is
  /// wanted, and the command is ended.
  std::function<bool(std::string_view piece)> read;
  /// One that writes nothing for so long is ended.
  std::chrono::milliseconds silence_max{30'000};
};

/// Thread-safe: several workers share one transport of a cluster.
class transport {
 public:
  using deadline = std::chrono::steady_clock::time_point;

  virtual ~transport() = default;

  /// Blocks until the command ended or `until` passed. Then the command's processes are ended as
  /// far as they can be reached, and nothing of the input is delivered any more.
  virtual command_outcome run(const remote_command& what, deadline until) = 0;
  /// The same of a kept command; its standard output is not in the outcome. It takes nothing from
  /// the others: it makes no connection, and where too few commands run at once it is not started.
  virtual command_outcome keep(const kept_command& what, deadline until, std::stop_token stop) {
    (void)what, (void)until, (void)stop;
    return command_not_started{place() + ": no command is kept here"};
  }
  /// Ends what runs, as a deadline does, and starts nothing any more. Any thread, at once.
  virtual void stop() = 0;
  /// Where it runs, for messages: "ssh alice@login1:22", "this machine".
  virtual std::string place() const = 0;
};

}  // namespace ved::adapters
