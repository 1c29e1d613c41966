#include "runtime/event_logs.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <span>

#include "runtime/own_stream.hpp"
#include "runtime/security/init.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved::runtime;
using ved::errc;

namespace {

constexpr auto now = ved::time_point{ved::seconds{1'800'000'000}};

init_options options_of(const std::filesystem::path& directory) {
  init_options options;
  options.directory = directory;
  options.now = now;
  return options;
}

auto open_all(const std::string& state) {
  return open_event_logs(state, [](const std::string&) { return plain_log_options(); });
}

}  // namespace

TEST_CASE("event logs: a cluster's log is made once; one that is gone is lost, not made anew",
          "[runtime][logs]") {
  const ved::tests::temp_dir dir;
  const auto report = initialise_state(options_of(dir.path() / "state"));
  REQUIRE(report);
  const auto state = report->layout.directory.string();
  const auto how = [](const std::string&) { return plain_log_options(); };
  const auto need = [&](const char* cluster, bool had_one) {
    const auto logs = open_all(state);
    REQUIRE(logs);
    return need_cluster_log(**logs, state, ved::cluster_id{cluster}, had_one, how);
  };
  CHECK(need("c", false));
  CHECK(need("c", true));
  CHECK(logs_there(state) == std::vector<std::string>{"daemon", "cluster/c"});
  const auto place = log_directory(state, "cluster/c");
  CHECK(begin_new_log(state, "cluster/c").error().code == errc::conflict);
  for (const auto* bad : {"cluster/", "cluster/..", "cluster/../../x", "c", ""})
    CHECK(begin_new_log(state, bad).error().code == errc::invalid);

  std::filesystem::remove_all(place);
  SECTION("only the log") {}
  SECTION("with all that is beside it") {
    std::filesystem::remove_all(std::filesystem::path(place).parent_path());
  }
  const auto lost = need("c", true);
  REQUIRE_FALSE(lost);
  CHECK_FALSE(std::filesystem::exists(place));
  CHECK(need("d", false));  // another one is not concerned
  REQUIRE(begin_new_log(state, "cluster/c"));
  CHECK(need("c", true));
}

TEST_CASE("event logs: what was copied, moved or is gone is told for what it is",
          "[runtime][logs]") {
  namespace fs = std::filesystem;
  const ved::tests::temp_dir dir;
  const auto report = initialise_state(options_of(dir.path() / "state"));
  REQUIRE(report);
  const auto state = report->layout.directory.string();
  const auto how = [](const std::string&) { return plain_log_options(); };
  {
    const auto logs = open_all(state);
    REQUIRE(logs);
    REQUIRE(record_start(**logs, "b", now));
    for (const char* name : {"a", "b"}) {
      const ved::cluster_id cluster{name};
      REQUIRE(need_cluster_log(**logs, state, cluster, false, how));
      REQUIRE(begin_cluster_log(*(*logs)->find(ved::store::cluster_log_name(name)), cluster, now));
      REQUIRE(record_cluster_log(*(*logs)->own(), cluster, now));
    }
  }
  const auto all = report->layout.clusters;
  const auto names = [](const std::map<std::string, ved::error>& of) {
    std::string out;
    for (const auto& [name, why] : of) out += (out.empty() ? "" : " ") + name;
    return out;
  };
  const auto check = [&](const std::string& open, const std::string& lost,
                         const std::string& strays) {
    for (const bool to_write : {false, true}) {
      const auto logs = to_write ? open_all(state) : read_event_logs(state);
      REQUIRE(logs);
      std::string there;
      for (const auto& one : (*logs)->all()) there += (there.empty() ? "" : " ") + one.name;
      CHECK(there == open);
      CHECK(names((*logs)->lost()) == lost);
      CHECK(names((*logs)->strays()) == strays);
      const auto backup = dir.path() / "backup";
      fs::remove_all(backup);
      const auto made = back_up_event_logs(**logs, state, backup);
      REQUIRE(made);
      std::string missing;
      for (const auto& one : made->missing_logs())
        missing += (missing.empty() ? "" : " ") + one.log();
      CHECK(missing == lost);
    }
  };
  check("daemon cluster/a cluster/b", "", "");
  SECTION("a copy beside it, whichever sorts first") {
    const auto name = GENERATE(as<std::string>{}, "a.bak", "0-before-upgrade");
    fs::copy(all / "a", all / name, fs::copy_options::recursive);
    check("daemon cluster/a cluster/b", "", "cluster/" + name);
    const auto logs = open_all(state);
    const auto needed = need_cluster_log(**logs, state, ved::cluster_id{name}, false, how);
    REQUIRE_FALSE(needed);
    CHECK_THAT(needed.error().message, Catch::Contains("it is the log of cluster a"));
  }
  SECTION("swapped") {
    fs::rename(all / "a", all / "c");
    fs::rename(all / "b", all / "a");
    fs::rename(all / "c", all / "b");
    check("daemon", "cluster/a cluster/b", "");
  }
  SECTION("renamed") {
    fs::rename(all / "a", all / "a-old");
    check("daemon cluster/b", "cluster/a", "cluster/a-old");
  }
  SECTION("gone, whether or not it is configured") {
    fs::remove_all(all / "a");
    check("daemon cluster/b", "cluster/a", "");
    REQUIRE(begin_new_log(state, "cluster/a"));
    check("daemon cluster/a cluster/b", "", "");
  }
  SECTION("what is none") {
    fs::create_directories(all / "x" / "log");
    fs::create_directories(all / "line\nbreak" / "log");
    // A crash in the making of a log leaves no more; it is made to its end.
    check("daemon cluster/a cluster/b", "", "");
    {
      const auto logs = open_all(state);
      REQUIRE(logs);
      CHECK(need_cluster_log(**logs, state, ved::cluster_id{"x"}, false, how));
    }
    check("daemon cluster/a cluster/b cluster/x", "", "");
  }
  SECTION("the daemon's log is begun anew: it takes up what is there") {
    fs::remove_all(report->layout.log);
    REQUIRE(begin_new_log(state, "daemon"));
    fs::copy(all / "a", all / "a.bak", fs::copy_options::recursive);
    check("daemon cluster/a cluster/b", "", "cluster/a.bak");
  }
}

TEST_CASE("event logs: one that cannot be made is not lost, and made when it can be",
          "[runtime][logs]") {
  namespace fs = std::filesystem;
  const ved::tests::temp_dir dir;
  const auto report = initialise_state(options_of(dir.path() / "state"));
  REQUIRE(report);
  const auto state = report->layout.directory.string();
  const auto logs = open_all(state);
  REQUIRE(logs);
  const auto how = [](const std::string&) { return plain_log_options(); };
  const fs::path place = log_directory(state, "cluster/c");
  fs::create_directories(place.parent_path());
  std::ofstream(place) << "no directory";
  for (int i = 0; i < 2; ++i)
    CHECK_FALSE(need_cluster_log(**logs, state, ved::cluster_id{"c"}, false, how));
  CHECK((*logs)->lost().empty());
  fs::remove(place);
  CHECK(need_cluster_log(**logs, state, ved::cluster_id{"c"}, false, how));
  // One that there was is lost until it is there again.
  CHECK_FALSE(need_cluster_log(**logs, state, ved::cluster_id{"d"}, true, how));
  CHECK_FALSE(reopen_lost_log(**logs, state, ved::cluster_id{"d"}, how));
  CHECK((*logs)->lost().contains("cluster/d"));
  REQUIRE(begin_new_log(state, "cluster/d"));
  CHECK(reopen_lost_log(**logs, state, ved::cluster_id{"d"}, how));
  CHECK((*logs)->lost().empty());
  CHECK((*logs)->find("cluster/d"));
}

TEST_CASE("event logs: what a making left that was cut short takes no cluster out of service",
          "[runtime][logs]") {
  namespace fs = std::filesystem;
  const ved::tests::temp_dir dir;
  const auto report = initialise_state(options_of(dir.path() / "state"));
  REQUIRE(report);
  const auto state = report->layout.directory.string();
  const ved::cluster_id cluster{"c"};
  const fs::path place = log_directory(state, "cluster/c");
  const auto leave_half = [&] {
    fs::create_directories(place);
    std::ofstream(place / "MANIFEST-000001") << "x";
  };
  const auto begin = [&](bool had_one) -> ved::result<void> {
    const auto logs = open_all(state);
    REQUIRE(logs);
    auto there = need_cluster_log(**logs, state, cluster, had_one,
                                  [](const std::string&) { return plain_log_options(); });
    if (!there) return there;
    CHECK((*logs)->strays().empty());
    CHECK(begin_cluster_log(*(*logs)->find("cluster/c"), cluster, now));
    return record_cluster_log(*(*logs)->own(), cluster, now);
  };
  leave_half();
  CHECK(begin(false));
  CHECK(begin(true));

  fs::remove_all(place);
  leave_half();
  const auto lost = begin(true);
  REQUIRE_FALSE(lost);
  CHECK_THAT(lost.error().message, Catch::Contains("held 1 events"));
  SECTION("nor one that was begun anew") {
    CHECK(begin_new_log(state, "cluster/c"));
    CHECK(begin(true));
    // Only what may have held events is in the way.
    fs::remove(place / "CURRENT");
    const auto refused = begin_new_log(state, "cluster/c");
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Contains("move the directory away"));
    CHECK(fs::exists(log_place_of(state, "cluster/c").note));
  }
  SECTION("nor the beginning anew itself") {
    fs::remove(log_place_of(state, "cluster/c").note);
    CHECK_THAT(begin(true).error().message,
               Catch::Contains("vectl log restore") && Catch::Contains("--log cluster/c"));
    CHECK(begin_new_log(state, "cluster/c"));
    CHECK(begin(true));
  }
}

TEST_CASE("event logs: an older copy of all that a cluster's directory holds is noticed",
          "[runtime][logs]") {
  namespace fs = std::filesystem;
  const ved::tests::temp_dir dir;
  const auto report = initialise_state(options_of(dir.path() / "state"));
  REQUIRE(report);
  const auto state = report->layout.directory.string();
  const auto all = report->layout.clusters;
  const ved::cluster_id cluster{"c"};
  const auto at = log_place_of(state, "cluster/c");
  const auto add = [&](std::string_view reason) {
    const auto logs = open_all(state);
    REQUIRE(logs);
    REQUIRE(need_cluster_log(**logs, state, cluster, false,
                             [](const std::string&) { return plain_log_options(); }));
    const auto log = (*logs)->find("cluster/c");
    REQUIRE(begin_cluster_log(*log, cluster, now));
    ved::pb::Envelope event;
    event.set_principal(std::string(reason));
    event.mutable_cluster()->mutable_begun()->set_cluster_id("c");
    ved::store::append_request request;
    request.stream = "cluster/" + std::string(reason);
    request.events.push_back(event);
    const auto done = log->commit(std::span(&request, 1), now);
    REQUIRE(done);
    REQUIRE(done->front());
    CHECK_FALSE(back_up_event_logs(**logs, state, (all / "b1").string()));
    CHECK(back_up_event_logs(**logs, state, all / "b1").error().code == errc::invalid);
    CHECK(back_up_event_logs(**logs, state, report->layout.log / "b").error().code ==
          errc::invalid);
  };
  add("first");
  fs::copy(all, dir.path() / "older", fs::copy_options::recursive);
  SECTION("at once") {}
  SECTION("and where its note lay inside, as a version before had it") {
    fs::rename(at.note, at.former_note);
    fs::copy(all, dir.path() / "older", fs::copy_options::recursive |
                                            fs::copy_options::overwrite_existing);
  }
  add("second");
  CHECK_FALSE(fs::exists(at.former_note));
  fs::remove_all(all);
  fs::copy(dir.path() / "older", all, fs::copy_options::recursive);
  for (const bool to_write : {false, true}) {
    const auto logs = to_write ? open_all(state) : read_event_logs(state);
    REQUIRE(logs);
    const auto lost = (*logs)->lost();
    REQUIRE(lost.contains("cluster/c"));
    CHECK_THAT(lost.at("cluster/c").message,
               Catch::Contains("older copy") && Catch::Contains("vectl log restore"));
  }
}
