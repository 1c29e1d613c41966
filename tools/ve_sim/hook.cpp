#include "tools/ve_sim/hook.hpp"

#include <cstdlib>
#include <utility>

namespace ved::sim {
namespace {

std::string variable(const adapters::hooks::delivery& what, const std::string& name) {
  for (const auto& [key, value] : what.environment)
    if (key == name) return value;
  return {};
}

}  // namespace

simulated_hook::simulated_hook(surroundings where, const actors::open_log& log,
                               runtime::hook_start start)
    : where_(std::move(where)), log_(log.name) {
  runtime::follower_options how;
  how.name = runtime::hook_stream(hook_name);
  how.report = std::make_shared<runtime::follower_report>(
      how.name, log_, [&time = where_.time] { return time.now(); });
  const auto from = start.position;
  runtime::hook_parts parts;
  parts.hook.name = hook_name;
  parts.start = std::move(start);
  parts.limits.backoff_initial = milliseconds{200};
  parts.limits.backoff_max = seconds{10};
  parts.log = log.reading;
  parts.logs = where_.logs;
  parts.append = where_.append;
  parts.deliver = [this](const adapters::hooks::delivery& what, const std::stop_token&) {
    return deliver(what);
  };
  parts.clock = [&time = where_.time] { return time.now(); };
  parts.steady = [this] { return now(); };
  parts.draw = [&luck = where_.luck] { return luck.next(); };
  parts.report = how.report;
  work_ = std::make_unique<runtime::following>(
      std::move(how), from, std::make_shared<runtime::committed_tail>(log.reading), where_.logs,
      runtime::make_hook_consumer(std::move(parts)), [this] { return now(); });
  news_ = log.feed->subscribe([this](const auto&) { hear_news(); });
  plan(now(), &simulated_hook::step);
}

simulated_hook::~simulated_hook() { *alive_ = false; }

void simulated_hook::plan(moment when, void (simulated_hook::*what)()) {
  where_.time.at(time_point{std::chrono::ceil<microseconds>(when.time_since_epoch())},
                 [this, alive = alive_, mine = ++planned_, what] {
                   if (*alive && mine == planned_) (this->*what)();
                 });
}

void simulated_hook::step() {
  rests_on_ = false;
  rest_ = work_->step(stop_.get_token());
  plan(rest_.least, &simulated_hook::rest_on);
}

void simulated_hook::rest_on() {
  if (now() >= rest_.most || (rest_.news_counts && work_->has_news())) return step();
  rests_on_ = true;
  plan(rest_.most, &simulated_hook::step);
}

/// On the writer's thread: it only hands over.
void simulated_hook::hear_news() {
  work_->note_news();
  if (rests_on_ && rest_.news_counts) plan(now(), &simulated_hook::step);
}

adapters::hooks::delivery_outcome simulated_hook::deliver(const adapters::hooks::delivery& what) {
  if (where_.luck.chance(where_.faults.refused)) return {false, "HTTP 503"};
  where_.heard.push_back({log_, what.id, job_id{variable(what, "VED_JOB_ID")}, what.callback,
                          std::strtoull(variable(what, "VED_POSITION").c_str(), nullptr, 10)});
  if (where_.dies() || where_.luck.chance(where_.faults.answer_lost)) return {false, "no answer"};
  return {true, "HTTP 200"};
}

}  // namespace ved::sim
