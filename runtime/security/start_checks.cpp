#include "runtime/security/start_checks.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "adapters/system/owned_directory.hpp"
#include "runtime/event_logs.hpp"
#include "runtime/schedulers/kind.hpp"
#include "runtime/security/layout.hpp"

namespace ved::runtime {
namespace {

namespace fs = std::filesystem;

constexpr mode_t others_write = 0022;
constexpr mode_t others_read_or_write = 0066;

class checker {
 public:
  /// `trust`: whose groups may be let into the places of files.
  explicit checker(adapters::place_trust trust) : trust_(std::move(trust)) {}

  /// Only its owner may read it.
  void key(const fs::path& file) {
    struct stat about {};
    if (!look(file, about)) return;
    owned(file, about);
    if ((about.st_mode & others_read_or_write) != 0)
      refuse(file, "others may read or write this key", "chmod 600");
  }

  /// Anybody may read it, but only its owner may change it.
  void trusted(const fs::path& path) {
    struct stat about {};
    if (!look(path, about)) return;
    owned(path, about);
    if ((about.st_mode & others_write) != 0)
      refuse(path, S_ISDIR(about.st_mode) ? "others may write into this directory"
                                          : "others may change this file",
             "chmod go-w");
  }

  /// Nobody else may put another in its place, however far above.
  void place(const std::string& what, const fs::path& path, bool refuses = true) {
    auto trust = trust_;
    trust.groups = false;
    judge(what, path, trust, refuses);
  }

  /// The same, but for groups that distributions let into places of their own: that of syslog into
  /// /var/log, that of the staff into /usr/local.
  void place_of_file(const std::string& what, const fs::path& path, bool refuses = true) {
    if (!path.empty()) judge(what, path, trust_, refuses);
  }

  /// Who owns what we append to can take lines out of it.
  void own_file(const fs::path& file) {
    struct stat about {};
    if (look(file, about) && S_ISREG(about.st_mode)) owned(file, about);
  }

  /// We run it: as root whoever can change it is root.
  void program(const std::string& what, const fs::path& file) {
    const bool refuses = ::geteuid() == 0;
    place_of_file(what, file, refuses);
    struct stat about {};
    if (!look(file, about)) return;
    const bool foreign = about.st_uid != ::geteuid() && about.st_uid != 0;
    const bool by_group = (about.st_mode & S_IWGRP) != 0 && about.st_gid != 0;
    if (foreign || by_group || (about.st_mode & S_IWOTH) != 0)
      add(refuses, file,
          foreign ? what + " belongs to another user (uid " + std::to_string(about.st_uid) + ")"
                  : "others may change this " + what,
          foreign ? "chown " + std::to_string(::geteuid()) : "chmod go-w");
  }

  /// Holds secrets: others have no business in it.
  void closed(const fs::path& directory) {
    trusted(directory);
    struct stat about {};
    if (look(directory, about) && (about.st_mode & 0044) != 0 &&
        (about.st_mode & others_write) == 0)
      warn(directory, "others may list this directory", "chmod 700");
  }

  /// The configuration names programs that we run.
  void configuration(const fs::path& file) {
    struct stat about {};
    if (!look(file, about) || !S_ISREG(about.st_mode)) return;
    owned(file, about);
    if ((about.st_mode & S_IWOTH) != 0) {
      refuse(file, "everybody may change this file, and with it the programs that ved runs",
             "chmod go-w");
    } else if ((about.st_mode & S_IWGRP) != 0) {
      // The private group of a user holds nobody else; a service account's or root's may.
      const bool own_group = ::geteuid() != 0 || about.st_gid == 0;
      const auto text = "group " + std::to_string(about.st_gid) +
                        " may change this file, and with it the programs that ved runs";
      own_group ? warn(file, text, "chmod g-w") : refuse(file, text, "chmod g-w");
    }
    directory_of(file);
  }

  /// By whatever name.
  void is_not(const fs::path& configuration, const std::string& key, const fs::path& appended) {
    std::error_code missing;
    if (fs::equivalent(configuration, appended, missing))
      found_.push_back({true, key + ": " + appended.string() + " is this configuration file; name "
                                                               "another"});
  }

  /// Who may write into its directory may put another file into its place.
  void directory_of(const fs::path& file) {
    std::error_code failed;
    const auto directory = fs::weakly_canonical(file, failed).parent_path();
    if (failed || !seen_.insert(directory).second) return;
    struct stat about {};
    if (!look(directory, about)) return;
    const bool sticky = (about.st_mode & S_ISVTX) != 0;
    if ((about.st_mode & S_IWOTH) != 0 && !sticky)
      refuse(directory, "everybody may replace " + file.filename().string() + " in this directory",
             "chmod go-w");
    else if ((about.st_mode & others_write) != 0)
      warn(directory, "others may write into the directory of " + file.filename().string(),
           "chmod go-w");
  }

