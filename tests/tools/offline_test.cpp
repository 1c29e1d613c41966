#include <stdlib.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "adapters/system/owned_directory.hpp"
#include "messages/operations.hpp"
#include "runtime/event_logs.hpp"
#include "runtime/own_stream.hpp"
#include "runtime/restoration.hpp"
#include "store/event_log.hpp"
#include "tools/vectl/channel.hpp"

using namespace vectl;
namespace fs = std::filesystem;
namespace pb = ved::pb;
namespace store = ved::store;

namespace {

class temporary_directory {
 public:
  temporary_directory() {
    std::string pattern = (fs::temp_directory_path() / "vectl-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~temporary_directory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  const fs::path& path() const noexcept { return path_; }

 private:
  fs::path path_;
};

const ved::time_point at = ved::from_us(1'768'478'400'000'000);

/// The log of that name below a state directory, made where there is none.
std::shared_ptr<store::event_log> open_log(const fs::path& state,
                                           const std::string& name = "cluster/c-1") {
  REQUIRE(ved::adapters::take_directory(state.string(), {"state", "ved"}, 0711));
  REQUIRE(ved::runtime::make_event_log(state.string()));
  const auto how = [](const std::string&) { return ved::runtime::plain_log_options(); };
  auto logs = ved::runtime::open_event_logs(state.string(), how);
  if (!logs) FAIL(logs.error().message);
  if (const auto cluster = store::cluster_of_log_name(name))
    REQUIRE(ved::runtime::need_cluster_log(**logs, state.string(), ved::cluster_id{*cluster}, false,
                                           how));
  return (*logs)->find(name);
}

void accept_job(store::event_log& log, const std::string& id) {
  pb::Envelope event;
  event.set_principal("alice");
  auto& accepted = *event.mutable_job()->mutable_accepted();
  event.set_at_us(ved::to_us(at));
  accepted.mutable_spec()->set_job_id(id);
  accepted.mutable_spec()->set_cluster_id("c");
  accepted.mutable_spec()->set_queue_name("q");
  accepted.mutable_spec()->set_customer_address("ve1x");
  store::append_request request;
  request.stream = ved::core::job_stream(id);
  auto state = ved::core::fold(request.stream, "", event);
  if (!state) FAIL(state.error().message);
  request.state = std::move(*state);
  request.events = {event};
  auto done = log.commit(std::vector<store::append_request>{request}, at);
  if (!done) FAIL(done.error().message);
  if (!done->front()) FAIL(done->front().error().message);
}

pb::ApiReply ask(channel& with, const pb::ApiRequest& request) {
  auto reply = with.call(request);
  if (!reply) FAIL(reply.error().message);
  return std::move(*reply);
}

pb::ApiRequest verify_request() {
  pb::ApiRequest request;
  request.mutable_verify_log();
  return request;
}

/// A state directory whose log holds the job j-1, and a backup of it.
struct backed_up_state {
  backed_up_state() {
    accept_job(*open_log(state.path()), "j-1");
    const auto done = backup_offline(place, backup);
    REQUIRE(done);
    CHECK(done->last_position() == 1);
  }

  temporary_directory state;
  temporary_directory elsewhere;
  std::string place = state.path().string();
  std::string backup = (elsewhere.path() / "backup").string();
};

}  // namespace

TEST_CASE("vectl offline: answers from the log of a stopped daemon", "[tools][vectl]") {
  temporary_directory state;
  {
    auto log = open_log(state.path());
    accept_job(*log, "j-1");
    accept_job(*log, "j-2");
  }
  auto opened = make_offline_channel(state.path().string());
  REQUIRE(opened);
  auto& with = **opened;

  pb::ApiRequest request;
  request.mutable_get_job()->set_job_id("j-1");
  CHECK(ask(with, request).job().job().spec().queue_name() == "q");
  request.mutable_get_job()->set_job_id("j-9");
  CHECK(ask(with, request).error().error() == "not_found");
  request.mutable_list_jobs();
  CHECK(ask(with, request).jobs().jobs_size() == 2);
  request.mutable_explain_job()->set_job_id("j-2");
  CHECK(ask(with, request).explanation().steps_size() == 1);
  request.mutable_get_job_events()->set_job_id("j-2");
  CHECK(ask(with, request).events().events_size() == 1);
  request.mutable_get_log_stats();
  CHECK(ask(with, request).log_stats().last_position() == 2);
  request.mutable_dump_log()->set_log("cluster/c-1");
  request.mutable_dump_log()->set_limit(1);
  CHECK(ask(with, request).events().more());
  request.mutable_dump_log()->set_after_position(2);
  CHECK(ask(with, request).events().events().empty());
  request.mutable_dump_log()->set_log("cluster/c-2");
  CHECK(ask(with, request).error().error() == "not_found");
  CHECK(ask(with, verify_request()).verification().ok());
  request.mutable_cancel_job()->set_job_id("j-1");
  CHECK(ask(with, request).error().error() == "unavailable");
}

TEST_CASE("vectl offline: what is marked so is answered, and nothing else", "[tools][vectl]") {
  temporary_directory state;
  { auto log = open_log(state.path()); }
  auto opened = make_offline_channel(state.path().string());
  REQUIRE(opened);
  for (const auto& one : ved::operations()) {
    INFO(one.field->name());
    pb::ApiRequest request;
    pb::ApiRequest::GetReflection()->MutableMessage(&request, one.field);
    const auto code = ask(**opened, request).error().error();
    CHECK((code == "unavailable") == !one.marks.offline());
    CHECK(code != "internal");
  }
}

TEST_CASE("vectl offline: a state directory without a log is named", "[tools][vectl]") {
  temporary_directory state;
  const auto missing = make_offline_channel(state.path().string());
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ved::errc::not_found);
}

TEST_CASE("vectl offline: a rebuilt log verifies and keeps its events", "[tools][vectl]") {
  temporary_directory state;
  accept_job(*open_log(state.path()), "j-1");
  const auto events = rebuild_offline(state.path().string(), "");
  REQUIRE(events);
  CHECK(*events == 1);
  CHECK(ask(**make_offline_channel(state.path().string()), verify_request()).verification().ok());
}

TEST_CASE("vectl offline: a backup is restored whole or not at all", "[tools][vectl]") {
  temporary_directory state;
  temporary_directory elsewhere;
  const auto backup = (elsewhere.path() / "backup").string();
  accept_job(*open_log(state.path()), "j-1");
  const auto done = backup_offline(state.path().string(), backup);
  REQUIRE(done);
  CHECK(done->last_position() == 1);
  accept_job(*open_log(state.path()), "j-2");

  SECTION("never over an existing log without force") {
    const auto refused = restore_offline(state.path().string(), {backup, "", false, false});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ved::errc::conflict);
  }
  SECTION("the old log is moved aside") {
    const auto restored = restore_offline(state.path().string(), {backup, "", true, false});
    REQUIRE(restored);
    CHECK(restored->events() == 1);
    int aside = 0;
    for (const auto& entry : fs::recursive_directory_iterator(state.path()))
      if (entry.path().filename().string().starts_with("log.replaced-")) ++aside;
    CHECK(aside == 2);  // of the daemon and of the cluster
    accept_job(*open_log(state.path()), "j-3");
  }
  SECTION("a damaged backup changes nothing") {
    bool damaged = false;
    for (const auto& entry : fs::recursive_directory_iterator(backup)) {
      if (!entry.path().filename().string().starts_with("MANIFEST")) continue;
      std::ofstream(entry.path(), std::ios::binary | std::ios::trunc) << "garbage";
      damaged = true;
    }
    REQUIRE(damaged);
    REQUIRE_FALSE(restore_offline(state.path().string(), {backup, "", true, false}));
    pb::ApiRequest request;
    request.mutable_get_job()->set_job_id("j-2");
    CHECK(ask(**make_offline_channel(state.path().string()), request).has_job());
    CHECK_FALSE(fs::exists(state.path() / "log.restoring"));
  }
  SECTION("what is not there is not found") {
    const auto missing = restore_offline(state.path().string(), {backup + "x", "", true, false});
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == ved::errc::not_found);
  }
}

