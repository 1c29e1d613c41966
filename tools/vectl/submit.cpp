#include <fstream>
#include <istream>
#include <iterator>
#include <ostream>

#include "messages/job_spec.hpp"
#include "messages/json.hpp"
#include "runtime/gateway/client.hpp"
#include "tools/vectl/run.hpp"

namespace vectl {

namespace pb = ved::pb;
using ved::errc;

namespace {

// A JSON text may be longer than the spec that it says; far beyond, it is the wrong file.
constexpr std::size_t file_bytes_max = 4 * ved::spec_limits::spec_bytes_max;

std::optional<std::string> read_spec(const std::string& file, context& with) {
  std::ifstream opened;
  std::istream* from = with.in;
  if (file != "-") {
    opened.open(file, std::ios::binary);
    if (!opened) {
      with.failure = with.report(ved::error{errc::not_found, "cannot read job spec " + file});
      return std::nullopt;
    }
    from = &opened;
  }
  std::string text;
  char block[65'536];
  while (from->read(block, sizeof block) || from->gcount() > 0) {
    text.append(block, static_cast<std::size_t>(from->gcount()));
    if (text.size() > file_bytes_max) {
      with.failure =
          with.report(ved::error{errc::invalid, "job spec " + file + ": more than " +
                                                    std::to_string(file_bytes_max) + " bytes"});
      return std::nullopt;
    }
  }
  return text;
}

/// "ve1" and what of the user's name an address may hold.
std::string own_address(const std::string& user) {
  std::string text = "ve1";
  for (const char c : user)
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) text += c;
  return text == "ve1" ? "ve1user" : text.substr(0, 60);
}

/// Fills in the cluster when the options leave it open and there is only one.
bool choose_cluster(pb::JobSpec& spec, context& with) {
  if (!spec.cluster_id().empty()) return true;
  pb::ApiRequest request;
  request.mutable_list_clusters();
  const auto reply = with.ask(std::move(request));
  if (!reply) return false;
  const auto& clusters = reply->clusters().clusters();
  if (clusters.size() != 1) {
    std::string names;
    for (const auto& cluster : clusters)
      names += (names.empty() ? "" : ", ") + cluster.cluster_id();
    with.failure = with.report(ved::error{
        errc::invalid, clusters.empty()
                           ? "no clusters are configured"
                           : "there are several clusters; choose with --cluster: " + names});
    return false;
  }
  spec.set_cluster_id(clusters[0].cluster_id());
  return true;
}

}  // namespace

std::optional<pb::JobSpec> make_spec(const job_submit& what, context& with) {
  pb::JobSpec spec;
  if (!what.file.empty()) {
    const auto text = read_spec(what.file, with);
    if (!text) return std::nullopt;
    const auto problems = ved::from_json(*text, spec);
    if (!problems.empty()) {
      pb::Error shown;
      shown.set_error("invalid");
      shown.set_message("job spec " + what.file + " is not valid");
      for (const auto& problem : problems) *shown.add_details() = problem;
      with.failure = with.report(shown);
      return std::nullopt;
    }
    return spec;
  }
  spec.set_job_id(what.name.empty() ? "job-" + ved::runtime::make_request_id().substr(0, 12)
                                    : what.name);
  spec.set_offering_id("vectl");
  spec.set_provider_address("ve1local");
  spec.set_customer_address(own_address(with.user));
  spec.set_cluster_id(what.cluster);
  spec.set_queue_name(what.queue.empty() ? "default" : what.queue);
  spec.set_priority(what.priority);
  spec.set_max_runtime_seconds(what.time.count());
  auto& work = *spec.mutable_workload_spec();
  work.set_command(what.command.front());
  for (std::size_t i = 1; i < what.command.size(); ++i) work.add_arguments(what.command[i]);
  work.set_working_directory(what.directory);
  for (const auto& text : what.environment) {
    auto& variable = *work.add_environment();
    variable.set_name(text.substr(0, text.find('=')));
    variable.set_value(text.substr(text.find('=') + 1));
  }
  auto& need = *spec.mutable_resources();
  need.set_nodes(what.nodes);
  need.set_cpu_cores_per_node(what.cpus);
  need.set_memory_gb_per_node(what.memory_gb);
  need.set_gpus_per_node(what.gpus);
  if (!choose_cluster(spec, with)) return std::nullopt;
  return spec;
}

}  // namespace vectl
