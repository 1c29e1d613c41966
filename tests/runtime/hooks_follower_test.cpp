#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/followers/follower.hpp"
#include "runtime/followers/followers.hpp"
#include "runtime/followers/hooks.hpp"
#include "tests/runtime/hooks_support.hpp"
#include "store/keys.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::runtime;
using adapters::hooks::delivery;
using adapters::hooks::delivery_outcome;
using tests::completed_job;
using tests::receiver;
using tests::temp_dir;
using tests::test_log;
using sub = tests::job::submission_result;

namespace {

/// What one hook was told, and how it answered.
struct told {
  std::vector<std::string> ids;
};

/// One hook with a receiver made of a function, started as the daemon does it.
class one_hook {
 public:
  one_hook(test_log& world, const hook_config& hook, deliver_function deliver,
           append_function append = {}) {
    auto start = find_start(*world.log, hook.name, world.appending(), tests::t0);
    REQUIRE(start);
    if (!append) append = world.appending();
    hook_parts parts;
    parts.hook = hook;
    parts.start = *start;
    parts.limits.backoff_initial = parts.limits.backoff_max = milliseconds{1};
    parts.log = world.log;
    parts.logs = world.logs;
    parts.append = std::move(append);
    parts.deliver = std::move(deliver);
    parts.clock = [] { return tests::t0; };
    parts.draw = [] { return std::uint64_t{7}; };
    parts.report = report;
    follower::options how;
    how.report = report;
    how.name = hook_stream(hook.name);
    how.pace = milliseconds{1};
    reader_ = std::make_unique<follower>(how, start->position, world.tail, world.feed, world.logs,
                                         make_hook_consumer(std::move(parts)));
  }
  void stop() { reader_->stop(); }

  tests::watched<time_point> now;
  std::shared_ptr<follower_report> report = std::make_shared<follower_report>(
      "hook/site", "cluster/hpc-1", [this] { return tests::t0 + (now.get() - time_point{}); });

 private:
  std::unique_ptr<follower> reader_;
};

hook_config site() {
  hook_config hook;
  hook.name = "site";
  return hook;
}

deliver_function accept_all(tests::watched<told>& out) {
  return [&out](const delivery& what, const std::stop_token&) {
    out.change([&](told& t) { t.ids.push_back(what.id); });
    return delivery_outcome{true, "exit 0"};
  };
}

std::string callbacks(const std::vector<std::string>& ids) {
  std::string out;
  for (const auto& id : ids) out += (out.empty() ? "" : " ") + id.substr(id.rfind(':') + 1);
  return out;
}

}  // namespace

TEST_CASE("hooks: a job's callbacks reach a webhook and a command, and are recorded",
          "[runtime][hooks]") {
  ::setenv("no_proxy", "127.0.0.1", 1);
  temp_dir dir;
  const auto file = (dir.path() / "told").string();
  receiver server([](const auto&) { return receiver::status(200); });
  config settings;
  settings.hpc.audit.enabled = false;
  settings.hooks.resize(2);
  settings.hooks[0].name = "web";
  settings.hooks[0].url = server.url();
  settings.hooks[0].signing_secret = secret{"k"};
  settings.hooks[1].name = "script";
  settings.hooks[1].callbacks = {"started", "completed"};
  settings.hooks[1].command = {"/bin/sh", "-c",
                               "echo $VED_JOB_ID $VED_CALLBACK $VED_STATE >> " + file};

  test_log world;
  world.begin();
  const auto numbers = std::make_shared<metrics>(metrics::sources{});
  auto all = followers::start({settings, {world.followed()}, world.logs, numbers,
                               [] { return tests::t0; }, "instance"});
  REQUIRE(all);
  world.add(completed_job("j-1"));
  REQUIRE(world.wait(
      [&] { return world.records("web").size() == 4 && world.records("script").size() == 2; }));
  (*all)->stop();

  std::vector<std::string> ids;
  for (auto& r : server.requests.get()) {
    ids.push_back(r.headers["x-ved-delivery"]);
    const auto body = nlohmann::json::parse(r.body);
    CHECK(body["job_id"] == "j-1");
    CHECK(body["delivery_id"] == ids.back());
    CHECK(body["resources"]["nodes"] == 1);
    CHECK(body["accepted_at"] == "2026-01-15T10:00:00.000000Z");
    if (body["callback"] != "completed") continue;
    CHECK(body["started_at"].is_string());
    CHECK(body["finished_at"].is_string());
    CHECK(body["usage"]["wall_clock_seconds"] == 1);
    CHECK(body["usage"]["cpu_time_us"].is_null());  // nobody told it
  }
  CHECK(callbacks(ids) == "submitted queued started completed");
  std::ifstream in(file);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  CHECK(text == "j-1 started running\nj-1 completed completed\n");
  for (const auto& r : world.records("web")) {
    CHECK(r.delivered());
    CHECK(r.attempts() == 1);
    CHECK(r.detail() == "HTTP 200");
  }
  CHECK(*world.log->cursor("hook/web") > 1);
  CHECK(world.log->verify()->ok);
}

