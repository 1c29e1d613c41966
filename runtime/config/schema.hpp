#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/config/config.hpp"

/// Every key of the configuration, described once: name, where its value goes, bounds, the words of
/// its rule, documentation. The loader, the effective dump, the key list and shell completion all
/// walk the same description; a key is written nowhere else.
namespace ved::runtime {

/// Bound of link.poll_interval_min, which its default keeps to as well.
inline constexpr milliseconds poll_interval_min_least{50};
/// Bound of link.early_poll_nodes_max: any cluster.
inline constexpr int early_poll_nodes_most = 10'000'000;

/// What the loader fills: the configuration, and the cluster of the single form
/// (hpc.scheduler_type, hpc.slurm, ...) until it is put into config::clusters.
struct config_draft {
  config value;
  cluster_config single;
};

/// A byte count, written with a unit.
struct size_target {
  std::int64_t* bytes = nullptr;
};
/// The level of one logging component; absent in the map: as logging.level.
struct component_target {
  std::map<std::string, log_level>* levels = nullptr;
};
/// A key that the daemon of the guide documents and that would put a secret into the file.
struct refused_secret {
  std::string instead;  ///< the environment variable or key to use
};

using key_target =
    std::variant<bool*, int*, std::int64_t*, double*, std::string*, milliseconds*,
                 std::vector<std::string>*, ved::cluster_id*, const scheduler_kind**, log_level*,
                 size_target, component_target, refused_secret>;

/// Checks the form of one string; returns what was expected when it is wrong, else nothing.
using form_check = std::optional<std::string> (*)(const std::string&);

struct key {
  std::string name;
  key_target target;
  std::string doc;
  double least = -std::numeric_limits<double>::infinity();  ///< numbers; milliseconds; bytes
  double most = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;  ///< of a string, or of each item of a list
  form_check form = nullptr;         ///< of a string, or of each item of a list; empty is allowed
  bool required = false;             ///< not empty
  std::string rule;                  ///< the rule in the words of the provider daemon
  std::size_t items_max = 256;       ///< of a list
  bool derived = false;              ///< not given: another key's value; see its doc
  bool single_form = false;          ///< see section::single_form
  std::string not_used;  ///< why this version does not act upon it; empty: it does
  std::string false_is;  ///< why a bool that is false is refused; empty: it is not

  key& at_least(double value) { return least = value, *this; }
  key& range(double low, double high) { return least = low, most = high, *this; }
  key& one_of(std::vector<std::string> words) { return choices = std::move(words), *this; }
  key& formed(form_check check) { return form = check, *this; }
  key& needed(std::string words) { return required = true, rule = std::move(words), *this; }
  key& says(std::string words) { return rule = std::move(words), *this; }
  key& from_another() { return derived = true, *this; }
  key& only_true(std::string why) { return false_is = std::move(why), *this; }
  key& unused(std::string why) { return not_used = std::move(why), *this; }
};

struct list;

struct section {
  std::string name;
  std::string doc;
  /// When it points to false, the rules of this section and those below are not applied.
  const bool* enabled = nullptr;
  /// Belongs to the single form: not part of the effective configuration.
  bool single_form = false;
  /// All keys below are accepted, and this version does not act upon them.
  std::string not_used;
  std::vector<key> keys;
  std::vector<section> sections;
  std::vector<list> lists;

  key& add(std::string key_name, key_target target, std::string words);
  section& open(std::string section_name, std::string words);
};

/// A list of mappings.
struct list {
  std::string name;
  std::string doc;
  std::size_t items_max = 64;
  std::string unique;  ///< key of which no two items have the same value; empty: none
  /// YAML of some items, for the annotated file; empty: the sample is shown.
  std::string example;
  std::function<section()> append;  ///< makes a new item; earlier items' descriptions end
  std::function<std::vector<section>()> items;
  std::function<section()> sample;  ///< an item with the defaults, for documentation
};

/// A list over `all`, with `of` to describe one item of it.
template <class Item>
list list_of(std::string name, std::string doc, std::vector<Item>& all, section (*of)(Item&)) {
  list out;
  out.name = std::move(name);
  out.doc = std::move(doc);
  auto* items = &all;
  out.append = [items, of] { return of(items->emplace_back()); };
  out.items = [items, of] {
    std::vector<section> made;
    for (auto& one : *items) made.push_back(of(one));
    return made;
  };
  out.sample = [of] {
    static Item sample;
    return of(sample);
  };
  return out;
}

/// The description of a draft, with pointers into it: valid while the draft neither moves nor ends.
section describe(config_draft& draft);

/// Parts of it, by concern.
section describe_hpc(config_draft& draft);
void describe_cluster(section& into, cluster_config& cluster);
section describe_logging(logging_config& logging);
section describe_metrics(metrics_config& metrics);
section describe_http(http_config& http);
section describe_gateway(gateway_config& gateway);
section describe_state(state_config& state);
section describe_security(security_config& security);
section describe_hpc_provider(hpc_provider_config& provider);
list describe_hooks(std::vector<hook_config>& hooks);

/// Forms.
std::optional<std::string> is_absolute_path(const std::string& text);
std::optional<std::string> is_ip_address(const std::string& text);
std::optional<std::string> is_network(const std::string& text);
std::optional<std::string> is_address_or_network(const std::string& text);
std::optional<std::string> is_http_url(const std::string& text);
std::optional<std::string> is_name(const std::string& text);
std::optional<std::string> is_url_path(const std::string& text);
/// A value of a scheduler's option: printable, not starting with a dash.
std::optional<std::string> is_option_value(const std::string& text);

/// The value of a key as YAML; strings in double quotes. Nothing for refused secrets and for
/// component levels that are not set.
std::optional<std::string> value_text(const key& described);
/// "integer >= 0", "duration such as 15s", "one of munge, jwt": what a value must be.
std::string expected_text(const key& described);

}  // namespace ved::runtime
