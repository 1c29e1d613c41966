#include "runtime/security/token_store.hpp"

#include <sodium.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "messages/hash.hpp"
#include "runtime/security/token_file.hpp"

namespace ved::runtime {
namespace {

constexpr std::pair<std::string_view, bool token_scopes::*> scope_words[] = {
    {"read", &token_scopes::read},
    {"submit", &token_scopes::submit},
    {"events", &token_scopes::events},
    {"admin", &token_scopes::admin},
};

}  // namespace

result<token_scopes> parse_scopes(std::string_view text) {
  token_scopes out;
  while (!text.empty()) {
    const auto word = text.substr(0, text.find(','));
    const auto* known = std::find_if(std::begin(scope_words), std::end(scope_words),
                                     [&](const auto& one) { return one.first == word; });
    if (known == std::end(scope_words)) {
      return fail(errc::invalid, "scope '" + std::string(word.substr(0, 32)) +
                                     "': expected some of read, submit, events, admin");
    }
    out.*(known->second) = true;
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  if (!out.any()) {
    return fail(errc::invalid, "no scope: expected some of read, submit, events, admin");
  }
  return out;
}

std::string to_string(const token_scopes& scopes) {
  std::string out;
  for (const auto& [word, member] : scope_words) {
    if (scopes.*member) out += (out.empty() ? "" : ",") + std::string(word);
  }
  return out;
}

std::string token_info::id() const {
  constexpr std::size_t id_bytes = 7;
  return to_hex(hash.substr(0, id_bytes));
}

result<std::unique_ptr<token_store>> token_store::open(const std::filesystem::path& file,
                                                       telling tell) {
  std::unique_ptr<token_store> store(new token_store(file, std::move(tell)));
  if (auto loaded = store->reload(); !loaded) return fail(loaded.error());
  return store;
}

void token_store::told(const std::string& problem) {
  {
    const std::lock_guard lock(mutex_);
    if (problem_ == problem) return;
    problem_ = problem;
  }
  if (tell_) tell_(problem);
}

result<void> token_store::reload() {
  // Looked at before it is read: a change in between is then seen as one.
  const auto seen = look();
  auto tokens = list_tokens(file_);
  const bool gone = !tokens && tokens.error().code == errc::not_found;
  if (gone) tokens = std::vector<token_info>{};
  {
    const std::lock_guard lock(mutex_);
    read_ = seen;
    if (tokens) tokens_ = std::make_shared<const std::vector<token_info>>(*tokens);
  }
  if (!tokens) {
    told(tokens.error().message + "; the tokens that were valid before stay so");
    return fail(tokens.error());
  }
  const auto name = "token file " + file_.string();
  told(gone              ? name + ": is gone, so no token is valid; make one with `ved token add`"
       : tokens->empty() ? name + ": has no token, so none is valid; make one with `ved token add`"
                         : std::string{});
  return {};
}

token_store::stamp token_store::look() const noexcept {
  struct stat about {};
  if (::stat(file_.c_str(), &about) != 0) return {};
  // Its mode may make it unusable and usable again, too.
  return {std::int64_t{about.st_ctim.tv_sec} * 1'000'000'000 + about.st_ctim.tv_nsec, about.st_ino,
          about.st_size};
}

void token_store::follow() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  auto due = next_look_.load(std::memory_order_relaxed);
  const auto next = std::chrono::steady_clock::duration(now + file_check_interval).count();
  // One thread looks; the others go on with what is known.
  if (now.count() < due || !next_look_.compare_exchange_strong(due, next)) return;
  const auto seen = look();
  bool changed = false;
  {
    const std::lock_guard lock(mutex_);
    changed = seen != read_;
  }
  if (changed) static_cast<void>(reload());
}

result<token_principal> token_store::authenticate(std::string_view token, time_point now) {
  if (token.empty()) return fail(errc::denied, "no token");
  if (token.size() > token_text_bytes_max) return fail(errc::denied, "unknown token");
  follow();
  std::shared_ptr<const std::vector<token_info>> tokens;
  {
    const std::lock_guard lock(mutex_);
    tokens = tokens_;
  }
  const auto hash = hash256(token);
  // No early end: the time says nothing about which token was nearly right.
  const token_info* match = nullptr;
  for (const auto& one : *tokens) {
    if (sodium_memcmp(one.hash.data(), hash.data(), hash.size()) == 0) match = &one;
  }
  if (match == nullptr) return fail(errc::denied, "unknown token");
  if (is_set(match->expires_at) && match->expires_at <= now) {
    return fail(errc::denied,
                "token " + match->name + " expired at " + to_rfc3339(match->expires_at));
  }
  return token_principal{match->name, match->scopes, match->id(), match->created_at};
}

}  // namespace ved::runtime
