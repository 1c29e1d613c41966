#pragma once

#include <functional>
#include <string>
#include <vector>

#include "adapters/system/access.hpp"
#include "messages/error.hpp"

/// Directories that ved uses for itself: it takes one only when it is not there yet, is empty, or
/// carries the mark that ved left in it, and changes the mode of none that it did not make.
///
///     <directory>/.ved-owner    "ved KIND ID\n", "log INSTANCE\n" when it belongs to one log,
///                               and "made\n" when ved made the directory
///
/// So `/`, `/etc` or a home directory are refused for what they are: not empty and not ours.
namespace ved::adapters {

/// Whose a directory is: what it is for, and of which cluster or state.
struct directory_owner {
  std::string kind;  ///< "local-cluster"
  std::string id;
  /// Of the event log whose jobs are in it; empty: not asked for.
  std::string log = {};
};

inline constexpr auto owner_mark_name = ".ved-owner";

struct taken_directory {
  bool made = false;  ///< by ved, now or earlier: its mode is ved's affair
};

/// What `take_directory` would say, without changing anything. Errors: conflict (somebody else's,
/// or another purpose of ours), denied (others could replace what is in it), invalid (no
/// directory, or none above it), unavailable (the system's words).
result<taken_directory> judge_directory(const std::string& path, const directory_owner& owner,
                                        const place_trust& trust = {});

/// Takes the directory; makes the last component of `path` when it is not there, never more.
/// `mode` is of a directory that is made. Errors as `judge_directory`.
result<taken_directory> take_directory(const std::string& path, const directory_owner& owner,
                                       unsigned mode, const place_trust& trust = {});

/// One directory of a configuration: what it is for, as an operator reads it, and its path.
struct directory_use {
  std::string what;  ///< "cluster a: local.work_directory"
  std::string path;
};

/// `conflict` for each two uses of one real directory, or of one inside of another.
std::vector<error> shared_directories(const std::vector<directory_use>& uses);

/// Removes what is in `name` below the open directory, and then itself: follows no link, enters
/// no other file system, and needs few descriptors however deep it is. As root it takes each
/// directory from its owner first, who could fill it for ever. True when it is gone; false, too,
/// when it was not to go on, which is asked for each name.
bool remove_tree_at(int directory, const std::string& name, const std::function<bool()>& goes_on);

}  // namespace ved::adapters
