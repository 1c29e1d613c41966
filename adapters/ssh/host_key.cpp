#include "adapters/ssh/host_key.hpp"

#include <algorithm>

#include "messages/secret.hpp"

namespace ved::adapters::ssh {
namespace {

constexpr std::size_t known_hosts_bytes_max = 16u << 20;
constexpr const char* all_algorithms =
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521";

std::string name_of(const ssh_options& options) {
  return options.port == 22 ? options.host
                            : "[" + options.host + "]:" + std::to_string(options.port);
}

std::string scan_command(const ssh_options& options) {
  return "ssh-keyscan -t ed25519 -p " + std::to_string(options.port) + " " + options.host;
}

std::vector<std::string> files_of(const ssh_options& options) {
  if (!options.known_hosts_path.empty()) return {expand_home(options.known_hosts_path)};
  return {expand_home("~/.ssh/known_hosts"), "/etc/ssh/ssh_known_hosts"};
}

result<host_key_rules> pinned(const ssh_options& options) {
  const auto key = parse_public_key(options.host_public_key);
  if (!key)
    return fail(errc::invalid, "host " + name_of(options) +
                                   ": the pinned host key is no line like 'ssh-ed25519 AAAA...'");
  if (!is_usable(key->type))
    return fail(errc::invalid,
                "host " + name_of(options) + ": the pinned host key: " + why_unusable(key->type));
  return host_key_rules{false, {{*key, "the pinned host key"}}, key->type};
}

result<host_key_rules> known(const ssh_options& options) {
  host_key_rules rules;
  std::string places;
  std::string authority;
  for (const auto& file : files_of(options)) {
    places += (places.empty() ? "" : " and ") + shown_path(file);
    const auto text = read_public_file(file, known_hosts_bytes_max);
    if (!text) {
      places += text.error().code == errc::not_found ? " (no such file)" : " (unreadable)";
      continue;
    }
    for (auto& one : find_known(*text, file, options.host, options.port)) {
      if (one.authority) authority = one.where;
      else rules.keys.push_back(std::move(one));
    }
  }
  bool only_others = false;
  for (const auto& one : rules.keys) {
    if (one.revoked) continue;
    only_others = true;
    if (!is_usable(one.key.type) || rules.algorithms.find(one.key.type) != std::string::npos)
      continue;
    rules.algorithms += (rules.algorithms.empty() ? "" : ",") + one.key.type;
  }
  if (!rules.algorithms.empty()) return rules;
  const auto what_to_do = "; look at the output of '" + scan_command(options) +
                          "', and when the fingerprint is right, add it there";
  if (only_others)
    return fail(errc::denied, "host " + name_of(options) + ": " + places +
                                  " hold no ed25519 or ecdsa key of it: " +
                                  why_unusable(rules.keys.front().key.type) + what_to_do);
  if (!authority.empty())
    return fail(errc::denied,
                "host " + name_of(options) + ": " + authority +
                    " names only an authority for certificates of hosts (@cert-authority), and "
                    "those are not read here" + what_to_do);
  return fail(errc::denied, "host " + name_of(options) + ": its key is not known: " + places +
                                " hold none" + what_to_do);
}

}  // namespace

result<host_key_rules> host_keys_of(const ssh_options& options) {
  switch (options.host_keys) {
    case host_key_policy::known_hosts: return known(options);
    case host_key_policy::pinned: return pinned(options);
    case host_key_policy::insecure: break;
  }
  return host_key_rules{true, {}, all_algorithms};
}

result<void> check_host_key(const ssh_options& options, const host_key_rules& rules,
                            const public_key& shown) {
  if (rules.any) return {};
  const auto host = "host " + name_of(options) + ": it shows the " + shown.type + " key " +
                    fingerprint(shown) + ", ";
  const auto same = [&](const known_key& one) { return one.key == shown; };
  for (const auto& one : rules.keys)
    if (one.revoked && same(one))
      return fail(errc::denied, host + "which " + one.where + " has revoked");
  if (std::any_of(rules.keys.begin(), rules.keys.end(), same)) return {};
  std::string expected;
  for (const auto& one : rules.keys)
    if (one.key.type == shown.type)
      expected += (expected.empty() ? "" : ", ") + fingerprint(one.key) + " (" + one.where + ")";
  return fail(errc::denied, host + "expected " + expected +
                                ": somebody may be on the way, or the host was set up anew");
}

}  // namespace ved::adapters::ssh
