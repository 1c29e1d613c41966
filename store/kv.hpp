#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/error.hpp"

/// The few things that the event log needs from an ordered key-value store, so that the same log
/// runs on RocksDB and, in simulations, on memory that loses what was not synced.
namespace ved::store {

enum class table : std::uint8_t { log, stream, state, index, dedup, meta };
inline constexpr int table_count = 6;

/// As messages and metrics call it: "log", "stream" ...
std::string_view name_of(table where) noexcept;

struct kv_write {
  table where = table::log;
  std::string key;
  std::optional<std::string> value;  ///< none: delete the key
};

class kv {
 public:
  virtual ~kv() = default;

  /// Applies all writes atomically and syncs them to disk. After an error the object is dead:
  /// nothing may be written through it again.
  virtual result<void> write(const std::vector<kv_write>& batch) = 0;
  virtual result<std::optional<std::string>> get(table where, std::string_view key) const = 0;
  /// Visits keys in order from `from` on, until `visit` returns false or a key lacks `prefix`.
  virtual result<void> scan(
      table where, std::string_view prefix, std::string_view from,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) const = 0;
  /// The last key with `prefix` and its value.
  virtual result<std::optional<std::pair<std::string, std::string>>> last(
      table where, std::string_view prefix) const = 0;
  /// An upper bound of a table's rows, exact where none was ever overwritten or deleted; reads no
  /// row, so that it costs the same however long the history is.
  virtual result<std::uint64_t> rows_at_most(table where) const = 0;
  /// Deletes every key of a table, without reading what may be damaged.
  virtual result<void> clear(table where) = 0;
  /// A consistent copy in a new directory, made while writing goes on.
  virtual result<void> checkpoint(const std::string& directory) = 0;
  virtual std::uint64_t bytes_on_disk() const = 0;
};

}  // namespace ved::store
