#pragma once

#include <array>
#include <cstddef>
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

/// One row per table, in the order of `table`: all that is particular to it but its keys
/// (store/keys.hpp) and the tuning of its files (store/rocks_options.cpp).
struct table_row {
  table where;
  std::string_view name;  ///< of its column family, in messages and metrics
  bool made_from_log;     ///< `rebuild` makes it anew from the events
};
inline constexpr std::array tables{
    table_row{table::log, "log", false},     table_row{table::stream, "stream", true},
    table_row{table::state, "state", true},  table_row{table::index, "index", true},
    table_row{table::dedup, "dedup", false}, table_row{table::meta, "meta", false}};

constexpr const table_row& row_of(table where) noexcept {
  return tables[static_cast<std::size_t>(where)];
}
constexpr std::string_view name_of(table where) noexcept { return row_of(where).name; }

struct kv_write {
  table where = table::log;
  std::string key;
  std::optional<std::string> value;  ///< none: delete the key
  std::string until = {};  ///< with no value: delete every key from `key` on that is below it
};

/// `synced`: on disk when the write returns. `buffered`: in order with all others, and on disk
/// with the next that is synced; until then a crash of the machine may lose it.
enum class durability : std::uint8_t { synced, buffered };

class kv {
 public:
  virtual ~kv() = default;

  /// Applies all writes in order and atomically. After an error the object is dead: nothing may be
  /// written through it again.
  virtual result<void> write(const std::vector<kv_write>& batch, durability how) = 0;
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
  /// errc::invalid when `directory` is inside of its own.
  virtual result<void> is_apart_from(const std::string& directory) const = 0;
  virtual std::uint64_t bytes_on_disk() const = 0;
};

}  // namespace ved::store
