#include "runtime/security/start_checks.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "adapters/system/access.hpp"
#include "runtime/event_logs.hpp"
#include "runtime/schedulers/kind.hpp"
#include "runtime/security/layout.hpp"

namespace ved::runtime {
namespace {

namespace fs = std::filesystem;

using adapters::group_trust;
using adapters::place_trust;
using adapters::way_to;

constexpr mode_t others_read_or_write = 0066;

/// Who appends to a file writes into whatever is there.
result<void> judge_appended(const std::string& file, const place_trust& trust) {
  if (auto fine = adapters::judge_way(file, way_to::file, trust); !fine) return fine;
  std::error_code missing;
  if (!fs::is_regular_file(file, missing)) return {};
  if (const auto other = adapters::who_may_change(file, trust))
    return fail(errc::denied, file + ": " + other->how + "; run: " + other->mend);
  return {};
}

class checker {
 public:
  /// `beside_jobs`: all groups are trusted but those of the jobs.
  explicit checker(place_trust beside_jobs) : beside_jobs_(std::move(beside_jobs)) {}

  /// A directory of the state: only its owner may change it, and what it is told by.
  void directory(const fs::path& path) {
    only_owner_changes(path);
    way_in_state(path, way_to::directory);
  }

  /// The same, and others have no business in it: it holds secrets.
  void closed(const fs::path& path) {
    directory(path);
    struct stat about {};
    if (look(path, about) && (about.st_mode & others_read_or_write) != 0 &&
        !adapters::who_may_change(path.string(), {group_trust::none}))
      add(false, path, "others may list this directory", "chmod 700 '" + path.string() + "'");
  }

  /// A file of the state that anybody may read.
  void file(const fs::path& path) {
    only_owner_changes(path);
    way_in_state(path, way_to::file);
  }

  /// A file of the state that only its owner may read.
  void private_file(const fs::path& path) {
    key(path);
    way_in_state(path, way_to::file);
  }

  /// Only its owner may read it.
  void key(const fs::path& file) {
    if (const auto other = adapters::who_may_read(file.string()))
      add(true, file, other->how, other->mend);
  }

  /// Nobody else may put another in its place, but groups that distributions let into places of
  /// their own, as that of the staff into /usr/local: these are told.
  void place(const std::string& what, const fs::path& file, bool refuses = true) {
    if (const auto gap =
            adapters::gap_on_way(file.string(), way_to::file_to_read, beside_jobs_)) {
      found_.push_back({refuses, what + ": " + gap->text});
      return;
    }
    const auto directory = fs::path(adapters::resolved_path(file.string())).parent_path();
    if (!told_.insert(directory).second) return;
    if (const auto other = adapters::who_may_change(directory.string(), {group_trust::none}))
      add(false, directory, other->how + ", and replace " + file.filename().string(), other->mend);
  }

  /// We run it: as root whoever can change it is root.
  void program(const std::string& what, const fs::path& file) {
    const bool refuses = ::geteuid() == 0;
    place(what, file, refuses);
    if (const auto other = adapters::who_may_change(file.string(), trusting(group_trust::own)))
      found_.push_back(
          {refuses, what + ": " + file.string() + ": " + other->how + "; run: " + other->mend});
  }

  /// The configuration names programs that we run.
  void configuration(const fs::path& file) {
    place("configuration", file);
    std::error_code failed;
    if (!fs::is_regular_file(file, failed)) return;
    // The private group of a user holds nobody else; a service account's or root's may.
    const auto groups = ::geteuid() == 0 ? group_trust::own : group_trust::all;
    const auto others = adapters::who_may_change(file.string(), trusting(groups));
    const auto any = adapters::who_may_change(file.string(), {group_trust::none});
    if (any)
      add(others.has_value(), file,
          (others ? others : any)->how + ", and with it the programs that ved runs", any->mend);
  }

  /// What lines are appended to, which is not what we read, by whatever name.
  void appended(const std::string& key, const std::string& file, const fs::path& configuration) {
    std::error_code missing;
    if (fs::equivalent(configuration, file, missing))
      found_.push_back(
          {true, key + ": " + file + " is this configuration file; name another"});
    if (file.empty()) return;
    if (const auto fine = judge_appended(file, beside_jobs_); !fine)
      found_.push_back({true, key + ": " + fine.error().message});
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
  place_trust trusting(group_trust groups) const {
    auto trust = beside_jobs_;
    trust.groups = groups;
    return trust;
  }

  /// Each directory at fault is told once: much lies in it.
  void way_in_state(const fs::path& path, way_to what) {
    const auto gap = adapters::gap_on_way(path.string(), what, trusting(group_trust::own));
    if (gap && told_.insert(gap->directory).second)
      found_.push_back({true, "state directory: " + gap->text});
  }

  void only_owner_changes(const fs::path& path) {
    const auto other = adapters::who_may_change(path.string(), {group_trust::none});
    if (!other) return;
    told_.insert(adapters::resolved_path(path.string()));
    add(true, path, other->how, other->mend);
  }

  static bool look(const fs::path& path, struct stat& about) {
    return ::stat(path.c_str(), &about) == 0;
  }

  void add(bool refuses, const fs::path& path, const std::string& what,
           const std::string& command) {
    found_.push_back({refuses, path.string() + ": " + what + "; run: " + command});
  }

  const place_trust beside_jobs_;
  std::set<fs::path> told_;  ///< directories
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
place_trust trust_beside_jobs(const config& settings) {
  place_trust trust{.groups = group_trust::all};
  for (const auto& c : settings.clusters) c.kind->distrust(c, trust);
  return trust;
}

}  // namespace

std::vector<finding> check_modes(const fs::path& config_file, const config& settings) {
  checker check(trust_beside_jobs(settings));
  const state_layout layout(settings.state.directory);
  check.directory(layout.directory);
  for (const auto& secret : {layout.pki, layout.keys, layout.client}) check.closed(secret);
  for (const auto& open : {layout.checks, layout.clusters}) check.directory(open);
  for (const auto& name : logs_there(layout.directory.string())) {
    const auto at = log_place_of(layout.directory.string(), name);
    check.directory(at.directory);
    check.writable(at);
  }
  for (const auto& key : {layout.ca_key, layout.server_key, layout.client_key, layout.signing_key,
                          layout.client_token, layout.tokens})
    check.private_file(key);
  for (const auto& open : {layout.marker, layout.ca_certificate, layout.server_certificate,
                           layout.client_ca, layout.client_certificate})
    check.file(open);
  check.configuration(config_file);
  check.appended("logging.file", settings.logging.file, config_file);
  if (settings.hpc.audit.enabled)
    check.appended("hpc.audit.log_path", settings.hpc.audit.log_path, config_file);
  for (const auto& file : secret_files(settings)) {
    check.key(file);
    check.place("secret", file);
  }
  for (const auto& hook : settings.hooks)
    if (!hook.command.empty()) check.program("command of hook " + hook.name, hook.command.front());
  return check.take();
}

result<void> judge_appended(const std::string& file, const config& settings) {
  return judge_appended(file, trust_beside_jobs(settings));
}

}  // namespace ved::runtime
