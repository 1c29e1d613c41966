#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "messages/error.hpp"

/// What tells a directory from every copy of it, for as long as it is the same one: also after `mv`
/// on its file system, a restart of the machine, or another mount.
///
/// The moment at which the file system made it, which no copy and no restore of files takes along;
/// where the file system tells none (NFS before version 4.2, FUSE), its inode. Of no use are:
/// the device number, which changes with a mount and a boot; the file system's UUID, which few tell
/// (f_fsid of statvfs(3) is made of the device number on some); the machine's id, which is another
/// after a failover to a second machine with the same disk, and with each start of some containers.
/// An image of the whole file system has the same marks: of that nobody can tell which one is it.
namespace ved::adapters::local {

struct birthmark {
  std::uint64_t inode = 0;
  std::int64_t born_ns = 0;  ///< since 1970; 0: the file system does not tell
};

/// Of an open directory. `shown` names it in errors.
result<birthmark> birthmark_of(int directory, const std::string& shown);

bool is_same(const birthmark& one, const birthmark& other);

/// "INODE NANOSECONDS\n".
std::string to_text(const birthmark& mark);
std::optional<birthmark> parse_birthmark(const std::string& text);

}  // namespace ved::adapters::local
