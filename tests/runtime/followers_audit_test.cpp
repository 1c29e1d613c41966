#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "runtime/followers/audit.hpp"
#include "runtime/followers/followers.hpp"
#include "tests/runtime/followers_support.hpp"
#include "tests/support/golden_events.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::runtime;
using json = nlohmann::ordered_json;
using tests::completed_job;
using tests::temp_dir;
using tests::test_log;

namespace {

std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<json> read_lines(const std::filesystem::path& file) {
  std::vector<json> out;
  std::istringstream in(read_text(file));
  for (std::string line; std::getline(in, line);) out.push_back(json::parse(line));
  return out;
}

/// "job_submitted job_lifecycle_event:queued" of a row of lines.
std::string types(const std::vector<json>& lines) {
  std::string out;
  for (const auto& l : lines) {
    out += (out.empty() ? "" : " ") + l["event_type"].get<std::string>();
    if (l["event_type"] == "job_lifecycle_event")
      out += ":" + l["details"]["event"].get<std::string>();
  }
  return out;
}

std::vector<json> lines_of(const tests::driver& d, const audit_config& switches = {}) {
  test_log world;
  world.add(d);
  job_tracker tracker(*world.log);
  std::vector<json> out;
  for (const auto& e : world.events()) {
    const auto step = tracker.follow(e);
    REQUIRE(step);
    const auto type_of = [](const std::string&) { return "slurm"; };
    for (const auto& text : audit_lines(e, "cluster/hpc-1", &*step, type_of, switches))
      out.push_back(json::parse(text));
  }
  return out;
}

/// Nobody is told that jobs of an unknown cluster are left alone.
metrics::sources serving_cluster() {
  metrics::sources out;
  out.clusters = {cluster_id("hpc-1")};
  return out;
}

struct running {
  test_log& world;
  std::shared_ptr<metrics> numbers = std::make_shared<metrics>(serving_cluster());
  tests::watched<time_point> now;
  std::unique_ptr<followers> all;

  pb::Follower seen(const std::string& name) const {
    for (auto& one : all->seen())
      if (one.name() == name) return one;
    return {};
  }

  running(test_log& on, const std::filesystem::path& file, audit_config audit = {},
          const std::string& type = {})
      : world(on) {
    now.change([](time_point& t) { t = tests::t0; });
    config settings;
    audit.log_path = file.string();
    settings.hpc.audit = audit;
    auto started =
        followers::start({settings, {on.followed()}, on.logs, numbers,
                          [this] { return now.get(); }, "instance",
                          [type](const std::string&) { return type; }});
    REQUIRE(started);
    all = std::move(*started);
  }
  /// Until the file holds that many lines.
  static bool holds(const std::filesystem::path& file, std::size_t lines) {
    return until([&] {
      const auto text = read_text(file);
      return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) >= lines;
    });
  }
  static bool until(const std::function<bool()>& reached) {
    const auto late = std::chrono::steady_clock::now() + tests::patience;
    while (std::chrono::steady_clock::now() < late) {
      if (reached()) return true;
      std::this_thread::sleep_for(milliseconds{5});
    }
    return false;
  }
};

}  // namespace

TEST_CASE("audit: a job's life in the guide's format", "[runtime][followers][audit]") {
  const auto lines = lines_of(completed_job("job-123"));
  CHECK(types(lines) ==
        "job_lifecycle_event:accepted job_lifecycle_event:submission_intended job_submitted "
        "job_lifecycle_event:submitted job_lifecycle_event:queued job_lifecycle_event:started "
        "job_lifecycle_event:completed");
  const auto& submitted = lines[2];
  std::vector<std::string> keys;
  for (const auto& [key, value] : submitted.items()) keys.push_back(key);
  CHECK(keys == std::vector<std::string>{"timestamp", "event_type", "job_id", "cluster_id",
                                         "details", "success"});
  CHECK(submitted["job_id"] == "job-123");
  CHECK(submitted["cluster_id"] == "hpc-1");
  CHECK(submitted["details"]["scheduler_job_id"] == "17");
  CHECK(submitted["details"]["scheduler_type"] == "slurm");
  CHECK(submitted["details"]["position"] == 3);
  CHECK(submitted["details"]["principal"] == "alice");
  CHECK(submitted["success"] == true);
  CHECK(lines.back()["details"]["prev_state"] == "running");
  CHECK(lines.back()["details"]["current_state"] == "completed");
}

