#include "adapters/hooks/command.hpp"

#include <chrono>
#include <utility>

#include "adapters/process/run.hpp"

namespace ved::adapters::hooks {
namespace {

using process::ending;

constexpr std::size_t output_bytes_kept = 400;

std::vector<std::string> environment_of(const delivery& what) {
  // The daemon's own environment holds credentials of schedulers: none of it is passed on.
  std::vector<std::string> all{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                               "LANG=C.UTF-8"};
  process::inherit(all, "HOME");
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

delivery_outcome run_command(const command_target& target, const delivery& what,
                             const std::stop_token& stop) {
  process::program program;
  program.argv = target.argv;
  program.environment = environment_of(what);
  program.input = what.body;
  program.output_bytes_max = output_bytes_kept;
  program.merge_output = true;
  program.cut_output = true;
  program.until = std::chrono::steady_clock::now() + target.timeout;
  program.kill_wait = target.kill_wait;
  const auto ran = process::run(program, stop);
  switch (ran.how) {
    case ending::finished:
      return {ran.signal == 0 && ran.exit_code == 0, clean_detail(in_words(ran))};
    case ending::not_started: return {false, clean_detail(ran.reason)};
    case ending::stopped: return {false, "ended because the daemon stops"};
    case ending::deadline:
    case ending::too_much_output: break;
  }
  return {false, "no end within " + std::to_string(target.timeout.count()) + " ms: killed"};
}

}  // namespace ved::adapters::hooks