  /// What the daemon itself writes: files that another user made there keep it from its start.
  void writable(const store::log_place& at) {
    std::error_code failed;
    std::vector<fs::path> all{at.note};
    for (fs::directory_iterator next(at.directory, failed), end; !failed && next != end;
         next.increment(failed))
      all.push_back(next->path());
    for (const auto& file : all) {
      if (::faccessat(AT_FDCWD, file.c_str(), R_OK | W_OK, AT_EACCESS) == 0 || errno == ENOENT)
        continue;
      found_.push_back({true, file.string() + ": cannot be read and written: " +
                                  std::strerror(errno) + "; run: chown -R " +
                                  std::to_string(::geteuid()) + " '" + at.directory + "' '" +
                                  at.note + "'"});
      return;
    }
  }

  std::vector<finding> take() { return std::move(found_); }

 private:
  void judge(const std::string& what, const fs::path& path, const adapters::place_trust& trust,
             bool refuses) {
    if (auto fine = adapters::judge_parents(path.string(), trust); !fine)
      found_.push_back({refuses, what + ": " + fine.error().message});
  }

  static bool look(const fs::path& path, struct stat& about) {
    return ::stat(path.c_str(), &about) == 0;
  }

  void owned(const fs::path& path, const struct stat& about) {
    if (about.st_uid == ::geteuid() || about.st_uid == 0) return;
    found_.push_back({true, path.string() + ": belongs to another user (uid " +
                                std::to_string(about.st_uid) + "); run: chown " +
                                std::to_string(::geteuid()) + " '" + path.string() + "'"});
  }

  void refuse(const fs::path& path, const std::string& what, const std::string& command) {
    add(true, path, what, command);
  }
  void warn(const fs::path& path, const std::string& what, const std::string& command) {
    add(false, path, what, command);
  }
  void add(bool refuses, const fs::path& path, const std::string& what,
           const std::string& command) {
    found_.push_back(
        {refuses, path.string() + ": " + what + "; run: " + command + " '" + path.string() + "'"});
  }

  const adapters::place_trust trust_;
  std::set<fs::path> seen_;
  std::vector<finding> found_;
};

std::vector<std::string> secret_files(const config& settings) {
  std::vector<std::string> out;
  for (const auto& hook : settings.hooks) out.push_back(hook.secret_file);
  for (const auto& c : settings.clusters)
    for (const auto* kind : scheduler_kinds())
      for (auto& file : kind->secret_files(c.sections)) out.push_back(std::move(file));
  std::erase(out, "");
  return out;
}

/// Groups are trusted, but for those of the jobs.
adapters::place_trust trust_beside_jobs(const config& settings) {
  adapters::place_trust trust{.groups = true};
  for (const auto& c : settings.clusters) c.kind->distrust(c, trust);
  return trust;
}

}  // namespace

std::vector<finding> check_modes(const fs::path& config_file, const config& settings) {
  checker check(trust_beside_jobs(settings));
  const state_layout layout(settings.state.directory);
  check.trusted(layout.directory);
  check.place("state directory", layout.directory);
  check.closed(layout.pki);
  check.closed(layout.keys);
  check.closed(layout.client);
  check.trusted(layout.checks);
  for (const auto& name : logs_there(layout.directory.string())) {
    const auto at = log_place_of(layout.directory.string(), name);
    check.trusted(at.directory);
    check.writable(at);
  }
  check.trusted(layout.marker);
  for (const auto& key : {layout.ca_key, layout.server_key, layout.client_key, layout.signing_key,
                          layout.client_token, layout.tokens})
    check.key(key);
  for (const auto& certificate :
       {layout.ca_certificate, layout.server_certificate, layout.client_ca,
        layout.client_certificate})
    check.trusted(certificate);
  check.configuration(config_file);
  check.place_of_file("configuration", config_file);
  std::vector<std::pair<std::string, fs::path>> appended{{"logging.file", settings.logging.file}};
  if (settings.hpc.audit.enabled)
    appended.emplace_back("hpc.audit.log_path", settings.hpc.audit.log_path);
  for (const auto& [key, file] : appended) {
    check.is_not(config_file, key, file);
    check.own_file(file);
    check.place_of_file(key, file);
  }
  for (const auto& file : secret_files(settings)) {
    check.key(file);
    check.directory_of(file);
    check.place_of_file("secret", file);
  }
  for (const auto& hook : settings.hooks)
    if (!hook.command.empty()) check.program("command of hook " + hook.name, hook.command.front());
  return check.take();
}

}  // namespace ved::runtime
