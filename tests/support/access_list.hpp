#pragma once

#include <sys/xattr.h>

#include <cstdint>
#include <filesystem>

namespace ved::tests {

/// Gives the path an access list: `own` to its owner, `named` to one user or group, `group` to its
/// group, `other` to all others. False: the file system has none.
struct access_list {
  enum class of : std::uint16_t { user = 2, group = 8 };  // as the kernel stores it (acl(5))
  of kind = of::user;
  std::uint32_t id = 65'534;
  std::uint16_t named = 7;
  std::uint16_t own = 7;
  std::uint16_t group = 5;
  std::uint16_t other = 5;

  /// "system.posix_acl_default": what is made in that directory inherits it.
  bool put_on(const std::filesystem::path& path,
              const char* attribute = "system.posix_acl_access") const {
    struct entry {
      std::uint16_t tag, permissions;
      std::uint32_t id;
    };
    const entry theirs{static_cast<std::uint16_t>(kind), named, id};
    const entry groups{4, group, ~0U};
    const bool is_user = kind == of::user;
    const struct {
      std::uint32_t version = 2;
      entry entries[5];
    } list{2,
           {{1, own, ~0U},
            is_user ? theirs : groups,
            is_user ? groups : theirs,
            {16, static_cast<std::uint16_t>(named | group), ~0U},
            {32, other, ~0U}}};
    return ::setxattr(path.c_str(), attribute, &list, sizeof list, 0) == 0;
  }
};

}  // namespace ved::tests