TEST_CASE("vectl offline: a restoration that was cut is named until it is run again",
          "[tools][vectl]") {
  const backed_up_state made;
  const auto& place = made.place;
  const auto& backup = made.backup;
  const auto options = [](const std::string&) { return ved::runtime::plain_log_options(); };
  const fs::path log = fs::path(place) / "log";
  const bool is_new = GENERATE(false, true);
  const bool is_gone = GENERATE(false, true);
  CAPTURE(is_new, is_gone);
  // As it leaves them: aside is what was there, and what is to be there is in its place or beside.
  REQUIRE(ved::runtime::note_restoration(place, backup, {"daemon", "cluster/c-1"}));
  fs::rename(log, log.string() + ".replaced-1");
  const auto there = is_new ? fs::path(backup) / "log" : fs::path(place) / "log.replaced-1";
  if (!is_gone) fs::copy(there, log);
  fs::copy(fs::path(backup) / "log", log.string() + ".restoring");

  const auto opened = ved::runtime::open_event_logs(place, options);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ved::errc::conflict);
  CHECK_THAT(opened.error().message,
             Catch::Contains("cluster/c-1, daemon") &&
                 Catch::Contains("vectl log restore " + backup + " --state " + place));
  CHECK_FALSE(ved::runtime::begin_new_event_log(place, "daemon"));
  if (is_gone)
    CHECK_THAT(make_offline_channel(place).error().message, Catch::Contains("cut short"));
  // One of the two alone ends nothing.
  REQUIRE(restore_offline(place, {backup, "cluster/c-1", true, false}));
  CHECK_FALSE(ved::runtime::open_event_logs(place, options));
  REQUIRE(restore_offline(place, {backup, "", true, false}));
  CHECK(ved::runtime::open_event_logs(place, options));
  CHECK(fs::exists(log.string() + ".replaced-1"));
}

