#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "actors/api/shell/output_reads.hpp"
#include "actors/api/shell/service.hpp"

using namespace ved;
using namespace ved::actors;

namespace {

/// A door that is opened once.
class gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

/// Counts what is read, and answers once the test lets it.
struct output_desk {
  gate door;
  std::atomic<int> reads{0};
  std::string bytes;
  bool breaks = false;
};

class reading_port final : public adapters::scheduler {
 public:
  explicit reading_port(std::shared_ptr<output_desk> desk) : desk_(std::move(desk)) {}
  std::vector<adapters::submit_outcome> submit(std::span<const adapters::submission>,
                                               deadline) override {
    return {};
  }
  std::vector<adapters::find_outcome> find(std::span<const adapters::lookup>, deadline) override {
    return {};
  }
  result<adapters::poll_result> observe(std::span<const adapters::tracked_job>,
                                        adapters::poll_kind, deadline) override {
    return adapters::poll_result{};
  }
  std::vector<adapters::control_outcome> control(std::span<const adapters::control_request>,
                                                 deadline) override {
    return {};
  }
  result<adapters::inventory> take_inventory(deadline) override { return adapters::inventory{}; }
  adapters::health check_health(deadline) override { return {}; }
  std::int64_t queries() const override { return 0; }
  result<adapters::output_chunk> read_output(const adapters::output_request&, deadline) override {
    desk_->door.wait();
    ++desk_->reads;
    if (desk_->breaks) throw std::runtime_error("broken");
    return adapters::output_chunk{desk_->bytes, desk_->bytes.size()};
  }

 private:
  std::shared_ptr<output_desk> desk_;
};

struct output_site {
  explicit output_site(output_reads::options how = {})
      : pool(std::make_shared<io_pool>(
            io_pool::options{"test", 1, 64},
            [shared = desk]() -> result<std::unique_ptr<adapters::scheduler>> {
              return std::make_unique<reading_port>(shared);
            })),
        reads(std::make_shared<output_reads>(pool, how)) {}
  ~output_site() { desk->door.open(); }

  std::future<result<adapters::output_chunk>> ask(
      const std::string& job, bool finished = false, std::uint64_t offset = 0,
      output_reads::moment until = output_reads::moment::max(), const std::string& asker = {}) {
    adapters::output_request what;
    what.job.job = job_id{job};
    what.offset = offset;
    auto answer = std::make_shared<std::promise<result<adapters::output_chunk>>>();
    auto future = answer->get_future();
    reads->ask({next_asker(asker), what, finished, until},
               [answer](const result<adapters::output_chunk>& got) { answer->set_value(got); });
    return future;
  }

  /// Without a name, everybody asks once.
  std::string next_asker(const std::string& named) {
    return named.empty() ? "asker-" + std::to_string(++askers) : named;
  }

  int askers = 0;
  std::shared_ptr<output_desk> desk = std::make_shared<output_desk>();
  std::shared_ptr<io_pool> pool;
  std::shared_ptr<output_reads> reads;
};

pb::ApiRequest hold(const std::string& token) {
  pb::ApiRequest request;
  request.set_token(token);
  request.mutable_hold_job()->set_job_id("j-1");
  return request;
}

std::string error_of(service& of, pb::ApiRequest request) {
  std::string code = "none";
  of.handle(std::move(request),
            [&](const pb::ApiReply& reply) { code = reply.error().error(); });
  return code;
}

service_deps deps_of(std::vector<refusal_note>& refused) {
  service_deps deps;
  deps.authenticate = [](const std::string& token) -> result<principal> {
    if (token.empty() || token == "bad") return fail(errc::denied, "unknown token");
    return principal{token, true, token != "reader", false, false};
  };
  deps.refused = [&](const refusal_note& note) { refused.push_back(note); };
  return deps;
}

}  // namespace

