#pragma once

#include <memory>
#include <string>

#include "adapters/ssh/request.hpp"
#include "adapters/ssh/session.hpp"

namespace ved::adapters::ssh {

/// One session channel: open and idle, then running one command, then closing. Owned by its
/// connection, whose thread alone touches it.
///
///     ready -> starting -> running -> closing -> closed
class command_channel {
 public:
  enum class phase { ready, starting, running, closing, closed };

  command_channel(session& in, LIBSSH2_CHANNEL* channel, std::string place)
      : session_(in), channel_(channel), place_(std::move(place)) {}
  command_channel(const command_channel&) = delete;
  command_channel& operator=(const command_channel&) = delete;
  ~command_channel();

  phase at() const noexcept { return phase_; }
  bool has_command() const noexcept {
    return phase_ == phase::starting || phase_ == phase::running;
  }
  /// It is one that is kept for long.
  bool is_kept() const noexcept { return has_command() && request_->is_kept(); }
  /// When its command has to be over; the end of time without one.
  steady::time_point until() const noexcept;

  /// Gives a ready channel its command.
  void start(std::shared_ptr<request> what);
  /// Does what can be done without waiting; true when something was.
  bool step(steady::time_point now);
  /// The connection is gone: answers the command.
  void lost(const std::string& why);

 private:
  bool step_ready();
  bool step_starting();
  bool step_running();
  bool step_closing();
  bool read(int stream, std::string& into);
  bool take(int stream, std::string_view piece, std::string& into);
  bool write_input();
  bool finish();
  /// Ends a command whose outcome nobody will know.
  void cut(const std::string& why);
  void answer(command_outcome outcome, phase next);
  command_outcome interrupted(const std::string& why);

  session& session_;
  LIBSSH2_CHANNEL* channel_;
  std::string place_;
  phase phase_ = phase::ready;
  std::shared_ptr<request> request_;
  std::uint64_t wire_begin_ = 0;  ///< positions of this command's bytes in the session's stream
  std::uint64_t wire_end_ = 0;
  std::size_t input_done_ = 0;
  bool input_ended_ = false;
  bool unwanted_ = false;  ///< who reads a kept command wants no more
  std::string out_;
  std::string err_;
};

}  // namespace ved::adapters::ssh
