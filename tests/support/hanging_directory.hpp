#pragma once

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "adapters/system/files.hpp"

namespace ved::tests {

/// A directory that answers nobody: a FUSE file system (linux/fuse.h) whose server takes every
/// request and says nothing. Who waits for it cannot even be killed, until this object goes.
class hanging_directory {
 public:
  explicit hanging_directory(std::filesystem::path at) : at_(std::move(at)) {
    std::filesystem::create_directories(at_);
    device_ = adapters::unique_fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    const auto options = "fd=" + std::to_string(device_.get()) +
                         ",rootmode=40000,user_id=0,group_id=0,allow_other";
    hangs_ = device_ && ::mount("hang", at_.c_str(), "fuse", MS_NOSUID, options.c_str()) == 0;
    if (hangs_) server_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  hanging_directory(const hanging_directory&) = delete;
  hanging_directory& operator=(const hanging_directory&) = delete;
  ~hanging_directory() {
    if (!hangs_) return;
    server_.request_stop();
    server_.join();
    ::umount2(at_.c_str(), MNT_DETACH);
    device_ = adapters::unique_fd();  // who waits is let go with an error
  }

  /// False: this machine lets us mount nothing.
  bool hangs() const {
    if (!hangs_) WARN("no FUSE here: nothing hangs");
    return hangs_;
  }

 private:
  void serve(const std::stop_token& stop) const {
    std::vector<char> request(1u << 17);
    while (!stop.stop_requested()) {
      const auto size = ::read(device_.get(), request.data(), request.size());
      if (size < 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
        continue;
      }
      fuse_in_header in{};
      std::memcpy(&in, request.data(), sizeof in);
      if (in.opcode != FUSE_INIT) continue;
      struct {
        fuse_out_header head;
        fuse_init_out body;
      } out{};
      out.head.len = sizeof out;
      out.head.unique = in.unique;
      out.body.major = FUSE_KERNEL_VERSION;
      out.body.minor = FUSE_KERNEL_MINOR_VERSION;
      out.body.max_write = 4096;
      [[maybe_unused]] const auto done = ::write(device_.get(), &out, sizeof out);
    }
  }

  std::filesystem::path at_;
  adapters::unique_fd device_;
  bool hangs_ = false;
  std::jthread server_;
};

}  // namespace ved::tests