TEST_CASE("audit: every event of a job has a line, and failures say so",
          "[runtime][followers][audit]") {
  std::set<std::string> seen;
  for (const auto& [name, d] : tests::golden_streams()) {
    std::set<std::uint64_t> positions;
    for (const auto& line : lines_of(d)) {
      seen.insert(line["event_type"].get<std::string>());
      positions.insert(line["details"]["position"].get<std::uint64_t>());
      if (line["event_type"].get<std::string>().ends_with("_failed"))
        CHECK(line["success"] == false);
    }
    CAPTURE(name);
    // A status that changes neither state nor callback has none: at most a few.
    CHECK(positions.size() + 3 >= d.log.size());
  }
  CHECK(seen.contains("job_submission_failed"));
  CHECK(seen.contains("job_cancelled"));
  CHECK(seen.contains("job_max_retries_exceeded"));
}

TEST_CASE("audit: the switches leave out what they name", "[runtime][followers][audit]") {
  audit_config quiet;
  quiet.log_job_events = false;
  CHECK(lines_of(completed_job("j-1"), quiet).empty());
  quiet.log_security_events = false;
  CHECK_FALSE(is_wanted(quiet, "authentication_failed"));
  CHECK(is_wanted(quiet, "status_reported"));
  quiet.log_usage_reports = false;
  CHECK_FALSE(is_wanted(quiet, "status_reported"));
  CHECK(is_wanted(quiet, "cluster_down"));
}

TEST_CASE("audit: the file is 0640, follows a rename only at reopen, and mends a torn line",
          "[runtime][followers][audit]") {
  temp_dir dir;
  const auto path = dir.path() / "log" / "audit.log";
  audit_file file(path);
  REQUIRE(file.append("{\"a\":1}\n"));
  struct stat is {};
  REQUIRE(::stat(path.c_str(), &is) == 0);
  CHECK((is.st_mode & 0777) == 0640);

  std::filesystem::rename(path, path.string() + ".1");
  REQUIRE(file.append("{\"a\":2}\n"));
  REQUIRE(file.reopen());
  REQUIRE(file.append("{\"a\":3}\n"));
  CHECK(read_text(path.string() + ".1") == "{\"a\":1}\n{\"a\":2}\n");
  CHECK(read_text(path) == "{\"a\":3}\n");

  std::ofstream(path, std::ios::app) << "{\"a\":";
  REQUIRE(file.reopen());
  REQUIRE(file.append("{\"a\":4}\n"));
  CHECK(read_text(path) == "{\"a\":3}\n{\"a\":\n{\"a\":4}\n");
}

TEST_CASE("audit: a file that cannot be written is named, and caught up with later",
          "[runtime][followers][audit]") {
  temp_dir dir;
  const auto blocked = dir.path() / "log";
  std::ofstream(blocked) << "a file where a directory should be";
  const auto path = blocked / "audit.log";
  audit_file file(path);
  const auto refused = file.append("x\n");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find(path.string()) != std::string::npos);

  test_log world;
  world.begin();
  running daemon(world, path);
  world.add(completed_job("j-1"));
  std::filesystem::remove(blocked);
  REQUIRE(running::holds(path, 8));
  CHECK(types(read_lines(path)).starts_with("service_started job_lifecycle_event:accepted"));
}

TEST_CASE("audit: each event has its lines once, wherever a crash came",
          "[runtime][followers][audit]") {
  temp_dir dir;
  const auto whole = dir.path() / "whole.log";
  test_log world;
  world.begin();
  world.add(completed_job("j-1"));
  {
    running daemon(world, whole);
    REQUIRE(running::holds(whole, 8));
    daemon.all->stop();
    CHECK(*world.log->cursor("audit") == world.log->last_position());
  }
  const auto text = read_text(whole);
  const auto lines = read_lines(whole).size();
  // The process died with any number of lines in the file, also within an event's lines and within
  // a line, and with a cursor from before.
  for (std::size_t kept = 0; kept <= lines; ++kept) {
    for (const char* torn : {"", R"({"timestamp": "20)"}) {
      const auto path = dir.path() / ("cut" + std::to_string(kept) + std::to_string(*torn != 0));
      std::size_t end = 0;
      for (std::size_t i = 0; i < kept; ++i) end = text.find('\n', end) + 1;
      std::ofstream(path) << text.substr(0, end) << torn;
      REQUIRE(world.log->set_cursor("audit", 0));
      INFO(kept << " lines " << torn);
      const auto rest = *torn == 0 ? std::string{} : std::string(torn) + "\n";
      const auto expected = text.substr(0, end) + rest + text.substr(end);
      running daemon(world, path);
      CHECK(running::until([&] { return read_text(path).size() >= expected.size(); }));
      daemon.all->stop();
      CHECK(read_text(path) == expected);
    }
  }
}

