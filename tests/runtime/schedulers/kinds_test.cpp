#include <catch2/catch.hpp>
#include <set>

#include "runtime/config/schema.hpp"
#include "runtime/schedulers/kind.hpp"
#include "runtime/schedulers/local/config.hpp"
#include "runtime/schedulers/moab/config.hpp"
#include "runtime/schedulers/slurm/config.hpp"

using namespace ved;
using namespace ved::runtime;

TEST_CASE("scheduler kinds: each has a name of its own, and its section the keys that it names",
          "[runtime][config]") {
  std::set<std::string_view> names;
  for (const auto* kind : scheduler_kinds()) {
    CAPTURE(kind->name);
    CHECK(names.insert(kind->name).second);
    CHECK(find_scheduler_kind(kind->name) == kind);
    REQUIRE(kind->defaults != nullptr);
    REQUIRE(kind->describe != nullptr);
    REQUIRE(kind->pace != nullptr);
    scheduler_sections values;
    section described;
    kind->describe(described, values);
    std::set<std::string> keys;
    for (const auto& key : described.keys) CHECK(keys.insert(key.name).second);
    CHECK(keys.contains(kind->poll_key));
    const auto pace = kind->pace(values);
    CHECK(pace.poll_interval > milliseconds{0});
    CHECK(keys.contains("connection_timeout") == pace.connection_timeout.has_value());
    CHECK(keys.contains("max_retries") == pace.max_retries.has_value());
    for (const auto& held : kind->secrets(values)) {
      CHECK(keys.contains(held.key));
      CHECK(held.value->empty());
    }
    cluster_config cluster;
    cluster.kind = kind;
    CHECK_FALSE(kind->directory(cluster));
    CHECK(kind->files(cluster).empty());
    CHECK(kind->named(cluster).name.empty());
  }
  CHECK(find_scheduler_kind("") == nullptr);
  CHECK(find_scheduler_kind("pbs") == nullptr);
  CHECK(scheduler_kind_names() == "local, slurm, moab, ood");
  CHECK(scheduler_kind_names(" or ") == "local, slurm, moab or ood");
}

TEST_CASE("scheduler kinds: sections are values", "[runtime][config]") {
  scheduler_sections one;
  auto two = one;
  CHECK(one == two);
  two.of<slurm_config>().ssh.host = "login";
  CHECK_FALSE(one == two);
  CHECK(one.of<slurm_config>().ssh.host.empty());
  one = two;
  CHECK(one == two);
  one.of<moab_config>().server_port = 1;
  CHECK_FALSE(one == two);
  CHECK(two.of<local_config>() == local_config{});
  CHECK_FALSE(scheduler_section(local_config{}) == scheduler_section(moab_config{}));
  CHECK_THROWS_AS(two.of<int>(), std::logic_error);
}
