#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// The grammar of the log's key-value tables, format 2. Integers are unsigned, 64 bit, big endian,
// so that byte order is number order.
//
//   table   key                              value
//   log     position                         bytes of pb::Envelope; prev_hash hashes the value of
//                                            position - 1; positions are 1, 2, 3 ... without gaps
//   stream  stream id, 0x00, version         position
//   state   stream id                        bytes of pb::StoredState
//   index   as the projection gives it       stream id
//   dedup   request id                       position of the first event appended under it
//   meta    "format"                         2
//           "head"                           position, BLAKE2b-256 of that envelope's bytes
//           "rows"                           rows of state, of index, of index under the prefix
//                                            that the projection counts, and of dedup (log and
//                                            stream have as many as there are positions)
//           "cursor/" follower               position
//           "place/" stream                  name of the other log that has the stream
//           "rebuild"                        present while the projections are being recreated
//
// A stream id has 1 to 256 bytes and no 0x00, so that no stream's keys are a prefix of another's.

namespace ved::store::keys {

inline constexpr std::uint64_t format_version = 2;
inline constexpr std::size_t stream_id_bytes_max = 256;

inline constexpr std::string_view meta_format = "format";
inline constexpr std::string_view meta_head = "head";
inline constexpr std::string_view meta_rows = "rows";
inline constexpr std::string_view meta_rebuild = "rebuild";

std::string be64(std::uint64_t number);
/// None unless `bytes` is exactly 8 long.
std::optional<std::uint64_t> parse_be64(std::string_view bytes) noexcept;

inline std::string log_key(std::uint64_t position) {
  return be64(position);
}

/// 1 to stream_id_bytes_max bytes without 0x00.
bool is_stream_id(std::string_view stream) noexcept;
/// Prefix of all keys of one stream in the stream table.
std::string stream_prefix(std::string_view stream);
std::string stream_key(std::string_view stream, std::uint64_t version);

struct stream_entry {
  std::string_view stream;  ///< points into the key
  std::uint64_t version = 0;
};
std::optional<stream_entry> parse_stream_key(std::string_view key) noexcept;

/// The first key after all keys with `prefix`; none when there is no such key.
std::optional<std::string> prefix_end(std::string_view prefix);

std::string cursor_key(std::string_view follower);
std::string place_key(std::string_view stream);

/// What the first event of a log carries as prev_hash: 32 zero bytes.
std::string genesis_hash();

/// Value of "head": the last event of the log.
struct head {
  std::uint64_t position = 0;
  std::string hash;  ///< 32 bytes

  friend bool operator==(const head&, const head&) = default;
};
std::string encode_head(const head& value);
std::optional<head> parse_head(std::string_view bytes);

/// Value of "rows": what the tables must hold, written with every change of it.
struct rows {
  std::uint64_t streams = 0;
  std::uint64_t index = 0;
  std::uint64_t counted = 0;  ///< index keys under projection::counted_prefix
  std::uint64_t requests = 0;

  friend bool operator==(const rows&, const rows&) = default;
};
std::string encode_rows(const rows& value);
std::optional<rows> parse_rows(std::string_view bytes);

}  // namespace ved::store::keys
