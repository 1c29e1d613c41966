#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/security/token_store.hpp"

/// The form of tokens.json: {"version": 1, "tokens": [{"name", "scopes": [..], "hash": hex,
/// "created_at": RFC 3339, "expires_at": RFC 3339 or null}]}, mode 0600.
namespace ved::runtime {

/// A fresh token.
secret make_token();

/// Error: invalid, naming the place.
result<std::vector<token_info>> parse_token_file(std::string_view text);
std::string to_token_file(const std::vector<token_info>& tokens);

}  // namespace ved::runtime
