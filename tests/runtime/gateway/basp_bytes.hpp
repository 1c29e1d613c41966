#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "messages/api.pb.h"
#include "runtime/gateway/frames.hpp"

/// Frames of CAF 0.17's BASP as vectl sends them (captured between vectl and ved), by parts.
namespace ved::test {

struct frame_parts {
  std::uint8_t operation = 0;
  std::uint8_t flags = 0;
  std::uint64_t operation_data = 0;
  std::uint64_t source_actor = 0;
  std::uint64_t dest_actor = 0;
  std::string payload;
};

inline std::string big_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out += static_cast<char>((value >> shift) & 0xff);
  return out;
}

/// A header alone; it may announce what does not come.
inline std::string basp_header(const frame_parts& parts, std::uint32_t payload_bytes) {
  return std::string(1, static_cast<char>(parts.operation)) + std::string(2, '\0') +
         static_cast<char>(parts.flags) + big_endian(payload_bytes, 4) +
         big_endian(parts.operation_data, 8) + big_endian(parts.source_actor, 8) +
         big_endian(parts.dest_actor, 8);
}

inline std::string basp_frame(const frame_parts& parts) {
  return basp_header(parts, static_cast<std::uint32_t>(parts.payload.size())) + parts.payload;
}

inline runtime::basp::node_bytes node_number(std::uint32_t number, char host = 'h') {
  std::array<char, 20> bytes;
  bytes.fill(host);
  return runtime::basp::make_node(number, bytes);
}

inline std::string text_of(const runtime::basp::node_bytes& node) {
  return {node.begin(), node.end()};
}

inline std::string basp_size(std::size_t size) {
  std::string out;
  for (; size > 0x7f; size >>= 7) out += static_cast<char>((size & 0x7f) | 0x80);
  return out + static_cast<char>(size);
}

inline std::string basp_text(const std::string& text) {
  return basp_size(text.size()) + text;
}

constexpr std::uint64_t request_id = 0x1000'0000'0000'0001;  // of normal priority
constexpr std::uint64_t spawn_server_atom = 0x03dd'd66f'3376'adfb;

inline std::string client_hello(const runtime::basp::node_bytes& node, std::uint8_t flags = 0) {
  return basp_frame({1, flags, 0, 0, 0, text_of(node)});
}

/// No forwarding stack (one byte), no number of a type (two), its name.
inline std::string request_payload(const std::string& encoded) {
  return std::string(3, '\0') + basp_text("@<>+ved.pb.ApiRequest") + basp_text(encoded);
}

inline std::string request_frame(std::uint64_t front, const pb::ApiRequest& request,
                                 std::uint64_t sender = 9) {
  return basp_frame({2, 0, request_id, sender, front,
                     request_payload(request.SerializeAsString())});
}

inline std::string monitor_frame(const runtime::basp::node_bytes& from,
                                 const runtime::basp::node_bytes& daemon, std::uint64_t actor) {
  return basp_frame({4, 0, 0, 0, actor, text_of(from) + text_of(daemon)});
}

inline std::string heartbeat_frame() {
  return basp_frame({6, 0, 0, 0, 0, {}});
}

}  // namespace ved::test
