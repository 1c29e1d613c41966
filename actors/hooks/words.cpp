#include "actors/hooks/words.hpp"

#include "actors/words.hpp"

namespace ved::core::hooks {

std::string tell(const pb::HookEvent& what) {
  if (what.has_begun()) return "hears of what comes from here on";
  if (!what.has_delivered()) return std::string(unknown_event_words);
  const auto& e = what.delivered();
  return std::string(e.delivered() ? "told of " : "gave up telling of ") + e.callback() +
         " of job " + e.job_id() +
         (e.attempts() == 1 ? "" : " in " + std::to_string(e.attempts()) + " attempts") +
         because(e.detail());
}

}  // namespace ved::core::hooks
