#include "messages/job_spec.hpp"
#include "messages/job_state.hpp"
#include "tools/vectl/cli_tree.hpp"
#include "tools/vectl/moment.hpp"
#include "tools/vectl/text.hpp"

namespace vectl {
namespace {

void add_id(CLI::App& sub, std::string& id) {
  sub.add_option("JOB", id, "job id")->required()->check([](const std::string& text) {
    return ved::is_id(text)
               ? std::string{}
               : "'" + printable(text) + "' is not a job id: 1 to 64 of A-Z a-z 0-9 . _ -";
  });
}

void add_submit(CLI::App& job, parse_target& into) {
  auto [sub, values] = add_command<job_submit>(
      job, into, "submit",
      "submit a job: a JSON spec from FILE (- is standard input), or `-- COMMAND ARGUMENTS...`");
  auto v = values;
  auto* file = sub->add_option("FILE", v->file, "job spec in JSON, - for standard input");
  std::vector<CLI::Option*> quick{
      sub->add_option("--name", v->name, "job id (default: made up)")->type_name("ID"),
      sub->add_option("--cluster", v->cluster, "cluster (default: the only one)")->type_name("ID"),
      sub->add_option("--queue", v->queue, "queue (default: what the cluster takes for its own)")
          ->type_name("NAME"),
      sub->add_option("--directory", v->directory, "working directory of the job")
          ->type_name("DIR"),
      sub->add_option("--nodes", v->nodes, "nodes")
          ->check(CLI::Range(1, int{ved::spec_limits::nodes_max})),
      sub->add_option("--cpus", v->cpus, "cores per node")
          ->check(CLI::Range(1, int{ved::spec_limits::cpu_cores_max})),
      sub->add_option("--memory-gb", v->memory_gb, "memory per node in GB")
          ->check(CLI::Range(1, int{ved::spec_limits::memory_gb_max})),
      sub->add_option("--gpus", v->gpus, "GPUs per node")
          ->check(CLI::Range(0, int{ved::spec_limits::gpus_max})),
      sub->add_option("--priority", v->priority, "higher starts first")
          ->check(CLI::Range(-int{ved::spec_limits::priority_max},
                             int{ved::spec_limits::priority_max})),
      sub->add_option("--env", v->environment, "environment variable NAME=VALUE, repeatable")
          ->type_name("NAME=VALUE")
          ->allow_extra_args(false)
          ->check([](const std::string& text) {
            const auto equals = text.find('=');
            return equals == std::string::npos || equals == 0 ? "'" + text + "' is not NAME=VALUE"
                                                              : std::string{};
          }),
      add_converted(*sub, "--time", "time limit (default 1h, at least 1m)",
                    [v](const std::string& text) -> std::string {
                      const auto value = parse_duration(text);
                      if (!value) return value.error().message;
                      if (value->count() < ved::spec_limits::runtime_seconds_min ||
                          value->count() > ved::spec_limits::runtime_seconds_max)
                        return "must be from 1m to 3650d, not " + text;
                      v->time = *value;
                      return {};
                    })
          ->type_name("DURATION")};
  sub->add_flag("--wait", v->wait, "follow the job to its end; the exit code tells how it ended");
  sub->footer("Example: vectl job submit --cpus 2 --time 10m --wait -- sleep 5");
  sub->callback([&into, v, file, quick] {
    v->command = into.after_dashes;
    if (file->count() == 0 && v->command.empty()) throw CLI::RequiredError("FILE or -- COMMAND");
    if (file->count() != 0) {
      if (!v->command.empty()) throw CLI::ExcludesError("FILE", "-- COMMAND");
      for (const auto* option : quick)
        if (option->count() != 0) throw CLI::ExcludesError("FILE", option->get_name());
    }
    into.result.what = *v;
  });
}

void add_list(CLI::App& job, parse_target& into) {
  auto [sub, values] = add_command<job_list>(job, into, "list", "list jobs, newest first");
  auto v = values;
  sub->add_option("-s,--state", v->state, "only jobs in this state")
      ->check(CLI::IsMember(ved::pb::state_names()))
      ->type_name("STATE");
  sub->add_option("--cluster", v->cluster, "only jobs of this cluster")->type_name("ID");
  sub->add_option("--customer", v->customer, "only jobs of this customer")->type_name("ADDRESS");
  const auto now = into.now;
  add_converted(*sub, "--since", "only jobs accepted since then: a time, or a duration ago",
                [v, now](const std::string& text) -> std::string {
                  const auto value = parse_moment(text, now);
                  if (!value) return value.error().message;
                  v->since_us = ved::to_us(*value);
                  return {};
                })
      ->type_name("TIME");
  sub->add_option("--limit", v->limit, "print at most this many (default 1000)")
      ->check(CLI::Range(1, list_jobs_max));
  sub->add_flag("--ids", v->ids, "print ids only");
}

}  // namespace

void add_job_commands(CLI::App& app, parse_target& into) {
  auto* job = app.add_subcommand("job", "submit, follow and steer jobs");
  job->require_subcommand(1);
  job->fallthrough();
  add_submit(*job, into);
  add_list(*job, into);
  {
    auto [sub, v] = add_command<job_show>(*job, into, "show", "show one job");
    add_id(*sub, v->id);
  }
  {
    auto [sub, v] = add_command<job_watch>(
        *job, into, "watch", "follow a job live to its end; the exit code tells how it ended");
    add_id(*sub, v->id);
  }
  {
    auto [sub, v] = add_command<job_events>(*job, into, "events", "show what happened to a job");
    add_id(*sub, v->id);
    sub->add_flag("-f,--follow", v->follow, "go on until the job has ended");
  }
  {
    auto [sub, v] = add_command<job_explain>(
        *job, into, "explain", "say why a job is where it is, now or at a past moment");
    add_id(*sub, v->id);
    add_converted(*sub, "--at", "the moment in question: a time, or a duration ago",
                  [values = v, now = into.now](const std::string& text) -> std::string {
                    const auto value = parse_moment(text, now);
                    if (!value) return value.error().message;
                    values->at_us = ved::to_us(*value);
                    return {};
                  })
        ->type_name("TIME");
  }
  {
    auto [sub, v] = add_command<job_output>(*job, into, "output", "print what a job wrote");
    add_id(*sub, v->id);
    sub->add_flag("--stderr", v->standard_error, "its standard error instead of its output");
    sub->add_flag("-f,--follow", v->follow, "go on until the job has ended");
  }
  {
    auto [sub, v] = add_command<job_cancel>(*job, into, "cancel", "cancel a job");
    add_id(*sub, v->id);
    sub->add_option("--reason", v->reason, "why, for the record")->type_name("TEXT");
    sub->add_flag("--give-up", v->give_up,
                  "end it here, where its cluster is not configured any more (scope admin)");
  }
  {
    auto [sub, v] = add_command<job_hold>(*job, into, "hold",
                                           "keep a job from starting; suspend one that runs");
    add_id(*sub, v->id);
    sub->add_option("--reason", v->reason, "why, for the record")->type_name("TEXT");
  }
  {
    auto [sub, v] = add_command<job_release>(*job, into, "release", "let a held job go on");
    add_id(*sub, v->id);
    sub->add_option("--reason", v->reason, "why, for the record")->type_name("TEXT");
  }
}

}  // namespace vectl
