#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "adapters/ssh/keys.hpp"

namespace ved::adapters::ssh {

/// A key that a known_hosts file gives for a host.
struct known_key {
  public_key key;
  std::string where;     ///< "/home/ved/.ssh/known_hosts:3"
  bool revoked = false;    ///< @revoked: never to be accepted
  bool authority = false;  ///< @cert-authority: signs certificates of hosts, is none of a host
};

/// The keys of a host in the text of a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT):
/// plain and hashed names, lists, wildcards, negation, [host]:port, @cert-authority, @revoked.
/// Damaged lines are passed over. For another port than 22 the plain name counts when no line
/// names the port, as with OpenSSH. Pure.
std::vector<known_key> find_known(std::string_view text, const std::string& file,
                                  std::string_view host, int port);

}  // namespace ved::adapters::ssh
