#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "messages/error.hpp"

/// Which work directory it is: its random id, made with it, and what was known of its owner's log.
/// With the log, which keeps the directory's id and how often it was opened, this tells when either
/// was set back or is another one. (Of a copy tells birthmark.hpp.)
///
///     opened    text: COUNT
///     identity  "ID\nlog NAME\nrecorded COUNT\n", and "given up below N\n" if some were
namespace ved::adapters::local {

/// What the log calls a work directory: "COUNT:ID", or "COUNT" from before there were ids.
struct directory_name {
  std::uint64_t count = 0;  ///< of its openings
  std::string id;
};

std::string to_text(const directory_name& name);
/// Of what is no such name: nothing.
directory_name parse_directory_name(const std::string& text);

struct directory_identity {
  std::string id;        ///< sixteen hex digits; empty: it has none yet
  std::string log_name;  ///< what the log called the cluster's directory when this one was opened
  std::uint64_t recorded = 0;  ///< the last opening that the log was seen to know of
  /// Jobs with smaller ids need not be known to the log: they were given up. 0: none was.
  std::uint64_t given_up_below = 0;

  friend bool operator==(const directory_identity&, const directory_identity&) = default;
};

std::string to_text(const directory_identity& identity);
std::optional<directory_identity> parse_directory_identity(const std::string& text);

/// Of a text that is nothing but a number.
std::optional<std::uint64_t> parse_number(const std::string& text);

/// A new id, from the system's random numbers.
result<std::string> make_directory_id();

}  // namespace ved::adapters::local
