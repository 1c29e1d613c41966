#pragma once

#include <cstdint>
#include <string>

/// Room on the log's disk that only a start uses. What a write-ahead log holds is recovered by
/// writing tables, and nothing may have left room for them: after a crash on a full disk nobody
/// would follow the jobs that run.
///
///     <log>/RESERVE    as long as `reserve_bytes`, all of it allocated
namespace ved::store {

inline constexpr const char* reserve_file = "RESERVE";
inline constexpr std::uint64_t reserve_bytes = 16u << 20;
/// With less than so many times the reserve free, none is made.
inline constexpr std::uint64_t reserve_share_least = 4;

/// Makes the reserve where there is none and the disk has room enough; whether it is there now.
/// Without it all works as long as the disk has room.
bool keep_reserve(const std::string& directory);

/// Gives it back.
void drop_reserve(const std::string& directory);
/// Half of what is left of it, where less is free than it holds: the disk may be full again at the
/// next crash.
void give_of_reserve_if_short(const std::string& directory);

}  // namespace ved::store
