#include "adapters/slurm/hangs.hpp"

#include <algorithm>

namespace ved::adapters::slurm {
namespace {

constexpr seconds pause_first{30};
constexpr seconds pause_max{600};

}  // namespace

hang_memory::advice hang_memory::of(const job_id& job, time_point now) const {
  const std::lock_guard lock(mutex_);
  const auto it = all_.find(job);
  if (it == all_.end()) return advice::touch;
  const auto& [until, pause] = it->second;
  // A clock that was set back makes no pause longer.
  return now < until && now + pause >= until ? advice::skip : advice::last;
}

std::vector<std::size_t> hang_memory::turns(
    std::size_t count, const std::function<const job_id*(std::size_t)>& job_of,
    time_point now) const {
  std::vector<std::size_t> out;
  std::optional<std::size_t> last;
  for (std::size_t i = 0; i < count; ++i) {
    const auto* job = job_of(i);
    const auto what = job == nullptr ? advice::skip : of(*job, now);
    if (what == advice::touch) out.push_back(i);
    if (what == advice::last && !last) last = i;
  }
  if (last) out.push_back(*last);
  return out;
}

void hang_memory::note(const job_id& job, time_point now) {
  const std::lock_guard lock(mutex_);
  std::erase_if(all_, [&](const auto& one) { return one.second.until + 2 * pause_max < now; });
  auto& one = all_.try_emplace(job, hang{{}, pause_first / 2}).first->second;
  one.pause = std::min<microseconds>(one.pause * 2, pause_max);
  one.until = now + one.pause;
}

}  // namespace ved::adapters::slurm