TEST_CASE("api: holds and releases of one principal are bounded, cancels and others are not",
          "[actors][api]") {
  std::vector<refusal_note> refused;
  auto deps = deps_of(refused);
  deps.limits.controls_per_second = 1;
  deps.limits.controls_burst = 10;
  service api(std::move(deps));
  int held = 0;
  for (int i = 0; i < 40; ++i) {
    auto request = hold("flapper");
    if (i % 2 == 1) {
      request = {};
      request.set_token("flapper");
      request.mutable_release_job()->set_job_id("j-" + std::to_string(i));
    }
    held += error_of(api, std::move(request)) == "unavailable" ? 1 : 0;  // no ingress behind it
  }
  CHECK(held >= 10);
  CHECK(held < 20);
  CHECK(error_of(api, hold("other")) == "unavailable");
  pb::ApiRequest cancel;
  cancel.set_token("flapper");
  cancel.mutable_cancel_job()->set_job_id("j-1");
  CHECK(error_of(api, cancel) == "unavailable");
}

TEST_CASE("api: the scope events opens the events and nothing else; who reads has them, too",
          "[actors][api]") {
  std::vector<refusal_note> refused;
  auto deps = deps_of(refused);
  deps.authenticate = [](const std::string& token) -> result<principal> {
    return principal{token, token == "read", token == "submit", token == "events", false};
  };
  service api(std::move(deps));
  const auto opens = [&](const char* token, auto&& pick) {
    pb::ApiRequest request;
    request.set_token(token);
    pick(request);
    return api.identify(request).has_value();
  };
  for (const char* token : {"events", "read", "submit"})
    CHECK(opens(token, [](auto& r) { r.mutable_list_events(); }));
  CHECK_FALSE(opens("nothing", [](auto& r) { r.mutable_list_events(); }));
  CHECK_FALSE(opens("events", [](auto& r) { r.mutable_list_jobs(); }));
  CHECK_FALSE(opens("events", [](auto& r) { r.mutable_get_job(); }));
  CHECK_FALSE(opens("events", [](auto& r) { r.mutable_submit_job(); }));
  CHECK_FALSE(opens("events", [](auto& r) { r.mutable_get_config(); }));
}

TEST_CASE("api: the shares of a name that another token had are others", "[actors][api]") {
  std::vector<refusal_note> refused;
  auto deps = deps_of(refused);
  deps.authenticate = [](const std::string& token) -> result<principal> {
    return principal{"alice", true, true, false, false, token, {}};
  };
  service api(std::move(deps));
  CHECK(api.identify(hold("1")).value() != api.identify(hold("2")).value());
}

TEST_CASE("api: all requests of one principal together have a rate", "[actors][api]") {
  std::vector<refusal_note> refused;
  auto deps = deps_of(refused);
  deps.limits.requests_per_second = 1;
  deps.limits.requests_burst = 5;
  service api(std::move(deps));
  int taken = 0;
  for (int i = 0; i < 30; ++i) taken += error_of(api, hold("busy")) == "unavailable" ? 1 : 0;
  CHECK(taken >= 5);
  CHECK(taken < 15);
  CHECK(error_of(api, hold("calm")) == "unavailable");
}

