#include "adapters/hooks/command.hpp"

#include <signal.h>

#include <chrono>
#include <string_view>
#include <utility>

#include "adapters/process/run.hpp"
#include "adapters/system/processes.hpp"

namespace ved::adapters::hooks {
namespace {

using process::ending;

constexpr std::size_t output_bytes_kept = 400;

constexpr std::string_view mark_name = "VED_HOOK_MARK=";
/// A process may fork while we look.
constexpr int kill_rounds_max = 20;

std::vector<std::string> environment_of(const command_target& target, const delivery& what) {
  // The daemon's own environment holds credentials of schedulers: none of it is passed on.
  std::vector<std::string> all{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                               "LANG=C.UTF-8"};
  process::inherit(all, "HOME");
  if (!target.mark.empty()) all.push_back(std::string(mark_name) + target.mark);
  all.push_back("VED_CALLBACK=" + what.callback);
  all.push_back("VED_DELIVERY_ID=" + what.id);
  all.push_back("VED_ATTEMPT=" + std::to_string(what.attempt));
  for (const auto& [name, value] : what.environment) all.push_back(name + "=" + value);
  return all;
}

std::string in_words(const process::outcome& ran) {
  std::string out = ran.signal == 0 ? "exit " + std::to_string(ran.exit_code)
                                    : "signal " + std::to_string(ran.signal);
  if (!ran.out.empty()) out += ": " + ran.out;
  return out;
}

}  // namespace

void end_leftovers(const std::string& mark) {
  if (mark.empty()) return;
  for (int round = 0; round < kill_rounds_max; ++round) {
    const auto left = processes_with(std::string(mark_name) + mark);
    if (left.empty()) return;
    for (const auto& one : left) ::kill(one.pid, SIGKILL);
  }
}

delivery_outcome run_command(const command_target& target, const delivery& what,
                             const std::stop_token& stop) {
  process::program program;
  program.argv = target.argv;
  program.environment = environment_of(target, what);
  program.input = what.body;
  program.output_bytes_max = output_bytes_kept;
  program.merge_output = true;
  program.cut_output = true;
  program.until = std::chrono::steady_clock::now() + target.timeout;
  program.kill_wait = target.kill_wait;
  program.end_group = true;
  const auto ran = process::run(program, stop);
  end_leftovers(target.mark);
  switch (ran.how) {
    case ending::finished:
      return {ran.signal == 0 && ran.exit_code == 0, clean_detail(in_words(ran))};
    case ending::not_started: return {false, clean_detail(ran.reason)};
    case ending::stopped: return {false, "ended because the daemon stops"};
    case ending::silent:
    case ending::deadline:
    case ending::too_much_output: break;
  }
  return {false, "no end within " + std::to_string(target.timeout.count()) + " ms: killed"};
}

}  // namespace ved::adapters::hooks
