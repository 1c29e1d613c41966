#include <catch2/catch.hpp>

#include "tests/support/actor_tree.hpp"

using namespace ved;
using namespace ved::tests;
using manner = scripted_cluster::manner;

namespace {

int count(const std::string& words, const std::string& word) {
  int found = 0;
  std::istringstream in(words);
  for (std::string one; in >> one;) found += one == word ? 1 : 0;
  return found;
}

/// The job was accepted once, sent once, taken once and ended once.
void check_ran_once(actor_tree& tree, const std::string& id, const std::string& cluster) {
  const auto history = tree.job_history(id);
  INFO(id << ": " << history);
  CHECK(count(history, "accepted") == 1);
  CHECK(count(history, "submission_intended") == 1);
  CHECK(count(history, "submitted") == 1);
  CHECK(count(history, "finished:completed") == 1);
  CHECK(tree.cluster(cluster).copies(id) == 1);
  CHECK(tree.cluster(cluster).most_sent() == 1);
}

/// Runs a job from its submission to its end.
bool runs(actor_tree& tree, const std::string& id, const std::string& cluster) {
  if (!tree.submit(id, cluster) || !tree.reaches(id, "queued")) return false;
  tree.cluster(cluster).set(id, pb::JOB_STATE_COMPLETED);
  return tree.reaches(id, "completed");
}

}  // namespace

TEST_CASE("actors: a job goes its whole way from submit to completed", "[actors][shell]") {
  actor_tree tree;
  const auto accepted = tree.submit("j-1", "alpha");
  REQUIRE(accepted);
  CHECK_FALSE(accepted->already_known);
  REQUIRE(tree.reaches("j-1", "queued"));
  tree.cluster("alpha").set_all(pb::JOB_STATE_RUNNING);
  REQUIRE(tree.reaches("j-1", "running"));
  tree.cluster("alpha").set_all(pb::JOB_STATE_COMPLETED);
  REQUIRE(tree.reaches("j-1", "completed"));
  CHECK(tree.job_history("j-1") ==
        "accepted submission_intended submitted observed finished:completed");
  check_ran_once(tree, "j-1", "alpha");
  CHECK(eventually([&] { return tree.describe().live_jobs == 0; }));
}

TEST_CASE("actors: whichever actor is killed, others work and each job ends exactly once",
          "[actors][shell]") {
  const std::string victim = GENERATE("job", "link alpha", "job_registry", "ingress");
  INFO("victim: " << victim);
  actor_tree tree;
  auto& alpha = tree.cluster("alpha");
  REQUIRE(tree.submit("runs", "alpha"));
  REQUIRE(tree.reaches("runs", "queued"));
  alpha.set_all(pb::JOB_STATE_RUNNING);
  REQUIRE(tree.reaches("runs", "running"));
  // The cluster takes this one and does not answer.
  alpha.submissions_are(manner::silent);
  REQUIRE(tree.submit("in-flight", "alpha"));
  REQUIRE(eventually([&] { return alpha.calls_held() == 1; }));
  const auto before = tree.children();

  if (victim == "job") {
    REQUIRE(tree.kill_job("runs"));
    REQUIRE(tree.kill_job("in-flight"));
  } else {
    REQUIRE(tree.kill(victim));
  }

  const auto after = tree.children();
  REQUIRE(after.size() == before.size());
  for (const auto& [name, actor] : before) {
    // Ingress holds a handle of the registry, so it goes with it; nothing else does.
    const bool replaced = name == victim || (victim == "job_registry" && name == "ingress");
    INFO(name);
    CHECK((after.at(name) != actor) == replaced);
  }
  CHECK(runs(tree, "neighbour", "beta"));
  check_ran_once(tree, "neighbour", "beta");

  alpha.let_go();
  REQUIRE(tree.reaches("in-flight", "queued"));
  alpha.set_all(pb::JOB_STATE_COMPLETED);
  CHECK(tree.reaches("runs", "completed"));
  CHECK(tree.reaches("in-flight", "completed"));
  CHECK(runs(tree, "afterwards", "alpha"));
  for (const auto* id : {"runs", "in-flight", "afterwards"}) check_ran_once(tree, id, "alpha");
  CHECK(eventually([&] { return tree.describe().live_jobs == 0; }));
  CHECK(tree.fatals == 0);
  CHECK(tree.supervisor_fatals == 0);
  for (const auto& one : tree.logs->all()) CHECK(one.log->verify()->ok);
}

TEST_CASE("actors: a killed ingress answers what it held: the outcome is not known",
          "[actors][shell]") {
  bool called = false;
  result<actors::job_snapshot> answer = actors::job_snapshot{};
  {
    const actors::answer_once<actors::job_snapshot> once(
        "job j-1", [&](result<actors::job_snapshot> a) { called = true, answer = std::move(a); });
    const auto copy = once;
    CHECK_FALSE(called);
  }
  REQUIRE(called);
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == errc::unknown_outcome);

  int calls = 0;
  {
    const actors::answer_once<actors::job_snapshot> once(
        "job j-1", [&](const result<actors::job_snapshot>&) { ++calls; });
    once(actors::job_snapshot{});
    once(actors::job_snapshot{});
  }
  CHECK(calls == 1);
}

