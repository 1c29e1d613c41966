#include "runtime/gateway/frames.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "messages/api.pb.h"

namespace ved::runtime::basp {
namespace {

// caf/io/basp/header.hpp
constexpr std::uint8_t named_receiver_flag = 0x01;
constexpr std::uint8_t select_connection_flag = 0x02;
// caf/message_id.hpp
constexpr std::uint64_t response_flag = 0x8000'0000'0000'0000;
constexpr std::uint64_t request_id_mask = 0x0fff'ffff'ffff'ffff;
constexpr std::uint64_t normal_category = 0x1000'0000'0000'0000;
// CAF's atoms "default" and "SpawnServ".
constexpr std::uint64_t node_of_process = 0x0000'3e9a'ab9b'ac79;
constexpr std::uint64_t spawn_server = 0x03dd'd66f'3376'adfb;

constexpr std::size_t source_actor_at = 16;
constexpr std::size_t node_size = std::tuple_size_v<node_bytes>;

template <class Number>
Number read_number(std::string_view bytes) {
  Number out = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i)
    out = static_cast<Number>((std::uint64_t{out} << 8) | static_cast<unsigned char>(bytes[i]));
  return out;
}

template <class Number>
void write_number(Number value, char* to) {
  for (std::size_t i = sizeof(Number); i-- > 0;) {
    to[i] = static_cast<char>(value & 0xff);
    value = static_cast<Number>(value >> 8);
  }
}

tl::unexpected<error> refuse(const char* why) {
  return fail(errc::invalid, std::string("frame: ") + why);
}

node_bytes node_at(std::string_view payload, std::size_t offset) {
  node_bytes out{};
  std::copy_n(payload.begin() + static_cast<std::ptrdiff_t>(offset), node_size, out.begin());
  return out;
}

void put_node(std::string& frame, std::size_t offset, const node_bytes& node) {
  std::copy(node.begin(), node.end(), frame.begin() + static_cast<std::ptrdiff_t>(offset));
}

// CAF's size of a sequence: seven bits a byte, lowest first, at most 32 bits.
std::optional<std::uint32_t> read_size(std::string_view& bytes) {
  std::uint64_t out = 0;
  for (unsigned shift = 0; shift < 35 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    out |= std::uint64_t{byte & 0x7fU} << shift;
    if ((byte & 0x80) == 0)
      return out <= 0xffff'ffff ? std::optional(static_cast<std::uint32_t>(out)) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::string_view> read_text(std::string_view& bytes) {
  const auto size = read_size(bytes);
  if (!size || *size > bytes.size()) return std::nullopt;
  const auto out = bytes.substr(0, *size);
  bytes.remove_prefix(*size);
  return out;
}

// The payload of a request: an empty forwarding stack, no number of a type of CAF's own, the name
// of a message that holds one ApiRequest, and its encoding as a string that ends with the payload.
bool holds_one_request(std::string_view payload) {
  static const std::string type = "@<>+" + pb::ApiRequest::default_instance().GetTypeName();
  constexpr std::string_view no_stack_no_number("\0\0\0", 3);
  if (!payload.starts_with(no_stack_no_number)) return false;
  payload.remove_prefix(no_stack_no_number.size());
  const auto name = read_text(payload);
  if (!name || *name != type) return false;
  const auto encoded = read_text(payload);
  if (!encoded || !payload.empty()) return false;
  pb::ApiRequest request;
  return request.ParseFromArray(encoded->data(), static_cast<int>(encoded->size()));
}

}  // namespace

node_bytes make_node(std::uint32_t number, const std::array<char, 20>& host) {
  node_bytes out{};
  write_number(node_of_process, out.data());
  write_number(number, out.data() + sizeof node_of_process);
  std::copy(host.begin(), host.end(), out.begin() + sizeof node_of_process + sizeof number);
  return out;
}

conversation::header conversation::parse_header(std::string_view bytes) {
  header out;
  out.what = static_cast<operation>(read_number<std::uint8_t>(bytes));
  out.padding = read_number<std::uint16_t>(bytes.substr(1));
  out.flags = read_number<std::uint8_t>(bytes.substr(3));
  out.payload_bytes = read_number<std::uint32_t>(bytes.substr(4));
  out.operation_data = read_number<std::uint64_t>(bytes.substr(8));
  out.source_actor = read_number<std::uint64_t>(bytes.substr(16));
  out.dest_actor = read_number<std::uint64_t>(bytes.substr(24));
  return out;
}

template <class Room, class Check, class Finish>
conversation::verdict conversation::take(partial& frame, std::string_view bytes, Room has_room,
                                         Check check, Finish finish) {
  std::string out;
  auto joined = std::exchange(frame.rest, {});
  if (!joined.empty()) {
    joined += bytes;
    bytes = joined;
  }
  while (!bytes.empty()) {
    if (!has_room()) {
      frame.rest = bytes;
      break;
    }
    if (frame.bytes.size() < header_bytes) {
      const auto part = bytes.substr(0, header_bytes - frame.bytes.size());
      frame.bytes += part;
      bytes.remove_prefix(part.size());
      if (frame.bytes.size() < header_bytes) break;
      frame.head = parse_header(frame.bytes);
      if (auto good = check(frame.head); !good) return fail(good.error());
    }
    const auto part =
        bytes.substr(0, header_bytes + frame.head.payload_bytes - frame.bytes.size());
    frame.bytes += part;
    bytes.remove_prefix(part.size());
    if (frame.bytes.size() < header_bytes + frame.head.payload_bytes) break;
    auto passed = finish(frame.head, std::move(frame.bytes));
    if (!passed) return passed;
    out += *passed;
    frame.bytes = {};
  }
  return out;
}

conversation::verdict conversation::from_client(std::string_view bytes) {
  return take(
      client_, bytes, [this] { return !is_full(); },
      [this](const header& head) { return check_client(head); },
      [this](const header& head, std::string frame) {
        return finish_client(head, std::move(frame));
      });
}

conversation::verdict conversation::from_daemon(std::string_view bytes) {
  return take(
      daemon_, bytes, [] { return true; },
      [this](const header& head) { return check_daemon(head); },
      [this](const header& head, std::string frame) {
        return finish_daemon(head, std::move(frame));
      });
}

// Everything that the header alone tells, before a byte of the payload is kept.
result<void> conversation::check_client(const header& head) {
  if (head.padding != 0) return refuse("its header is damaged");
  if (!claimed_ && head.what != operation::client_handshake)
    return refuse("something came before the handshake");
  switch (head.what) {
    case operation::client_handshake:
      if (head.payload_bytes != node_size) return refuse("a handshake of the wrong size");
      if (head.operation_data != 0 || head.source_actor != 0 || head.dest_actor != 0)
        return refuse("its header is damaged");
      if (!claimed_ ? (head.flags & ~select_connection_flag) != 0
                    : head.flags != select_connection_flag || selected_)
        return refuse("a second handshake");
      return {};
    case operation::heartbeat:
      if (head.payload_bytes != 0 || head.flags != 0 || head.operation_data != 0 ||
          head.source_actor != 0 || head.dest_actor != 0)
        return refuse("its header is damaged");
      return {};
    case operation::monitor_message:
      if (head.payload_bytes != 2 * node_size) return refuse("a monitor message of the wrong size");
      if (head.flags != 0 || head.operation_data != 0 || head.source_actor != 0)
        return refuse("its header is damaged");
      if (front_ == 0 || head.dest_actor != front_) return refuse("it watches a foreign actor");
      return {};
    case operation::direct_message:
      if (head.flags == named_receiver_flag) {
        if (head.dest_actor != spawn_server) return refuse("a message to a named actor");
        if (head.payload_bytes == 0 || head.payload_bytes > spawn_query_bytes_max)
          return refuse("a question to the spawn server of the wrong size");
        return {};
      }
      if (head.flags != 0) return refuse("its header is damaged");
      if (front_ == 0 || head.dest_actor != front_) return refuse("a message to a foreign actor");
      if (head.source_actor == 0 || (head.operation_data & request_id_mask) == 0 ||
          (head.operation_data & ~request_id_mask & ~normal_category) != 0)
        return refuse("a message that is no request");
      if (head.payload_bytes == 0) return refuse("an empty request");
      if (head.payload_bytes > limits_.message_bytes_max + envelope_bytes_max)
        return refuse("a request above the size limit");
      if (!senders_.contains(head.source_actor) && senders_.size() >= senders_max)
        return refuse("requests of too many actors");
      return {};
    case operation::server_handshake:
    case operation::routed_message:
    case operation::down_message:
      return refuse("an operation that clients do not need");
  }
  return refuse("an unknown operation");
}

conversation::verdict conversation::finish_client(const header& head, std::string frame) {
  const auto payload = std::string_view(frame).substr(header_bytes);
  switch (head.what) {
    case operation::client_handshake: {
      if (read_number<std::uint64_t>(payload) != node_of_process)
        return refuse("a handshake without an identity");
      const auto node = node_at(payload, 0);
      if (node == alias_ || (daemon_node_ && node == *daemon_node_))
        return refuse("a handshake under a foreign identity");
      if (claimed_) {
        if (node != *claimed_) return refuse("a second handshake");
        selected_ = true;
        return std::string{};
      }
      claimed_ = node;
      selected_ = (head.flags & select_connection_flag) != 0;
      frame[3] = 0;  // the flags
      put_node(frame, header_bytes, alias_);
      return frame;
    }
    case operation::heartbeat:
      return frame;
    case operation::monitor_message:
      if (node_at(payload, 0) != *claimed_ || node_at(payload, node_size) != *daemon_node_)
        return refuse("a monitor message between foreign nodes");
      if (std::exchange(monitored_, true)) return std::string{};
      put_node(frame, header_bytes, alias_);
      return frame;
    case operation::direct_message:
      if (head.flags == named_receiver_flag) return std::string{};
      if (!holds_one_request(payload)) return refuse("a message that is no request");
      senders_.insert(head.source_actor);
      ++open_requests_;
      return frame;
    case operation::server_handshake:
    case operation::routed_message:
    case operation::down_message:
      break;
  }
  return refuse("an unknown operation");
}

result<void> conversation::check_daemon(const header& head) const {
  if (head.payload_bytes > limits_.message_bytes_max + envelope_bytes_max)
    return fail(errc::internal, "CAF sent a frame above the size limit");
  return {};
}

conversation::verdict conversation::finish_daemon(const header& head, std::string frame) {
  const auto payload = std::string_view(frame).substr(header_bytes);
  switch (head.what) {
    case operation::server_handshake:
      if (auto known = learn_daemon(payload); !known) return fail(known.error());
      return frame;
    case operation::direct_message:
      // Its own question to the spawn server of the client.
      if (head.flags != 0) return std::string{};
      if ((head.operation_data & response_flag) != 0 && open_requests_ > 0) --open_requests_;
      // Whoever answered behind the gateway's actor: the client would want to watch it.
      write_number(front_, frame.data() + source_actor_at);
      return frame;
    case operation::down_message:
      if (head.source_actor != front_ || !claimed_ || payload.size() < 2 * node_size)
        return std::string{};
      put_node(frame, header_bytes + node_size, *claimed_);
      return frame;
    case operation::heartbeat:
      return claimed_ ? frame : std::string{};
    case operation::monitor_message:
    case operation::client_handshake:
    case operation::routed_message:
      return std::string{};
  }
  return fail(errc::internal, "CAF sent an unknown operation");
}

// Node, application identifiers, the published actor, its interface.
result<void> conversation::learn_daemon(std::string_view payload) {
  const auto damaged = [] { return fail(errc::internal, "CAF sent a damaged handshake"); };
  if (payload.size() < node_size) return damaged();
  const auto node = node_at(payload, 0);
  payload.remove_prefix(node_size);
  const auto identifiers = read_size(payload);
  if (!identifiers) return damaged();
  for (std::uint32_t i = 0; i < *identifiers; ++i)
    if (!read_text(payload)) return damaged();
  if (payload.size() < sizeof front_) return damaged();
  daemon_node_ = node;
  front_ = read_number<std::uint64_t>(payload);
  return {};
}

}  // namespace ved::runtime::basp
