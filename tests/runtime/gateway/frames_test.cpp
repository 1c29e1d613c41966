#include "runtime/gateway/frames.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/runtime/gateway/basp_bytes.hpp"

using namespace ved;
using namespace ved::test;
using runtime::basp::conversation;

namespace {

constexpr std::size_t message_bytes_max = 4'096;
constexpr std::size_t open_requests_max = 100;
constexpr std::uint64_t front = 7;
const auto daemon_node = node_number(100);
const auto client_node = node_number(200);
const auto alias = node_number(1, 'a');

std::string server_hello() {
  return basp_frame({0, 0, 3, 0, 0,
                     text_of(daemon_node) + basp_size(1) + basp_text("ved/1") +
                         big_endian(front, 8) + basp_size(1) + basp_text("an interface")});
}

pb::ApiRequest status_request(std::size_t token_bytes = 6) {
  pb::ApiRequest request;
  request.mutable_get_status();
  request.set_token(std::string(token_bytes, 't'));
  return request;
}

conversation fresh() {
  return conversation(alias, {message_bytes_max, open_requests_max});
}

// After both handshakes.
conversation greeted() {
  auto talk = fresh();
  REQUIRE(talk.from_daemon(server_hello()) == server_hello());
  REQUIRE(talk.from_client(client_hello(client_node)) == client_hello(alias));
  return talk;
}

bool refuses(conversation talk, const std::string& bytes) {
  return !talk.from_client(bytes);
}

}  // namespace

TEST_CASE("gateway frames: what vectl sends goes through, under a node of our own",
          "[runtime][gateway]") {
  auto talk = greeted();
  CHECK(talk.claimed() == client_node);
  // CAF's client repeats its handshake, and asks for a spawn server.
  CHECK(talk.from_client(client_hello(client_node, 2)) == "");
  CHECK(talk.from_client(basp_frame({2, 1, 0x1000'0000'0000'0000, 8, spawn_server_atom,
                                     std::string(45, 'x')})) == "");
  CHECK(talk.from_client(monitor_frame(client_node, daemon_node, front)) ==
        monitor_frame(alias, daemon_node, front));
  CHECK(talk.from_client(request_frame(front, status_request())) ==
        request_frame(front, status_request()));
  CHECK(talk.open_requests() == 1);
  CHECK(talk.from_client(heartbeat_frame()) == heartbeat_frame());
  CHECK(talk.buffered() == 0);
}

TEST_CASE("gateway frames: bytes may come in any pieces", "[runtime][gateway]") {
  const auto all = client_hello(client_node) + monitor_frame(client_node, daemon_node, front) +
                   request_frame(front, status_request()) + heartbeat_frame();
  for (const std::size_t piece : {1U, 7U, 31U, 32U, 33U, 64U, 1000U}) {
    auto talk = fresh();
    REQUIRE(talk.from_daemon(server_hello()));
    std::string out;
    for (std::size_t at = 0; at < all.size(); at += piece) {
      const auto passed = talk.from_client(std::string_view(all).substr(at, piece));
      REQUIRE(passed);
      out += *passed;
    }
    CHECK(out == client_hello(alias) + monitor_frame(alias, daemon_node, front) +
                     request_frame(front, status_request()) + heartbeat_frame());
  }
}

TEST_CASE("gateway frames: nothing comes before the handshake, and no second one",
          "[runtime][gateway]") {
  auto before = fresh();
  REQUIRE(before.from_daemon(server_hello()));
  CHECK(refuses(before, heartbeat_frame()));
  CHECK(refuses(before, request_frame(front, status_request())));
  CHECK(refuses(before, monitor_frame(client_node, daemon_node, front)));
  CHECK(refuses(before, client_hello(alias)));
  CHECK(refuses(before, client_hello(daemon_node)));
  CHECK(refuses(before, basp_frame({1, 0, 0, 0, 0, std::string(32, '\0')})));  // no node
  const auto talk = greeted();
  CHECK(refuses(talk, client_hello(client_node)));
  CHECK(refuses(talk, client_hello(node_number(201), 2)));
  auto twice = talk;
  REQUIRE(twice.from_client(client_hello(client_node, 2)));
  CHECK(refuses(twice, client_hello(client_node, 2)));
}

TEST_CASE("gateway frames: a bare header of any operation is refused or harmless",
          "[runtime][gateway]") {
  for (unsigned operation = 0; operation < 256; ++operation) {
    CAPTURE(operation);
    const auto what = static_cast<std::uint8_t>(operation);
    const auto bare = basp_header({what, 0, 3, 0, 0, {}}, 0);
    auto before = fresh();
    REQUIRE(before.from_daemon(server_hello()));
    CHECK(refuses(before, bare));
    CHECK(refuses(greeted(), bare));
    // Without the operation data, the one frame without a payload is a heartbeat.
    CHECK(refuses(greeted(), basp_header({what, 0, 0, 0, 0, {}}, 0)) == (operation != 6));
  }
  for (const std::size_t padding : {1U, 2U}) {
    auto beat = heartbeat_frame();
    beat[padding] = 1;
    CHECK(refuses(greeted(), beat));
  }
}

