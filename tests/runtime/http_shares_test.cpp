#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/http/service.hpp"
#include "tests/runtime/http_support.hpp"

using namespace ved;
using namespace ved::http_test;

namespace {

std::string of_token(const std::string& token, std::string_view method, const std::string& target,
                     const std::string& more = "\r\n") {
  return std::string(method) + " " + target + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " +
         token + "\r\n" + more;
}

std::string get(const std::string& token) {
  return of_token(token, "GET", "/api/v1/hpc/jobs/j-1");
}

std::unique_ptr<raw_client> sent(std::uint16_t port, const char* from, const std::string& text) {
  auto client = std::make_unique<raw_client>(port, 0, from);
  client->send(text);
  return client;
}

pb::ApiReply list_of_bytes(std::size_t bytes) {
  pb::ApiReply reply;
  reply.mutable_jobs()->add_jobs()->set_job_id(std::string(bytes, 'j'));
  return reply;
}

constexpr std::size_t event_bytes = 2 << 20;

/// Events "p1" to "p8" of all logs, large ones, four in an answer.
pb::ApiReply large_events(const pb::ListEvents& wanted, std::size_t bytes = event_bytes) {
  const int after = wanted.after().empty() ? 0 : std::stoi(wanted.after().substr(1));
  pb::ApiReply reply;
  auto& page = *reply.mutable_event_page();
  int last = after;
  while (last < 8 && last - after < std::min(4, wanted.limit())) {
    auto& placed = *page.add_events();
    placed.set_position("p" + std::to_string(++last));
    placed.mutable_event()->mutable_job()->mutable_observed()->set_reason(
        std::string(bytes, 'e'));
  }
  page.set_next("p" + std::to_string(last));
  page.set_more(last < 8);
  return reply;
}

/// Four of those events are all that one token's clients may leave.
runtime::http_options room_for_one_answer() {
  runtime::http_options options;
  options.answers_bytes_max = 4 * (4 * event_bytes + (64 << 10));
  return options;
}

std::string all_events_of(const std::string& token, const std::string& after) {
  return of_token(token, "GET", "/api/v1/hpc/events?after=" + after,
                  "Accept: text/event-stream\r\n\r\n");
}

std::vector<int> limits_asked_for(const fake_api& api) {
  std::vector<int> out;
  for (const auto& one : api.seen()) out.push_back(one.list_events().limit());
  return out;
}

}  // namespace

TEST_CASE("http: live streams of one token leave room for others, from all addresses together",
          "[runtime][http]") {
  runtime::http_options options;
  options.streams_max = 6;
  options.streams_per_address = 2;
  options.streams_per_principal = 3;
  running_server up(options);
  const auto listen = [&](const char* from, const std::string& token) {
    auto client = sent(up.port, from,
                       of_token(token, "GET", "/api/v1/hpc/jobs/j-1/events",
                                "Accept: text/event-stream\r\n\r\n"));
    const int status = client->read_response().status;
    return std::make_pair(status, std::move(client));
  };
  std::vector<std::unique_ptr<raw_client>> open;
  int taken = 0;
  for (const char* from : {"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"})
    for (int i = 0; i < 2; ++i) {
      auto [status, client] = listen(from, "greedy");
      taken += status == 200 ? 1 : 0;
      open.push_back(std::move(client));
    }
  CHECK(taken == 3);
  const auto others = listen("127.0.0.6", "modest");
  CHECK(others.first == 200);
  CHECK(up.server.counts().streams == 4);
}

TEST_CASE("http: one token has a bounded number of open requests, others go on",
          "[runtime][http]") {
  runtime::http_options options;
  options.requests_per_principal = 3;
  running_server up(options);
  up.api.hold();
  std::vector<std::unique_ptr<raw_client>> open;
  for (const char* from : {"127.0.0.2", "127.0.0.3", "127.0.0.4"})
    open.push_back(sent(up.port, from, get("greedy")));
  up.api.wait_for_requests(3);
  const auto more = sent(up.port, "127.0.0.5", get("greedy") + get("greedy"));
  const auto refused = more->read_response();
  CHECK(refused.status == 429);
  CHECK(refused.headers.contains("retry-after"));
  CHECK(refused.headers.at("connection") == "close");
  CHECK(refused.json()["error"] == "overloaded");
  CHECK(more->read_all().empty());  // what was pipelined behind it is not looked at
  CHECK(up.server.counts().requests_limited == 1);
  const auto modest = sent(up.port, "127.0.0.5", get("modest"));
  up.api.wait_for_requests(4);
  for (const auto& done : up.api.release()) {
    pb::ApiReply reply;
    reply.mutable_job()->mutable_job()->set_job_id("j-1");
    done(reply);
  }
  for (const auto& one : open) CHECK(one->read_response().status == 200);
  CHECK(modest->read_response().status == 200);
  // All places are free again, and a connection that goes on takes one at a time.
  for (int i = 0; i < 8; ++i) {
    open[0]->send(get("greedy"));
    CHECK(open[0]->read_response().status == 200);
  }
}

