#pragma once

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "store/event_logs.hpp"
#include "store/memory_kv.hpp"

namespace ved::tests {

/// A log on a disk in memory that folds as a daemon's does.
inline std::shared_ptr<store::event_log> memory_log(
    const std::shared_ptr<store::memory_disk>& disk = std::make_shared<store::memory_disk>()) {
  store::event_log::options how;
  how.fold = {core::fold, core::index_keys, std::string(core::live_prefix)};
  auto opened = store::event_log::open(store::open_memory(disk), std::move(how));
  if (!opened) throw std::runtime_error(opened.error().message);
  return std::shared_ptr<store::event_log>(std::move(*opened));
}

/// The logs of a daemon with these of clusters, by the clusters' ids.
inline std::shared_ptr<store::event_logs> logs_with(
    const std::map<std::string, std::shared_ptr<store::event_log>>& clusters) {
  auto out = std::make_shared<store::event_logs>(memory_log());
  for (const auto& [id, log] : clusters) out->add(store::cluster_log_name(id), log);
  return out;
}

}  // namespace ved::tests
