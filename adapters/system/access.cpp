#include "adapters/system/access.hpp"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>

namespace ved::adapters {

namespace {

namespace fs = std::filesystem;

/// As many as the kernel follows, path_resolution(7).
constexpr int links_max = 40;

template <class Ids>
bool has(const Ids& ids, typename Ids::value_type one) {
  return std::find(ids.begin(), ids.end(), one) != ids.end();
}

/// Shown for an owner from outside of a user namespace that has no number there,
/// user_namespaces(7). Nobody inside can be that user.
bool is_outside(uid_t user) {
  std::ifstream overflow("/proc/sys/kernel/overflowuid");
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t shown = 0;
  if (!(overflow >> shown) || user != shown || !map) return false;
  std::uint64_t first = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  while (map >> first >> outside >> count)
    if (user >= first && user - first < count) return false;
  return map.eof();
}

bool is_ours(uid_t user) {
  return user == ::geteuid() || user == 0 || is_outside(user);
}

/// Root's, ours, or one of those that we are in besides.
bool is_own_group(gid_t group) {
  if (group == 0 || group == ::getegid()) return true;
  std::vector<gid_t> all(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
  const int count = ::getgroups(static_cast<int>(all.size()), all.data());
  all.resize(static_cast<std::size_t>(std::max(0, count)));
  return has(all, group);
}

/// As the kernel keeps it; empty: there is none.
using access_list = std::vector<posix_acl_xattr_entry>;

constexpr const char* acl_attribute = "system.posix_acl_access";
constexpr std::size_t acl_bytes_max = 65'536;

/// `ask(buffer, size)` as getxattr(2) answers for the attribute.
template <class Ask>
access_list read_access_list(Ask ask) {
  std::vector<char> told(acl_bytes_max);
  const ssize_t size = ask(told.data(), told.size());
  access_list out;
  for (auto at = sizeof(posix_acl_xattr_header);
       size > 0 && at + sizeof(posix_acl_xattr_entry) <= static_cast<std::size_t>(size);
       at += sizeof(posix_acl_xattr_entry)) {
    auto& one = out.emplace_back();
    std::memcpy(&one, told.data() + at, sizeof one);
    one.e_tag = le16toh(one.e_tag);
    one.e_perm = le16toh(one.e_perm);
    one.e_id = le32toh(one.e_id);
  }
  return out;
}

/// What the kernel judges access by.
struct rights {
  struct stat info {};
  access_list list;
};

std::optional<rights> rights_of(const std::string& path) {
  rights out;
  if (::stat(path.c_str(), &out.info) != 0) return std::nullopt;
  out.list = read_access_list([&path](char* to, std::size_t size) {
    return ::getxattr(path.c_str(), acl_attribute, to, size);
  });
  return out;
}

std::optional<rights> rights_of(int open) {
  rights out;
  if (::fstat(open, &out.info) != 0) return std::nullopt;
  out.list = read_access_list([open](char* to, std::size_t size) {
    return ::fgetxattr(open, acl_attribute, to, size);
  });
  return out;
}

enum class grant { fine, to_others, to_jobs };

/// Whom the bits of its group let do what `wanted` says, those that a list grants at most (acl(5)).
grant worst_grant(const rights& of, const place_trust& trust, unsigned wanted) {
  auto worst = grant::fine;
  const auto count = [&](bool never, bool own) {
    if (trust.groups == group_trust::none || (trust.groups == group_trust::own && !own))
      worst = std::max(worst, grant::to_others);
    if (never) worst = grant::to_jobs;
  };
  const auto group = [&](gid_t id) { count(has(trust.never_groups, id), is_own_group(id)); };
  if (of.list.empty()) group(of.info.st_gid);
  for (const auto& one : of.list) {
    if ((one.e_perm & (of.info.st_mode >> 3) & wanted) == 0) continue;
    if (one.e_tag == ACL_USER && !is_ours(one.e_id))
      count(has(trust.never_users, one.e_id), false);
    if (one.e_tag == ACL_GROUP_OBJ) group(of.info.st_gid);
    if (one.e_tag == ACL_GROUP) group(one.e_id);
  }
  return worst;
}

constexpr unsigned to_write = ACL_WRITE;
constexpr unsigned to_read_or_write = ACL_READ | ACL_WRITE;

std::optional<distrusted> judge(const rights& of, const std::string& path,
                                const place_trust& trust, unsigned wanted = to_write) {
  const auto said = [&](const std::string& how, const std::string& command) {
    return distrusted{how, command + " '" + path + "'"};
  };
  const bool is_key = wanted == to_read_or_write;
  const std::string may = S_ISDIR(of.info.st_mode) ? " may write into it"
                          : is_key                 ? " may read or write this key"
                                                   : " may change this file";
  if (!is_ours(of.info.st_uid))
    return said("belongs to user " + std::to_string(of.info.st_uid),
                "chown " + std::to_string(::geteuid()));
  if ((of.info.st_mode & wanted) != 0)
    return said("everybody" + may, is_key ? "chmod 600" : "chmod go-w");
  if ((of.info.st_mode >> 3 & wanted) == 0) return std::nullopt;
  const auto worst = worst_grant(of, trust, wanted);
  if (worst == grant::fine) return std::nullopt;
  const auto also = (worst == grant::to_jobs ? ", and so jobs," : "") + may;
  if (!of.list.empty()) return said("who its access list names" + also, "setfacl -b");
  return said("group " + std::to_string(of.info.st_gid) + also,
              is_key ? "chmod 600" : "chmod g-w");
}

std::string joined(const std::string& directory, const std::string& name) {
  return (directory == "/" ? "" : directory) + "/" + name;
}

/// A name that the kernel looks up.
struct looked_up {
  std::string directory;  ///< without links
  std::string name;
  const struct stat* entry;  ///< null: it is not there
  bool is_last;

  std::string path() const { return joined(directory, name); }
};

/// Puts the names of a path in front of those that are left.
void put_in_front(const fs::path& path, std::deque<std::string>& rest) {
  std::deque<std::string> names;
  for (const auto& name : path.relative_path())
    if (!name.empty() && name != ".") names.push_back(name.string());
  rest.insert(rest.begin(), names.begin(), names.end());
}

/// Looks up name after name until `goes_on(looked_up)` is false or one is not there: the path
/// without links that it came to, followed by what is left.
template <class GoesOn>
std::string walk(const std::string& path, GoesOn goes_on) {
  std::error_code problem;
  std::deque<std::string> rest;
  put_in_front(fs::absolute(path, problem), rest);
  std::string at = "/";
  for (int links = 0; !rest.empty();) {
    const std::string name = rest.front();
    const std::string here = joined(at, name);
    struct stat entry {};
    const bool there = ::lstat(here.c_str(), &entry) == 0;
    if (!goes_on(looked_up{at, name, there ? &entry : nullptr, rest.size() == 1}) || !there) break;
    if (S_ISLNK(entry.st_mode) && ++links > links_max) break;
    rest.pop_front();
    if (S_ISLNK(entry.st_mode)) {
      const auto target = fs::read_symlink(here, problem);
      put_in_front(target, rest);
      if (target.is_absolute()) at = "/";
    } else {
      at = name == ".." ? fs::path(at).parent_path().string() : here;
    }
  }
  fs::path out = at;
  for (const auto& name : rest) out /= name;
  return out.lexically_normal().string();
}

std::optional<way_gap> gap_of(const looked_up& one, way_to what, const place_trust& trust) {
  const auto of = rights_of(one.directory);
  if (!of) return std::nullopt;  // then nothing is below it
  const auto other = judge(*of, one.directory, trust);
  if (!other) return std::nullopt;
  const auto told = [&](const std::string& more, const std::string& help) {
    return way_gap{one.directory, one.directory + ": " + other->how + more +
                                      ", so somebody could put something else in the place of " +
                                      one.path() + "; " + help + "name a place elsewhere"};
  };
  // A sticky one keeps from renaming who owns neither the name nor it.
  if ((of->info.st_mode & S_ISVTX) == 0 || !is_ours(of->info.st_uid))
    return told("", "run: " + other->mend + ", or ");
  if (what == way_to::file && one.is_last) return told("", "");
  if (what != way_to::directory && one.entry == nullptr) return told("", "");
  if (one.entry == nullptr || is_ours(one.entry->st_uid)) return std::nullopt;
  return told(", and " + one.name + " there belongs to user " + std::to_string(one.entry->st_uid),
              "run: chown -h " + std::to_string(::geteuid()) + " '" + one.path() + "', or ");
}

}  // namespace

std::optional<distrusted> who_may_change(const std::string& path, const place_trust& trust) {
  const auto of = rights_of(path);
  return of ? judge(*of, path, trust) : std::nullopt;
}

std::optional<distrusted> who_may_read(const std::string& path) {
  const auto of = rights_of(path);
  return of ? judge(*of, path, {group_trust::none}, to_read_or_write) : std::nullopt;
}

std::optional<distrusted> who_may_change(int open, const std::string& path,
                                         const place_trust& trust) {
  const auto of = rights_of(open);
  return of ? judge(*of, path, trust) : std::nullopt;
}

std::optional<way_gap> gap_on_way(const std::string& path, way_to what, const place_trust& trust) {
  std::optional<way_gap> found;
  walk(path, [&](const looked_up& one) {
    found = gap_of(one, what, trust);
    return !found;
  });
  return found;
}

result<void> judge_way(const std::string& path, way_to what, const place_trust& trust) {
  if (const auto gap = gap_on_way(path, what, trust)) return fail(errc::denied, gap->text);
  return {};
}

bool lets_through(const std::string& directory, uid_t user, const std::vector<gid_t>& groups) {
  const auto of = rights_of(directory);
  if (!of || !S_ISDIR(of->info.st_mode)) return false;
  const auto mode = of->info.st_mode;
  if (user == of->info.st_uid) return (mode & S_IXUSR) != 0;
  // As acl(5) says: the user's entry decides; else those of his groups, of which one is enough;
  // else that of all others. The bits of the group are the mask.
  bool is_in_group = false;
  bool group_may = false;
  const auto count_group = [&](gid_t group, bool may) {
    if (!has(groups, group)) return;
    is_in_group = true;
    group_may = group_may || may;
  };
  const bool mask = (mode & S_IXGRP) != 0;
  if (of->list.empty()) count_group(of->info.st_gid, mask);
  for (const auto& one : of->list) {
    const bool may = mask && (one.e_perm & ACL_EXECUTE) != 0;
    if (one.e_tag == ACL_USER && one.e_id == user) return may;
    if (one.e_tag == ACL_GROUP_OBJ) count_group(of->info.st_gid, may);
    if (one.e_tag == ACL_GROUP) count_group(one.e_id, may);
  }
  return is_in_group ? group_may : (mode & S_IXOTH) != 0;
}

std::string resolved_path(const std::string& path) {
  return walk(path, [](const looked_up&) { return true; });
}

}  // namespace ved::adapters
