#include "adapters/ssh/agent.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "adapters/ssh/wire.hpp"

namespace ved::adapters::ssh {
namespace {

// draft-miller-ssh-agent, section 5.1
constexpr char request_identities = 11;
constexpr char identities_answer = 12;
constexpr char sign_request = 13;
constexpr char sign_response = 14;
constexpr std::uint32_t message_bytes_max = 256 * 1024;

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool receive_all(int fd, char* to, std::size_t size) {
  while (size > 0) {
    const auto n = ::recv(fd, to, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    to += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

result<agent> agent::connect(const std::string& socket_path, milliseconds step_timeout) {
  const auto where = "ssh-agent " + shown_path(socket_path);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path)
    return fail(errc::invalid, where + ": the path is too long for a socket");
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  unique_fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  timeval limit{};
  limit.tv_sec = step_timeout.count() / 1'000;
  limit.tv_usec = step_timeout.count() % 1'000 * 1'000;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(errc::unavailable, where + ": cannot connect: " + errno_text(errno));
  return agent(std::move(fd), socket_path);
}

result<std::string> agent::ask(const std::string& message) {
  std::string framed;
  put_text(framed, message);
  std::string size_text(4, '\0');
  if (!send_all(fd_.get(), framed) || !receive_all(fd_.get(), size_text.data(), 4))
    return fail(errc::unavailable, "ssh-agent " + shown_path(path_) + ": does not answer");
  std::string_view view(size_text);
  const auto size = take_u32(view).value_or(0);
  if (size == 0 || size > message_bytes_max)
    return fail(errc::unavailable, "ssh-agent " + shown_path(path_) + ": answers with nonsense");
  std::string answer(size, '\0');
  if (!receive_all(fd_.get(), answer.data(), size))
    return fail(errc::unavailable, "ssh-agent " + shown_path(path_) + ": stopped in mid-answer");
  return answer;
}

result<std::vector<public_key>> agent::list() {
  auto answer = ask(std::string(1, request_identities));
  if (!answer) return fail(answer.error());
  std::string_view rest(*answer);
  if (rest.front() != identities_answer)
    return fail(errc::denied, "ssh-agent " + shown_path(path_) + ": shows no keys");
  rest.remove_prefix(1);
  const auto count = take_u32(rest).value_or(0);
  std::vector<public_key> out;
  for (std::uint32_t i = 0; i < count && out.size() < agent_keys_max; ++i) {
    const auto blob = take_text(rest);
    const auto comment = take_text(rest);
    if (!blob || !comment) break;
    auto key = public_key_of(*blob);
    if (key && is_usable(key->type)) out.push_back(*std::move(key));
  }
  return out;
}

result<std::string> agent::sign(const public_key& key, std::string_view data) {
  std::string message(1, sign_request);
  put_text(message, key.blob);
  put_text(message, data);
  put_u32(message, 0);
  auto answer = ask(message);
  if (!answer) return fail(answer.error());
  std::string_view rest(*answer);
  const bool signed_it = rest.front() == sign_response;
  rest.remove_prefix(1);
  auto outer = take_text(rest);
  if (!signed_it || !outer)
    return fail(errc::denied, "ssh-agent " + shown_path(path_) + ": does not sign with " +
                                  fingerprint(key));
  const auto algorithm = take_text(*outer);
  const auto signature = take_text(*outer);
  if (!algorithm || !signature)
    return fail(errc::unavailable, "ssh-agent " + shown_path(path_) + ": answers with nonsense");
  return std::string(*signature);
}

}  // namespace ved::adapters::ssh
