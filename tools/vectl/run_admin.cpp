#include <ostream>

#include "runtime/config/load.hpp"
#include "tools/vectl/render.hpp"
#include "tools/vectl/run.hpp"

namespace vectl {

namespace pb = ved::pb;

exit_code run(const command& what, context& with) {
  return std::visit([&](const auto& chosen) { return run(chosen, with); }, what);
}

exit_code run(const cluster_list&, context& with) {
  pb::ApiRequest request;
  request.mutable_list_clusters();
  const auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  if (with.global.json)
    with.print_json(reply->clusters());
  else
    *with.out << render_clusters(reply->clusters(), with.now(), with.look);
  return exit_code::ok;
}

exit_code run(const cluster_show& what, context& with) {
  pb::ApiRequest request;
  request.mutable_get_cluster()->set_cluster_id(what.id);
  const auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  if (with.global.json)
    with.print_json(reply->cluster());
  else
    *with.out << render_cluster(reply->cluster(), with.now(), with.look);
  return exit_code::ok;
}

exit_code run(const health_check& what, context& with) {
  pb::ApiRequest request;
  request.mutable_check_health()->set_cluster_id(what.cluster);
  const auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  if (with.global.json)
    with.print_json(reply->health());
  else
    *with.out << render_health(reply->health(), with.look, with.now());
  return healthy(reply->health()) ? exit_code::ok : exit_code::failed;
}

exit_code run(const status&, context& with) {
  pb::ApiRequest request;
  request.mutable_get_status();
  const auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  if (with.global.json)
    with.print_json(reply->status());
  else
    *with.out << render_status(reply->status(), with.now(), with.look);
  return exit_code::ok;
}

exit_code run(const config_show& what, context& with) {
  pb::ConfigText text;
  if (!what.file.empty()) {
    ved::runtime::load_options how;
    how.secrets = false;
    const auto loaded = ved::runtime::load_config(what.file, how);
    if (!loaded.ok()) {
      *with.err << loaded.problem_text();
      return exit_code::usage;
    }
    text.set_yaml(ved::runtime::to_yaml(loaded.value));
  } else {
    pb::ApiRequest request;
    request.mutable_get_config();
    auto reply = with.ask(std::move(request));
    if (!reply) return with.failure;
    text = std::move(*reply->mutable_config());
  }
  if (with.global.json)
    with.print_json(text);
  else
    *with.out << text.yaml();
  return exit_code::ok;
}

exit_code run(const config_reload&, context& with) {
  pb::ApiRequest request;
  request.mutable_reload_config();
  auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  const auto& done = reply->config_reloaded();
  if (with.global.json)
    with.print_json(done);
  else
    *with.out << render_reload(done);
  return done.problems().empty() ? exit_code::ok : exit_code::failed;
}

}  // namespace vectl
