#pragma once

#include <rocksdb/db.h>

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/kv.hpp"

/// How the log's RocksDB is tuned and bounded. Included by rocks_kv.cpp only.
namespace ved::store {

/// RocksDB's info log, of which only the first complaint is kept, in memory: an error status of
/// recovery does not name the damaged file, only the log line before it does. Any thread.
class complaint_logger final : public rocksdb::Logger {
 public:
  complaint_logger() : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}

  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override;
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) override;

  /// Empty when there was none.
  std::string first_complaint() const;

 private:
  mutable std::mutex guard_;
  std::string first_complaint_;
};

/// Whether opening writes what the write-ahead logs hold into tables, or leaves it where it is,
/// which needs little room.
enum class recovery { flushes, leaves };

rocksdb::DBOptions database_options(std::shared_ptr<complaint_logger> logger,
                                    recovery how = recovery::flushes);

/// The default family first, then one for each table.
std::vector<rocksdb::ColumnFamilyDescriptor> family_descriptors();

}  // namespace ved::store
