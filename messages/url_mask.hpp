#pragma once

#include <string>
#include <string_view>

namespace ved {

/// Stands for what is not shown.
inline constexpr std::string_view masked = "***";

/// The text with what is secret in its URLs masked: user and password (RFC 3986 userinfo, also one
/// with characters that should have been encoded, and one without a scheme in front), query,
/// fragment, and path segments so long that they are keys (as chat services' webhooks have).
/// "https://u:p@h/a?key=x" becomes "https://***@h/a?***". Masks rather too much than too little.
std::string mask_urls(std::string_view text);

/// The same for a text that is one URL as a whole, or was meant to be.
std::string mask_url(std::string_view url);

/// The same for the name of a container's image, of which path, tag and digest stay:
/// "docker://u:p@h/a/b:1@sha256:0f…" becomes "docker://***@h/a/b:1@sha256:0f…". A file's path stays
/// as it is.
std::string mask_image(std::string_view name);

}  // namespace ved
