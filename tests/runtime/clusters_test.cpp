#include "runtime/clusters.hpp"

#include <catch2/catch.hpp>

#include "runtime/schedulers/slurm/config.hpp"

using namespace ved;
using namespace ved::runtime;

namespace {

struct change {
  const char* was_type;
  const char* was_name;
  const char* type;
  const char* named;  ///< slurm.cluster_name
  const char* problem;
};

}  // namespace

TEST_CASE("clusters: jobs that were sent bind their cluster to the directory of their records",
          "[runtime]") {
  cluster_config cluster;
  cluster.cluster_id = cluster_id{"here"};
  cluster.kind = find_scheduler_kind("slurm");
  auto& settings = cluster.sections.of<slurm_config>();
  const auto place = [&](const std::string& directory, const std::string& user = "ops") {
    settings.job_directory = directory;
    settings.ssh.user = user;
    return cluster.kind->place(cluster).what;
  };
  settings.ssh.host = "login";
  CHECK(place("~/jobs") == place("jobs"));
  CHECK(place("./jobs/") == place("jobs"));
  CHECK(place("/scratch//jobs/") == place("/scratch/jobs"));
  CHECK(place("jobs") != place("jobs", "other"));
  CHECK(place("/scratch/jobs") == place("/scratch/jobs", "other"));
  remembered_cluster known;
  known.scheduler.set_scheduler_type("slurm");
  known.sent_jobs = 2;
  CHECK(check_same_scheduler(cluster, known));  // of before it was told
  known.scheduler.set_place(place("/scratch/jobs"));
  CHECK(check_same_scheduler(cluster, known));
  place("/scratch/other");
  const auto moved = check_same_scheduler(cluster, known);
  REQUIRE_FALSE(moved);
  CHECK(moved.error().message.find("slurm.job_directory is /scratch/other, but 2 of its jobs") !=
        std::string::npos);
  known.sent_jobs = 0;
  CHECK(check_same_scheduler(cluster, known));
}

TEST_CASE("clusters: jobs that were sent bind their cluster to the scheduler that has them",
          "[runtime]") {
  const auto is = GENERATE(
      change{"slurm", "west", "local", "", "scheduler_type is local"},
      change{"local", "", "slurm", "", "were sent to one of type local"},
      change{"local", "", "ood", "", "scheduler_type is ood"},
      change{"slurm", "west", "slurm", "east", "were sent to the Slurm named west"},
      change{"slurm", "west", "slurm", "west", ""},
      change{"slurm", "west", "slurm", "", ""},  // whoever answers is asked its name
      change{"slurm", "", "slurm", "east", ""},  // it had told none
      change{"local", "", "local", "east", ""},
      change{"", "", "local", "", ""});  // it was never met
  CAPTURE(is.was_type, is.was_name, is.named);
  cluster_config cluster;
  cluster.cluster_id = cluster_id{"here"};
  cluster.kind = find_scheduler_kind(is.type);
  cluster.sections.of<slurm_config>().cluster_name = is.named;
  remembered_cluster known;
  known.scheduler.set_scheduler_type(is.was_type);
  known.scheduler.set_name(is.was_name);
  CHECK(check_same_scheduler(cluster, known));  // no job binds it
  known.sent_jobs = 3;
  const auto same = check_same_scheduler(cluster, known);
  REQUIRE(same.has_value() == std::string_view(is.problem).empty());
  if (same) return;
  CHECK(same.error().code == errc::conflict);
  CHECK(same.error().message.find(is.problem) != std::string::npos);
  CHECK(same.error().message.find("3 of its jobs") != std::string::npos);
  CHECK(same.error().message.find("--give-up-jobs-of here") != std::string::npos);
  cluster_environment around;
  around.remember = [&](const cluster_id&) -> result<remembered_cluster> { return known; };
  CHECK(open_cluster(cluster, around).error().code == errc::conflict);
}

TEST_CASE("clusters: what is suspended keeps its place on a local cluster, and has a limit there",
          "[runtime]") {
  cluster_config cluster;
  cluster.cluster_id = cluster_id{"here"};
  cluster.kind = find_scheduler_kind("local");
  CHECK(policy_of(cluster).limits_suspension);
  cluster.kind = find_scheduler_kind("slurm");
  CHECK_FALSE(policy_of(cluster).limits_suspension);
}
