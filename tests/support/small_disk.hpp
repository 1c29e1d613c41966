#pragma once

#include <sys/mount.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>

namespace ved::tests {

/// A file system of a few MiB in memory, to be filled.
class small_disk {
 public:
  small_disk(std::filesystem::path at, const std::string& options) : at_(std::move(at)) {
    std::filesystem::create_directories(at_);
    mounted_ = ::mount("tmpfs", at_.c_str(), "tmpfs", 0, (options + ",mode=755").c_str()) == 0;
  }
  small_disk(const small_disk&) = delete;
  small_disk& operator=(const small_disk&) = delete;
  ~small_disk() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }

  /// False: this machine lets us mount nothing.
  bool mounted() const {
    if (!mounted_) WARN("left out: cannot mount a tmpfs here");
    return mounted_;
  }
  const std::filesystem::path& path() const { return at_; }

  /// Takes all room for bytes.
  void fill() const {
    std::ofstream file(filler(0), std::ios::binary);
    for (const std::size_t size : {std::size_t{1} << 16, std::size_t{1}}) {
      file.clear();
      while (file.write(std::string(size, 'x').data(), static_cast<std::streamsize>(size)) &&
             file.flush()) {
      }
    }
  }
  /// Takes all room for files; to be mounted with few `nr_inodes`.
  void fill_with_files() const {
    for (int n = 0; std::ofstream(filler(n)); ++n) {
    }
  }
  void empty() const {
    for (int n = 0; std::filesystem::remove(filler(n)); ++n) {
    }
  }

 private:
  std::filesystem::path filler(int n) const { return at_ / ("filler-" + std::to_string(n)); }

  std::filesystem::path at_;
  bool mounted_ = false;
};

}  // namespace ved::tests
