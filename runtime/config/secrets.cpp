#include "runtime/config/secrets.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/config/loader.hpp"
#include "runtime/schedulers/kind.hpp"

// Secrets come from a file that the configuration names, else from the environment variable of the
// guide. A file goes first: it can be another one for each cluster.
namespace ved::runtime {
namespace {

constexpr auto signing_key_variable = "PROVIDER_SIGNING_KEY_PATH";

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
                   named_by + shown_path(file) + ": " + std::strerror(errno));
  } else if (!S_ISREG(about.st_mode)) {
    state.complain("security.signing_key_file",
                   named_by + shown_path(file) + ": is not a regular file");
  }
}

// A line end inside a credential would end the header or command line that it travels in.
bool plain(std::string_view text) {
  return text.size() <= secret_bytes_max && std::none_of(text.begin(), text.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte < 0x20 || byte == 0x7f;
         });
}

}  // namespace

void secret_reader::read(const source& from, secret& into) {
  if (!from.file.empty()) {
    auto content = read_secret_file(from.file);
    if (!content) {
      complain(from.path, content.error().message);
    } else if (!plain(content->reveal())) {
      complain(from.path, "secret file " + shown_path(from.file) + ": contains control characters");
    } else {
      into = std::move(*content);
    }
    return;
  }
  if (from.variable_name == nullptr) return;
  if (auto text = variable(state_, from.variable_name)) {
    if (plain(*text)) {
      into = secret(*text);
    } else {
      complain(from.path, std::string("environment variable ") + from.variable_name +
                              ": contains control characters");
    }
    wipe(*text);
  } else if (!from.needed_by.empty()) {
    complain(from.path, from.needed_by + " needs the environment variable " + from.variable_name +
                            " or this key");
  }
}

void secret_reader::read_name(const std::string& path, const char* variable_name,
                              std::string& into) {
  auto text = variable(state_, variable_name).value_or("");
  if (plain(text)) {
    into = std::move(text);
  } else {
    complain(path, std::string("environment variable ") + variable_name +
                       ": contains control characters");
  }
}

void secret_reader::complain(const std::string& path, std::string message) {
  state_.complain(path, std::move(message));
}

void fetch_secrets(loading& state) {
  auto& value = state.draft.value;
  if (!value.security.signing_key_file.empty()) {
    check_signing_key(state, value.security.signing_key_file, "");
  } else {
    value.security.signing_key_file = variable(state, signing_key_variable).value_or("");
    if (!value.security.signing_key_file.empty() &&
        (is_absolute_path(value.security.signing_key_file) ||
         !plain(value.security.signing_key_file))) {
      state.complain("security.signing_key_file",
                     "environment variable PROVIDER_SIGNING_KEY_PATH: expected an absolute path, "
                     "got " + shown_path(value.security.signing_key_file));
    } else if (!value.security.signing_key_file.empty()) {
      check_signing_key(state, value.security.signing_key_file,
                        "environment variable PROVIDER_SIGNING_KEY_PATH: ");
    }
  }
  secret_reader reader(state);
  for (std::size_t i = 0; i < value.hooks.size(); ++i) {
    auto& hook = value.hooks[i];
    reader.read({"hooks[" + std::to_string(i) + "].secret_file", hook.secret_file, nullptr, ""},
                hook.signing_secret);
  }
  if (!value.hpc.enabled) return;
  const bool single = state.given(single_form_path);
  for (std::size_t i = 0; i < value.clusters.size(); ++i) {
    auto& c = value.clusters[i];
    const auto path = single ? "hpc" : "hpc.clusters[" + std::to_string(i) + "]";
    c.kind->fetch(c.sections, path + "." + std::string(c.kind->name), reader);
  }
}

std::vector<const char*> secret_variables() {
  std::vector<const char*> out;
  for (const auto* kind : scheduler_kinds())
    out.insert(out.end(), kind->variables.begin(), kind->variables.end());
  out.push_back(signing_key_variable);
  return out;
}

std::vector<std::string> unused_variables(const loading& state) {
  std::vector<std::string> out;
  for (const char* name : secret_variables()) {
    auto value = state.options->environment(name);
    if (value && !value->empty() && !state.variables_used.contains(name)) out.push_back(name);
    if (value) wipe(*value);
  }
  return out;
}

}  // namespace ved::runtime