TEST_CASE("hooks: a receiver that is away for long loses nothing and hears all in order",
          "[runtime][hooks]") {
  test_log world;
  world.begin();
  tests::watched<told> out;
  one_hook hook(world, site(), [&](const delivery& what, const std::stop_token&) {
    out.change([&](told& t) { t.ids.push_back(what.id); });
    // Far beyond the attempts that were once the end.
    const bool ok = what.callback != "queued" || what.attempt >= 40;
    return delivery_outcome{ok, ok ? "HTTP 200" : "HTTP 503"};
  });
  world.add(completed_job("j-1"));
  REQUIRE(world.wait([&] { return world.records("site").size() == 4; }));
  hook.stop();
  const auto ids = out.get().ids;
  CHECK(ids.size() == 43);
  CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == 4);
  const auto records = world.records("site");
  CHECK(records[1].attempts() == 40);
  for (const auto& r : records) CHECK(r.delivered());
}

TEST_CASE("hooks: one that fails is a problem after ten seconds, until it delivers",
          "[runtime][hooks]") {
  test_log world;
  world.begin();
  tests::watched<int> tries;
  tests::watched<bool> healed;
  one_hook hook(world, site(), [&](const delivery&, const std::stop_token&) {
    tries.change([](int& n) { ++n; });
    return delivery_outcome{healed.get(), "HTTP 503"};
  });
  world.add(completed_job("j-1"));
  REQUIRE(tries.wait([](const int& n) { return n >= 3; }));
  CHECK_FALSE(hook.report->problem(world.log->last_position()));
  hook.now.change([](time_point& t) { t = time_point{follower_patience}; });
  const auto found = hook.report->problem(world.log->last_position());
  REQUIRE(found);
  for (const char* words : {"hook/site", "'submitted'", "job j-1", "HTTP 503", "4 callbacks wait"})
    CHECK_THAT(found->text, Catch::Contains(words));
  CHECK(found->since == tests::t0);
  CHECK(hook.report->seen(100).oldest_at_us() != 0);
  healed.change([](bool& b) { b = true; });
  REQUIRE(world.wait([&] { return world.records("site").size() == 4; }));
  hook.stop();
  CHECK_FALSE(hook.report->problem(world.log->last_position()));
  CHECK(hook.report->seen(world.log->last_position()).waiting() == 0);
}

TEST_CASE("hooks: what an older release gave up stays given up, and the rest goes on behind it",
          "[runtime][hooks]") {
  test_log world;
  world.begin();
  REQUIRE(find_start(*world.log, "site", world.appending(), tests::t0));
  world.add(completed_job("j-1"));
  std::uint64_t position = 0;
  for (const auto& e : world.events())
    if (e.job().has_submitted()) position = e.position();
  for (const char* callback : {"submitted", "queued"})
    world.add("hook/site", [&](auto& e) {
      e.mutable_hook()->mutable_delivered()->set_hook("site");
      e.mutable_hook()->mutable_delivered()->set_position(position);
      e.mutable_hook()->mutable_delivered()->set_callback(callback);
      e.mutable_hook()->mutable_delivered()->set_delivered(false);
    });
  tests::watched<told> out;
  one_hook hook(world, site(), accept_all(out));
  REQUIRE(world.wait([&] { return world.records("site").size() == 4; }));
  hook.stop();
  CHECK(callbacks(out.get().ids) == "started completed");
}

TEST_CASE("hooks: a slow hook delays neither another one nor the writer", "[runtime][hooks]") {
  test_log world;
  world.begin();
  tests::watched<told> out;
  auto slow_config = site();
  slow_config.name = "slow";
  tests::watched<bool> reached;
  one_hook slow(world, slow_config, [&](const delivery&, const std::stop_token& stop) {
    reached.change([](bool& b) { b = true; });
    std::mutex m;
    std::condition_variable_any never;
    std::unique_lock lock(m);
    never.wait(lock, stop, [] { return false; });
    return delivery_outcome{false, "ended"};
  });
  one_hook quick(world, site(), accept_all(out));
  world.add(completed_job("j-1"));
  REQUIRE(reached.wait([](const bool& b) { return b; }));
  for (int i = 2; i <= 30; ++i) world.add(completed_job("j-" + std::to_string(i)));
  REQUIRE(world.wait([&] { return world.records("site").size() == 4 * 30; }));
  quick.stop();
  slow.stop();
  CHECK(world.records("slow").empty());
}

TEST_CASE("hooks: after a crash only what was not recorded comes again, under the same id",
          "[runtime][hooks]") {
  const auto disk = std::make_shared<store::memory_disk>();
  tests::watched<told> out;
  {
    test_log world(disk);
    world.begin();
    // The third record is never written: the process dies after the delivery.
    int records = 0;
    one_hook hook(world, site(), accept_all(out), [&](store::append_request r) {
      if (++records >= 3)
        return result<store::append_ack>(fail(errc::unavailable, "the writer is gone"));
      return world.append(std::move(r));
    });
    world.add(completed_job("j-1"));
    REQUIRE(out.wait([](const told& t) { return t.ids.size() == 3; }));
    hook.stop();
    // The cursor may lag behind the records by any amount.
    REQUIRE(world.log->set_cursor("hook/site", 1));
  }
  disk->crash();
  test_log world(disk);
  one_hook hook(world, site(), accept_all(out));
  REQUIRE(world.wait([&] { return world.records("site").size() == 4; }));
  hook.stop();
  const auto ids = out.get().ids;
  CHECK(callbacks(ids) == "submitted queued started started completed");
  CHECK(ids[2] == ids[3]);
}

