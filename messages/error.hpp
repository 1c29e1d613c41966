#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace ved {

/// What the caller does next about a failure; one code per different reaction.
enum class errc {
  invalid,          ///< the request itself is wrong: fix it, do not repeat it
  not_found,        ///< the named object does not exist
  conflict,         ///< another write or state came first: read again, then decide
  denied,           ///< the principal lacks the right
  unavailable,      ///< did not happen; may be tried again later
  overloaded,       ///< did not happen; slow down, then try again
  unknown_outcome,  ///< may or may not have happened: look before you try again
  corrupt,          ///< stored or received data contradicts itself: stop, verify
  internal,         ///< a broken invariant in this program
};

/// The code in the words of the HTTP API ("not_found"); stable.
std::string_view to_string(errc code) noexcept;

/// A failure: what to do next, and a message that names object, problem and cause.
struct error {
  errc code = errc::internal;
  std::string message;
};

/// A value or an error. Ignoring one is a compiler warning.
template <class T>
class [[nodiscard]] result : public tl::expected<T, error> {
 public:
  using tl::expected<T, error>::expected;
};

/// Builds the error side of a result: `return fail(errc::invalid, "job j-17: ...")`.
inline tl::unexpected<error> fail(errc code, std::string message) {
  return tl::unexpected<error>(error{code, std::move(message)});
}

/// Passes an error on unchanged: `if (!r) return fail(r.error())`.
inline tl::unexpected<error> fail(error cause) { return tl::unexpected<error>(std::move(cause)); }

/// Passes an error on with the place where it happened in front of its message.
inline tl::unexpected<error> fail_in(std::string_view where, error cause) {
  return tl::unexpected<error>(error{cause.code, std::string(where) + ": " + cause.message});
}

}  // namespace ved
