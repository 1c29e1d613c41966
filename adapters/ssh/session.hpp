#pragma once

#include <libssh2.h>

#include <cstdint>
#include <functional>
#include <string>

#include "adapters/ssh/keys.hpp"
#include "adapters/ssh/socket.hpp"

namespace ved::adapters::ssh {

/// One libssh2 session over one socket; used by one thread.
///
/// libssh2 writes into a buffer of ours that `flush` empties: a half-written packet never blocks
/// another channel, nothing leaves after `abort`, and it is known what reached the peer.
class session {
 public:
  explicit session(unique_fd socket);
  session(const session&) = delete;
  session& operator=(const session&) = delete;
  ~session();

  /// Null when libssh2 had no memory for it.
  LIBSSH2_SESSION* raw() const noexcept { return raw_; }
  int fd() const noexcept { return socket_.get(); }

  /// One step of the set-up, in libssh2's blocking mode: where libssh2 reads, `patience` waits.
  /// The answer of `call`, or `unavailable` when `until` passes or the connection breaks. `what`:
  /// "handshake".
  result<int> complete(const std::string& what, const std::function<int()>& call, waiter& patience,
                       steady::time_point until);
  /// libssh2's words for its last error.
  std::string last_error() const;
  /// The host's key; after the handshake.
  public_key host_key() const;

  /// The socket is ready for reading: libssh2 may look at it again.
  void allow_reading() noexcept { may_read_ = true; }
  /// Sends what is buffered, as far as the socket takes it.
  void flush();
  std::size_t backlog() const noexcept { return out_.size() - sent_of_out_; }

  /// Positions in the stream of bytes to the peer: of all that libssh2 wrote, of what was handed
  /// to the kernel, and of what the peer's kernel has acknowledged.
  std::uint64_t written() const noexcept { return written_; }
  std::uint64_t sent() const noexcept { return written_ - backlog(); }
  std::uint64_t acknowledged() const;
  std::uint64_t received() const noexcept { return received_; }
  steady::time_point last_received() const noexcept { return last_received_; }

  bool broken() const noexcept { return !why_broken_.empty(); }
  const std::string& why_broken() const noexcept { return why_broken_; }
  /// Marks it broken; the first reason stays.
  void break_off(const std::string& why);
  /// The same, and the peer gets nothing more, not even what the kernel still holds.
  void abort(const std::string& why);
  /// Says good-bye, as far as that goes without waiting.
  void close();

 private:
  bool wait_patiently();
  static ssize_t on_send(int fd, const void* bytes, std::size_t size, int flags, void** self);
  static ssize_t on_receive(int fd, void* to, std::size_t size, int flags, void** self);

  unique_fd socket_;
  LIBSSH2_SESSION* raw_ = nullptr;
  std::string out_;
  std::size_t sent_of_out_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t received_ = 0;
  steady::time_point last_received_ = steady::now();
  bool may_read_ = true;
  waiter* patience_ = nullptr;  ///< during the set-up
  steady::time_point patient_until_;
  std::string why_broken_;
};

}  // namespace ved::adapters::ssh
