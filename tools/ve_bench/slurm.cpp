#include "tools/ve_bench/slurm.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/cluster.hpp"
#include "adapters/slurm/job_script.hpp"
#include "adapters/ssh/transport.hpp"
#include "tools/ve_bench/child.hpp"

namespace ved::bench {
namespace {

namespace fs = std::filesystem;
namespace slurm = adapters::slurm;

constexpr int waits_max = 600;
constexpr auto wait_pause = std::chrono::milliseconds(100);

/// tools/slurm_bed of the tree that this program was built in: build/bin is below it.
fs::path bed_program() {
  for (auto at = fs::read_symlink("/proc/self/exe").parent_path(); at.has_relative_path();
       at = at.parent_path())
    if (fs::exists(at / "tools" / "slurm_bed")) return at / "tools" / "slurm_bed";
  throw std::runtime_error("tools/slurm_bed is not above this program");
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// "export NAME=value"; values with blanks are quoted, and none of those is used here.
std::map<std::string, std::string> parse_exports(const std::string& text) {
  std::map<std::string, std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find('=');
    if (line.starts_with("export ") && equals != std::string::npos)
      out[line.substr(7, equals - 7)] = line.substr(equals + 1);
  }
  return out;
}

}  // namespace

running_slurm::running_slurm(const options& how) : place_(how.place) {
  fs::create_directories(place_);
  fs::create_directories(place_ / "jobs");
  const auto bed = bed_program();
  const auto owner = std::to_string(::getpid());
  if (wait_for(spawn({bed, "up", place_ / "bed", "--ssh", "--shim", "--nodes", "2", "--cpus",
                      std::to_string(how.cpus), "--owner", owner})) != 0)
    throw std::runtime_error("the private Slurm does not come up: see tools/slurm_bed");
  const auto told = (place_ / "env").string();
  (void)wait_for(spawn({bed, "env", place_ / "bed"}, {}, {"", told}));
  exports_ = parse_exports(text_of(told));
  for (const char* name : {"PATH", "SLURM_CONF"})
    environment_.push_back(std::string(name) + "=" + value(name));
  environment_.push_back("LC_ALL=C");
}

running_slurm::~running_slurm() {
  try {
    (void)wait_for(spawn({bed_program(), "down", place_ / "bed"}));
  } catch (const std::exception&) {
    // The bed watches us: it goes when we do.
  }
}

std::string running_slurm::value(const std::string& name) const {
  const auto it = exports_.find(name);
  if (it == exports_.end()) throw std::runtime_error("slurm_bed env does not tell " + name);
  return it->second;
}

slurm::slurm_options running_slurm::port_options() const {
  slurm::slurm_options out;
  out.cluster = "bench";
  out.shell.job_directory = job_directory();
  out.clock = [] {
    return std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
  };
  return out;
}

std::unique_ptr<adapters::scheduler> running_slurm::connect(const slurm::slurm_options& how) const {
  adapters::ssh_options ssh;
  ssh.host = value("SLURM_BED_SSH_HOST");
  ssh.port = std::stoi(value("SLURM_BED_SSH_PORT"));
  ssh.user = value("SLURM_BED_SSH_USER");
  ssh.key_file = value("SLURM_BED_SSH_KEY");
  ssh.known_hosts_path = value("SLURM_BED_SSH_KNOWN_HOSTS");
  auto port = slurm::make_slurm_factory(
      slurm::open_slurm_cluster(how, adapters::make_ssh_transport(ssh)))();
  if (!port) throw std::runtime_error(port.error().message);
  return std::move(*port);
}

std::string running_slurm::configuration() const {
  return "  clusters:\n"
         "    - cluster_id: bench\n"
         "      scheduler_type: slurm\n"
         "      slurm:\n"
         "        job_poll_interval: 10s\n"
         "        job_directory: " +
         job_directory() +
         "\n"
         "        ssh:\n"
         "          host: " +
         value("SLURM_BED_SSH_HOST") +
         "\n"
         "          port: " +
         value("SLURM_BED_SSH_PORT") +
         "\n"
         "          user: " +
         value("SLURM_BED_SSH_USER") +
         "\n"
         "          key_file: " +
         value("SLURM_BED_SSH_KEY") +
         "\n"
         "          known_hosts_path: " +
         value("SLURM_BED_SSH_KNOWN_HOSTS") + "\n";
}

int running_slurm::command(std::vector<std::string> words, const std::string& input_file) const {
  words.front() = (place_ / "bed" / "shim" / "bin" / words.front()).string();
  return wait_for(spawn(std::move(words), environment_, {input_file, "/dev/null"}));
}

std::string running_slurm::ask(std::vector<std::string> words) const {
  const auto out = (place_ / "answer").string();
  words.front() = (place_ / "bed" / "shim" / "bin" / words.front()).string();
  if (wait_for(spawn(words, environment_, {"/dev/null", out})) != 0)
    throw std::runtime_error(words.front() + " failed");
  return text_of(out);
}

bool running_slurm::queue_is_empty() const {
  return ask({"squeue", "--noheader", "--states=PENDING,RUNNING,COMPLETING"}).empty();
}

void running_slurm::clear() const {
  (void)command({"scancel", "--user=" + value("SLURM_BED_SSH_USER")});
  for (int i = 0; i < waits_max; ++i) {
    if (queue_is_empty()) return;
    std::this_thread::sleep_for(wait_pause);
  }
  throw std::runtime_error("the queue does not become empty");
}

command_counts running_slurm::calls() const {
  command_counts out;
  std::ifstream in(value("SLURM_BED_CALLS"));
  constexpr std::string_view key = "\"command\":\"";
  for (std::string line; std::getline(in, line);) {
    const auto at = line.find(key);
    if (at == std::string::npos) continue;
    const auto from = at + key.size();
    ++out[line.substr(from, line.find('"', from) - from)];
  }
  return out;
}

std::map<std::string, double> running_slurm::ends() const {
  std::map<std::string, double> out;
  std::ifstream in(place_ / "bed" / "log" / "slurmctld.log");
  for (std::string line; std::getline(in, line);) {
    std::tm at{};
    int milliseconds = 0;
    int job = 0;
    int length = 0;
    if (std::sscanf(line.c_str(), "[%d-%d-%dT%d:%d:%d.%d] _job_complete: JobId=%d done%n",
                    &at.tm_year, &at.tm_mon, &at.tm_mday, &at.tm_hour, &at.tm_min, &at.tm_sec,
                    &milliseconds, &job, &length) != 8 ||
        length == 0)
      continue;
    at.tm_year -= 1900;
    --at.tm_mon;
    at.tm_isdst = -1;
    out[std::to_string(job)] = static_cast<double>(std::mktime(&at)) + milliseconds / 1e3;
  }
  return out;
}

command_counts difference(const command_counts& after, const command_counts& before) {
  command_counts out = after;
  for (const auto& [name, count] : before) out[name] -= count;
  std::erase_if(out, [](const auto& one) { return one.second == 0; });
  return out;
}

adapters::submission small_job(const std::string& name, const std::string& shell_text) {
  adapters::submission out;
  out.job = job_id{name};
  out.token = submission_token{"ve-" + name};
  out.spec.set_job_id(name);
  out.spec.set_cluster_id("bench");
  out.spec.set_offering_id("o");
  out.spec.set_max_runtime_seconds(600);
  out.spec.mutable_resources()->set_nodes(1);
  out.spec.mutable_resources()->set_cpu_cores_per_node(1);
  out.spec.mutable_workload_spec()->set_command("sh");
  out.spec.mutable_workload_spec()->add_arguments("-c");
  out.spec.mutable_workload_spec()->add_arguments(shell_text);
  return out;
}

void sbatch_loop(const running_slurm& bed, const std::vector<adapters::submission>& jobs,
                 const slurm::slurm_options& how, const std::string& script) {
  const auto file = (bed.place() / "script").string();
  const auto directory = (bed.place() / "bare").string();
  fs::create_directories(directory);
  for (const auto& job : jobs) {
    std::ofstream(file) << (script.empty() ? slurm::batch_script(job, how) : script);
    std::vector<std::string> words{"sbatch"};
    for (auto& option : slurm::sbatch_options(job, how)) words.push_back(std::move(option));
    const auto output = directory + "/" + job.token.str() + ".%j";
    words.push_back("--chdir=" + directory);
    words.push_back("--output=" + output + ".out");
    words.push_back("--error=" + output + ".err");
    if (bed.command(std::move(words), file) != 0) throw std::runtime_error("sbatch failed");
  }
}

double median(std::vector<double> values) {
  return quantile(std::move(values), 0.5);
}

double median_ratio(const std::vector<double>& ours, const std::vector<double>& floor) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / floor.at(i));
  return median(std::move(ratios));
}

double quantile(std::vector<double> values, double share) {
  if (values.empty()) throw std::logic_error("a quantile of nothing");
  std::sort(values.begin(), values.end());
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size()));
  return values[std::min(values.size() - 1, at)];
}

double load_now() {
  double load = 0;
  std::ifstream("/proc/loadavg") >> load;
  return load;
}

}  // namespace ved::bench