TEST_CASE("vectl offline: what writes to a log holds it from its first look to its end",
          "[tools][vectl]") {
  const backed_up_state made;
  const auto& place = made.place;
  const auto& backup = made.backup;
  {
    // As another restoration that has only begun to copy.
    const auto held = ved::runtime::hold_event_logs(place);
    REQUIRE(held);
    CHECK_FALSE(log_is_held(place));  // not by a daemon
    CHECK(restore_offline(place, {backup, "", true, false}).error().code == ved::errc::conflict);
    CHECK(rebuild_offline(place, "").error().code == ved::errc::conflict);
    CHECK(backup_offline(place, backup + "-2").error().code == ved::errc::conflict);
    const auto daemon = ved::runtime::hold_event_logs(place);
    REQUIRE_FALSE(daemon);
    CHECK_THAT(daemon.error().message, Catch::Contains("a vectl that mends or restores"));
  }
  {
    const auto daemon = ved::runtime::hold_event_logs(place);
    REQUIRE(daemon);
    CHECK(restore_offline(place, {backup, "", true, false}).error().code == ved::errc::conflict);
  }
  CHECK(restore_offline(place, {backup, "", true, false}));
}

TEST_CASE("vectl offline: what writes to a log does so as whom it belongs to", "[tools][vectl]") {
  if (::geteuid() != 0) return;
  const backed_up_state made;
  const auto& place = made.place;
  const auto& backup = made.backup;
  REQUIRE(::chown(place.c_str(), 12'345, 12'345) == 0);
  for (const auto& refused : {rebuild_offline(place, "").error(),
                              backup_offline(place, backup + "-2").error(),
                              restore_offline(place, {backup, "", true, false}).error()}) {
    CHECK(refused.code == ved::errc::denied);
    CHECK_THAT(refused.message, Catch::Contains("setpriv --reuid=12345 --regid=12345"));
  }
  CHECK(ask(**make_offline_channel(place), verify_request()).verification().ok());
}

TEST_CASE("vectl offline: a restoration touches no directory that is not ved's",
          "[tools][vectl]") {
  temporary_directory state;
  temporary_directory elsewhere;
  const auto backup = (elsewhere.path() / "backup").string();
  accept_job(*open_log(state.path()), "j-1");
  REQUIRE(backup_offline(state.path().string(), backup));
  const auto refused = [&](const fs::path& where) {
    const auto said = restore_offline(where.string(), {backup, "", true, false});
    return !said && said.error().code == ved::errc::conflict;
  };
  const auto put = [](const fs::path& file) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << "precious";
    return file;
  };
  SECTION("as /var, with its log, is not") {
    const auto kept = put(elsewhere.path() / "var" / "log" / "syslog");
    fs::permissions(elsewhere.path() / "var", fs::perms(01777));
    CHECK(refused(elsewhere.path() / "var"));
    fs::create_directory_symlink(elsewhere.path() / "var", elsewhere.path() / "link");
    CHECK(refused(elsewhere.path() / "link"));
    CHECK(fs::exists(kept));
    CHECK(fs::status(elsewhere.path() / "var").permissions() == fs::perms(01777));
  }
  SECTION("nor what somebody keeps where it works") {
    const auto kept = put(state.path() / "log.restoring" / "thesis.tex");
    CHECK(refused(state.path()));
    CHECK(fs::exists(kept));
  }
  SECTION("nor where a link there leads") {
    const auto kept = put(elsewhere.path() / "theirs" / "CURRENT");
    fs::create_directory_symlink(kept.parent_path(), state.path() / "log.restoring");
    CHECK(refused(state.path()));
    CHECK(fs::exists(kept));
  }
  SECTION("what one that was cut short left goes") {
    put(state.path() / "log.restoring" / "MANIFEST-000001");
    put(state.path() / "log.restoring" / "000007.sst");
    CHECK(restore_offline(state.path().string(), {backup, "", true, false}));
  }
  SECTION("an empty directory becomes one of ved's") {
    const auto fresh = elsewhere.path() / "fresh";
    fs::create_directory(fresh);
    REQUIRE(restore_offline(fresh.string(), {backup, "", false, false}));
    REQUIRE(restore_offline(fresh.string(), {backup, "", true, false}));
    accept_job(*open_log(fresh), "j-2");
  }
}

