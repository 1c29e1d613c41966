#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/http/addresses.hpp"
#include "runtime/http/request_reader.hpp"
#include "runtime/http/router.hpp"

namespace {

using namespace ved::runtime::http;

constexpr std::uint32_t header_max = 1'024;
constexpr std::size_t body_max = 512;
constexpr std::size_t requests_max = 64;

void must(bool held) {
  if (!held) std::abort();
}

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

/// What became of one request, in words.
std::string told(const request_reader& reader) {
  using boost::beast::http::field;
  const auto& head = reader.head();
  http_request request;
  request.method = view(head.method_string());
  request.target = view(head.target());
  request.authorization = view(head[field::authorization]);
  request.accept = view(head[field::accept]);
  request.last_event_id = view(head["Last-Event-ID"]);
  request.request_id = view(head["Idempotency-Key"]);
  auto next = route_request(request, {});
  std::string text = std::to_string(next.index());
  if (auto* call = std::get_if<api_call>(&next)) {
    const auto refused = read_body(reader.body(), *call);
    text += refused ? std::to_string(refused->status) : call->request.SerializeAsString();
  } else if (auto* reply = std::get_if<http_reply>(&next)) {
    text += std::to_string(reply->status);
  }
  return text + "/" + std::string(reader.body());
}

/// One connection that gets its bytes in pieces of one size; what it saw, in order.
std::vector<std::string> serve(std::string_view input, std::size_t piece) {
  std::vector<std::string> seen;
  request_reader reader(header_max);
  bool between = true;  // two requests: nothing of the next has come
  while (seen.size() < requests_max) {
    between = between && !reader.has_input();
    const auto progress = between ? request_reader::progress::more : reader.advance();
    must(reader.input_bytes() <= header_max + read_bytes);
    must(reader.body().size() <= body_max);
    if (progress == request_reader::progress::refused) {
      seen.push_back(std::to_string(reader.problem().status));
      return seen;
    }
    if (progress == request_reader::progress::head) {
      reader.expect_body(body_max, true);
      continue;
    }
    if (progress == request_reader::progress::complete) {
      seen.push_back(told(reader));
      reader.begin();
      between = true;
      continue;
    }
    if (input.empty()) return seen;
    const auto space = reader.space();
    const auto count = std::min({piece, space.size(), input.size()});
    std::memcpy(space.data(), input.data(), count);
    reader.commit(count);
    input.remove_prefix(count);
  }
  return seen;
}

}  // namespace

/// Any bytes are cut into the same requests however they arrive, within the bounds; and any text
/// of a proxy leaves an address.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A head that has not ended may be refused at once or later: all of them end here.
  const auto ended = std::string(reinterpret_cast<const char*>(data), size) + "\r\n\r\n";
  const std::string_view input(ended);
  const auto whole = serve(input, input.size() + 1);
  must(whole == serve(input, 1));
  must(whole == serve(input, 7));
  static const auto trusted = network_list::parse({"127.0.0.1", "10.0.0.0/8"}).value();
  static const auto proxy = boost::asio::ip::make_address("127.0.0.1");
  for (const auto form : {forwarding_header::x_forwarded_for, forwarding_header::forwarded})
    static_cast<void>(limit_key(client_of(proxy, form, input, trusted)));
  return 0;
}
