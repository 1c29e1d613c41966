#pragma once

#include <CLI/CLI.hpp>

#include "tools/vectl/command.hpp"

/// Builds the tree of subcommands; for cli*.cpp only, since CLI11 compiles slowly.
namespace vectl {

/// What the callbacks of a parsed tree fill in.
struct parse_target {
  invocation result;
  std::vector<std::string> after_dashes;  ///< arguments after "--"
  ved::time_point now;
  std::string completion_shell;  ///< not empty: print this script
};

void add_job_commands(CLI::App& app, parse_target& into);
void add_log_commands(CLI::App& app, parse_target& into);
void add_cluster_commands(CLI::App& app, parse_target& into);
void add_other_commands(CLI::App& app, parse_target& into);

/// Script for "bash", "zsh" or "fish" that completes the tree, its options and job ids.
std::string completion_script(const CLI::App& app, const std::string& shell);

/// A subcommand that fills `Command` and, when it is the one given, makes it the result.
template <class Command>
std::pair<CLI::App*, std::shared_ptr<Command>> add_command(CLI::App& parent, parse_target& into,
                                                           const std::string& name,
                                                           const std::string& help) {
  auto* sub = parent.add_subcommand(name, help);
  auto values = std::make_shared<Command>();
  sub->callback([&into, values] { into.result.what = *values; });
  return {sub, values};
}

/// An option in text that `convert` reads into its target; its error becomes a usage error.
template <class Convert>
CLI::Option* add_converted(CLI::App& app, const std::string& name, const std::string& help,
                           Convert convert) {
  return app.add_option_function<std::string>(
      name,
      [name, convert](const std::string& text) {
        if (auto problem = convert(text); !problem.empty())
          throw CLI::ValidationError(name, problem);
      },
      help);
}

}  // namespace vectl
