#include "runtime/schedulers/ssh.hpp"

#include <algorithm>
#include <optional>

#include "runtime/config/schema.hpp"

namespace ved::runtime {
namespace {

constexpr double hour = 3'600'000;
constexpr double day = 24 * hour;

/// A login name as the host knows it: also a domain's, "DOM\\alice" or "alice@realm".
std::optional<std::string> is_login(const std::string& text) {
  constexpr std::size_t bytes_max = 256;
  if (text.size() <= bytes_max && !text.starts_with('-') &&
      std::none_of(text.begin(), text.end(),
                   [](unsigned char c) { return c <= 0x20 || c == 0x7f; }))
    return std::nullopt;
  return "a login name without blanks, not starting with '-'";
}

}  // namespace

void describe_ssh(section& into, ssh_config& c) {
  auto& s = into.open("ssh", "Where the commands run; an empty host: on this machine.");
  s.add("host", &c.host, "Login or controller node.");
  s.add("port", &c.port, "Its ssh port.").range(1, 65'535);
  s.add("user", &c.user, "Empty: the daemon's own.").formed(is_login);
  s.add("key_file", &c.key_file, "Private key (ed25519 or ecdsa), mode 0600. Empty: an agent's.")
      .formed(is_absolute_path);
  s.add("passphrase_file", &c.passphrase_file, "Of the key's passphrase, mode 0600.")
      .formed(is_absolute_path);
  s.add("identity_agent", &c.identity_agent, "Socket of an ssh agent. Empty: SSH_AUTH_SOCK.")
      .formed(is_absolute_path);
  s.add("timeout", &c.timeout, "For connecting.").range(100, hour);
  s.add("keepalive", &c.keepalive, "Between two signs of life; 0s: none.").range(0, hour);
  s.add("pool_size", &c.channels_max, "Commands at the same time, over the one connection.")
      .range(1, 64);
  s.add("pool_idle_timeout", &c.idle_timeout, "Unused for longer: closed; 0s: never.")
      .range(0, day);
  s.add("host_key_callback", &c.host_key_callback, "How the host's key is checked.")
      .one_of({"known_hosts", "pinned", "insecure"});
  s.add("known_hosts_path", &c.known_hosts_path, "Empty: ~/.ssh/known_hosts.")
      .formed(is_absolute_path);
  s.add("host_public_key", &c.host_public_key, "The pinned key, as in known_hosts.");
}

adapters::ssh_options ssh_options_of(const ssh_config& from) {
  adapters::ssh_options to = from;
  to.host_keys = from.host_key_callback == "pinned"     ? adapters::host_key_policy::pinned
                 : from.host_key_callback == "insecure" ? adapters::host_key_policy::insecure
                                                        : adapters::host_key_policy::known_hosts;
  return to;
}

}  // namespace ved::runtime