TEST_CASE("audit: lines that were made when the scheduler was not known are the event's lines",
          "[runtime][followers][audit]") {
  temp_dir dir;
  const auto path = dir.path() / "audit.log";
  test_log world;
  world.begin();
  tests::driver d = tests::in_phase("queued");
  world.add(d);
  std::string text;
  {
    running daemon(world, path);
    REQUIRE(running::until([&] {
      return read_text(path).find("job_submitted") != std::string::npos &&
             *world.log->cursor("audit") == world.log->last_position();
    }));
    daemon.all->stop();
    text = read_text(path);
  }
  REQUIRE(world.log->set_cursor("audit", 0));
  running daemon(world, path, {}, "slurm");
  REQUIRE(running::until([&] {
    return *world.log->cursor("audit") == world.log->last_position();
  }));
  daemon.all->stop();
  CHECK(read_text(path) == text);
}

TEST_CASE("audit: notes behind the last event do not hide it", "[runtime][followers][audit]") {
  temp_dir dir;
  const auto path = dir.path() / "audit.log";
  test_log world;
  world.begin();
  world.add(completed_job("j-1"));
  {
    running daemon(world, path);
    REQUIRE(running::holds(path, 8));
    daemon.all->audit({"authentication_failed", "", "", {}, false});
    REQUIRE(running::holds(path, 9));
  }
  const auto lines = read_lines(path).size();
  REQUIRE(world.log->set_cursor("audit", 0));
  running daemon(world, path);
  world.add("daemon",
            [](auto& e) { e.mutable_daemon()->mutable_stopped()->set_reason("asked to"); });
  REQUIRE(running::holds(path, lines + 1));
  daemon.all->stop();
  CHECK(read_lines(path).size() == lines + 1);
}

TEST_CASE("audit: the file of another log hides nothing of this one",
          "[runtime][followers][audit]") {
  temp_dir dir;
  const auto path = dir.path() / "audit.log";
  const auto write = [&](const char* job, std::size_t lines) {
    test_log world;
    world.begin();
    world.add(completed_job(job));
    running daemon(world, path);
    REQUIRE(running::holds(path, lines));
    daemon.all->stop();
  };
  write("j-1", 8);
  const auto first = read_lines(path).size();
  write("j-2", 2 * first);
  CHECK(read_lines(path).size() == 2 * first);
}

TEST_CASE("audit: a file that was removed is made anew, a directory above it is not",
          "[runtime][followers][audit]") {
  temp_dir dir;
  const auto path = dir.path() / "log" / "audit.log";
  audit_file file(path);
  REQUIRE(file.append("1\n"));
  std::filesystem::remove_all(path.parent_path());
  REQUIRE(file.append("2\n"));
  CHECK(read_text(path) == "2\n");
  audit_file typo(dir.path() / "no" / "such" / "audit.log");
  CHECK_FALSE(typo.append("1\n"));
  CHECK_FALSE(std::filesystem::exists(dir.path() / "no"));
}