TEST_CASE("actors: when the log's disk fails, the process is told and nothing is acknowledged",
          "[actors][shell]") {
  const bool keeps_batch = GENERATE(false, true);
  INFO("the disk keeps the batch: " << keeps_batch);
  std::shared_ptr<store::memory_disk> disk;
  {
    actor_tree tree;
    disk = tree.disks.at("alpha");
    REQUIRE(tree.submit("stored", "alpha"));
    REQUIRE(tree.reaches("stored", "queued"));
    disk->fail_next_sync(keeps_batch);
    const auto refused = tree.get(tree.send_submit("lost", "alpha"));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::unknown_outcome);
    CHECK(eventually([&] { return tree.fatals == 1; }));
    const auto next = tree.get(tree.send_submit("next", "alpha"));
    CHECK_FALSE(next);
    const auto asked = tree.cancel("stored");
    CHECK_FALSE(asked);
    CHECK(tree.fatals == 1);
    CHECK(tree.cluster("alpha").copies("lost") == 0);
    CHECK(tree.cluster("alpha").copies("next") == 0);
    CHECK(tree.state_of("stored") == "queued");
  }
  disk->crash();
  const auto again = memory_log(disk);
  CHECK(again->verify()->ok);
  CHECK(again->state("job/stored")->has_value());
  CHECK(again->state("job/lost")->has_value() == keeps_batch);
  CHECK_FALSE(again->state("job/next")->has_value());
}

TEST_CASE("actors: a cluster that fails delays no other, shows in the log and recovers by itself",
          "[actors][shell]") {
  const auto how = GENERATE(manner::failing, manner::silent);
  INFO((how == manner::failing ? "it refuses connections" : "its calls hang"));
  actor_tree tree;
  auto& sick = tree.cluster("alpha");
  sick.submissions_are(how);
  sick.queries_are(how);
  REQUIRE(tree.submit("waits", "alpha"));
  CHECK(runs(tree, "neighbour", "beta"));
  REQUIRE(eventually([&] { return count(tree.history("cluster/alpha"), "cluster_down") == 1; }));
  CHECK(runs(tree, "neighbour-2", "beta"));
  REQUIRE(tree.submit("waits-too", "alpha"));
  CHECK(count(tree.history("cluster/beta"), "cluster_down") == 0);
  CHECK(tree.state_of("waits") == "pending");

  sick.let_go();
  REQUIRE(eventually([&] { return count(tree.history("cluster/alpha"), "cluster_up") == 1; }));
  for (const auto* id : {"waits", "waits-too"}) REQUIRE(tree.reaches(id, "queued"));
  sick.set_all(pb::JOB_STATE_COMPLETED);
  for (const auto* id : {"waits", "waits-too"}) {
    CHECK(tree.reaches(id, "completed"));
    CHECK(sick.copies(id) == 1);
    CHECK(count(tree.job_history(id), "finished:completed") == 1);
  }
  CHECK(sick.most_sent() == 1);
  CHECK(count(tree.history("cluster/beta"), "cluster_down") == 0);
}

TEST_CASE("actors: no more jobs live than allowed, and room comes back", "[actors][shell]") {
  actor_tree tree({.live_jobs_max = 2});
  REQUIRE(tree.submit("j-1", "alpha"));
  REQUIRE(tree.submit("j-2", "beta"));
  const auto refused = tree.submit("j-3", "alpha");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::overloaded);
  CHECK(tree.state_of("j-3") == "none");
  // A repeat needs no room.
  CHECK(tree.submit("j-1", "alpha"));
  REQUIRE(tree.reaches("j-1", "queued"));
  tree.cluster("alpha").set_all(pb::JOB_STATE_COMPLETED);
  REQUIRE(eventually([&] { return tree.describe().live_jobs == 1; }));
  CHECK(tree.submit("j-3", "alpha"));
}

TEST_CASE("actors: an ended job has no actor and is answered from the store", "[actors][shell]") {
  actor_tree tree;
  REQUIRE(runs(tree, "j-1", "alpha"));
  REQUIRE(eventually([&] { return tree.describe().live_jobs == 0; }));
  const auto history = tree.job_history("j-1");

  const auto repeated = tree.submit("j-1", "alpha");
  REQUIRE(repeated);
  CHECK(repeated->already_known);
  CHECK(repeated->record.state() == pb::JOB_STATE_COMPLETED);
  const auto other = tree.get(tree.send_submit("j-1", "alpha", "another hash"));
  REQUIRE_FALSE(other);
  CHECK(other.error().code == errc::conflict);
  const auto cancelled = tree.cancel("j-1");
  REQUIRE_FALSE(cancelled);
  CHECK(cancelled.error().code == errc::conflict);
  const auto nobody = tree.cancel("j-unknown");
  REQUIRE_FALSE(nobody);
  CHECK(nobody.error().code == errc::not_found);

  CHECK(tree.describe().live_jobs == 0);
  CHECK(tree.job_history("j-1") == history);
}

TEST_CASE("actors: a spec submitted many times at once is one job", "[actors][shell]") {
  constexpr int times = 64;
  actor_tree tree;
  std::vector<std::future<actor_tree::answer>> answers(times);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = t; i < times; i += 4)
        answers[static_cast<std::size_t>(i)] = tree.send_submit("j-1", "alpha");
    });
  for (auto& one : threads) one.join();
  int fresh = 0;
  for (auto& one : answers) {
    const auto answer = tree.get(std::move(one));
    REQUIRE(answer);
    fresh += answer->already_known ? 0 : 1;
  }
  CHECK(fresh == 1);
  REQUIRE(tree.reaches("j-1", "queued"));
  tree.cluster("alpha").set_all(pb::JOB_STATE_COMPLETED);
  REQUIRE(tree.reaches("j-1", "completed"));
  check_ran_once(tree, "j-1", "alpha");
}
