#include "runtime/security/token_file.hpp"

#include <sodium.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <utility>

#include "messages/hash.hpp"
#include "runtime/config/schema.hpp"
#include "runtime/security/private_file.hpp"

namespace ved::runtime {
namespace {

constexpr std::size_t token_file_bytes_max = 1 << 20;
constexpr std::string_view token_prefix = "ved_";

const std::string* text_of(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

// Nothing, or what is wrong.
std::string read_token(const nlohmann::json& json, token_info& out) {
  if (!json.is_object()) return "expected an object";
  const auto* name = text_of(json, "name");
  if (name == nullptr || name->empty() || is_name(*name)) return "name: expected a short word";
  out.name = *name;
  const auto scopes = json.find("scopes");
  if (scopes == json.end() || !scopes->is_array()) return "scopes: expected a list";
  std::string words;
  for (const auto& one : *scopes) {
    const auto* word = one.get_ptr<const std::string*>();
    if (word == nullptr) return "scopes: expected a list of texts";
    words += (words.empty() ? "" : ",") + *word;
  }
  const auto parsed = parse_scopes(words);
  if (!parsed) return "scopes: " + parsed.error().message;
  out.scopes = *parsed;
  const auto* hash = text_of(json, "hash");
  const auto bytes = from_hex(hash == nullptr ? "" : *hash);
  if (!bytes || bytes->size() != hash_bytes) return "hash: expected 64 hex digits";
  out.hash = *bytes;
  const auto* created = text_of(json, "created_at");
  const auto created_at = from_rfc3339(created == nullptr ? "" : *created);
  if (!created_at) return "created_at: expected an RFC 3339 time";
  out.created_at = *created_at;
  const auto expires = json.find("expires_at");
  if (expires != json.end() && !expires->is_null()) {
    const auto* text = expires->get_ptr<const std::string*>();
    const auto expires_at = from_rfc3339(text == nullptr ? "" : *text);
    // The epoch itself stands for "never" in memory, and nothing was made before it.
    if (!expires_at || *expires_at <= from_us(0))
      return "expires_at: expected an RFC 3339 time after 1970 or null";
    out.expires_at = *expires_at;
  }
  return "";
}

std::filesystem::path lock_path(const std::filesystem::path& file) {
  return file.string() + ".lock";
}

/// Who writes these is the daemon itself, not somebody who asks.
constexpr std::string_view reserved_name = "ved";

result<void> store(const std::filesystem::path& file, const std::vector<token_info>& tokens) {
  const auto text = to_token_file(tokens);
  const auto read_back = parse_token_file(text);
  if (text.size() > token_file_bytes_max || !read_back || read_back->size() != tokens.size()) {
    return fail(errc::invalid, "token file " + file.string() + ": not changed, the new one could " +
                                   "not be read back: " +
                                   (read_back ? "too large" : read_back.error().message));
  }
  return write_private_file(file, text, if_exists::replace);
}

}  // namespace

secret make_token() {
  if (sodium_init() < 0) throw std::runtime_error("libsodium cannot be initialised");
  unsigned char bytes[32];
  randombytes_buf(bytes, sizeof bytes);
  std::string text(token_prefix);
  text.resize(token_prefix.size() +
              sodium_base64_ENCODED_LEN(sizeof bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING));
  sodium_bin2base64(text.data() + token_prefix.size(), text.size() - token_prefix.size(), bytes,
                    sizeof bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  text.pop_back();  // the terminating zero
  secret out(text);
  wipe(text);
  sodium_memzero(bytes, sizeof bytes);
  return out;
}

result<std::vector<token_info>> parse_token_file(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(errc::invalid, "is not a JSON object");
  const auto version = json.find("version");
  if (version == json.end() || !version->is_number_integer() || *version != 1) {
    return fail(errc::invalid, "version: expected 1");
  }
  const auto list = json.find("tokens");
  if (list == json.end() || !list->is_array() || list->size() > tokens_max) {
    return fail(errc::invalid,
                "tokens: expected a list of at most " + std::to_string(tokens_max));
  }
  std::vector<token_info> out;
  std::set<std::string> names;
  for (const auto& item : *list) {
    token_info one;
    auto problem = read_token(item, one);
    if (problem.empty() && !names.insert(one.name).second) problem = "name: given twice";
    if (!problem.empty()) {
      return fail(errc::invalid, "tokens[" + std::to_string(out.size()) + "]: " + problem);
    }
    out.push_back(std::move(one));
  }
  return out;
}

std::string to_token_file(const std::vector<token_info>& tokens) {
  auto list = nlohmann::json::array();
  for (const auto& one : tokens) {
    auto scopes = nlohmann::json::array();
    auto words = to_string(one.scopes);
    for (std::size_t from = 0; from < words.size();) {
      const auto to = std::min(words.find(',', from), words.size());
      scopes.push_back(words.substr(from, to - from));
      from = to + 1;
    }
    nlohmann::json item{{"name", one.name},
                        {"scopes", std::move(scopes)},
                        {"hash", to_hex(one.hash)},
                        {"created_at", to_rfc3339(one.created_at)},
                        {"expires_at", nullptr}};
    if (is_set(one.expires_at)) item["expires_at"] = to_rfc3339(one.expires_at);
    list.push_back(std::move(item));
  }
  return nlohmann::json{{"version", 1}, {"tokens", std::move(list)}}.dump(2) + "\n";
}

result<std::vector<token_info>> list_tokens(const std::filesystem::path& file) {
  const auto content = read_private_file(file, token_file_bytes_max);
  if (!content) return fail_in("tokens", content.error());
  if (content->find_first_not_of(" \t\r\n") == std::string::npos)
    return std::vector<token_info>{};
  auto tokens = parse_token_file(*content);
  if (!tokens) return fail_in("token file " + file.string(), tokens.error());
  return tokens;
}

result<time_point> token_expiry(time_point now, long long days) {
  if (days >= 1 && days <= token_days_max) return now + std::chrono::days{days};
  return fail(errc::invalid, "days: expected 1 to " + std::to_string(token_days_max) + ", got " +
                                 std::to_string(days) +
                                 "; without --days the token does not expire");
}

result<secret> add_token(const std::filesystem::path& file, const token_request& request) {
  const auto where = "token " + request.name;
  if (request.name.empty() || is_name(request.name)) {
    return fail(errc::invalid,
                "token name: expected 1 to 64 letters, digits, '-', '_' or '.', not starting "
                "with '.' or '-'");
  }
  if (request.name == reserved_name) {
    return fail(errc::invalid, where + ": is the daemon's own name in the log; take another one");
  }
  if (!request.scopes.any()) {
    return fail(errc::invalid, where + ": expected some of the scopes read, submit, events, admin");
  }
  if (is_set(request.expires_at) && request.expires_at <= request.now) {
    return fail(errc::invalid, where + ": expires before it begins");
  }
  const auto lock = file_lock::take(lock_path(file), token_file_wait);
  if (!lock) return fail(lock.error());
  std::vector<token_info> tokens;
  if (std::error_code ignored; std::filesystem::exists(file, ignored)) {
    auto known = list_tokens(file);
    if (!known) return fail(known.error());
    tokens = std::move(*known);
  }
  for (const auto& one : tokens) {
    if (one.name == request.name) {
      return fail(errc::conflict, where + ": exists; revoke it first or take another name");
    }
  }
  if (tokens.size() >= tokens_max) {
    return fail(errc::overloaded,
                where + ": there are " + std::to_string(tokens_max) + " tokens; revoke some");
  }
  auto token = make_token();
  tokens.push_back({request.name, request.scopes, hash256(token.reveal()), request.now,
                    request.expires_at});
  if (auto stored = store(file, tokens); !stored) return fail(stored.error());
  return token;
}

result<void> revoke_token(const std::filesystem::path& file, const std::string& name) {
  const auto lock = file_lock::take(lock_path(file), token_file_wait);
  if (!lock) return fail(lock.error());
  auto tokens = list_tokens(file);
  if (!tokens) return fail(tokens.error());
  if (std::erase_if(*tokens, [&](const token_info& one) { return one.name == name; }) == 0) {
    return fail(errc::not_found, "token " + name + ": does not exist");
  }
  return store(file, *tokens);
}

}  // namespace ved::runtime