TEST_CASE("hooks: a crash between two callbacks of one event repeats only the second",
          "[runtime][hooks]") {
  const auto disk = std::make_shared<store::memory_disk>();
  tests::watched<told> out;
  {
    test_log world(disk);
    world.begin();
    int records = 0;
    one_hook hook(world, site(), accept_all(out), [&](store::append_request r) {
      if (++records >= 2)
        return result<store::append_ack>(fail(errc::unavailable, "the writer is gone"));
      return world.append(std::move(r));
    });
    world.add(completed_job("j-1"));
    REQUIRE(out.wait([](const told& t) { return t.ids.size() == 2; }));
  }
  disk->crash();
  test_log world(disk);
  one_hook hook(world, site(), accept_all(out));
  REQUIRE(world.wait([&] { return world.records("site").size() == 4; }));
  hook.stop();
  CHECK(callbacks(out.get().ids) == "submitted queued queued started completed");
}

TEST_CASE("hooks: a record whose acknowledgement was lost is neither repeated nor delivered again",
          "[runtime][hooks]") {
  test_log world;
  world.begin();
  tests::watched<told> out;
  bool lose = true;
  one_hook hook(world, site(), accept_all(out), [&](store::append_request r) {
    auto done = world.append(std::move(r));
    if (!std::exchange(lose, false)) return done;
    return result<store::append_ack>(fail(errc::unknown_outcome, "no answer in time"));
  });
  world.add(completed_job("j-1"));
  REQUIRE(world.wait([&] { return world.records("site").size() == 4; }));
  hook.stop();
  CHECK(callbacks(out.get().ids) == "submitted queued started completed");
}

TEST_CASE("hooks: a new hook hears nothing of the past, also after a crash in its first second",
          "[runtime][hooks]") {
  test_log world;
  world.begin();
  world.add(completed_job("old"));
  const auto start = find_start(*world.log, "site", world.appending(), tests::t0);
  REQUIRE(start);
  CHECK(start->position + 1 == world.log->last_position());  // but what tells that it begins
  world.add(completed_job("new"));  // and then the crash: nothing was read
  tests::watched<told> out;
  one_hook hook(world, site(), accept_all(out));
  REQUIRE(world.wait([&] { return world.records("site").size() == 4; }));
  hook.stop();
  for (const auto& r : world.records("site")) CHECK(r.job_id() == "new");
}

TEST_CASE("hooks: a rebuild of a log that lost its cursors leaves a hook what it was owed",
          "[runtime][hooks]") {
  const auto disk = std::make_shared<store::memory_disk>();
  const bool has_told = GENERATE(false, true);
  {
    test_log world(disk);
    world.begin();
    world.add(completed_job("old"));
    if (has_told) {
      tests::watched<told> out;
      one_hook hook(world, site(), accept_all(out));
      world.add(completed_job("told"));
      REQUIRE(world.wait([&] { return world.records("site").size() == 4; }));
      hook.stop();
    } else {
      REQUIRE(find_start(*world.log, "site", world.appending(), tests::t0));
    }
    world.add(completed_job("owed"));
  }
  for (const auto& key : {std::string(store::keys::meta_head), std::string(store::keys::meta_rows),
                          store::keys::cursor_key(hook_stream("site"))})
    disk->erase(store::table::meta, key);
  store::event_log::options how;
  how.fold = {core::fold, core::index_keys};
  how.for_repair = true;
  REQUIRE((*store::event_log::open(store::open_memory(disk), how))->rebuild());
  test_log world(disk);
  tests::watched<told> out;
  one_hook hook(world, site(), accept_all(out));
  const std::size_t records = has_told ? 8 : 4;
  REQUIRE(world.wait([&] { return world.records("site").size() == records; }));
  hook.stop();
  CHECK(callbacks(out.get().ids) == "submitted queued started completed");
  CHECK(world.records("site").back().job_id() == "owed");
}

TEST_CASE("hooks: a stop while a delivery runs ends it and counts it for nothing",
          "[runtime][hooks]") {
  test_log world;
  world.begin();
  tests::watched<bool> reached;
  {
    one_hook hook(world, site(), [&](const delivery&, const std::stop_token& stop) {
      reached.change([](bool& b) { b = true; });
      std::mutex m;
      std::condition_variable_any never;
      std::unique_lock lock(m);
      never.wait(lock, stop, [] { return false; });
      return delivery_outcome{false, "ended"};
    });
    world.add(completed_job("j-1"));
    REQUIRE(reached.wait([](const bool& b) { return b; }));
    hook.stop();
  }
  CHECK(world.records("site").empty());
  tests::watched<told> out;
  one_hook again(world, site(), accept_all(out));
  REQUIRE(world.wait([&] { return world.records("site").size() == 4; }));
}
