#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "messages/error.hpp"
#include "messages/secret.hpp"
#include "messages/time.hpp"

/// Bearer tokens. A token is "ved_" and 32 random bytes in base64url; the file keeps only its
/// BLAKE2b-256 hash, so reading the file gives nobody access.
namespace ved::runtime {

constexpr std::size_t tokens_max = 1'000;
constexpr std::size_t token_text_bytes_max = 256;
/// How long a change of the file waits for another process that changes it.
constexpr std::chrono::seconds token_file_wait{5};

/// What a token allows.
struct token_scopes {
  bool read = false;
  bool submit = false;
  bool events = false;
  bool admin = false;

  bool any() const noexcept { return read || submit || events || admin; }
  friend bool operator==(const token_scopes&, const token_scopes&) = default;
};

/// "read,submit"; reads and writes the same form. Error: invalid, with the four words.
result<token_scopes> parse_scopes(std::string_view text);
std::string to_string(const token_scopes& scopes);

/// Who asks.
struct token_principal {
  std::string name;
  token_scopes scopes;
  std::string token_id;  ///< see token_info::id
  time_point created_at;
};

/// What is stored of a token.
struct token_info {
  std::string name;
  token_scopes scopes;
  std::string hash;  ///< 32 bytes
  time_point created_at;
  time_point expires_at;  ///< unset: never

  /// Some hex digits of the hash: another token that gets the same name has others.
  std::string id() const;
};

/// The tokens of a state directory, as a running daemon uses them. Any thread.
class token_store {
 public:
  /// Told what is wrong with the file, once per change of that; empty: nothing any more. Called on
  /// the thread that found out; must not block.
  using telling = std::function<void(const std::string& problem)>;

  /// A file that is gone, or empty, is one without tokens: nobody gets in, and that is told.
  /// Errors: denied (owner, mode), invalid (names the problem).
  static result<std::unique_ptr<token_store>> open(const std::filesystem::path& file,
                                                   telling tell = {});

  /// Compares with every stored token in constant time. Follows changes of the file within a
  /// second, as `follow` does. Error: denied ("no token", "unknown token", "token NAME expired at
  /// ...").
  result<token_principal> authenticate(std::string_view token, time_point now);

  /// Looks at the file when the last look was a second ago, so that a revoked token ends without a
  /// reload: a file that was removed or emptied revokes every token; one that became unusable
  /// changes nothing and is told.
  void follow();

  /// Reads the file again. On errors, as open(), the tokens stay as they were.
  result<void> reload();

  static constexpr std::chrono::seconds file_check_interval{1};

 private:
  struct stamp {
    std::int64_t changed_ns = 0;
    std::uint64_t inode = 0;
    std::int64_t size = 0;

    friend bool operator==(const stamp&, const stamp&) = default;
  };

  token_store(std::filesystem::path file, telling tell)
      : file_(std::move(file)), tell_(std::move(tell)) {}
  stamp look() const noexcept;
  void told(const std::string& problem);

  const std::filesystem::path file_;
  const telling tell_;
  std::mutex mutex_;  ///< of the three below
  std::shared_ptr<const std::vector<token_info>> tokens_ =
      std::make_shared<const std::vector<token_info>>();
  stamp read_;
  std::string problem_;
  std::atomic<std::chrono::steady_clock::rep> next_look_{0};
};

/// What `ved token add` is told.
struct token_request {
  std::string name;  ///< 1 to 64 letters, digits, '-', '_', '.'
  token_scopes scopes;
  time_point now;
  time_point expires_at;  ///< unset: never
};

constexpr int token_days_max = 36'500;
/// When a token ends that is made now for so many days. Error: invalid (1 to token_days_max).
result<time_point> token_expiry(time_point now, long long days);

/// Makes a token and stores its hash; makes the file when there is none. Nothing is written that
/// cannot be read back. The result is the only copy of the token. Errors: invalid (name, no scope,
/// expired, a time that cannot be written), conflict (the name is taken, or another process changes
/// the file for longer than token_file_wait), overloaded (tokens_max).
result<secret> add_token(const std::filesystem::path& file, const token_request& request);

/// Empty when the file is. Errors: not_found, and as token_store::open.
result<std::vector<token_info>> list_tokens(const std::filesystem::path& file);

/// Errors: not_found, and as add_token.
result<void> revoke_token(const std::filesystem::path& file, const std::string& name);

}  // namespace ved::runtime
