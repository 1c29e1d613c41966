#include "tools/ve_bench/daemon.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "tools/ve_bench/child.hpp"

namespace ved::bench {

namespace fs = std::filesystem;

running_ved::running_ved(const options& how) : home_(how.home) {
  const auto ved = fs::read_symlink("/proc/self/exe").parent_path() / "ved";
  const auto state = home_ / "state";
  if (wait_for(spawn({ved, "init", "--state", state})) != 0)
    throw std::runtime_error("ved init failed");
  std::ofstream(home_ / "ved.yaml")
      << "hpc:\n  enabled: true\n  audit: {enabled: false}\n"
      << "  job_service: {max_concurrent_jobs: 100000, max_concurrent_jobs_per_principal: 100000}\n"
      << how.hpc
      // What one client may ask for in a second is no measure of what ved can do.
      << "http: {port: 0, rate_per_second: 1000000, rate_burst: 1000000}\n"
      << "gateway: {enabled: false}\nlogging: {file: " << home_ / "log" << "}\n"
      << "state: {directory: " << state << "}\n";
  pid_ = spawn({ved, "--config", home_ / "ved.yaml", "--port-file", home_ / "ports"});
  for (int i = 0; i < 200 && port_ == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    std::ifstream ports(home_ / "ports");
    std::string line;
    if (std::getline(ports, line)) port_ = std::stoi(line.substr(line.find('=') + 1));
  }
  std::ifstream(state / "client" / "token") >> token_;
  if (port_ != 0 && !token_.empty()) return;
  ::kill(pid_, SIGKILL);
  (void)wait_for(pid_);
  throw std::runtime_error("ved did not start");
}

running_ved::~running_ved() {
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

http_client::http_client(const running_ved& server) : token_(server.token()) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(server.port()));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return;
  ::close(fd_);
  throw std::runtime_error("cannot connect to ved");
}

http_client::~http_client() {
  ::close(fd_);
}

http_client::answer http_client::call(const std::string& method, const std::string& path,
                                      const std::string& body) {
  const std::string request =
      method + " " + path + " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " + token_ +
      "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    throw std::runtime_error("the connection to ved broke");
  std::string text;
  std::size_t head = 0;
  std::size_t whole = std::string::npos;
  while (text.size() < whole) {
    char buffer[8192];
    const auto got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) throw std::runtime_error("the connection to ved broke");
    text.append(buffer, static_cast<std::size_t>(got));
    head = text.find("\r\n\r\n");
    const auto length = text.find("Content-Length: ");
    if (head != std::string::npos && length < head)
      whole = head + 4 + std::stoul(text.substr(length + 16));
  }
  return {std::stoi(text.substr(text.find(' ') + 1)), text.substr(head + 4)};
}

void http_client::submit(const std::string& body) {
  const auto got = call("POST", "/api/v1/hpc/jobs", body);
  if (got.status != 201)
    throw std::runtime_error("POST of a job: " + std::to_string(got.status) + " " + got.body);
}

}  // namespace ved::bench
