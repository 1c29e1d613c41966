#include "messages/secret.hpp"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace ved {

void wipe(std::string& buffer) noexcept {
  // The whole capacity: a longer secret may have stood here before.
  buffer.resize(buffer.capacity());
  sodium_memzero(buffer.data(), buffer.size());
  buffer.clear();
}

secret::secret(std::string_view value) : value_(value) {}
secret::secret(const secret& other) = default;

secret::secret(secret&& other) noexcept : value_(std::move(other.value_)) {
  // A short string is copied by a move; the source must not keep it.
  other.wipe();
}

secret& secret::operator=(const secret& other) {
  if (this != &other) {
    wipe();
    value_ = other.value_;
  }
  return *this;
}

secret& secret::operator=(secret&& other) noexcept {
  if (this != &other) {
    wipe();
    value_ = std::move(other.value_);
    other.wipe();
  }
  return *this;
}

secret::~secret() { wipe(); }

void secret::wipe() noexcept { ved::wipe(value_); }

bool operator==(const secret& a, const secret& b) noexcept {
  return a.value_.size() == b.value_.size() &&
         sodium_memcmp(a.value_.data(), b.value_.data(), a.value_.size()) == 0;
}

std::string shown_path(const std::string& path) {
  const auto second = path.find('/', 1);
  std::error_code ignored;
  if (path.starts_with('/') && second != std::string::npos && second > 1 &&
      std::filesystem::is_directory(path.substr(0, second), ignored))
    return path;
  return "(" + std::to_string(path.size()) + " bytes, not shown: they may be a secret)";
}

namespace {

enum class allowed { owner, all };

result<std::string> read_regular_file(const std::filesystem::path& path, std::size_t bytes_max,
                                      allowed readers) {
  const auto where = "file " + shown_path(path.string());
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) {
    const int cause = errno;
    return fail(cause == ENOENT ? errc::not_found : errc::denied,
                where + ": cannot be opened: " + std::strerror(cause));
  }
  struct closer {
    int fd;
    ~closer() { ::close(fd); }
  } const closing{file};
  // The open file is checked, not its name: nothing can be swapped in between.
  struct stat about {};
  if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
    return fail(errc::invalid, where + ": is not a regular file");
  }
  if (readers == allowed::owner && about.st_uid != ::geteuid() && about.st_uid != 0) {
    return fail(errc::denied, where + ": belongs to another user (uid " +
                                  std::to_string(about.st_uid) + "), expected uid " +
                                  std::to_string(::geteuid()));
  }
  if (readers == allowed::owner && (about.st_mode & 0077) != 0) {
    return fail(errc::denied,
                where + ": others may read it; run: chmod 600 '" + path.string() + "'");
  }
  const auto too_large = [&] {
    return fail(errc::invalid, where + ": larger than " + std::to_string(bytes_max) + " bytes");
  };
  if (about.st_size > static_cast<off_t>(bytes_max)) return too_large();
  // One byte more than it may have: a file that grows while it is read is noticed.
  std::string text(bytes_max + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const auto n = ::read(file, text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int cause = errno;
      wipe(text);
      return fail(errc::unavailable, where + ": cannot be read: " + std::strerror(cause));
    }
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  if (size > bytes_max) {
    wipe(text);
    return too_large();
  }
  text.resize(size);
  return text;
}

}  // namespace

result<std::string> read_private_file(const std::filesystem::path& path, std::size_t bytes_max) {
  return read_regular_file(path, bytes_max, allowed::owner);
}

result<std::string> read_public_file(const std::filesystem::path& path, std::size_t bytes_max) {
  return read_regular_file(path, bytes_max, allowed::all);
}

result<secret> read_secret_file(const std::filesystem::path& path) {
  auto text = read_private_file(path, secret_bytes_max);
  if (!text) return fail_in("secret", text.error());
  std::string_view body(*text);
  if (body.ends_with('\n')) body.remove_suffix(1);
  if (body.ends_with('\r')) body.remove_suffix(1);
  secret value(body);
  wipe(*text);
  if (value.empty()) return fail(errc::invalid, "secret file " + path.string() + ": is empty");
  return value;
}

}  // namespace ved
