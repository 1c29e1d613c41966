#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/config/load.hpp"
#include "runtime/schedulers/kind.hpp"
#include "runtime/schedulers/slurm/config.hpp"

// The files of conf/, as an operator would copy them.
using namespace ved::runtime;

namespace {

// The test runs somewhere below the source tree, or its binary lies there.
std::filesystem::path conf_directory() {
  for (auto at : {std::filesystem::current_path(),
                  std::filesystem::read_symlink("/proc/self/exe").parent_path()}) {
    for (; at != at.root_path(); at = at.parent_path()) {
      if (std::filesystem::exists(at / "conf" / "ved.yaml")) return at / "conf";
    }
  }
  FAIL("conf/ved.yaml is not found above the working directory or the test binary");
  return {};
}

load_outcome load(const std::string& name) {
  const load_options options{
      [](const char*) -> std::optional<std::string> { return std::nullopt; }, true};
  return load_config(conf_directory() / name, options);
}

}  // namespace

TEST_CASE("conf: ved.yaml holds every key with its default", "[runtime][config][conf]") {
  // With VED_UPDATE_CONF=1 the file is written anew; the diff is then read before it is committed.
  if (std::getenv("VED_UPDATE_CONF") != nullptr) {
    std::ofstream(conf_directory() / "ved.yaml") << annotated_yaml();
  }
  std::ostringstream text;
  text << std::ifstream(conf_directory() / "ved.yaml").rdbuf();
  CHECK(text.str() == annotated_yaml());

  auto out = load("ved.yaml");
  INFO(out.problem_text());
  REQUIRE(out.ok());
  // The single form stands in the file, so there is a cluster, with all its defaults.
  CHECK(out.value.clusters == std::vector<cluster_config>{cluster_config{}});
  out.value.clusters.clear();
  CHECK(out.value == config{});
  for (const auto& k : all_keys()) {
    const auto name = k.path.substr(k.path.rfind('.') + 1);
    INFO(k.path);
    CHECK(text.str().find(name + ":") != std::string::npos);
  }
}

TEST_CASE("conf: the examples inside of ved.yaml load", "[runtime][config][conf]") {
  const load_options options{
      [](const char*) -> std::optional<std::string> { return std::nullopt; }, true};
  const auto text = annotated_yaml();
  const auto from = text.find("  # clusters:\n");
  const auto to = text.find("\n\n", from);
  REQUIRE(from != std::string::npos);
  REQUIRE(to != std::string::npos);
  std::istringstream lines(text.substr(from, to - from));
  std::string example = "hpc:\n  enabled: true\n";
  for (std::string line; std::getline(lines, line);) example += "  " + line.substr(4) + "\n";
  const auto out = load_config_text(example, "example", options);
  INFO(example << out.problem_text());
  REQUIRE(out.ok());
  CHECK(out.value.clusters.size() == 2);
}

TEST_CASE("conf: the small examples load and say what they say", "[runtime][config][conf]") {
  const auto local = load("ved-local.yaml");
  INFO(local.problem_text());
  REQUIRE(local.ok());
  CHECK(local.notices.empty());
  REQUIRE(active_clusters(local.value).size() == 1);
  CHECK(local.value.clusters[0].kind->name == "local");

  const auto slurm = load("ved-slurm.yaml");
  INFO(slurm.problem_text());
  REQUIRE(slurm.ok());
  REQUIRE(active_clusters(slurm.value).size() == 1);
  CHECK(slurm.value.clusters[0].sections.of<slurm_config>().ssh.host == "login.example.org");
}
