#include "runtime/schedulers/local/cluster.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "runtime/clusters.hpp"
#include "runtime/config/load.hpp"
#include "runtime/schedulers/local/kind.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::runtime;

namespace {

cluster_config cluster_with(const std::string& run_as) {
  cluster_config out;
  out.cluster_id = cluster_id{"here"};
  out.kind = &local_kind;
  out.sections.of<local_config>().run_as = run_as;
  return out;
}

}  // namespace

TEST_CASE("local cluster: as root nobody's jobs are root because nobody said who they are",
          "[runtime][local]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  const auto silent = check_local_user(cluster_with(""));
  REQUIRE_FALSE(silent);
  CHECK(silent.error().code == errc::denied);
  CHECK(silent.error().message.find("cluster here: local.run_as is not given") == 0);
  CHECK(silent.error().message.find("run_as: root") != std::string::npos);

  REQUIRE(check_local_user(cluster_with("root")));
  const auto warned = local_user_warning(cluster_with("root"));
  REQUIRE(warned);
  CHECK(warned->find("scopes do not bind on this cluster") != std::string::npos);

  REQUIRE(check_local_user(cluster_with("nobody")));
  CHECK_FALSE(local_user_warning(cluster_with("nobody")));
}

TEST_CASE("local cluster: an account that does not exist is named", "[runtime][local]") {
  const auto unknown = check_local_user(cluster_with("no-such-user-here"));
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().message.find("cluster here: local.run_as: user no-such-user-here") == 0);
}

TEST_CASE("local cluster: the check and the opening judge alike", "[runtime][local]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  config settings;
  settings.hpc.enabled = true;
  settings.clusters = {cluster_with(""), cluster_with("root"), cluster_with("nobody")};
  const auto problems = check_clusters(settings);
  REQUIRE(problems.size() == 1);
  REQUIRE(cluster_warnings(settings).size() == 1);
  cluster_environment environment;
  environment.state_directory = "/nonexistent";
  const auto opened = open_cluster(settings.clusters[0], environment);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message == problems[0].message);
}

TEST_CASE("local cluster: the check names a work directory that others have, or that two share",
          "[runtime][local]") {
  const tests::temp_dir dir;
  std::filesystem::create_directories(dir.path() / "taken" / "precious");
  const auto problems_of = [](const std::vector<std::filesystem::path>& directories) {
    config settings;
    settings.hpc.enabled = true;
    for (const auto& one : directories) {
      auto cluster = cluster_with(::geteuid() == 0 ? "nobody" : "");
      cluster.cluster_id = cluster_id{"c" + std::to_string(settings.clusters.size())};
      cluster.sections.of<local_config>().work_directory = one.string();
      settings.clusters.push_back(std::move(cluster));
    }
    std::string out;
    for (const auto& one : check_clusters(settings)) out += one.message + "\n";
    return out;
  };
  CHECK(problems_of({dir.path() / "a", dir.path() / "b"}).empty());
  CHECK_THAT(problems_of({dir.path() / "taken"}),
             Catch::Contains("c0: local.work_directory") && Catch::Contains("holds 'precious'"));
  CHECK_THAT(problems_of({dir.path() / "a", dir.path() / "a"}),
             Catch::Contains("each needs one of its own"));
  CHECK_THAT(problems_of({dir.path() / "a", dir.path() / "a" / "jobs"}),
             Catch::Contains("each needs one of its own"));
}

TEST_CASE("local cluster: nothing is appended to in a work directory", "[runtime][local]") {
  const tests::temp_dir dir;
  config settings;
  settings.hpc.enabled = true;
  settings.hpc.audit.log_path.clear();
  settings.logging.file.clear();
  auto& cluster = settings.clusters.emplace_back(cluster_with(::geteuid() == 0 ? "nobody" : ""));
  cluster.sections.of<local_config>().work_directory = dir.path() / "work";
  REQUIRE(check_clusters(settings).empty());
  auto& file = GENERATE(true, false) ? settings.hpc.audit.log_path : settings.logging.file;
  file = dir.path() / "work.log";
  CHECK(check_clusters(settings).empty());
  file = dir.path() / "work" / "jobs" / "a.log";
  const auto problems = check_clusters(settings);
  REQUIRE(problems.size() == 1);
  CHECK_THAT(problems[0].message, Catch::Contains("local.work_directory") &&
                                      Catch::Contains("one inside of the other"));
}

TEST_CASE("local cluster: a work directory without our mark is refused while its jobs are known",
          "[runtime]") {
  const tests::temp_dir place;
  cluster_config cluster;
  cluster.cluster_id = cluster_id{"here"};
  remembered_cluster known;
  known.sent_jobs = 3;
  const auto directory = GENERATE(false, true) ? place.path().string()
                                               : (place.path() / "unmade").string();
  const auto refused = check_still_there(cluster, directory, known);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::conflict);
  CHECK(refused.error().message.find("the log knows 3 of its jobs") != std::string::npos);
  CHECK(refused.error().message.find("--give-up-jobs-of here") != std::string::npos);
  SECTION("not without jobs") {
    known.sent_jobs = 0;
    CHECK(check_still_there(cluster, directory, known));
  }
  SECTION("nor where our mark is") {
    std::filesystem::create_directories(directory);
    std::ofstream(directory + "/.ved-owner") << "x";
    CHECK(check_still_there(cluster, directory, known));
  }
}
