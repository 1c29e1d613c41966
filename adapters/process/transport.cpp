#include "adapters/process/transport.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <stop_token>

#include "adapters/process/run.hpp"

namespace ved::adapters {
namespace {

using process::ending;

void put(std::vector<std::string>& environment, const std::string& name, const std::string& value) {
  std::erase_if(environment, [&](const auto& one) { return one.starts_with(name + "="); });
  environment.push_back(name + "=" + value);
}

std::vector<std::string> environment_of(const process_transport_options& options) {
  std::vector<std::string> out;
  // Without any PATH a shell looks into its own idea of the standard places.
  for (const char* name : {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "SLURM_CONF"})
    process::inherit(out, name);
  put(out, "LANG", "C.UTF-8");
  for (const auto& [name, value] : options.environment) put(out, name, value);
  return out;
}

/// As a login would have it; "/" when there is none.
std::string directory_of(const std::vector<std::string>& environment) {
  for (const auto& one : environment) {
    struct stat status {};
    if (!one.starts_with("HOME=/")) continue;
    const auto home = one.substr(5);
    if (::stat(home.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
        ::access(home.c_str(), X_OK) == 0)
      return home;
  }
  return "/";
}

class process_transport final : public transport {
 public:
  explicit process_transport(const process_transport_options& options)
      : environment_(environment_of(options)), directory_(directory_of(environment_)) {}

  command_outcome run(const remote_command& what, deadline until) override {
    return run_program(program_of(what, until), stop_.get_token());
  }

  command_outcome keep(const kept_command& kept, deadline until, std::stop_token stop) override {
    auto program = program_of(kept.what, until);
    program.read = kept.read;
    program.silence_max = kept.silence_max;
    std::stop_source either;
    const std::stop_callback ours(stop_.get_token(), [&] { either.request_stop(); });
    const std::stop_callback theirs(stop, [&] { either.request_stop(); });
    return run_program(program, either.get_token());
  }

  void stop() override { stop_.request_stop(); }
  std::string place() const override { return "this machine"; }

 private:
  process::program program_of(const remote_command& what, deadline until) const {
    process::program program;
    program.argv = {"/bin/sh", "-c", what.line};
    program.environment = environment_;
    program.directory = directory_;
    program.input = what.input;
    program.output_bytes_max = what.output_bytes_max;
    program.until = until;
    return program;
  }

  command_outcome run_program(const process::program& what, const std::stop_token& stop) const {
    if (stop.stop_requested()) return command_not_started{place() + ": the daemon stops"};
    // No TERM first: a tool that lives on after the deadline might still deliver its request.
    auto ran = process::run(what, stop);
    switch (ran.how) {
      case ending::finished:
        return command_finished{ran.exit_code, ran.signal, std::move(ran.out), std::move(ran.err)};
      case ending::not_started: return command_not_started{place() + ": " + ran.reason};
      case ending::too_much_output:
        return command_interrupted{place() + ": the command wrote more than " +
                                       std::to_string(what.output_bytes_max) + " bytes: killed",
                                   std::move(ran.out), std::move(ran.err)};
      case ending::stopped:
        return command_interrupted{
            place() + (what.read ? ": no longer needed: killed" : ": the daemon stops: killed"),
            std::move(ran.out), std::move(ran.err)};
      case ending::silent:
        return command_interrupted{place() + ": the command wrote nothing for too long: killed",
                                   std::move(ran.out), std::move(ran.err)};
      case ending::deadline: break;
    }
    return command_interrupted{place() + ": the command had not ended at its deadline: killed",
                               std::move(ran.out), std::move(ran.err)};
  }

  std::vector<std::string> environment_;
  std::string directory_;
  std::stop_source stop_;
};

}  // namespace

std::shared_ptr<transport> make_process_transport(const process_transport_options& options) {
  return std::make_shared<process_transport>(options);
}

}  // namespace ved::adapters