TEST_CASE("vectl offline: one damaged log of several is named, and mended alone",
          "[tools][vectl]") {
  temporary_directory state;
  temporary_directory elsewhere;
  const auto place = state.path().string();
  const auto backup = (elsewhere.path() / "backup").string();
  for (const auto* cluster : {"a", "b"})
    accept_job(*open_log(state.path(), store::cluster_log_name(cluster)),
               std::string("j-") + cluster);
  REQUIRE(backup_offline(place, backup));
  const auto damaged = state.path() / "clusters" / "b" / "log";
  SECTION("its files are garbage") {
    for (const auto& entry : fs::directory_iterator(damaged))
      if (entry.path().filename().string().starts_with("MANIFEST"))
        std::ofstream(entry.path(), std::ios::binary | std::ios::trunc) << "garbage";
  }
  SECTION("it is gone, what was noted of it is not") { fs::remove_all(damaged); }

  auto with = make_offline_channel(place);
  REQUIRE(with);
  pb::ApiRequest request;
  request.mutable_get_job()->set_job_id("j-a");
  CHECK(ask(**with, request).has_job());
  request.mutable_get_job()->set_job_id("j-b");
  CHECK(ask(**with, request).error().error() == "unavailable");
  const auto seen = ask(**with, verify_request()).verification();
  CHECK_FALSE(seen.ok());
  CHECK_THAT(seen.first_problem(), Catch::Contains("cluster/b"));
  // What is healthy is in a backup, and what is not is named.
  const auto rest = backup_offline(place, backup + "-2");
  REQUIRE(rest);
  REQUIRE(rest->missing_logs_size() == 1);
  CHECK(rest->missing_logs(0).log() == "cluster/b");
  CHECK_FALSE(rest->missing_logs(0).problem().empty());
  CHECK(rest->logs_size() == 2);
  CHECK(fs::exists(backup + "-2/" + ved::runtime::incomplete_file));
  CHECK_FALSE(fs::exists(fs::path(backup) / ved::runtime::incomplete_file));

  const auto untouched = fs::last_write_time(state.path() / "clusters" / "a" / "log" / "CURRENT");
  REQUIRE(restore_offline(place, {backup, "cluster/b", true, false}));
  CHECK(fs::last_write_time(state.path() / "clusters" / "a" / "log" / "CURRENT") == untouched);
  with = make_offline_channel(place);
  CHECK(ask(**with, verify_request()).verification().ok());
  CHECK(ask(**with, request).has_job());
  CHECK(restore_offline(place, {backup, "cluster/c", true, false}).error().code ==
        ved::errc::not_found);
}

