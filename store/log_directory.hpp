#pragma once

#include <string>

#include "messages/error.hpp"

/// The directory of a log as it lies on the disk, without its database.
namespace ved::store {

inline constexpr const char* restore_advice =
    ". Restore a backup with `vectl log restore BACKUP --state DIR --force`";

/// True: there is a database. False: the place is free for a new one, also where the making of one
/// was cut short. errc::corrupt: files of a log without CURRENT; RocksDB would delete them.
result<bool> find_database(const std::string& directory);

/// With what is above it, unless it is there; nobody else may look into it.
result<void> make_directory(const std::string& directory);

/// What was made, renamed or removed in it outlives a power cut.
result<void> sync_directory(const std::string& directory);

/// errc::invalid when `directory` is inside of `log`: a backup is no part of what it is a copy of.
result<void> check_apart(const std::string& directory, const std::string& log);

/// A backup goes only into a directory that this very call makes: nothing of anybody can be in it.
result<void> make_backup_directory(const std::string& directory, const std::string& log);

/// What is in `inner` goes into `outer`, around it. CURRENT, without which it is no log, goes last.
result<void> move_up(const std::string& inner, const std::string& outer);

}  // namespace ved::store
