#include "tools/vectl/cli_tree.hpp"

namespace vectl {

void add_cluster_commands(CLI::App& app, parse_target& into) {
  auto* cluster = app.add_subcommand("cluster", "show the clusters and their schedulers");
  cluster->require_subcommand(1);
  cluster->fallthrough();
  add_command<cluster_list>(*cluster, into, "list", "list the configured clusters");
  auto [show, values] = add_command<cluster_show>(*cluster, into, "show", "show one cluster");
  show->add_option("CLUSTER", values->id, "cluster id")->required();

  auto* hpc = app.add_subcommand("hpc", "checks of the provider operations guide");
  hpc->require_subcommand(1);
  hpc->fallthrough();
  auto [health, which] = add_command<health_check>(
      *hpc, into, "health-check", "check the schedulers; exit code 1 when one is not well");
  health->add_option("--cluster", which->cluster, "only this cluster")->type_name("ID");
}

void add_log_commands(CLI::App& app, parse_target& into) {
  auto* log = app.add_subcommand("log", "verify, read and save the event log");
  log->require_subcommand(1);
  log->fallthrough();
  const auto one_log = [](CLI::App& sub, std::string& name) {
    sub.add_option("--log", name, "only this one: daemon, or cluster/ID")->type_name("LOG");
  };
  {
    auto [sub, v] = add_command<log_verify>(
        *log, into, "verify", "check positions, hash chain and stored states of all logs");
    one_log(*sub, v->log);
  }
  add_command<log_stats>(*log, into, "stats", "show sizes and counts");
  {
    auto [sub, v] = add_command<log_dump>(*log, into, "dump", "print events in order");
    one_log(*sub, v->log);
    sub->add_option("--after", v->after, "start behind this position of the log")
        ->type_name("POSITION")
        ->needs("--log");
    sub->add_option("--limit", v->limit, "print at most this many (default: all)")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  }
  {
    auto [sub, v] = add_command<log_events>(*log, into, "events",
                                            "print what happened to all jobs and clusters");
    sub->add_option("--after", v->after,
                    "start behind this position (printed last, and with --json by each event), or "
                    "latest")
        ->type_name("POSITION");
    sub->add_option("--cluster", v->cluster, "only of this cluster")->type_name("ID");
    sub->add_flag("--follow,-f", v->follow, "go on with what is to come");
  }
  {
    auto [sub, v] = add_command<log_rebuild>(
        *log, into, "rebuild",
        "recreate states and indexes from the events alone (needs --state; the daemon must be "
        "stopped)");
    one_log(*sub, v->log);
  }
  {
    auto [sub, v] = add_command<log_backup>(*log, into, "backup",
                                            "copy all logs while the daemon goes on writing; "
                                            "exit code 10: some could not be read and are not "
                                            "in it");
    sub->add_option("DIR", v->directory, "directory to make")->required();
  }
  {
    auto [sub, v] =
        add_command<log_restore>(*log, into, "restore",
                                 "put a backup in the place of the logs (needs --state; the "
                                 "daemon must be stopped)");
    one_log(*sub, v->log);
    sub->add_option("DIR", v->directory, "directory that `log backup` made")->required();
    sub->add_flag("--force", v->force, "move existing logs aside");
    sub->add_flag("--incomplete", v->incomplete,
                  "restore also a backup that lacks logs of clusters; without this it is refused");
  }
}

void add_other_commands(CLI::App& app, parse_target& into) {
  auto* config = app.add_subcommand("config", "show or reload the configuration");
  config->require_subcommand(1);
  config->fallthrough();
  auto [show, values] = add_command<config_show>(
      *config, into, "show", "print the effective configuration, secrets masked");
  show->add_option("--config", values->file, "of this file instead of the running daemon's")
      ->type_name("FILE");
  add_command<config_reload>(*config, into, "reload",
                             "let the daemon take over its configuration as it is now");

  add_command<status>(app, into, "status", "show how the daemon is");

  auto* completion = app.add_subcommand("completion", "print a completion script for a shell");
  completion->add_option("SHELL", into.completion_shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->footer("Example: vectl completion bash > /etc/bash_completion.d/vectl");
}

}  // namespace vectl
