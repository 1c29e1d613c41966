#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapters/ssh/channel.hpp"
#include "adapters/ssh/options.hpp"

namespace ved::adapters::ssh {

/// A logged-in session and its channels, at most channels_max at once, one of them open in advance.
/// Never blocks; one thread.
class connection {
 public:
  /// Takes the next command that waits; null when none does.
  using next_request = std::function<std::shared_ptr<request>()>;

  connection(std::unique_ptr<session> with, const ssh_options& options, std::string place);
  ~connection() { refuse_kept("the connection was closed"); }

  /// Everything that can be done now. `next_kept`: the same of commands that are kept; one at a
  /// time, and only where the server is seen to allow some others beside it.
  void turn(const next_request& next, const next_request& next_kept);
  /// What to poll the socket for, and until when at most.
  int fd() const noexcept { return session_->fd(); }
  short events() const noexcept;
  steady::time_point until() const;
  /// The poll said so.
  void on_readable() noexcept { session_->allow_reading(); }

  bool broken() const noexcept { return session_->broken(); }
  const std::string& why_broken() const noexcept { return session_->why_broken(); }
  /// Since when it has had nothing to do; the end of time while it has.
  steady::time_point idle_since() const noexcept { return idle_since_; }
  int commands() const;
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }
  std::uint64_t commands_begun() const noexcept { return commands_begun_; }

  /// Answers all commands, and takes back what is on the way to the server.
  void abort(const std::string& why);
  /// Says good-bye; only without commands.
  void close() { session_->close(); }

 private:
  bool give_work(const next_request& next, steady::time_point now);
  bool give_kept(const next_request& next, steady::time_point now);
  void refuse_kept(const std::string& why);
  std::size_t ready_channels() const;
  bool has_calls() const;
  bool open_next(steady::time_point now);
  void on_channel_refused(steady::time_point now);
  void on_no_channel(steady::time_point now);
  bool sweep();
  void keep_alive(steady::time_point now);
  void warn(std::string text);

  ssh_options options_;
  std::string place_;
  std::unique_ptr<session> session_;  ///< outlives the channels
  std::vector<std::unique_ptr<command_channel>> channels_;
  std::size_t channels_max_;
  std::size_t channels_seen_ = 0;  ///< the most that the server had open at once
  std::shared_ptr<request> kept_;     ///< waits until there are channels enough
  steady::time_point kept_since_;
  bool opening_ = false;
  steady::time_point opening_since_;
  steady::time_point open_after_;     ///< no try before
  steady::time_point useless_since_;  ///< no channel and no hope of one; zero: not so
  steady::time_point next_keepalive_;
  steady::time_point keepalive_sent_;
  int keepalives_unanswered_ = 0;
  steady::time_point idle_since_;
  std::vector<std::string> warnings_;
  std::uint64_t commands_begun_ = 0;
};

}  // namespace ved::adapters::ssh
