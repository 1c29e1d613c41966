#include "runtime/restoration.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include <unistd.h>

#include "runtime/security/layout.hpp"
#include "runtime/security/private_file.hpp"

namespace ved::runtime {
namespace {

struct restoration {
  std::string backup;
  std::set<std::string> logs;  ///< that are not in their places yet
};

std::filesystem::path note_of(const std::string& state_directory) {
  return state_layout(state_directory).checks / "restoration.unfinished";
}

/// Lines: the backup's directory, then a log's name each.
restoration read(const std::filesystem::path& note) {
  restoration out;
  std::ifstream file(note);
  std::getline(file, out.backup);
  for (std::string name; std::getline(file, name);)
    if (!name.empty()) out.logs.insert(name);
  return out;
}

result<void> write(const std::filesystem::path& note, const restoration& now) {
  if (auto made = make_private_directory(note.parent_path()); !made) return made;
  auto text = now.backup + "\n";
  for (const auto& name : now.logs) text += name + "\n";
  return write_private_file(note, text, if_exists::replace);
}

}  // namespace

result<void> note_restoration(const std::string& state_directory, const std::string& backup,
                              const std::vector<std::string>& log_names) {
  const auto note = note_of(state_directory);
  auto now = read(note);
  now.backup = backup;
  now.logs.insert(log_names.begin(), log_names.end());
  return write(note, now);
}

result<void> note_restored(const std::string& state_directory,
                           const std::vector<std::string>& log_names) {
  const auto note = note_of(state_directory);
  auto now = read(note);
  for (const auto& name : log_names) now.logs.erase(name);
  if (!now.logs.empty()) return write(note, now);
  if (::unlink(note.c_str()) != 0 && errno != ENOENT)
    return fail(errc::unavailable, note.string() + ": cannot be removed: " + std::strerror(errno));
  return {};
}

result<void> check_restored(const std::string& state_directory) {
  const auto note = note_of(state_directory);
  std::error_code ignored;
  if (!std::filesystem::exists(note, ignored)) return {};
  const auto cut = read(note);
  std::string names;
  for (const auto& name : cut.logs) names += (names.empty() ? "" : ", ") + name;
  return fail(errc::conflict,
              "state directory " + state_directory + ": a restoration was cut short, and " +
                  (names.empty() ? "its logs" : names) +
                  " may be what was there before, or lie beside their places: run `vectl log "
                  "restore " + cut.backup + " --state " + state_directory +
                  " --force` again. Only to go on with the logs that are in their places now, "
                  "remove " + note.string());
}

}  // namespace ved::runtime
