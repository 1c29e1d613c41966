#include "adapters/ssh/session.hpp"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <mutex>

namespace ved::adapters::ssh {
namespace {

/// Callers stop long before (command_channel's input_backlog_max); beyond it something is wrong.
constexpr std::size_t out_bytes_max = 16u << 20;

}  // namespace

session::session(unique_fd socket) : socket_(std::move(socket)) {
  static std::once_flag once;
  std::call_once(once, [] { ::libssh2_init(0); });
  raw_ = ::libssh2_session_init_ex(nullptr, nullptr, nullptr, this);
  if (raw_ == nullptr) {
    break_off("no memory for an ssh session");
    return;
  }
  ::libssh2_session_set_blocking(raw_, 0);
  ::libssh2_session_callback_set(raw_, LIBSSH2_CALLBACK_SEND,
                                 reinterpret_cast<void*>(&session::on_send));
  ::libssh2_session_callback_set(raw_, LIBSSH2_CALLBACK_RECV,
                                 reinterpret_cast<void*>(&session::on_receive));
}

session::~session() {
  if (raw_ == nullptr) return;
  // Freeing channels wants to talk to the peer; a broken session answers at once.
  break_off("closed");
  constexpr int tries_max = 64;
  for (int i = 0; i < tries_max && ::libssh2_session_free(raw_) == LIBSSH2_ERROR_EAGAIN; ++i) {
  }
}

ssize_t session::on_send(int, const void* bytes, std::size_t size, int, void** self) {
  auto& me = *static_cast<session*>(*self);
  if (me.broken()) return -ECONNRESET;
  if (me.backlog() + size > out_bytes_max) {
    me.abort("the server reads nothing");
    return -ECONNRESET;
  }
  me.out_.append(static_cast<const char*>(bytes), size);
  me.written_ += size;
  return static_cast<ssize_t>(size);
}

ssize_t session::on_receive(int, void* to, std::size_t size, int, void** self) {
  auto& me = *static_cast<session*>(*self);
  if (me.broken()) return 0;
  if (!me.may_read_ && me.patience_ == nullptr) return -EAGAIN;
  for (;;) {
    const auto n = ::recv(me.socket_.get(), to, size, MSG_DONTWAIT);
    if (n > 0) {
      me.received_ += static_cast<std::uint64_t>(n);
      me.last_received_ = steady::now();
      return n;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (me.patience_ != nullptr) {
        if (me.wait_patiently()) continue;
        return 0;
      }
      // Every channel asks; the kernel needs to be asked only once between two polls.
      me.may_read_ = false;
      return -EAGAIN;
    }
    me.break_off(n == 0 ? "the server closed the connection"
                        : "the connection broke: " + errno_text(errno));
    return 0;
  }
}

void session::flush() {
  while (!broken() && backlog() > 0) {
    const auto n =
        ::send(socket_.get(), out_.data() + sent_of_out_, backlog(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n < 0) {
      break_off("the connection broke: " + errno_text(errno));
      return;
    }
    sent_of_out_ += static_cast<std::size_t>(n);
  }
  if (backlog() == 0) {
    out_.clear();
    sent_of_out_ = 0;
  }
}

std::uint64_t session::acknowledged() const {
  int waiting = 0;
  if (!socket_ || ::ioctl(socket_.get(), SIOCOUTQ, &waiting) != 0 || waiting < 0) return 0;
  const auto in_kernel = static_cast<std::uint64_t>(waiting);
  return sent() > in_kernel ? sent() - in_kernel : 0;
}

result<int> session::complete(const std::string& what, const std::function<int()>& call,
                              waiter& patience, steady::time_point until) {
  patience_ = &patience;
  patient_until_ = until;
  ::libssh2_session_set_blocking(raw_, 1);
  const int rc = call();
  ::libssh2_session_set_blocking(raw_, 0);
  patience_ = nullptr;
  flush();
  if (broken()) return fail(errc::unavailable, what + ": " + why_broken_);
  return rc;
}

bool session::wait_patiently() {
  flush();
  const short events = backlog() > 0 ? POLLIN | POLLOUT : POLLIN;
  if (!broken() && !patience_->wait(fd(), events, patient_until_)) break_off("no answer in time");
  return !broken();
}

std::string session::last_error() const {
  char* text = nullptr;
  int size = 0;
  const int code = ::libssh2_session_last_error(raw_, &text, &size, 0);
  if (text == nullptr || size == 0) return "libssh2 error " + std::to_string(code);
  return std::string(text, static_cast<std::size_t>(size)) + " (libssh2 " + std::to_string(code) +
         ")";
}

public_key session::host_key() const {
  std::size_t size = 0;
  int type = 0;
  const char* bytes = ::libssh2_session_hostkey(raw_, &size, &type);
  if (bytes == nullptr) return {};
  return public_key_of({bytes, size}).value_or(public_key{});
}

void session::break_off(const std::string& why) {
  if (why_broken_.empty()) why_broken_ = why;
}

void session::abort(const std::string& why) {
  break_off(why);
  out_.clear();
  sent_of_out_ = 0;
  abort_socket(socket_);
}

void session::close() {
  if (broken() || raw_ == nullptr) return;
  ::libssh2_session_disconnect(raw_, "no longer needed");
  flush();
  break_off("closed");
}

}  // namespace ved::adapters::ssh
