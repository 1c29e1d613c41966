#include "runtime/places.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "actors/job/stored.hpp"
#include "adapters/system/files.hpp"
#include "runtime/security/layout.hpp"

namespace ved::runtime {
namespace {

constexpr std::size_t page_size = 10'000;

std::string mark_of(const std::string& state_directory) {
  return (state_layout(state_directory).checks / "places.incomplete").string();
}

error failed(const std::string& file, const char* what) {
  return {errc::unavailable, file + ": cannot be " + what + ": " + std::strerror(errno)};
}

result<void> note_all(store::event_log& own, const store::named_log& of) {
  std::string after;
  for (bool more = true; more;) {
    auto page = of.log->scan_index(core::all_jobs_prefix, after, page_size);
    if (!page) return fail_in(of.name, page.error());
    for (const auto& key : page->keys)
      if (auto noted =
              own.note_place(core::job_stream(core::job_of_index_key(key)), of.name);
          !noted)
        return noted;
    more = page->more && !page->keys.empty();
    if (more) after = page->keys.back();
  }
  return {};
}

}  // namespace

result<void> mark_places_incomplete(const std::string& state_directory) {
  const auto file = mark_of(state_directory);
  std::error_code ignored;
  const auto above = std::filesystem::path(file).parent_path();
  if (std::filesystem::create_directory(above, ignored))
    std::filesystem::permissions(above, std::filesystem::perms::owner_all, ignored);
  const adapters::unique_fd made(
      ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!made || ::fsync(made.get()) != 0) return fail(failed(file, "made"));
  return {};
}

result<void> complete_places(store::event_logs& logs, const std::string& state_directory) {
  const auto file = mark_of(state_directory);
  if (::access(file.c_str(), F_OK) != 0) return {};
  if (!logs.lost().empty()) {
    logs.set_knows_all_places(false);
    return {};
  }
  for (const auto& one : logs.all())
    if (auto noted = note_all(*logs.own(), one); !noted) return noted;
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) return fail(failed(file, "removed"));
  logs.set_knows_all_places(true);
  return {};
}

}  // namespace ved::runtime