TEST_CASE("gateway frames: what a header announces is judged before a byte of it is kept",
          "[runtime][gateway]") {
  for (unsigned operation = 0; operation < 8; ++operation)
    for (const std::uint32_t announced : {0xffff'ffffU, 0x8000'0000U, 0x7fff'ffffU, 5'000U}) {
      CAPTURE(operation, announced);
      const frame_parts parts{static_cast<std::uint8_t>(operation), 0, request_id, 9, front, {}};
      CHECK(refuses(fresh(), basp_header(parts, announced)));
      CHECK(refuses(greeted(), basp_header(parts, announced)));
    }
  // Each is otherwise right, so that the size alone is judged.
  for (const std::uint32_t announced : {0U, 31U, 33U, 63U, 65U, 0xffff'ffffU}) {
    CAPTURE(announced);
    CHECK(refuses(fresh(), basp_header({1, 0, 0, 0, 0, {}}, announced)));
    CHECK(refuses(greeted(), basp_header({1, 2, 0, 0, 0, {}}, announced)));
    CHECK(refuses(greeted(), basp_header({4, 0, 0, 0, front, {}}, announced)));
    if (announced > 0) CHECK(refuses(greeted(), basp_header({6, 0, 0, 0, 0, {}}, announced)));
  }
  // Also what is allowed is kept as it comes, not as it is announced.
  auto talk = greeted();
  REQUIRE(talk.from_client(basp_header({2, 0, request_id, 9, front, {}}, message_bytes_max)));
  CHECK(talk.buffered() == 32);
}

TEST_CASE("gateway frames: a request at the size limit goes through, one byte more does not",
          "[runtime][gateway]") {
  const auto at_limit = [](std::size_t payload) {
    return basp_header({2, 0, request_id, 9, front, {}}, static_cast<std::uint32_t>(payload));
  };
  const auto most = message_bytes_max + runtime::basp::envelope_bytes_max;
  CHECK_FALSE(refuses(greeted(), at_limit(most)));
  CHECK(refuses(greeted(), at_limit(most + 1)));
  auto request = status_request(message_bytes_max);
  request.set_token(std::string(
      2 * message_bytes_max - request.ByteSizeLong(), 't'));  // exactly the largest message
  REQUIRE(request.ByteSizeLong() == message_bytes_max);
  CHECK_FALSE(refuses(greeted(), request_frame(front, request)));
}

TEST_CASE("gateway frames: only requests, only to the gateway's actor", "[runtime][gateway]") {
  const auto talk = greeted();
  const auto good = request_payload(status_request().SerializeAsString());
  const auto direct = [&](frame_parts parts) { return refuses(talk, basp_frame(parts)); };
  CHECK_FALSE(direct({2, 0, request_id, 9, front, good}));
  CHECK_FALSE(direct({2, 0, 5, 9, front, good}));                             // urgent
  CHECK(direct({2, 0, request_id, 9, front + 1, good}));                      // another actor
  CHECK(direct({2, 0, request_id, 9, 0, good}));
  CHECK(direct({2, 0, request_id, 0, front, good}));                          // nobody asks
  CHECK(direct({2, 0, 0x1000'0000'0000'0000, 9, front, good}));               // no request
  CHECK(direct({2, 0, 0x9000'0000'0000'0001, 9, front, good}));               // an answer
  CHECK(direct({2, 0, 0x5000'0000'0000'0001, 9, front, good}));
  CHECK(direct({2, 0, 0x2000'0000'0000'0001, 9, front, good}));               // streams
  CHECK(direct({2, 0, 0x3000'0000'0000'0001, 9, front, good}));
  CHECK(direct({2, 1, 0, 9, 0x1234, good}));                                  // by name
  CHECK(direct({2, 1, request_id, 9, front, good}));
  CHECK(direct({2, 1, 0, 9, spawn_server_atom, std::string(257, 'x')}));
  CHECK(direct({2, 4, request_id, 9, front, good}));
  CHECK(direct({3, 0, request_id, 9, front,
                text_of(client_node) + text_of(daemon_node) + good}));        // routed
  CHECK(direct({5, 0, 0, 9, 0, text_of(client_node) + text_of(daemon_node) + "x"}));
  CHECK(refuses(talk, monitor_frame(client_node, daemon_node, front + 1)));
  CHECK(refuses(talk, monitor_frame(node_number(5), daemon_node, front)));
  CHECK(refuses(talk, monitor_frame(client_node, node_number(5), front)));
}

TEST_CASE("gateway frames: a message that is not exactly one request does not reach CAF",
          "[runtime][gateway]") {
  const auto talk = greeted();
  const auto encoded = status_request().SerializeAsString();
  const auto refused = [&](const std::string& payload) {
    return refuses(talk, basp_frame({2, 0, request_id, 9, front, payload}));
  };
  const std::string none(3, '\0');  // no forwarding stack, no number of a type of CAF's
  const auto type = basp_text("@<>+ved.pb.ApiRequest");
  CHECK_FALSE(refused(none + type + basp_text(encoded)));
  CHECK(refused(none + type + basp_text(encoded) + "x"));                // more behind it
  CHECK(refused(none + type + basp_size(encoded.size() + 1) + encoded)); // less than it says
  CHECK(refused(none + type + "\xff\xff\xff\xff\x0f" + encoded));        // 4 GiB
  CHECK(refused(none + type + "\xff\xff\xff\xff\xff\xff\xff\xff\xff"));  // a size without end
  // A stack of 2^32 actors.
  CHECK(refused("\xff\xff\xff\xff\x0f" + none.substr(1) + type + basp_text(encoded)));
  CHECK(refused("\x01" + none.substr(1) + type + basp_text(encoded)));
  CHECK(refused(none.substr(1) + "\x01" + type + basp_text(encoded)));
  CHECK(refused(none.substr(2) + type + basp_text(encoded)));
  CHECK(refused(none + basp_text("@<>+ved.pb.ApiReply") + basp_text(encoded)));
  CHECK(refused(none + basp_text("@<>+@exit_msg") + basp_text(encoded)));
  CHECK(refused(none + basp_text("@<>") + basp_text(encoded)));
  CHECK(refused(none + basp_text("@<>+ved.pb.ApiRequest+ved.pb.ApiRequest") + basp_text(encoded)));
  CHECK(refused(none + type + basp_text("\x0f\xff nonsense")));          // not protobuf
  CHECK(refused(none));
  CHECK(refused(none + type));
}

TEST_CASE("gateway frames: one connection speaks for a bounded number of actors",
          "[runtime][gateway]") {
  auto talk = greeted();
  for (std::uint64_t sender = 1; sender <= runtime::basp::senders_max; ++sender)
    REQUIRE(talk.from_client(request_frame(front, status_request(), sender)));
  CHECK_FALSE(refuses(talk, request_frame(front, status_request(), 1)));
  CHECK(refuses(talk, request_frame(front, status_request(), 1'000)));
}

TEST_CASE("gateway frames: requests beyond those that are open wait for an answer",
          "[runtime][gateway]") {
  conversation talk(alias, {message_bytes_max, 2});
  REQUIRE(talk.from_daemon(server_hello()));
  REQUIRE(talk.from_client(client_hello(client_node)));
  const auto one = request_frame(front, status_request());
  CHECK(talk.from_client(one + one + one + heartbeat_frame()) == one + one);
  CHECK(talk.is_full());
  CHECK(talk.buffered() == one.size() + heartbeat_frame().size());
  CHECK(talk.from_client({}) == "");
  REQUIRE(talk.from_daemon(basp_frame({2, 0, 0x9000'0000'0000'0001, front, 9, "reply"})));
  CHECK(talk.from_client({}) == one);
  REQUIRE(talk.from_daemon(basp_frame({2, 0, 0x9000'0000'0000'0001, front, 9, "reply"})));
  CHECK(talk.from_client({}) == heartbeat_frame());
  CHECK(talk.buffered() == 0);
}

TEST_CASE("gateway frames: the client hears answers, the end of the actor, and nothing else",
          "[runtime][gateway]") {
  auto talk = greeted();
  REQUIRE(talk.from_client(request_frame(front, status_request())));
  const auto answer = basp_frame({2, 0, 0x9000'0000'0000'0001, front, 9, "reply"});
  CHECK(talk.from_daemon(answer) == answer);
  // An actor behind it answered, of which no client shall know.
  CHECK(talk.from_daemon(basp_frame({2, 0, 0x9000'0000'0000'0001, front + 1, 9, "reply"})) ==
        answer);
  CHECK(talk.open_requests() == 0);
  CHECK(talk.from_daemon(heartbeat_frame()) == heartbeat_frame());
  CHECK(talk.from_daemon(basp_frame({2, 1, 0, 11, spawn_server_atom, "info"})) == "");
  CHECK(talk.from_daemon(monitor_frame(daemon_node, alias, 9)) == "");
  const auto down = [](const runtime::basp::node_bytes& to) {
    return basp_frame({5, 0, 0, front, 0, text_of(daemon_node) + text_of(to) + "why"});
  };
  CHECK(talk.from_daemon(down(alias)) == down(client_node));
}
