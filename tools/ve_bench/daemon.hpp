#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

/// The real `ved` process as the benchmarks use it, and what speaks HTTP to it.
namespace ved::bench {

/// A daemon in a private directory, which lies beside its program; ended with the object.
class running_ved {
 public:
  struct options {
    std::filesystem::path home;
    std::string hpc;  ///< lines of YAML below `hpc:`, each with two spaces in front
  };

  /// Throws std::runtime_error when it does not start.
  explicit running_ved(const options& how);
  running_ved(const running_ved&) = delete;
  running_ved& operator=(const running_ved&) = delete;
  ~running_ved();

  pid_t pid() const noexcept { return pid_; }
  int port() const noexcept { return port_; }
  const std::string& token() const noexcept { return token_; }
  const std::filesystem::path& home() const noexcept { return home_; }

 private:
  const std::filesystem::path home_;
  pid_t pid_ = 0;
  int port_ = 0;
  std::string token_;
};

/// One kept connection; a request is one write, an answer is read to its end. Throws
/// std::runtime_error when the connection breaks.
class http_client {
 public:
  explicit http_client(const running_ved& server);
  http_client(const http_client&) = delete;
  http_client& operator=(const http_client&) = delete;
  ~http_client();

  struct answer {
    int status = 0;
    std::string body;
  };
  answer call(const std::string& method, const std::string& path, const std::string& body = {});
  /// POSTs a job; anything but 201 throws.
  void submit(const std::string& body);

 private:
  const std::string token_;
  int fd_ = -1;
};

}  // namespace ved::bench
