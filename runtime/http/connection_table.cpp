#include "runtime/http/connection_table.hpp"

namespace ved::runtime::http {

connection_table::admission connection_table::enter(const std::string& address, bool proxy) {
  admission out;
  const auto before = by_address_.find(address);
  const bool own_full = !proxy && before != by_address_.end() &&
                        before->second.count >= limits_.per_address_max;
  if (own_full)
    out.evicted = evict_from(before->second.waiting);
  else if (open_.count >= limits_.open_max)
    out.evicted = evict_from(open_.waiting);
  out.got = place::open;
  if (!out.evicted && (own_full || open_.count >= limits_.open_max)) {
    out.got = place::reserve;
    if (reserve_.count >= limits_.reserve_max) out.evicted = evict_from(reserve_.waiting);
    if (reserve_.count >= limits_.reserve_max) return {place::none, 0, out.evicted};
  }
  out.key = ++last_;
  auto& one = all_[out.key];
  one.address = address;
  one.where = out.got;
  one.proxy = proxy;
  ++group_of(one).count;
  if (one.where == place::open) ++by_address_[address].count;
  waits(out.key);
  return out;
}

bool connection_table::works(id key) {
  const auto found = all_.find(key);
  if (found == all_.end() || found->second.evicted) return false;
  stop_waiting(found->second);
  return true;
}

void connection_table::waits(id key) {
  const auto found = all_.find(key);
  if (found == all_.end() || found->second.evicted || found->second.waiting) return;
  auto& one = found->second;
  one.waiting = true;
  auto& all = group_of(one).waiting;
  one.in_all = all.insert(all.end(), key);
  if (one.where != place::open) return;
  auto& own = by_address_[one.address].waiting;
  one.in_address = own.insert(own.end(), key);
}

void connection_table::leave(id key) {
  const auto found = all_.find(key);
  if (found == all_.end()) return;
  if (!found->second.evicted) release(found->second);
  all_.erase(found);
}

std::optional<connection_table::id> connection_table::evict() {
  return evict_from(open_.waiting);
}

std::optional<connection_table::id> connection_table::evict_from(const std::list<id>& waiting) {
  if (waiting.empty()) return std::nullopt;
  const auto key = waiting.front();
  auto& one = all_.at(key);
  release(one);
  one.evicted = true;
  return key;
}

void connection_table::stop_waiting(entry& one) {
  if (!one.waiting) return;
  one.waiting = false;
  group_of(one).waiting.erase(one.in_all);
  if (one.where == place::open) by_address_.at(one.address).waiting.erase(one.in_address);
}

void connection_table::release(entry& one) {
  stop_waiting(one);
  --group_of(one).count;
  if (one.where != place::open) return;
  const auto own = by_address_.find(one.address);
  if (--own->second.count == 0) by_address_.erase(own);
}

}  // namespace ved::runtime::http
