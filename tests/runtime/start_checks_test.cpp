#include "runtime/security/start_checks.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "runtime/schedulers/kind.hpp"
#include "runtime/schedulers/local/config.hpp"
#include "runtime/security/init.hpp"
#include "tests/support/access_list.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::runtime;
using tests::access_list;
namespace fs = std::filesystem;

namespace {

constexpr uid_t nobody = 65'534;

void write(const fs::path& file, mode_t mode = 0600) {
  std::ofstream(file, std::ios::trunc) << "";
  REQUIRE(::chmod(file.c_str(), mode) == 0);
}

void make(const fs::path& directory, mode_t mode = 0755) {
  fs::create_directory(directory);
  REQUIRE(::chmod(directory.c_str(), mode) == 0);
}

void give(const fs::path& path, uid_t user, gid_t group) {
  REQUIRE(::lchown(path.c_str(), user, group) == 0);
}

/// A state directory, a configuration and the secret of a hook, with which a start would be fine.
struct machine {
  tests::temp_dir dir;
  const fs::path top = dir.path();
  const fs::path etc = top / "etc";
  const fs::path file = etc / "ved.yaml";
  config settings;

  machine() {
    REQUIRE(::chmod(top.c_str(), 0755) == 0);
    make(etc);
    settings.state.directory = (top / "state").string();
    settings.hpc.audit.log_path = (top / "audit.log").string();
    settings.hooks.resize(1);
    settings.hooks[0].secret_file = (etc / "key").string();
    write(etc / "key");
    write(file);
    init_options options;
    options.directory = settings.state.directory;
    options.now = from_us(1'768'471'200'000'000);  // 2026-01-15T10:00:00Z
    REQUIRE(initialise_state(options));
    REQUIRE(refusals().empty());
  }

  state_layout at() const { return state_layout(settings.state.directory); }

  std::string found(bool refuses) const {
    std::string out;
    for (const auto& one : check_modes(file, settings))
      if (one.refuses == refuses) out += one.text + "\n";
    return out;
  }
  std::string refusals() const { return found(true); }

  /// Jobs run as nobody, with its group.
  void run_jobs_as(const std::string& user) {
    settings.clusters.resize(1);
    settings.clusters[0].kind = find_scheduler_kind("local");
    settings.clusters[0].sections.of<local_config>().run_as = user;
  }
};

bool is_root() {
  if (::geteuid() == 0) return true;
  WARN("left out: needs root");
  return false;
}

}  // namespace

TEST_CASE("start checks: what others may read or change is refused with the command that helps",
          "[runtime][security]") {
  machine here;
  const auto at = here.at();
  struct one {
    fs::path path;
    mode_t mode;
    const char* command;
  };
  for (const auto& [path, mode, command] :
       {one{at.directory, 0777, "chmod go-w"}, one{at.directory, 01777, "chmod go-w"},
        one{at.directory, 0771, "chmod g-w"}, one{at.directory / "log", 0777, "chmod go-w"},
        one{at.pki, 0770, "chmod g-w"}, one{at.server_key, 0644, "chmod 600"},
        one{at.ca_key, 0640, "chmod 600"}, one{at.signing_key, 0604, "chmod 600"},
        one{at.client_token, 0644, "chmod 600"}, one{at.tokens, 0644, "chmod 600"},
        one{at.server_certificate, 0666, "chmod go-w"}, one{at.ca_certificate, 0664, "chmod g-w"},
        one{here.file, 0666, "chmod go-w"}, one{here.file, 0602, "chmod go-w"},
        one{here.etc, 0777, "chmod go-w"}, one{here.etc / "key", 0640, "chmod 600"}}) {
    INFO(path << " " << std::oct << mode);
    struct stat before {};
    REQUIRE(::stat(path.c_str(), &before) == 0);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    CHECK_THAT(here.refusals(), Catch::Contains(command + (" '" + path.string() + "'")));
    REQUIRE(::chmod(path.c_str(), before.st_mode & 07777) == 0);
  }
  CHECK(here.refusals().empty());
  make(here.top, 0777);
  CHECK_THAT(here.refusals(), Catch::Contains("put something else in the place of " +
                                              at.directory.string()));
  if (!is_root()) return;
  make(here.top);
  for (const auto& path : {here.file, at.directory, at.server_key}) {
    INFO(path);
    give(path, nobody, nobody);
    CHECK_THAT(here.refusals(), Catch::Contains("chown 0 '" + path.string() + "'"));
    give(path, 0, 0);
  }
}

TEST_CASE("start checks: a directory at fault is told once, whatever lies in it",
          "[runtime][security]") {
  machine here;
  const auto count = [&](const std::string& words) {
    const auto text = here.refusals();
    int n = 0;
    for (auto from = text.find(words); from != text.npos; from = text.find(words, from + 1)) ++n;
    return n;
  };
  make(here.at().pki, 0777);
  CHECK(count("chmod go-w '" + here.at().pki.string() + "'") == 1);
  make(here.at().pki, 0700);
  make(here.top / "theirs", 0777);
  fs::rename(here.at().pki, here.top / "theirs" / "pki");
  fs::create_symlink(here.top / "theirs" / "pki", here.at().pki);
  CHECK(count((here.top / "theirs").string() + ": ") == 1);
}

TEST_CASE("start checks: where a link in the state directory leads counts",
          "[runtime][security]") {
  machine here;
  const auto at = here.at();
  fs::create_directory(at.clusters);
  const auto theirs = here.top / "theirs";
  make(theirs, 0777);
  const auto what = GENERATE(as<std::string>{}, "log", "clusters", "pki", "keys", "client",
                             "tokens.json", "init.json", "pki/ca.pem");
  INFO(what);
  fs::rename(at.directory / what, theirs / "moved");
  fs::create_symlink(theirs / "moved", at.directory / what);
  CHECK_THAT(here.refusals(),
             Catch::Contains("state directory: " + theirs.string() + ": everybody"));
  make(theirs);
  CHECK(here.refusals().empty());
  INFO("the whole of it, as /var/lib/ved -> /data/ved");
  make(here.top / "data");
  fs::rename(at.directory, here.top / "data" / "ved");
  fs::create_symlink(here.top / "data" / "ved", at.directory);
  CHECK(here.refusals().empty());
}

TEST_CASE("start checks: audit and log file lie where nobody else makes or empties them",
          "[runtime][security]") {
  machine here;
  const bool audit = GENERATE(true, false);
  auto& path = audit ? here.settings.hpc.audit.log_path : here.settings.logging.file;
  const std::string key = audit ? "hpc.audit.log_path: " : "logging.file: ";
  const auto loose = here.top / "loose";
  make(loose, GENERATE(0777, 01777));
  path = (loose / "lines").string();
  CHECK_THAT(here.refusals(), Catch::Contains(key + loose.string()));
  path = (here.top / "link").string();
  fs::create_symlink(loose / "lines", path);
  CHECK_THAT(here.refusals(), Catch::Contains(key + loose.string()));
  path = here.file.string();
  CHECK_THAT(here.refusals(), Catch::Contains(key) &&
                                  Catch::Contains("is this configuration file"));
  path = (here.top / "lines").string();
  CHECK(here.refusals().empty());
  write(path, 0666);
  CHECK_THAT(here.refusals(), Catch::Contains(key + path + ": everybody may change this file"));
  CHECK_FALSE(judge_appended(path, here.settings));
  write(path, 0660);
  CHECK(here.refusals().empty());
  here.settings.hpc.audit.enabled = false;
  if (audit) path = (loose / "lines").string();
  CHECK(here.refusals().empty());
}

TEST_CASE("start checks: groups write logs and programs, but never those of jobs",
          "[runtime][security]") {
  if (!is_root()) return;
  machine here;
  const auto loose = here.top / "loose";
  make(loose);
  give(loose, 0, nobody);
  make(loose, 02775);
  here.settings.logging.file = (loose / "ved.log").string();
  here.settings.hooks[0].command = {(loose / "hook").string()};
  write(loose / "hook", 0755);
  CHECK(here.refusals().empty());  // as /var/log and /usr/local/bin
  CHECK_THAT(here.found(false), Catch::Contains("group 65534 may write into it, and replace hook"));
  here.run_jobs_as("nobody");
  CHECK_THAT(here.refusals(), Catch::Contains("logging.file: " + loose.string()) &&
                                  Catch::Contains("and so jobs,") &&
                                  Catch::Contains("command of hook : " + loose.string()));
  here.run_jobs_as("root");
  CHECK(here.refusals().empty());
  here.run_jobs_as("nobody");
  here.settings.hooks[0].command.clear();
  here.settings.logging.file = (here.top / "ved.log").string();
  write(here.settings.logging.file, 0660);
  CHECK(here.refusals().empty());
  give(here.settings.logging.file, 0, nobody);
  CHECK_THAT(here.refusals(), Catch::Contains("and so jobs, may change this file"));
  give(here.settings.logging.file, 0, 4);
  CHECK(here.refusals().empty());
  give(here.settings.logging.file, nobody, 0);
  CHECK_THAT(here.refusals(), Catch::Contains("belongs to user 65534"));
}

TEST_CASE("start checks: programs and the configuration that runs them are changed by nobody else",
          "[runtime][security]") {
  if (!is_root()) return;
  machine here;
  const auto hook = here.top / "hook";
  here.settings.hooks[0].command = {hook.string()};
  write(hook, 0775);
  CHECK(here.refusals().empty());
  const auto at_fault = GENERATE(true, false) ? hook : here.file;
  INFO(at_fault);
  bool refused = true;
  SECTION("by its mode") { write(at_fault, 0777); }
  SECTION("by its group") {
    write(at_fault, 0770);
    give(at_fault, 0, nobody);
  }
  SECTION("by its owner") { give(at_fault, nobody, 0); }
  SECTION("by an access list") {
    const access_list list{.kind = GENERATE(access_list::of::user, access_list::of::group)};
    refused = list.put_on(at_fault);  // else the file system has none
  }
  CHECK((here.refusals().find(" '" + at_fault.string() + "'") != std::string::npos) == refused);
}

TEST_CASE("start checks: a hook's link of another account is refused also where it cannot be moved",
          "[runtime][security]") {
  if (!is_root()) return;
  machine here;
  write(here.top / "hook", 0755);
  make(here.top / "shared", 01777);
  const auto link = here.top / "shared" / "link";
  fs::create_symlink(here.top / "hook", link);
  give(link, nobody, nobody);
  here.settings.hooks[0].command = {link.string()};
  CHECK_THAT(here.refusals(),
             Catch::Contains("command of hook : " + (here.top / "shared").string()));
}

TEST_CASE("start checks: root's own group may change the configuration, which is told",
          "[runtime][security]") {
  machine here;
  write(here.file, 0660);
  CHECK(here.refusals().empty());
  CHECK_THAT(here.found(false), Catch::Contains("chmod g-w '" + here.file.string() + "'"));
  make(here.etc, 0775);
  CHECK(here.refusals().empty());
  CHECK_THAT(here.found(false), Catch::Contains("may write into it, and replace"));
}
