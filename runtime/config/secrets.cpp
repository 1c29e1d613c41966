#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "messages/secret.hpp"
#include "runtime/config/loader.hpp"

// Secrets come from a file that the configuration names, else from the environment variable of the
// guide. A file goes first: it can be another one for each cluster.
namespace ved::runtime {
namespace {

std::optional<std::string> variable(loading& state, const char* name) {
  auto value = state.options->environment(name);
  if (value && value->empty()) value.reset();
  if (value) state.variables_used.insert(name);
  return value;
}

/// A key that does not exist would be found out only when the first record is to be signed.
void check_signing_key(loading& state, const std::string& file, const std::string& named_by) {
  struct stat about {};
  if (::stat(file.c_str(), &about) != 0) {
    state.complain("security.signing_key_file",
                   named_by + file + ": " + std::strerror(errno));
  } else if (!S_ISREG(about.st_mode)) {
    state.complain("security.signing_key_file", named_by + file + ": is not a regular file");
  }
}

// A line end inside a credential would end the header or command line that it travels in.
bool plain(std::string_view text) {
  return text.size() <= secret_bytes_max && std::none_of(text.begin(), text.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte < 0x20 || byte == 0x7f;
         });
}

struct source {
  std::string path;         ///< of the key that names the file
  const std::string& file;
  const char* variable_name;  ///< nullptr: only the file
  std::string needed_by;      ///< what needs it; empty: may be missing
};

void fetch(const source& from, secret& into, loading& state) {
  if (!from.file.empty()) {
    auto content = read_secret_file(from.file);
    if (!content) {
      state.complain(from.path, content.error().message);
    } else if (!plain(content->reveal())) {
      state.complain(from.path, "secret file " + from.file + ": contains control characters");
    } else {
      into = std::move(*content);
    }
    return;
  }
  if (from.variable_name == nullptr) return;
  if (auto text = variable(state, from.variable_name)) {
    if (plain(*text)) {
      into = secret(*text);
    } else {
      state.complain(from.path, std::string("environment variable ") + from.variable_name +
                                    ": contains control characters");
    }
    wipe(*text);
  } else if (!from.needed_by.empty()) {
    state.complain(from.path, from.needed_by + " needs the environment variable " +
                                  from.variable_name + " or this key");
  }
}

void fetch_cluster(cluster_config& c, const std::string& path, loading& state) {
  switch (c.type) {
    case scheduler_type::local: return;
    case scheduler_type::slurm:
      if (c.slurm.auth_method != "jwt") return;
      fetch({path + ".slurm.auth_token_file", c.slurm.auth_token_file, "SLURM_JWT_TOKEN",
             "auth_method jwt"},
            c.slurm.auth_token, state);
      return;
    case scheduler_type::moab:
      if (c.moab.username.empty()) {
        c.moab.username = variable(state, "MOAB_USERNAME").value_or("");
        if (!plain(c.moab.username)) {
          c.moab.username.clear();
          state.complain(path + ".moab.username",
                         "environment variable MOAB_USERNAME: contains control characters");
        }
      }
      if (c.moab.auth_method != "password") return;
      if (c.moab.username.empty()) {
        state.complain(path + ".moab.username",
                       "auth_method password needs the environment variable MOAB_USERNAME or this "
                       "key");
      }
      fetch({path + ".moab.password_file", c.moab.password_file, "MOAB_PASSWORD",
             "auth_method password"},
            c.moab.password, state);
      return;
    case scheduler_type::ood:
      fetch({path + ".ood.oidc_client_secret_file", c.ood.oidc_client_secret_file,
             "OOD_OIDC_CLIENT_SECRET", c.ood.oidc_client_id.empty() ? "" : "oidc_client_id"},
            c.ood.oidc_client_secret, state);
      return;
  }
}

}  // namespace

void fetch_secrets(loading& state) {
  auto& value = state.draft.value;
  if (!value.security.signing_key_file.empty()) {
    check_signing_key(state, value.security.signing_key_file, "");
  } else {
    value.security.signing_key_file = variable(state, "PROVIDER_SIGNING_KEY_PATH").value_or("");
    if (!value.security.signing_key_file.empty() &&
        (is_absolute_path(value.security.signing_key_file) ||
         !plain(value.security.signing_key_file))) {
      state.complain("security.signing_key_file",
                     "environment variable PROVIDER_SIGNING_KEY_PATH: expected an absolute path, "
                     "got " + shown(value.security.signing_key_file));
    } else if (!value.security.signing_key_file.empty()) {
      check_signing_key(state, value.security.signing_key_file,
                        "environment variable PROVIDER_SIGNING_KEY_PATH: ");
    }
  }
  for (std::size_t i = 0; i < value.hooks.size(); ++i) {
    auto& hook = value.hooks[i];
    fetch({"hooks[" + std::to_string(i) + "].secret_file", hook.secret_file, nullptr, ""},
          hook.signing_secret, state);
  }
  if (!value.hpc.enabled) return;
  const bool single = state.given(single_form_path);
  for (std::size_t i = 0; i < value.clusters.size(); ++i) {
    fetch_cluster(value.clusters[i],
                  single ? "hpc" : "hpc.clusters[" + std::to_string(i) + "]", state);
  }
}

std::vector<std::string> unused_variables(const loading& state) {
  std::vector<std::string> out;
  for (const char* name : {"SLURM_JWT_TOKEN", "MOAB_USERNAME", "MOAB_PASSWORD",
                           "OOD_OIDC_CLIENT_SECRET", "PROVIDER_SIGNING_KEY_PATH"}) {
    auto value = state.options->environment(name);
    if (value && !value->empty() && !state.variables_used.contains(name)) out.push_back(name);
    if (value) wipe(*value);
  }
  return out;
}

}  // namespace ved::runtime
