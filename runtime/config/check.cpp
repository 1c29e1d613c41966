#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <utility>

#include "adapters/system/access.hpp"
#include "messages/secret.hpp"
#include "messages/url_mask.hpp"
#include "runtime/config/loader.hpp"
#include "runtime/config/quantity.hpp"
#include "runtime/schedulers/kind.hpp"

namespace ved::runtime {
namespace {

// --- settling -----------------------------------------------------------------------------------

// The most special key that the file gives wins.
void complete_cluster(cluster_config& c, const std::string& path, const loading& state) {
  const auto pace = c.kind->pace(c.sections);
  const auto own = path + "." + std::string(c.kind->name) + ".";
  if (!state.given(path + ".link.poll_interval")) {
    const bool general = !c.kind->in_process && !state.given(own + c.kind->poll_key) &&
                         state.given("hpc.job_service.job_poll_interval");
    c.poll_interval = general ? state.draft.value.hpc.job_service.job_poll_interval
                              : pace.poll_interval;
  }
  if (!state.given(path + ".link.poll_interval_min"))
    c.poll_interval_min = std::max(c.poll_interval / 10, poll_interval_min_least);
  else if (!state.given(path + ".link.early_poll_nodes_max"))
    c.early_poll_nodes_max = early_poll_nodes_most;
  if (pace.connection_timeout && !state.given(path + ".link.connection_timeout"))
    c.connection_timeout = *pace.connection_timeout;
  if (pace.max_retries && !state.given(path + ".retry.max_retries") &&
      !state.given("hpc.retry.max_retries") && state.given(own + "max_retries")) {
    c.retry.max_retries = *pace.max_retries;
  }
}

// --- rules of one key ---------------------------------------------------------------------------

std::optional<double> number_of(const key& k) {
  if (auto* const* v = std::get_if<int*>(&k.target)) return **v;
  if (auto* const* v = std::get_if<std::int64_t*>(&k.target)) return static_cast<double>(**v);
  if (auto* const* v = std::get_if<double*>(&k.target)) return **v;
  if (auto* const* v = std::get_if<milliseconds*>(&k.target)) {
    return static_cast<double>((*v)->count());
  }
  if (const auto* v = std::get_if<size_target>(&k.target)) return static_cast<double>(*v->bytes);
  return std::nullopt;
}

std::vector<std::string> texts_of(const key& k) {
  if (auto* const* v = std::get_if<std::string*>(&k.target)) return {**v};
  if (auto* const* v = std::get_if<ved::cluster_id*>(&k.target)) return {(*v)->str()};
  if (auto* const* v = std::get_if<std::vector<std::string>*>(&k.target)) return **v;
  return {};
}

// The words of the provider daemon first, then what exactly was expected.
std::string violation(const key& k, const std::string& detail) {
  return k.rule.empty() ? detail : k.rule + " (" + detail + ")";
}

void check_key(const key& k, const std::string& path, loading& state) {
  if (auto* const* flag = std::get_if<bool*>(&k.target); flag && !**flag && !k.false_is.empty()) {
    state.complain(path, "expected true, got false: " + k.false_is);
    return;
  }
  if (const auto number = number_of(k); number && (*number < k.least || *number > k.most)) {
    state.complain(path,
                   violation(k, "expected " + expected_text(k) + ", got " + *value_text(k)));
    return;
  }
  const bool is_list = std::holds_alternative<std::vector<std::string>*>(k.target);
  for (const auto& text : texts_of(k)) {
    if (text.empty() && !is_list) {
      if (k.required) {
        state.complain(path, k.rule);
      } else if (!k.choices.empty()) {
        state.complain(path, violation(k, "expected " + expected_text(k) + ", got \"\""));
      }
      continue;
    }
    if (!k.choices.empty() &&
        std::find(k.choices.begin(), k.choices.end(), text) == k.choices.end()) {
      state.complain(path, violation(k, "expected " + expected_text(k) + ", got " + shown(text)));
    } else if (k.form != nullptr) {
      if (const auto expected = k.form(text)) {
        const auto got = k.form == is_absolute_path ? shown_path(text)
                         : k.form == is_http_url    ? shown(mask_url(text))
                                                    : shown(text);
        state.complain(path, "expected " + *expected + ", got " + got);
      }
    }
  }
}

// --- rules between keys -------------------------------------------------------------------------

void check_retry(const retry_config& retry, const std::string& path, loading& state) {
  if (retry.initial_backoff > retry.max_backoff)
    state.complain(path + ".initial_backoff",
                   "expected at most max_backoff, " + format_duration(retry.max_backoff) +
                       ", got " + format_duration(retry.initial_backoff));
}

/// Items of one list that must differ in one key.
void check_unique(const list& l, const std::string& path, loading& state) {
  std::set<std::string> seen;
  const auto items = l.items();
  for (std::size_t i = 0; i < items.size(); ++i) {
    for (const auto& k : items[i].keys) {
      if (k.name != l.unique) continue;
      for (const auto& text : texts_of(k))
        if (!seen.insert(text).second)
          state.complain(path + "[" + std::to_string(i) + "]." + k.name,
                         "expected a unique " + k.name + ", got " + shown(text) + " again");
    }
  }
}

void check_clusters(loading& state) {
  auto& value = state.draft.value;
  const auto single = state.lines.find(single_form_path);
  if (!value.clusters.empty() && single != state.lines.end()) {
    state.complain("hpc.clusters",
                   "given together with the single form (line " + std::to_string(single->second) +
                       ": scheduler_type, cluster_id, link, " + scheduler_kind_names(" or ") +
                       " below hpc); move that into an item of hpc.clusters");
  }
  if (!value.hpc.enabled) return;
  check_retry(value.hpc.retry, "hpc.retry", state);
  std::set<std::string> ids;
  const auto check_one = [&](cluster_config& c, const std::string& path) {
    if (!c.cluster_id.empty() && !ids.insert(c.cluster_id.str()).second) {
      state.complain(path + ".cluster_id",
                     "expected a unique name, got " + shown(c.cluster_id.str()) + " again");
    }
    // A value that came from another key is told by the rule of that key.
    const bool own_rule = !state.given(path + ".link.poll_interval");
    if (!c.kind->in_process && c.poll_interval < milliseconds{1'000} && !own_rule) {
      state.complain(path + ".link.poll_interval",
                     "job_poll_interval must be at least 1 second (expected duration >= 1s for " +
                         std::string(c.kind->name) + ", got " +
                         format_duration(c.poll_interval) + ")");
    }
    if (c.poll_interval_min > c.poll_interval && state.given(path + ".link.poll_interval_min")) {
      state.complain(path + ".link.poll_interval_min",
                     "expected at most the poll interval, " + format_duration(c.poll_interval) +
                         ", got " + format_duration(c.poll_interval_min));
    }
    const auto& general = value.hpc.retry;
    if (c.retry.initial_backoff != general.initial_backoff ||
        c.retry.max_backoff != general.max_backoff)
      check_retry(c.retry, path + ".retry", state);
    section described;
    describe_cluster(described, c);
    walk(described, path, true, [&](const std::string& where, const section& part, bool) {
      for (const auto& l : part.lists)
        if (!l.unique.empty()) check_unique(l, join_path(where, l.name), state);
    });
  };
  for (std::size_t i = 0; i < value.clusters.size(); ++i) {
    check_one(value.clusters[i], "hpc.clusters[" + std::to_string(i) + "]");
  }
  if (value.clusters.empty()) check_one(state.draft.single, "hpc");
}

/// In force also where hpc is off, and with it the rules of its keys.
void check_state_path(loading& state) {
  const auto& value = state.draft.value;
  const std::string path = "hpc.job_service.state_store_path";
  if (value.hpc.enabled || state.given("state.directory") || !state.given(path)) return;
  if (const auto expected = is_absolute_path(value.state.directory))
    state.complain(path, "expected " + *expected + ", got " + shown(value.state.directory));
}

void check_hooks(loading& state) {
  std::set<std::string> names;
  const auto& hooks = state.draft.value.hooks;
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    const auto path = "hooks[" + std::to_string(i) + "]";
    const auto& hook = hooks[i];
    if (!hook.name.empty() && !names.insert(hook.name).second) {
      state.complain(path + ".name", "expected a unique name, got " + shown(hook.name) + " again");
    }
    if (hook.command.empty() == hook.url.empty()) {
      state.complain(path, "expected either command or url, got " +
                               std::string(hook.url.empty() ? "neither" : "both"));
    }
    if (!hook.command.empty() && is_absolute_path(hook.command.front())) {
      state.complain(path + ".command", "expected an absolute path as first item, got " +
                                            shown(hook.command.front()));
    }
    if (!hook.command.empty() && !hook.secret_file.empty()) {
      state.complain(path + ".secret_file", "expected only with url; a command is not signed");
    }
  }
}

void check_listeners(loading& state) {
  const auto& value = state.draft.value;
  struct listener {
    const char* name;
    bool on;
    const std::string* address;
    int port;
  };
  const listener all[] = {
      {"http", true, &value.http.address, value.http.port},
      {"gateway", value.gateway.enabled, &value.gateway.address, value.gateway.port},
      {"metrics", value.metrics.enabled, &value.metrics.address, value.metrics.port}};
  for (const auto& a : all) {
    for (const auto& b : all) {
      if (&a >= &b || !a.on || !b.on || a.port == 0) continue;
      if (a.port == b.port && *a.address == *b.address) {
        state.complain(std::string(b.name) + ".port",
                       "expected a port of its own, got that of " + std::string(a.name));
      }
    }
  }
}

/// What is appended to must be nothing that `ved` itself reads: also through links.
void check_appended_files(loading& state) {
  const auto& value = state.draft.value;
  const auto real = [](const std::string& path) {
    return std::filesystem::path(path.empty() ? path : adapters::resolved_path(path));
  };
  const auto& audit = value.hpc.audit.enabled ? value.hpc.audit.log_path : std::string();
  const auto home = real(value.state.directory);
  for (const auto& [key, file] :
       {std::pair{"hpc.audit.log_path", audit}, std::pair{"logging.file", value.logging.file}}) {
    if (file.empty() || home.empty()) continue;
    const auto below = real(file).lexically_relative(home);
    if (!below.empty() && *below.begin() != "..")
      state.complain(key, "expected a file outside of the state directory " + home.string() +
                              ", got " + shown(file));
  }
  if (!audit.empty() && !value.logging.file.empty() && real(audit) == real(value.logging.file))
    state.complain("logging.file", "expected another file than hpc.audit.log_path, got " +
                                       shown(value.logging.file));
}

}  // namespace

void complete(loading& state) {
  auto& value = state.draft.value;
  state.draft.single.retry = value.hpc.retry;
  complete_cluster(state.draft.single, "hpc", state);
  for (std::size_t i = 0; i < value.clusters.size(); ++i) {
    complete_cluster(value.clusters[i], "hpc.clusters[" + std::to_string(i) + "]", state);
  }
  const auto& guide_path = value.hpc.job_service.state_store_path;
  if (!state.given("state.directory") && !guide_path.empty() &&
      state.given("hpc.job_service.state_store_path")) {
    value.state.directory = guide_path;
  }
}

void check(loading& state) {
  // With a list of clusters the single form is not in use, so its rules are not.
  const bool single = state.draft.value.clusters.empty();
  const auto root = describe(state.draft);
  walk(root, "", true, [&](const std::string& path, const section& s, bool enabled) {
    if (!enabled) return;
    for (const auto& k : s.keys) {
      const auto full = join_path(path, k.name);
      // A value taken from another key is that key's affair.
      const bool taken = k.derived || full == "state.directory";
      if (taken && !state.given(full)) continue;
      if (!k.single_form || single) check_key(k, full, state);
    }
  });
  check_state_path(state);
  check_clusters(state);
  check_hooks(state);
  check_listeners(state);
  check_appended_files(state);
}

}  // namespace ved::runtime
