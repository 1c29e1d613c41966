#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "messages/error.hpp"

/// Who may change what is at a path: the thing itself, or by putting another one in its place.
namespace ved::adapters {

/// Groups that may change something of ours, by its mode or its access list.
enum class group_trust {
  none,
  own,  ///< root's, and those that we are in
  all,  ///< as that of the syslog daemon in /var/log
};

/// Who may change something of ours beside root, the own user, and owners that our user namespace
/// has no number for: those always may.
struct place_trust {
  group_trust groups = group_trust::own;
  // But never these, also where the group is root's or one of ours.
  std::vector<uid_t> never_users = {};
  std::vector<gid_t> never_groups = {};
};

/// Somebody who may change a thing and is not trusted.
struct distrusted {
  std::string how;   ///< "belongs to user 7", "everybody may write into it"
  std::string mend;  ///< the command that ends it
};

/// Who may change the file, or the names in the directory: the first that is found. Links are
/// followed; where nothing is there, nobody.
std::optional<distrusted> who_may_change(const std::string& path, const place_trust& trust = {});
/// The same of what is open; `path` is for people.
std::optional<distrusted> who_may_change(int open, const std::string& path,
                                         const place_trust& trust = {});

/// Who may read or change a file that is secret: nobody, but root and the own user, also by a list.
std::optional<distrusted> who_may_read(const std::string& path);

enum class way_to {
  /// That we make ourselves and then judge when it is not there.
  directory,
  /// That others must not make before us, nor after a rotation.
  file,
  /// That we only read: it is there, or somebody else could make it.
  file_to_read,
};

/// A directory in which somebody could put something else in the place of a path.
struct way_gap {
  std::string directory;  ///< without links
  std::string text;       ///< begins with it, and says what helps
};

/// The first on the way to the path, as the kernel goes it (path_resolution(7)): each directory in
/// which a name is looked up is judged, those of links too, up to the first name that is not there.
/// In a sticky one that others may write into a name is safe that is there and ours.
std::optional<way_gap> gap_on_way(const std::string& path, way_to what,
                                  const place_trust& trust = {});

/// The same as errc::denied.
result<void> judge_way(const std::string& path, way_to what, const place_trust& trust = {});

/// Whether somebody with these groups may go through the directory; false also when it is none.
bool lets_through(const std::string& directory, uid_t user, const std::vector<gid_t>& groups);

/// The absolute path without links of what is there, followed by what is not there yet.
std::string resolved_path(const std::string& path);

}  // namespace ved::adapters