TEST_CASE("http: a request stays open while it is worked on, also when its client has gone",
          "[runtime][http]") {
  runtime::http_options options;
  options.requests_per_principal = 1;
  running_server up(options);
  up.api.hold();
  sent(up.port, nullptr, get("greedy"));  // and closed
  up.api.wait_for_requests(1);
  CHECK(sent(up.port, nullptr, get("greedy"))->read_response().status == 429);
  for (const auto& done : up.api.release()) done(list_of_bytes(1));
  int status = 429;  // the last copy of the callback goes a moment later
  for (int i = 0; i < 1'000 && status == 429; ++i)
    status = sent(up.port, nullptr, get("greedy"))->read_response().status;
  CHECK(status == 200);
}

TEST_CASE("http: bodies that are read at one time share a bound, and one token leaves room",
          "[runtime][http]") {
  runtime::http_options options;
  options.body_bytes_max = 1'000;
  options.bodies_bytes_max = 1'000;  // and no less than four of the largest
  running_server up(options);
  up.api.hold();
  const std::string body = sample_spec();
  const auto post = [&](const std::string& token, const char* from) {
    return sent(up.port, from,
                of_token(token, "POST", "/api/v1/hpc/jobs", "Content-Length: 900\r\n\r\n") +
                    body + std::string(900 - body.size(), ' '));
  };
  const auto first = post("greedy", "127.0.0.2");
  up.api.wait_for_requests(1);
  CHECK(post("greedy", "127.0.0.3")->read_response().status == 429);
  std::vector<std::unique_ptr<raw_client>> others;
  for (const std::string token : {"a", "b", "c"}) {
    others.push_back(post(token, "127.0.0.3"));
    up.api.wait_for_requests(others.size() + 1);
  }
  CHECK(post("d", "127.0.0.4")->read_response().status == 503);
  for (const auto& done : up.api.release()) done({});
  first->read_response();
  for (const auto& one : others) one->read_response();
  CHECK(post("greedy", "127.0.0.2")->read_response().status == 201);
}

TEST_CASE("http: bodies that come slowly do not take all the places of their address",
          "[runtime][http]") {
  runtime::http_options options;
  options.connections_per_address = 40;
  running_server up(options);
  std::vector<std::unique_ptr<raw_client>> slow;
  for (int i = 0; i < 40; ++i) {
    slow.push_back(sent(up.port, "127.0.0.2",
                        of_token("slow", "POST", "/api/v1/hpc/jobs",
                                 "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")));
    slow.back()->read_until("100 Continue\r\n\r\n");
  }
  std::vector<std::unique_ptr<raw_client>> modest;
  for (int i = 0; i < 35; ++i) {
    modest.push_back(sent(up.port, "127.0.0.2", get("modest")));
    CHECK(modest.back()->read_response().status == 200);
  }
  // A quarter keeps its places, and goes on where it stopped.
  for (int i = 0; i < 10; ++i) {
    slow[i]->send(std::string(100, ' '));
    CHECK(slow[i]->read_response().status == 400);
  }
  for (int i = 10; i < 40; ++i) CHECK_THROWS(slow[i]->read_until("\r\n"));
}

TEST_CASE("http: answers that one token's clients do not take leave room for others",
          "[runtime][http]") {
  constexpr std::size_t large = 8 << 20;  // more than the kernel takes for a client that sleeps
  runtime::http_options options;
  options.answers_bytes_max = 4 * large + (4 << 16);
  running_server up(options);
  up.api.set_answer([&](const auto&) { return list_of_bytes(large); });
  const std::string list = "/api/v1/hpc/jobs";
  raw_client sleepy(up.port, 4'096);
  sleepy.send(of_token("greedy", "GET", list));
  sleepy.read_until("\r\n\r\n");
  const auto refused = sent(up.port, "127.0.0.2", of_token("greedy", "GET", list));
  CHECK(refused->read_response().status == 429);
  const auto modest = sent(up.port, "127.0.0.2", of_token("modest", "GET", list));
  CHECK(modest->read_response().body.size() > large);
}

TEST_CASE("http: large answers become text where they come from, small ones on their connection's "
          "thread",
          "[runtime][http]") {
  fake_api api;
  const auto shared =
      std::make_shared<runtime::http::service>(runtime::http_options{}, api, nullptr);
  auto& context = *shared->contexts.front();
  const auto thread_that_makes = [&](std::size_t bytes) {
    std::thread::id made_on;
    std::thread::id taken_on;
    api.set_answer([&](const auto&) { return list_of_bytes(bytes); });
    shared->call(
        context, {}, [&](const pb::ApiReply&) { return made_on = std::this_thread::get_id(); },
        [&](std::thread::id) { taken_on = std::this_thread::get_id(); });
    std::thread loop([&] {
      context.restart();
      context.run();
    });
    const auto loop_id = loop.get_id();
    loop.join();
    CHECK(taken_on == loop_id);
    return made_on == std::this_thread::get_id() ? "answering" : "connection";
  };
  CHECK(thread_that_makes(100) == std::string("connection"));
  CHECK(thread_that_makes(1 << 20) == std::string("answering"));
  shared->close();
}

TEST_CASE("http: what a live stream's client does not take counts among the answers, and others of "
          "its token wait for smaller ones",
          "[runtime][http]") {
  running_server up(room_for_one_answer());
  up.api.set_answer([](const auto& r) {
    return r.has_list_events() ? large_events(r.list_events()) : list_of_bytes(1 << 20);
  });
  auto sleepy = std::make_unique<raw_client>(up.port, 4'096);
  sleepy->send(all_events_of("greedy", ""));
  sleepy->read_until("\r\n\r\n");
  const auto second = sent(up.port, "127.0.0.2", all_events_of("greedy", ""));
  up.api.wait_for_requests(4);
  const auto refused = sent(up.port, "127.0.0.3", of_token("greedy", "GET", "/api/v1/hpc/jobs"));
  CHECK(refused->read_response().status == 429);
  const auto modest = sent(up.port, "127.0.0.3", all_events_of("modest", "p4"));
  CHECK(modest->read_until("id: p8\n").size() > 3 * event_bytes);
  // Nothing was read again for it meanwhile.
  CHECK(limits_asked_for(up.api) == std::vector{256, 256, 16, 1, 0, 256});
  sleepy.reset();
  std::size_t at = 0;
  const auto all = second->read_until("id: p8\n");
  for (int i = 1; i <= 8; ++i) {
    at = all.find("id: p" + std::to_string(i) + "\n", at);
    CHECK(at != std::string::npos);
  }
}

TEST_CASE("http: a live stream without room for what is new is kept alive until there is some",
          "[runtime][http]") {
  auto options = room_for_one_answer();
  options.keep_alive_interval = std::chrono::milliseconds(100);
  running_server up(options);
  up.api.set_answer([](const auto& r) { return large_events(r.list_events()); });
  const auto waiting = sent(up.port, "127.0.0.2", all_events_of("greedy", "p8"));
  waiting->read_until("id: p8\n\n\r\n");
  auto sleepy = std::make_unique<raw_client>(up.port, 4'096);
  sleepy->send(all_events_of("greedy", ""));
  sleepy->read_until("\r\n\r\n");
  up.api.set_answer([](const auto& r) {
    auto reply = large_events(r.list_events());
    if (r.list_events().after() == "p8") {
      pb::ListEvents last;
      last.set_after("p7");
      last.set_limit(1);
      reply = large_events(last);
      reply.mutable_event_page()->mutable_events(0)->set_position("p9");
      reply.mutable_event_page()->set_next("p9");
    }
    return reply;
  });
  up.commit("j-1");
  for (int i = 0; i < 50 && limits_asked_for(up.api).back() != 1; ++i)
    up.api.wait_for_requests(up.api.seen().size() + 1);
  REQUIRE(limits_asked_for(up.api).back() == 1);
  // More than the questions before it: none is from the time before it waited.
  for (std::size_t i = 0; i < up.api.seen().size() + 2; ++i)
    CHECK(waiting->read_until(": keep-alive\n\n").find("event:") == std::string::npos);
  sleepy.reset();
  waiting->read_until("id: p9\nevent: job_observed\n");
}

TEST_CASE("http: a live stream that finds no room to begin with is told so in words",
          "[runtime][http]") {
  auto options = room_for_one_answer();
  options.reply_timeout = std::chrono::milliseconds(2'000);
  running_server up(options);
  up.api.set_answer([](const auto& r) { return large_events(r.list_events()); });
  raw_client sleepy(up.port, 4'096);
  sleepy.send(all_events_of("greedy", ""));
  sleepy.read_until("\r\n\r\n");
  up.api.set_answer([](const auto& r) { return large_events(r.list_events(), 100'000); });
  const auto late = sent(up.port, "127.0.0.2", all_events_of("greedy", ""))->read_response();
  CHECK(late.status == 503);
  CHECK(late.json()["error"] == "overloaded");
}
