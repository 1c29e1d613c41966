#pragma once

#include <memory>
#include <string>

#include "messages/error.hpp"
#include "store/kv.hpp"

/// The RocksDB backend of the event log; `open_rocks` and `open_rocks_read_only` of
/// store/event_log.hpp make it.
///
/// Recovery keeps every acknowledged event or refuses to open:
/// - A half-written record at the end of the last write-ahead log was never acknowledged and is
///   dropped; damage anywhere before it is errc::corrupt. (Point-in-time recovery would instead
///   stop there and silently forget acknowledged events.)
/// - Sizes of closed write-ahead logs stand in the manifest, so a missing or shortened one is
///   errc::corrupt; the current one is covered by HEAD.check (store/head_check.hpp).
/// - Database files without CURRENT are errc::corrupt: RocksDB would take the directory for a new
///   one and delete them. It would also delete the files that a changed manifest does not list:
///   what the notes say is compared before anything is opened to be written.
namespace ved::store {

/// Bounds of what one open log takes.
inline constexpr std::size_t block_cache_bytes = 64u << 20;
inline constexpr std::size_t write_buffer_bytes_max = 64u << 20;  ///< all tables together
inline constexpr std::uint64_t wal_bytes_max = 64u << 20;         ///< flush idle tables beyond that
inline constexpr int open_files_max = 512;
inline constexpr std::uint64_t manifest_bytes_max = 4u << 20;  ///< begin another; it is noted whole

}  // namespace ved::store
