#include "tools/vectl/cli.hpp"

#include <algorithm>
#include <sstream>

#include "runtime/version.hpp"
#include "tools/vectl/cli_tree.hpp"
#include "tools/vectl/moment.hpp"
#include "tools/vectl/text.hpp"

namespace vectl {
namespace {

// Options may stand before or behind the subcommand: `vectl job list -o json`.
void add_global_options(CLI::App& app, global_options& into) {
  app.add_option("--config-dir", into.config_dir,
                 "client directory with certificates and address (default: $VED_CLIENT_DIR, "
                 "~/.config/ved, STATE/client)")
      ->type_name("DIR");
  app.add_option("--address", into.address, "daemon's gateway, instead of the client directory's")
      ->type_name("HOST:PORT");
  app.add_option("--state", into.state,
                 "state directory of a daemon: read directly while no daemon holds it")
      ->type_name("DIR");
  app.add_option_function<std::string>(
         "-o,--output", [&into](const std::string& form) { into.json = form == "json"; },
         "form of the output: text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORM");
  add_converted(app, "--timeout",
                "how long to wait for each answer (default 10s, of a health check 20s)",
                [&into](const std::string& text) -> std::string {
                  const auto value = parse_duration(text);
                  if (!value) return value.error().message;
                  if (value->count() < 1 || value->count() > 3'600)
                    return "must be from 1s to 1h, not " + text;
                  into.timeout = *value;
                  into.timeout_given = true;
                  return {};
                })
      ->type_name("DURATION");
  app.add_flag("--no-color", into.no_color, "no colors (also: NO_COLOR in the environment)");
}

}  // namespace

std::variant<invocation, answer> parse_command_line(const std::vector<std::string>& arguments,
                                                    ved::time_point now) {
  parse_target target;
  target.now = now;
  CLI::App app{"vectl: the command line of ved, the provider daemon for HPC sites", "vectl"};
  app.set_version_flag("--version", "vectl " + std::string(ved::runtime::version));
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(std::string(exit_code_help()));
  add_global_options(app, target.result.global);
  add_job_commands(app, target);
  add_cluster_commands(app, target);
  add_log_commands(app, target);
  add_other_commands(app, target);

  // What follows "--" is somebody else's command line: CLI11 must not look at it.
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  if (dashes != arguments.end()) target.after_dashes.assign(dashes + 1, arguments.end());
  std::vector<std::string> ours(arguments.begin(), dashes);
  std::reverse(ours.begin(), ours.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(ours));
    if (!target.completion_shell.empty())
      return answer{completion_script(app, target.completion_shell)};
    if (dashes != arguments.end() && !std::holds_alternative<job_submit>(target.result.what))
      throw CLI::ExtrasError("vectl", target.after_dashes);
  } catch (const CLI::ParseError& problem) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = app.exit(problem, out, err);
    if (code == 0) return answer{out.str()};
    // A mistyped command: CLI11 would only say that one is missing.
    if (const auto unknown = app.remaining(true); !unknown.empty())
      return answer{"vectl: '" + printable(unknown.front()) +
                        "' is not a command or option here\nRun with --help for more "
                        "information.\n",
                    exit_code::usage};
    return answer{"vectl: " + err.str(), exit_code::usage};
  }
  return target.result;
}

}  // namespace vectl
