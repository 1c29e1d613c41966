#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_dir.hpp"

namespace ved::tests {

inline std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();  // unlike an iterator it does not throw when a process of /proc has gone
  return out.str();
}

inline void write_text(const std::filesystem::path& file, const std::string& text,
                       mode_t mode = 0644) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
  ::chmod(file.c_str(), mode);
}

/// Looks again and again until `condition` holds; false after a long time.
inline bool eventually(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// A child of ours that ends with us; KILLed and reaped at the end of its scope.
class child_process {
 public:
  child_process() = default;
  explicit child_process(std::vector<std::string> argv) {
    std::vector<char*> words;
    for (auto& one : argv) words.push_back(one.data());
    words.push_back(nullptr);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(::open("/dev/null", O_WRONLY), 1);
      if (::getppid() != parent) ::_exit(1);
      ::execv(words[0], words.data());
      ::_exit(127);
    }
  }
  child_process(const child_process&) = delete;
  child_process& operator=(child_process&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~child_process() { stop(); }

  pid_t pid() const { return pid_; }
  bool running() const { return pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0; }
  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

/// A listening socket on a free port of the loopback address.
class listener {
 public:
  listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd_, 64) != 0)
      throw std::runtime_error("cannot listen");
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  listener(const listener&) = delete;
  ~listener() { ::close(fd_); }
  int fd() const { return fd_; }
  int port() const { return port_; }

 private:
  int fd_;
  int port_ = 0;
};

/// A real sshd on a free port of the loopback address, in a private directory, with its own host
/// keys, for the user that runs the tests. It and all that came of it ends with the object.
class ssh_server {
 public:
  explicit ssh_server(const std::string& extra_config = "",
                      const std::vector<std::string>& host_keys = {"ed25519", "ecdsa"})
      : extra_config_(extra_config) {
    for (const auto& type : host_keys) {
      make_key("host_" + type, type);
      host_key_lines_ += "HostKey " + path("host_" + type) + "\n";
    }
    make_key("id_ed25519", "ed25519");
    write_text(path("authorized_keys"), read_text(path("id_ed25519.pub")));
    // sshd wants it when it runs as root; the package makes it at boot.
    if (::geteuid() == 0) ::mkdir("/run/sshd", 0755);
    for (int tries = 0; tries < 5 && !running(); ++tries) {
      port_ = listener().port();
      start();
    }
    REQUIRE(running());
  }
  ~ssh_server() { stop(); }

  int port() const { return port_; }
  std::string path(const std::string& name) const { return (dir_.path() / name).string(); }
  std::string log() const { return read_text(path("log")); }
  bool running() const { return sshd_.running(); }

  /// Also after a stop, on the same port.
  void start() {
    // The account's own ~/.bashrc may take longer than all of the test.
    write_text(path("config"),
               // What stands first counts: sshd_config(5).
               extra_config_ + "Port " + std::to_string(port_) +
                   "\nListenAddress 127.0.0.1\n" + host_key_lines_ +
                   "PidFile none\nAuthorizedKeysFile " + path("authorized_keys") +
                   // Without PAM sshd refuses root where its password is locked, as it often is;
                   // who is not root cannot ask PAM, and cannot see a lock either.
                   "\nUsePAM " +
                   (::geteuid() == 0 ? "yes" : "no") +
                   "\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                   "StrictModes no\n"
                   "SetEnv HOME=" +
                   path("") + "\nPermitRootLogin yes\nPrintMotd no\nLogLevel VERBOSE\n");
    ::unlink(path("log").c_str());
    sshd_ = child_process({"/usr/sbin/sshd", "-D", "-e", "-f", path("config"), "-E", path("log")});
    eventually([&] { return !running() || log().find("Server listening") != std::string::npos; });
  }

  /// The server, every connection and every command.
  void stop() {
    const auto all = descendants();
    sshd_.stop();
    for (const auto& [pid, name] : all) ::kill(pid, SIGKILL);
  }

  /// Sends a signal to the processes of the connections, not to their commands.
  void signal_connections(int number) const {
    for (const auto& [pid, name] : descendants())
      if (name == "sshd") ::kill(pid, number);
  }

  int logins() const {
    const auto text = log();
    int count = 0;
    for (std::size_t at = 0; (at = text.find("Accepted publickey", at)) != std::string::npos; ++at)
      ++count;
    return count;
  }

  /// `type`: ed25519, ecdsa, rsa. Returns the path.
  std::string make_key(const std::string& name, const std::string& type,
                       const std::string& passphrase = "") {
    const auto bits = type == "rsa" ? " -b 2048" : "";
    shell("ssh-keygen -q -t " + type + bits + " -N '" + passphrase + "' -C test -f " + path(name));
    return path(name);
  }
  void authorize(const std::string& name) {
    shell("cat " + path(name + ".pub") + " >> " + path("authorized_keys"));
  }

  /// "ssh-ed25519 AAAA..."
  std::string host_key(const std::string& type = "ed25519") const {
    const auto line = read_text(path("host_" + type + ".pub"));
    return line.substr(0, line.rfind(' '));
  }
  std::string host_name() const { return "[127.0.0.1]:" + std::to_string(port_); }
  /// Writes a known_hosts file; returns its path.
  std::string known_hosts(const std::string& text) {
    write_text(path("known_hosts"), text);
    return path("known_hosts");
  }

  static void shell(const std::string& line) {
    INFO(line);
    REQUIRE(std::system(line.c_str()) == 0);
  }

 private:
  std::map<pid_t, std::string> descendants() const {
    std::map<pid_t, pid_t> parents;
    std::map<pid_t, std::string> names;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
      const auto pid = static_cast<pid_t>(std::atol(entry.path().filename().c_str()));
      if (pid <= 0) continue;
      // "17 (sshd) S 1 ..."
      const auto stat = read_text(entry.path() / "stat");
      const auto open = stat.find('(');
      const auto close = stat.rfind(')');
      if (open == std::string::npos || close == std::string::npos) continue;
      names[pid] = stat.substr(open + 1, close - open - 1);
      parents[pid] = static_cast<pid_t>(std::atol(stat.c_str() + close + 4));
    }
    std::map<pid_t, std::string> out;
    for (bool grown = sshd_.pid() > 0; grown;) {
      grown = false;
      for (const auto& [pid, parent] : parents)
        if ((parent == sshd_.pid() || out.contains(parent)) && !out.contains(pid)) {
          out[pid] = names[pid];
          grown = true;
        }
    }
    return out;
  }

  temp_dir dir_;
  std::string extra_config_;
  std::string host_key_lines_;
  int port_ = 0;
  child_process sshd_;
};

}  // namespace ved::tests
