#include "adapters/slurm/web_token.hpp"

#include <sodium.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {

std::string token_problem(std::string_view token, time_point now) {
  if (token.empty()) return {};
  const auto parts = split(token, '.');
  constexpr std::size_t payload = 1;
  if (parts.size() != 3) return "SLURM_JWT is no web token: it has not three parts";
  std::string text(parts[payload].size(), '\0');
  std::size_t size = 0;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(text.data()), text.size(),
                        parts[payload].data(), parts[payload].size(), nullptr, &size, nullptr,
                        sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
    return "SLURM_JWT is no web token: its second part is no base64url";
  text.resize(size);
  const auto claims = nlohmann::json::parse(text, nullptr, false);
  if (!claims.is_object()) return "SLURM_JWT is no web token: its second part is no JSON object";
  const auto expires = claims.find("exp");
  if (expires == claims.end() || !expires->is_number_integer()) return {};
  const auto at = time_point{seconds{expires->get<std::int64_t>()}};
  return at > now ? "" : "SLURM_JWT expired at " + to_rfc3339(at);
}

}  // namespace ved::adapters::slurm
