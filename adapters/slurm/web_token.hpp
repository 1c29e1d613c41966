#pragma once

#include <string>
#include <string_view>

#include "messages/time.hpp"

/// The JSON web token that Slurm takes in SLURM_JWT (RFC 7519). Pure; its signature is Slurm's to
/// check.
namespace ved::adapters::slurm {

/// Why it cannot be accepted: "SLURM_JWT expired at 2026-01-15T10:00:00Z", or its form is wrong.
/// "": nothing against it, or there is none.
std::string token_problem(std::string_view token, time_point now);

}  // namespace ved::adapters::slurm
