#pragma once

#include <memory>

#include "store/event_log.hpp"

namespace ved::store {

/// The same storage, whose failures are told: every read that fails is damage of its table, be it
/// a checksum or a sector, and the first failed write ends the log's use, whoever made it (the
/// writer, or a follower that stores its cursor). Any thread.
std::unique_ptr<kv> watch(std::unique_ptr<kv> storage, const event_log::options& how);

}  // namespace ved::store