TEST_CASE("api: the bytes of jobs that one principal submits have a rate", "[actors][api]") {
  std::vector<refusal_note> refused;
  auto deps = deps_of(refused);
  deps.limits.submitted_bytes_per_second = 100;
  deps.limits.submitted_bytes_burst = 10'000;
  service api(std::move(deps));
  const auto submit = [&](const std::string& token, std::size_t bytes) {
    pb::ApiRequest request;
    request.set_token(token);
    request.mutable_submit_job()->mutable_spec()->set_job_id(std::string(bytes, 'j'));
    return error_of(api, std::move(request));
  };
  // Invalid is what passes: the id is too long.
  CHECK(submit("busy", 6'000) == "invalid");
  CHECK(submit("busy", 600'000) == "invalid");  // a large one may owe
  CHECK(submit("busy", 1) == "overloaded");
  CHECK(error_of(api, hold("busy")) == "unavailable");
  CHECK(submit("calm", 6'000) == "invalid");
}

TEST_CASE("api: a head is refused for its token and its scope, and noted", "[actors][api]") {
  std::vector<refusal_note> refused;
  service api(deps_of(refused));
  const auto code = [&](const pb::ApiRequest& head) {
    const auto who = api.identify(head);
    return who ? std::string() : who.error().error().error();
  };
  CHECK(code(hold("writer")).empty());
  CHECK(refused.empty());
  CHECK(code(hold("bad")) == "denied");
  CHECK(code(hold("")) == "denied");
  CHECK(code(hold("reader")) == "denied");
  REQUIRE(refused.size() == 3);
  CHECK(refused[0].event_type == "authentication_failed");
  CHECK(refused[2].event_type == "unauthorized_access");
  pb::ApiRequest status;
  status.mutable_get_status();
  CHECK(code(status).empty());
  status.set_token("bad");
  CHECK(code(status) == "denied");
}

TEST_CASE("outputs: equal questions share one read, others do not", "[actors][api]") {
  output_site site;
  site.desk->bytes = "text";
  std::vector<std::future<result<adapters::output_chunk>>> all;
  for (int i = 0; i < 50; ++i) all.push_back(site.ask("j-1"));
  all.push_back(site.ask("j-2"));
  all.push_back(site.ask("j-1", false, 4));
  site.desk->door.open();
  for (auto& one : all) CHECK(one.get().value().bytes == "text");
  CHECK(site.desk->reads.load() == 3);
}

TEST_CASE("outputs: askers of one read are bounded", "[actors][api]") {
  output_site site;
  std::vector<std::future<result<adapters::output_chunk>>> all;
  for (std::size_t i = 0; i < output_reads::askers_max; ++i) all.push_back(site.ask("j-1"));
  CHECK(site.ask("j-1").get().error().code == errc::overloaded);
  site.desk->door.open();
  for (auto& one : all) CHECK(one.get().has_value());
}

TEST_CASE("outputs: a cluster has a rate of reads; without one there is none", "[actors][api]") {
  output_site site({.per_second = 2});
  site.desk->door.open();
  site.desk->bytes = "text";
  int read = 0;
  for (int i = 0; i < 60; ++i)
    read += site.ask("j-" + std::to_string(i)).get().has_value() ? 1 : 0;
  CHECK(read >= 10);  // five seconds' worth at once
  CHECK(read < 40);
  output_site local;
  local.desk->door.open();
  for (int i = 0; i < 60; ++i) CHECK(local.ask("j-" + std::to_string(i)).get().has_value());
}

TEST_CASE("outputs: one asker has half of a cluster's rate, and a part of the places at one read",
          "[actors][api]") {
  const auto never = output_reads::moment::max();
  output_site site({.per_second = 4});
  site.desk->door.open();
  site.desk->bytes = "text";
  int read = 0;
  for (int i = 0; i < 30; ++i)
    read += site.ask("j-" + std::to_string(i), false, 0, never, "greedy").get() ? 1 : 0;
  CHECK(read >= 10);
  CHECK(site.ask("j-1", false, 7, never, "modest").get().has_value());

  output_site busy;
  std::vector<std::future<result<adapters::output_chunk>>> all;
  for (std::size_t i = 0; i <= output_reads::askers_of_one_max; ++i)
    all.push_back(busy.ask("j-1", false, 0, never, "greedy"));
  CHECK(all.back().get().error().code == errc::overloaded);
  all.pop_back();
  all.push_back(busy.ask("j-1", false, 0, never, "modest"));
  busy.desk->door.open();
  for (auto& one : all) CHECK(one.get().has_value());
}

TEST_CASE("outputs: followers at the end of an output share what was seen, until the job has ended",
          "[actors][api]") {
  output_site site({.per_second = 100, .end_known_for = milliseconds{3'600'000}});
  site.desk->door.open();
  for (int i = 0; i < 20; ++i) CHECK(site.ask("j-1").get().value().bytes.empty());
  CHECK(site.desk->reads.load() == 1);
  CHECK(site.ask("j-1", true).get().has_value());
  CHECK(site.desk->reads.load() == 2);
}

TEST_CASE("outputs: a read whose asker has gone is not made", "[actors][api]") {
  output_site site;
  auto running = site.ask("j-1");
  auto late = site.ask("j-2", false, 0, output_reads::moment::min());
  site.desk->door.open();
  CHECK(running.get().has_value());
  CHECK(late.get().error().code == errc::unavailable);
  CHECK(site.desk->reads.load() == 1);
}

TEST_CASE("outputs: a read that breaks answers its askers, and the next is made anew",
          "[actors][api]") {
  output_site site;
  site.desk->breaks = true;
  site.desk->door.open();
  CHECK(site.ask("j-1").get().error().code == errc::unknown_outcome);
  site.desk->breaks = false;
  CHECK(site.ask("j-1").get().has_value());
}
