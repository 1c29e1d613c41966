#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "tests/runtime/gateway/basp_bytes.hpp"

/// Whatever a client with a certificate sends after (or instead of) its handshake: nothing is kept
/// beyond the bound, and what goes to CAF are whole frames of the four kinds that a client needs,
/// under the node that we gave it. First byte: bit 0, begin with a handshake; the rest, how many
/// bytes come at once.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ved::test;
  if (size == 0) return 0;
  constexpr std::size_t message_bytes_max = 4'096;
  constexpr std::uint64_t front = 7;
  const auto daemon = node_number(100);
  const auto alias = node_number(1, 'a');
  ved::runtime::basp::conversation talk(alias, {message_bytes_max, 8});
  const auto hello = basp_frame({0, 0, 3, 0, 0,
                                 text_of(daemon) + basp_size(1) + basp_text("ved/1") +
                                     big_endian(front, 8) + basp_size(0)});
  if (!talk.from_daemon(hello)) std::abort();
  std::string sent;
  const bool greets = (data[0] & 1) != 0;
  if (greets) sent += *talk.from_client(client_hello(node_number(200)));
  const std::size_t piece = 1 + (data[0] >> 1);
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty() && !talk.is_full()) {
    const auto passed = talk.from_client(rest.substr(0, piece));
    rest.remove_prefix(std::min(piece, rest.size()));
    if (!passed) break;
    sent += *passed;
    if (talk.buffered() > message_bytes_max + ved::runtime::basp::envelope_bytes_max +
                              ved::runtime::basp::header_bytes + piece)
      std::abort();
  }
  // Read again as CAF would.
  bool first = true;
  for (std::string_view left = sent; !left.empty(); first = false) {
    if (left.size() < 32) std::abort();
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(left[at]); };
    const std::size_t payload = std::size_t{byte(4)} << 24 | std::size_t{byte(5)} << 16 |
                                std::size_t{byte(6)} << 8 | byte(7);
    if (left.size() < 32 + payload || (byte(0) == 1) != first) std::abort();
    if (byte(0) != 1 && byte(0) != 2 && byte(0) != 4 && byte(0) != 6) std::abort();
    if (byte(0) != 6 && payload == 0) std::abort();
    if ((byte(0) == 1 || byte(0) == 4) && left.substr(32, 32) != text_of(alias)) std::abort();
    if ((byte(0) == 2 || byte(0) == 4) && byte(31) != front) std::abort();
    left.remove_prefix(32 + payload);
  }
  return 0;
}
