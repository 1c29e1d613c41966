#include "adapters/ssh/channel.hpp"

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <utility>

namespace ved::adapters::ssh {
namespace {

constexpr std::size_t input_backlog_max = 256 * 1024;
constexpr std::size_t input_piece_max = 32 * 1024;
/// How long one channel may read while others wait for their turn.
constexpr int read_rounds_max = 32;

/// RFC 4254, section 6.10: names without "SIG". Unknown ones count as TERM: it did not end well.
int signal_number(const std::string& name) {
  for (int number = 1; number < 32; ++number) {
    const char* known = ::sigabbrev_np(number);
    if (known != nullptr && name == known) return number;
  }
  return SIGTERM;
}

}  // namespace

command_channel::~command_channel() {
  // Without an answer of the server this frees what we hold; the session frees the rest.
  if (channel_ != nullptr) ::libssh2_channel_free(channel_);
}

steady::time_point command_channel::until() const noexcept {
  return has_command() ? request_->until() : steady::time_point::max();
}

void command_channel::start(std::shared_ptr<request> what) {
  request_ = std::move(what);
  phase_ = phase::starting;
  wire_begin_ = session_.written();
}

bool command_channel::step(steady::time_point now) {
  if (has_command() && (now >= request_->until() || request_->is_cancelled())) {
    cut(request_->is_cancelled() ? "no longer needed"
        : request_->is_kept()    ? "the command wrote nothing for too long, or its time was over"
                                 : "the command had not ended at its deadline");
    return true;
  }
  switch (phase_) {
    case phase::ready: return step_ready();
    case phase::starting: return step_starting();
    case phase::running: return step_running();
    case phase::closing: return step_closing();
    case phase::closed: break;
  }
  return false;
}

/// Reading from the spare channel is what makes libssh2 answer the server's own keep-alives.
bool command_channel::step_ready() {
  std::array<char, 64> nothing;
  const auto n = ::libssh2_channel_read_ex(channel_, 0, nothing.data(), nothing.size());
  if (n == LIBSSH2_ERROR_EAGAIN) return false;
  phase_ = phase::closing;
  return true;
}

bool command_channel::step_starting() {
  const auto& line = request_->what().line;
  const int rc = ::libssh2_channel_process_startup(channel_, "exec", 4, line.data(),
                                                   static_cast<unsigned>(line.size()));
  wire_end_ = std::max(wire_end_, session_.written());
  if (rc == LIBSSH2_ERROR_EAGAIN || session_.broken()) return false;
  if (rc == 0) {
    phase_ = phase::running;
  } else if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED) {
    answer(command_not_started{place_ + ": the server refuses to run commands"}, phase::closing);
  } else {
    cut("starting the command: " + session_.last_error());
  }
  return true;
}

bool command_channel::step_running() {
  bool progress = write_input();
  for (const int stream : {0, SSH_EXTENDED_DATA_STDERR})
    progress = read(stream, stream == 0 ? out_ : err_) || progress;
  if (unwanted_) {
    cut("no more of its output is wanted");
    return true;
  }
  const auto most = request_->what().output_bytes_max;
  if (std::max(out_.size(), err_.size()) > most) {
    out_.resize(std::min(out_.size(), most));
    err_.resize(std::min(err_.size(), most));
    cut("the command wrote more than " + std::to_string(most) + " bytes");
    return true;
  }
  return finish() || progress;
}

bool command_channel::step_closing() {
  if (::libssh2_channel_close(channel_) == LIBSSH2_ERROR_EAGAIN) return false;
  ::libssh2_channel_free(channel_);
  channel_ = nullptr;
  phase_ = phase::closed;
  return true;
}

bool command_channel::read(int stream, std::string& into) {
  std::array<char, 32 * 1024> buffer;
  bool progress = false;
  for (int round = 0; round < read_rounds_max; ++round) {
    const auto n = ::libssh2_channel_read_ex(channel_, stream, buffer.data(), buffer.size());
    if (n <= 0) break;
    progress = true;
    if (!take(stream, {buffer.data(), static_cast<std::size_t>(n)}, into)) break;
    if (into.size() > request_->what().output_bytes_max) break;
  }
  return progress;
}

/// False: no more is wanted.
bool command_channel::take(int stream, std::string_view piece, std::string& into) {
  if (!request_->is_kept() || stream != 0) {
    into.append(piece);
    return true;
  }
  unwanted_ = !request_->read(piece);
  return !unwanted_;
}

bool command_channel::write_input() {
  const auto& input = request_->what().input;
  bool progress = false;
  while (input_done_ < input.size() && session_.backlog() < input_backlog_max) {
    const auto piece = std::min(input.size() - input_done_, input_piece_max);
    const auto n = ::libssh2_channel_write_ex(channel_, 0, input.data() + input_done_, piece);
    if (n <= 0) break;
    input_done_ += static_cast<std::size_t>(n);
    wire_end_ = session_.written();
    progress = true;
  }
  if (input_done_ == input.size() && !input_ended_ &&
      ::libssh2_channel_send_eof(channel_) != LIBSSH2_ERROR_EAGAIN) {
    input_ended_ = true;
    wire_end_ = session_.written();
    progress = true;
  }
  return progress;
}

bool command_channel::finish() {
  if (::libssh2_channel_eof(channel_) != 1 || ::libssh2_channel_wait_closed(channel_) != 0)
    return false;
  command_finished ended;
  char* name = nullptr;
  std::size_t size = 0;
  ::libssh2_channel_get_exit_signal(channel_, &name, &size, nullptr, nullptr, nullptr, nullptr);
  if (name != nullptr) {
    ended.signal = signal_number({name, size});
    ::libssh2_free(session_.raw(), name);
  } else {
    ended.exit_code = ::libssh2_channel_get_exit_status(channel_);
  }
  ended.out = std::move(out_);
  ended.err = std::move(err_);
  answer(std::move(ended), phase::closing);
  return true;
}

void command_channel::cut(const std::string& why) {
  // What the peer has not acknowledged may still arrive after we said that the command is over;
  // only a reset takes it back.
  const bool on_the_way = !request_->is_kept() && session_.acknowledged() < wire_end_;
  answer(interrupted(why), phase::closing);
  if (on_the_way) session_.abort("reset, as a command's input was on its way at its deadline");
}

void command_channel::lost(const std::string& why) {
  if (!has_command()) return;
  const bool was_sent = wire_end_ > wire_begin_ && session_.sent() > wire_begin_;
  if (was_sent)
    answer(interrupted(why), phase::closing);
  else
    answer(command_not_started{place_ + ": " + why}, phase::closing);
}

command_outcome command_channel::interrupted(const std::string& why) {
  return command_interrupted{place_ + ": " + why, std::move(out_), std::move(err_)};
}

void command_channel::answer(command_outcome outcome, phase next) {
  phase_ = next;
  request_->answer(std::move(outcome));
  request_.reset();
}

}  // namespace ved::adapters::ssh
