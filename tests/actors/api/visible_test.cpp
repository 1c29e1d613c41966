#include "actors/api/shell/visible.hpp"

#include <catch2/catch.hpp>

#include "tests/support/job_fixture.hpp"

using namespace ved;
using namespace ved::actors;

namespace {

pb::JobSpec with_secrets() {
  auto spec = tests::sample_spec("j-1");
  auto& variable = *spec.mutable_workload_spec()->add_environment();
  variable.set_name("DB_PASSWORD");
  variable.set_value("hunter2");
  spec.mutable_workload_spec()->set_container_image("docker://u:hunter2@h.example/image:1");
  spec.set_encrypted_inputs_pointer("https://h/in?signature=hunter2");
  spec.set_encrypted_outputs_pointer("s3://key:hunter2@h/out");
  spec.add_data_references()->set_uri("https://u:hunter2@data.example/in?signature=hunter2");
  return spec;
}

principal named(const std::string& name, bool admin = false) {
  principal who;
  who.name = name;
  who.read = who.submit = true;
  who.admin = admin;
  return who;
}

/// Whether a principal finds the secret in a job that alice submitted, and in its events.
std::pair<bool, bool> finds(const principal& who) {
  pb::Job job;
  job.set_submitted_by("alice");
  *job.mutable_spec() = with_secrets();
  hide_values(job, who);
  CHECK(job.spec().workload_spec().environment(0).name() == "DB_PASSWORD");
  if (who.name == "bob")
    CHECK(job.spec().workload_spec().container_image() == "docker://***@h.example/image:1");
  pb::EventList events;
  auto& first = *events.add_events();
  first.set_principal("alice");
  *first.mutable_job()->mutable_accepted()->mutable_spec() = with_secrets();
  hide_values(events, who);
  const auto has = [](const google::protobuf::Message& m) {
    return m.DebugString().find("hunter2") != std::string::npos;
  };
  return {has(job), has(events)};
}

}  // namespace

TEST_CASE("visible: the environment's values are for the submitter and admins alone",
          "[actors][api]") {
  CHECK(finds(named("alice")) == std::pair{true, true});
  CHECK(finds(named("root", true)) == std::pair{true, true});
  CHECK(finds(named("bob")) == std::pair{false, false});
  CHECK(finds(named("")) == std::pair{false, false});
  CHECK(finds(named("alice2")) == std::pair{false, false});
}

TEST_CASE("visible: who has the name of a token that is revoked sees nothing of its holder",
          "[actors][api]") {
  pb::Job job;
  job.set_submitted_by("alice");
  job.set_accepted_at_us(1'000'000);
  *job.mutable_spec() = with_secrets();
  pb::Envelope event;
  event.set_principal("alice");
  event.set_at_us(1'000'000);
  *event.mutable_job()->mutable_accepted()->mutable_spec() = with_secrets();
  auto who = named("alice");
  who.token_id = "2";
  const auto sees = [&] {
    auto shown = job;
    hide_values(shown, who);
    auto told = event;
    hide_values(told, who);
    const auto hidden = [](const pb::JobSpec& spec) {
      return spec.workload_spec().environment(0).value() == hidden_value;
    };
    CHECK(hidden(shown.spec()) == hidden(told.job().accepted().spec()));
    return !hidden(shown.spec());
  };
  SECTION("which token it was is known") {
    job.set_submitted_by_token("1");
    event.set_principal_token("1");
    CHECK_FALSE(sees());
    who.token_id = "1";
    who.since = from_us(2'000'000);  // whatever the clocks say
    CHECK(sees());
  }
  SECTION("an older release did not store it") {
    who.since = from_us(1'000'001);
    CHECK_FALSE(sees());
    who.since = from_us(1'000'000);
    CHECK(sees());
  }
}

TEST_CASE("visible: a job whose submitter is not known is nobody's", "[actors][api]") {
  pb::Job job;
  *job.mutable_spec() = with_secrets();
  hide_values(job, principal{});
  CHECK(job.spec().workload_spec().environment(0).value() == hidden_value);
}
