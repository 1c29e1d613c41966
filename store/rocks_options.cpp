#include "store/rocks_options.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "store/rocks_kv.hpp"

namespace ved::store {
namespace {

constexpr std::size_t write_buffer_bytes = 16u << 20;
constexpr std::size_t log_write_buffer_bytes = 32u << 20;  // the table that takes whole envelopes

rocksdb::CompressionType compression() {
  const auto supported = rocksdb::GetSupportedCompressions();
  for (const auto wanted : {rocksdb::kLZ4Compression, rocksdb::kSnappyCompression})
    if (std::find(supported.begin(), supported.end(), wanted) != supported.end()) return wanted;
  return rocksdb::kNoCompression;
}

}  // namespace

void complaint_logger::Logv(const char* format, va_list arguments) {
  Logv(rocksdb::InfoLogLevel::INFO_LEVEL, format, arguments);
}

void complaint_logger::Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) {
  if (level < rocksdb::InfoLogLevel::WARN_LEVEL) return;
  std::array<char, 512> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  const std::string_view text(line.data());
  if (text.find("Corruption") != std::string_view::npos ||
      text.find("dropping") != std::string_view::npos) {
    const std::lock_guard lock(guard_);
    if (first_complaint_.empty()) first_complaint_ = text;
  }
}

std::string complaint_logger::first_complaint() const {
  const std::lock_guard lock(guard_);
  return first_complaint_;
}

rocksdb::DBOptions database_options(std::shared_ptr<complaint_logger> logger, recovery how) {
  rocksdb::DBOptions options;
  // RocksDB ends the process where it cannot start its own threads.
  options.max_file_opening_threads = 1;
  options.info_log = std::move(logger);
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.create_missing_column_families = true;
  options.paranoid_checks = true;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.avoid_flush_during_recovery = how == recovery::leaves;
  options.track_and_verify_wals_in_manifest = true;
  options.verify_sst_unique_id_in_manifest = true;
  options.max_total_wal_size = wal_bytes_max;
  options.db_write_buffer_size = write_buffer_bytes_max;
  options.max_open_files = open_files_max;
  options.max_manifest_file_size = manifest_bytes_max;
  options.bytes_per_sync = 1u << 20;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

std::vector<rocksdb::ColumnFamilyDescriptor> family_descriptors() {
  rocksdb::BlockBasedTableOptions blocks;
  blocks.block_cache = rocksdb::NewLRUCache(block_cache_bytes);
  blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  blocks.block_size = 16u << 10;
  blocks.cache_index_and_filter_blocks = true;
  blocks.pin_l0_filter_and_index_blocks_in_cache = true;

  rocksdb::ColumnFamilyOptions family;
  family.write_buffer_size = write_buffer_bytes;
  family.compression = compression();
  family.level_compaction_dynamic_level_bytes = true;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));

  // Read one row at a time, by ids in no order: small blocks.
  auto rows = blocks;
  rows.block_size = 4u << 10;
  auto by_row = family;
  by_row.table_factory.reset(rocksdb::NewBlockBasedTableFactory(rows));

  std::vector<rocksdb::ColumnFamilyDescriptor> all;
  all.emplace_back(rocksdb::kDefaultColumnFamilyName, family);
  for (const auto& row : tables) {
    auto own = row.where == table::state || row.where == table::dedup ? by_row : family;
    if (row.where == table::log) own.write_buffer_size = log_write_buffer_bytes;
    all.emplace_back(std::string(row.name), own);
  }
  return all;
}

}  // namespace ved::store
