#include "runtime/machine_checks.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "adapters/system/access.hpp"
#include "runtime/clusters.hpp"
#include "runtime/gateway/tls.hpp"
#include "runtime/security/init.hpp"
#include "runtime/security/layout.hpp"
#include "runtime/security/token_store.hpp"

namespace ved::runtime {
namespace {

namespace fs = std::filesystem;

std::string cause() {
  return std::strerror(errno);
}

class checker {
 public:
  void program(const std::string& what, const fs::path& file) {
    struct stat about {};
    if (::stat(file.c_str(), &about) != 0)
      return refuse(what + " " + file.string() + ": " + cause());
    if (!S_ISREG(about.st_mode)) return refuse(what + " " + file.string() + ": is no program");
    if (::access(file.c_str(), X_OK) != 0)
      return refuse(what + " " + file.string() + ": cannot be run: " + cause() +
                    "; run: chmod +x '" + file.string() + "'");
    if ((about.st_mode & S_IWOTH) != 0)
      tell(what + " " + file.string() + ": everybody may change it; run: chmod go-w '" +
           file.string() + "'");
  }

  void readable(const std::string& what, const fs::path& file) {
    if (::access(file.c_str(), R_OK) != 0)
      refuse(what + " " + shown_path(file.string()) + ": cannot be read: " + cause());
  }

  /// Without it the daemon serves, and what is missing is written later.
  void audit_file(const std::string& file) {
    const auto problem = problem_of_appended(file, false);
    if (!problem.empty())
      tell("hpc.audit.log_path: " + file + ": " + problem +
           "; ved serves without it, says so in /health, and writes later what is missing");
  }

  /// Without it nothing starts.
  void log_file(const std::string& file) {
    const auto problem = file.empty() ? file : problem_of_appended(file, true);
    if (!problem.empty()) refuse("logging.file: " + file + ": " + problem);
  }

  void listener(const std::string& what, const std::string& address, int port) {
    sockaddr_storage to{};
    socklen_t size = 0;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&to);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&to);
    if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
      v4->sin_family = AF_INET;
      v4->sin_port = htons(static_cast<std::uint16_t>(port));
      size = sizeof *v4;
    } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(static_cast<std::uint16_t>(port));
      size = sizeof *v6;
    } else {
      return;  // told by the configuration's own rules
    }
    const int socket = ::socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (socket >= 0) ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const bool bound = socket >= 0 && ::bind(socket, reinterpret_cast<sockaddr*>(&to), size) == 0;
    const auto text =
        what + " " + address + ", port " + std::to_string(port) + ": cannot listen: " + cause();
    if (!bound && errno == EADDRINUSE)
      tell(text + "; well if that is the ved that runs here now");
    else if (!bound)
      refuse(text);
    if (socket >= 0) ::close(socket);
  }

  void refuse(std::string text) { found_.push_back({true, std::move(text)}); }
  void tell(std::string text) { found_.push_back({false, std::move(text)}); }
  std::vector<finding> take() { return std::move(found_); }

 private:
  /// Also of a link to nothing. The last directory is made when it is missing.
  static std::string problem_of_appended(const fs::path& file, bool may_be_terminal) {
    struct stat about {};
    if (::stat(file.c_str(), &about) == 0) {
      if (S_ISDIR(about.st_mode)) return "is a directory";
      if (!S_ISREG(about.st_mode) && !(may_be_terminal && S_ISCHR(about.st_mode)))
        return "is no regular file";
      return ::access(file.c_str(), W_OK) == 0 ? "" : "cannot be written: " + cause();
    }
    auto directory = fs::path(adapters::resolved_path(file.string())).parent_path();
    if (::stat(directory.c_str(), &about) != 0 && errno == ENOENT)
      directory = directory.parent_path();
    // access(2) says yes where nothing can be made: in /proc, on a full quota.
    const auto probe = directory / (".ved-check-" + std::to_string(::getpid()));
    if (::mkdir(probe.c_str(), 0700) != 0)
      return "cannot be made in " + directory.string() + ": " + cause();
    ::rmdir(probe.c_str());
    return {};
  }

  std::vector<finding> found_;
};

/// What a start opens there, but for the log, which a running daemon holds.
void check_state(checker& check, const config& settings) {
  const state_layout layout(settings.state.directory);
  if (const auto tokens = list_tokens(layout.tokens);
      !tokens && tokens.error().code != errc::not_found)
    check.refuse(tokens.error().message);
  if (!settings.gateway.enabled) return;
  const gateway_credentials files{layout.ca_certificate.string(),
                                  layout.server_certificate.string(),
                                  layout.server_key.string()};
  if (const auto usable = held_credentials::take(files, validity::any_time); !usable)
    check.refuse(usable.error().message);
  else if (const auto valid = held_credentials::take(files); !valid)
    check.tell(valid.error().message +
               "; ved starts, and lets nobody in through the gateway before that is mended");
}

bool is_loopback(const std::string& address) {
  return address == "::1" || address.starts_with("127.");
}

}  // namespace

std::vector<finding> check_machine(const config& settings, const std::string& supervisor_path) {
  checker check;
  for (const auto& hook : settings.hooks)
    if (!hook.command.empty()) check.program("hook " + hook.name + ": command", hook.command[0]);
  if (settings.hpc.audit.enabled)
    check.audit_file(settings.hpc.audit.log_path);
  check.log_file(settings.logging.file);
  std::set<std::string> supervised;
  for (const auto& cluster : active_clusters(settings)) {
    if (auto text = cluster.kind->advice(cluster, settings.state.directory))
      check.tell(std::move(*text));
    if (cluster.kind->uses_supervisor) supervised.emplace(cluster.kind->name);
    for (const auto& file : cluster.kind->files(cluster)) {
      const auto what = "cluster " + cluster.cluster_id.str() + ": " + file.key + ":";
      if (file.is_program)
        check.program(what, file.path);
      else
        check.readable(what, file.path);
    }
  }
  for (const auto& kind : supervised)
    check.program(kind + " scheduler: supervisor", supervisor_path);
  check.listener("http:", settings.http.address, settings.http.port);
  if (settings.gateway.enabled)
    check.listener("gateway:", settings.gateway.address, settings.gateway.port);
  if (settings.metrics.enabled)
    check.listener("metrics:", settings.metrics.address, settings.metrics.port);
  if (!is_loopback(settings.http.address))
    check.tell("http.address " + settings.http.address +
               ": tokens cross the network in clear text; listen on 127.0.0.1 and let a proxy with "
               "TLS stand in front");
  if (!is_initialised(settings.state.directory))
    check.tell("state directory " + settings.state.directory +
               ": is not initialised; run `ved init --state " + settings.state.directory + "`");
  else
    check_state(check, settings);
  return check.take();
}

}  // namespace ved::runtime