TEST_CASE("audit: no line is written into what others may change", "[runtime][followers][audit]") {
  temp_dir dir;
  const auto path = dir.path() / "audit.log";
  audit_file file(path);
  REQUIRE(file.append("1\n"));
  std::filesystem::rename(path, dir.path() / "audit.log.1");
  std::ofstream{path} << "";
  REQUIRE(::chmod(path.c_str(), 0666) == 0);
  if (::geteuid() == 0 && GENERATE(true, false)) {
    REQUIRE(::chmod(path.c_str(), 0644) == 0);
    REQUIRE(::chown(path.c_str(), 65'534, 0) == 0);
  }
  CHECK_THAT(file.reopen().error().message, Catch::Contains("nothing is written to it; run: ch"));
  CHECK_FALSE(file.append("2\n"));
  std::filesystem::remove(dir.path() / "audit.log.1");
  CHECK_FALSE(file.append("2\n"));
  CHECK(read_text(path).empty());
  // As logrotate makes it with `create 0640 root adm`.
  REQUIRE(::chmod(path.c_str(), 0660) == 0);
  if (::geteuid() == 0) REQUIRE(::chown(path.c_str(), 0, 4) == 0);
  CHECK(file.append("2\n"));
  CHECK(read_text(path) == "2\n");
}

TEST_CASE("audit: where its place is not fine any more what is open stays, and nothing is opened",
          "[runtime][followers][audit]") {
  temp_dir dir;
  const auto path = dir.path() / "audit.log";
  bool fine = true;
  audit_file file(path, [&]() -> result<void> {
    if (fine) return {};
    return fail(errc::denied, "others may write into it");
  });
  REQUIRE(file.append("1\n"));
  fine = false;
  CHECK_FALSE(file.reopen());
  CHECK(file.append("2\n"));
  CHECK(read_text(path) == "1\n2\n");
  // What somebody put in its place may lead to any file of ours.
  std::filesystem::remove(path);
  std::ofstream{dir.path() / "other"} << "other\n";
  std::filesystem::create_symlink("other", path);
  const auto refused = file.append("3\n");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::unavailable);
  CHECK(read_text(dir.path() / "other") == "other\n");
  std::filesystem::remove(path);
  fine = true;
  CHECK(file.append("3\n"));
  CHECK(read_text(path) == "3\n");
}

TEST_CASE("audit: it is made through a link to nothing, with its directory",
          "[runtime][followers][audit]") {
  temp_dir dir;
  std::filesystem::create_symlink(dir.path() / "log" / "lines", dir.path() / "audit.log");
  audit_file file(dir.path() / "audit.log");
  REQUIRE(file.append("1\n"));
  CHECK(read_text(dir.path() / "log" / "lines") == "1\n");
}

TEST_CASE("audit: one that cannot be written is a problem that says how much waits",
          "[runtime][followers][audit]") {
  temp_dir dir;
  const auto blocked = dir.path() / "log";
  std::ofstream(blocked) << "a file where a directory should be";
  test_log world;
  world.begin();
  running daemon(world, blocked / "audit.log");
  world.add(completed_job("j-1"));
  const auto failing = [&] { return daemon.seen("audit").failing_since_us() != 0; };
  REQUIRE(running::until(failing));
  CHECK(daemon.all->problems().empty());
  daemon.now.change([](time_point& t) { t += follower_patience; });
  const auto found = daemon.all->problems();
  REQUIRE(found.size() == 1);
  CHECK_THAT(found[0].text, Catch::Contains((blocked / "audit.log").string()));
  CHECK_THAT(found[0].text, Catch::Contains(" events behind"));
  CHECK(daemon.seen("audit").behind() == world.log->last_position());
  std::filesystem::remove(blocked);
  CHECK(running::until([&] { return daemon.all->problems().empty(); }));
}

TEST_CASE("audit: notes that cannot be written are a problem too", "[runtime][followers][audit]") {
  temp_dir dir;
  const auto path = dir.path() / "audit.log";
  test_log world;
  world.begin();
  running daemon(world, path);
  REQUIRE(running::holds(path, 1));
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  daemon.all->audit({"authentication_failed", "", "", {{"source", "http 127.0.0.1"}}, false});
  REQUIRE(running::until([&] { return daemon.seen("audit").failing_since_us() != 0; }));
  daemon.now.change([](time_point& t) { t += follower_patience; });
  const auto found = daemon.all->problems();
  REQUIRE(found.size() == 1);
  CHECK_THAT(found[0].text, Catch::Contains(path.string()));
}

TEST_CASE("audit: notes of refused requests are written, bounded, and never lost in silence",
          "[runtime][followers][audit]") {
  temp_dir dir;
  const auto path = dir.path() / "audit.log";
  test_log world;
  world.begin();
  {
    running daemon(world, path);
    daemon.all->audit({"authentication_failed",
                       "",
                       "",
                       {{"source", "http 127.0.0.1"}, {"odd", "a\nb\xff"}},
                       false});
    REQUIRE(running::holds(path, 2));
  }
  const auto lines = read_lines(path);
  const auto& note = lines[lines[0]["event_type"] == "authentication_failed" ? 0 : 1];
  CHECK(note["event_type"] == "authentication_failed");
  CHECK(note["details"]["source"] == "http 127.0.0.1");
  CHECK(note["success"] == false);

  audit_inbox inbox;
  for (std::size_t i = 0; i < audit_notes_max + 7; ++i)
    inbox.put({"unauthorized_access", "", "", {}, false}, tests::t0);
  CHECK(inbox.waiting(100'000).size() == audit_notes_max);
  inbox.written(audit_notes_max);
  inbox.put({"unauthorized_access", "", "", {}, false}, tests::t0);
  const auto after = inbox.waiting(10);
  REQUIRE(after.size() == 2);
  CHECK(json::parse(after[0])["event_type"] == "audit_notes_dropped");
  CHECK(json::parse(after[0])["details"]["count"] == "7");
}