TEST_CASE("vectl offline: a backup that lacks a cluster is restored only when that is meant",
          "[tools][vectl]") {
  const auto how = [](const std::string&) { return ved::runtime::plain_log_options(); };
  temporary_directory state;
  temporary_directory elsewhere;
  const auto place = state.path().string();
  const auto backup = (elsewhere.path() / "backup").string();
  const auto record = [&](const char* cluster) {
    accept_job(*open_log(state.path(), store::cluster_log_name(cluster)),
               std::string("j-") + cluster);
    auto logs = ved::runtime::open_event_logs(place, how);
    REQUIRE(logs);
    REQUIRE(ved::runtime::record_cluster_log(*(*logs)->own(), ved::cluster_id{cluster}, at));
  };
  const auto refused = [&](const std::string& lacks) {
    const auto said = restore_offline(place, {backup, "", true, false});
    REQUIRE_FALSE(said);
    CHECK(said.error().code == ved::errc::conflict);
    CHECK_THAT(said.error().message,
               Catch::Contains("it lacks " + lacks + ":") && Catch::Contains("--incomplete"));
  };
  const auto is_lost = [&](const std::string& name) {
    auto logs = ved::runtime::open_event_logs(place, how);
    REQUIRE(logs);
    CHECK((*logs)->lost().contains(name));
    const auto cluster = ved::cluster_id{*store::cluster_of_log_name(name)};
    CHECK_FALSE(ved::runtime::need_cluster_log(**logs, place, cluster, false, how));
  };
  record("a");
  SECTION("its own daemon's log knows of it") {
    record("b");
    fs::remove_all(state.path() / "clusters" / "b");
    REQUIRE(backup_offline(place, backup)->missing_logs_size() == 1);
    if (GENERATE(true, false)) fs::remove(fs::path(backup) / ved::runtime::incomplete_file);
    fs::remove_all(state.path() / "checks");
    fs::remove_all(state.path() / "clusters");
    refused("cluster/b");
    const auto done = restore_offline(place, {backup, "", true, true});
    REQUIRE(done);
    CHECK(done->missing_logs_size() == 1);
    is_lost("cluster/b");
  }
  SECTION("the daemon's log in whose place it comes does") {
    REQUIRE(backup_offline(place, backup)->missing_logs_size() == 0);
    record("b");
    SECTION("and the log is there") {
      refused("cluster/b");
      REQUIRE(restore_offline(place, {backup, "", true, true}));
      auto logs = ved::runtime::open_event_logs(place, how);
      REQUIRE(logs);
      CHECK((*logs)->find("cluster/b"));
    }
    SECTION("and it is gone with all that was noted of it") {
      fs::remove_all(state.path() / "clusters" / "b");
      fs::remove_all(state.path() / "checks" / "b.check");
      refused("cluster/b");
      REQUIRE(restore_offline(place, {backup, "", true, true}));
      is_lost("cluster/b");
    }
  }
  SECTION("one log alone lacks nothing") {
    record("b");
    fs::remove_all(state.path() / "clusters" / "b");
    REQUIRE(backup_offline(place, backup));
    CHECK(restore_offline(place, {backup, "cluster/a", true, false}));
  }
}

TEST_CASE("vectl client directory: looked for in the order that --help says", "[tools][vectl]") {
  temporary_directory home;
  environment env;
  env.home = home.path().string();
  env.system_state = "/sys";
  global_options global;
  CHECK(find_client_directory(global, env) == "/sys/client");
  fs::create_directories(home.path() / ".config" / "ved");
  CHECK(find_client_directory(global, env) == (home.path() / ".config/ved").string());
  env.client_dir = "/env";
  CHECK(find_client_directory(global, env) == "/env");
  global.state = "/s";
  CHECK(find_client_directory(global, env) == "/s/client");
  global.config_dir = "/c";
  CHECK(find_client_directory(global, env) == "/c");
}

TEST_CASE("vectl client directory: address and token are read, a loose token refused",
          "[tools][vectl]") {
  temporary_directory directory;
  const auto path = directory.path();
  const auto missing = read_client_directory((path / "none").string(), "");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ved::errc::not_found);
  CHECK_THAT(missing.error().message, Catch::Contains("ved init"));

  CHECK_FALSE(read_client_directory(path.string(), ""));
  std::ofstream(path / "gateway") << "127.0.0.1:9191\n";
  auto read = read_client_directory(path.string(), "");
  REQUIRE(read);
  CHECK(read->address.port == 9191);
  CHECK(read->token.empty());
  CHECK(read->credentials.key_file == (path / "key.pem").string());
  CHECK(read_client_directory(path.string(), "[::1]:7")->address.host == "::1");
  CHECK_FALSE(read_client_directory(path.string(), "nonsense"));

  std::ofstream(path / "token") << "t0ken\n";
  fs::permissions(path / "token", fs::perms::owner_all | fs::perms::others_read);
  const auto loose = read_client_directory(path.string(), "");
  REQUIRE_FALSE(loose);
  CHECK(loose.error().code == ved::errc::denied);
  fs::permissions(path / "token", fs::perms::owner_read);
  read = read_client_directory(path.string(), "");
  REQUIRE(read);
  CHECK(read->token.reveal() == "t0ken");
}
