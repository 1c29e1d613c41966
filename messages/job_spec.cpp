#include "messages/job_spec.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <set>

#include "messages/hash.hpp"
#include "messages/utf8.hpp"

namespace ved {

namespace {

using namespace spec_limits;

constexpr std::string_view lower = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view digits = "0123456789";
constexpr std::string_view name_characters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

bool consists_of(std::string_view text, std::string_view characters,
                 std::string_view more = {}) noexcept {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return characters.find(c) != std::string_view::npos || more.find(c) != std::string_view::npos;
  });
}

bool has_control(std::string_view text, std::string_view allowed = {}) noexcept {
  return std::any_of(text.begin(), text.end(), [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 || byte == 0x7f) && allowed.find(c) == std::string_view::npos;
  });
}

bool is_variable_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= text_bytes_max &&
         consists_of(name, name_characters, "_") &&
         digits.find(name.front()) == std::string_view::npos;
}

/// Cosmos SDK's rule for denominations.
bool is_denomination(std::string_view text) noexcept {
  return text.size() >= 3 && text.size() <= 128 && consists_of(text, name_characters, "/:._-") &&
         consists_of(text.substr(0, 1), name_characters) && digits.find(text[0]) == text.npos;
}

/// A decimal number; no floats for money.
bool is_amount(std::string_view text) noexcept {
  const auto dot = text.find('.');
  const auto whole = text.substr(0, dot);
  const auto part = dot == text.npos ? std::string_view("0") : text.substr(dot + 1);
  return !whole.empty() && whole.size() <= 78 && consists_of(whole, digits) && !part.empty() &&
         part.size() <= 18 && consists_of(part, digits);
}

/// Collects the problems of one spec; each method checks one kind of field.
class checker {
 public:
  void complain(std::string field, std::string message) {
    auto& problem = found_.emplace_back();
    problem.set_field(std::move(field));
    problem.set_message(std::move(message));
  }

  void id(const std::string& field, const std::string& value) {
    if (value.empty()) return complain(field, "is required");
    if (is_id(value)) return;
    complain(field, "must be 1 to 64 of A-Z a-z 0-9 . _ -, not start with . or -, not hold ..");
  }

  void address(const std::string& field, const std::string& value) {
    if (value.empty()) return complain(field, "is required");
    if (!is_address(value))
      complain(field, "must be an address: ve1 or virtengine1 and 1 to 90 of a-z 0-9");
  }

  /// One line of text without control characters.
  void line(const std::string& field, const std::string& value,
            std::size_t bytes_max = text_bytes_max) {
    text(field, value, bytes_max);
    if (has_control(value)) complain(field, "must not hold control characters");
  }

  /// Text for a program: lines and tabs are fine.
  void script(const std::string& field, const std::string& value, std::size_t bytes_max) {
    text(field, value, bytes_max);
    if (has_control(value, "\t\n\r"))
      complain(field, "must not hold control characters but tabs and line ends");
  }

  template <class Number>
  void range(const std::string& field, Number value, Number low, Number high) {
    if (value < low)
      complain(field, "must be at least " + std::to_string(low) + ", not " + std::to_string(value));
    if (value > high)
      complain(field, "must be at most " + std::to_string(high) + ", not " + std::to_string(value));
  }

  /// False when there are too many to look at.
  bool count(const std::string& field, int size, int size_max) {
    if (size <= size_max) return true;
    complain(field, "must have at most " + std::to_string(size_max) + " entries, not " +
                        std::to_string(size));
    return false;
  }

  void command(const std::string& field, const std::string& value,
               const google::protobuf::RepeatedPtrField<std::string>& arguments,
               const std::string& arguments_field) {
    script(field, value, argument_bytes_max);
    if (!count(arguments_field, arguments.size(), arguments_max)) return;
    for (int i = 0; i < arguments.size(); ++i)
      script(arguments_field + "[" + std::to_string(i) + "]", arguments[i], argument_bytes_max);
  }

  std::vector<pb::Problem> found() && { return std::move(found_); }

 private:
  void text(const std::string& field, const std::string& value, std::size_t bytes_max) {
    if (value.size() > bytes_max)
      complain(field, "must be at most " + std::to_string(bytes_max) + " bytes, not " +
                          std::to_string(value.size()));
    if (!is_utf8(value)) complain(field, "must be UTF-8");
  }

  std::vector<pb::Problem> found_;
};

void check_environment(const pb::WorkloadSpec& work, checker& check) {
  const std::string field = "workload_spec.environment";
  if (!check.count(field, work.environment_size(), variables_max)) return;
  std::set<std::string_view> names;
  for (const auto& variable : work.environment()) {
    if (!is_variable_name(variable.name())) {
      check.complain(field, "name '" + to_valid_utf8(variable.name().substr(0, 64)) +
                                "' must be letters, digits and _, not starting with a digit");
      continue;
    }
    const auto at = field + "." + variable.name();
    if (!names.insert(variable.name()).second) check.complain(at, "occurs more than once");
    check.script(at, variable.value(), value_bytes_max);
  }
}

void check_workload(const pb::WorkloadSpec& work, checker& check) {
  const bool runs_something =
      !work.container_image().empty() || !work.command().empty() || work.steps_size() > 0;
  if (work.is_preconfigured()) {
    if (work.preconfigured_workload_id().empty() && !runs_something)
      check.complain("workload_spec.preconfigured_workload_id",
                     "is required when is_preconfigured is true");
  } else if (!runs_something) {
    check.complain("workload_spec.container_image",
                   "is required, unless there is a command, steps or is_preconfigured");
  }
  if (!work.command().empty() && work.steps_size() > 0)
    check.complain("workload_spec.steps", "must be empty when there is a command");
  if (!work.preconfigured_workload_id().empty())
    check.id("workload_spec.preconfigured_workload_id", work.preconfigured_workload_id());

  check.line("workload_spec.container_image", work.container_image(), path_bytes_max);
  if (work.container_image().starts_with('-'))
    check.complain("workload_spec.container_image", "must not start with a dash");
  check.command("workload_spec.command", work.command(), work.arguments(),
                "workload_spec.arguments");
  if (check.count("workload_spec.steps", work.steps_size(), steps_max)) {
    for (int i = 0; i < work.steps_size(); ++i) {
      const auto& step = work.steps(i);
      const auto at = "workload_spec.steps[" + std::to_string(i) + "]";
      check.line(at + ".name", step.name(), id_bytes_max);
      if (step.command().empty()) check.complain(at + ".command", "is required");
      check.command(at + ".command", step.command(), step.arguments(), at + ".arguments");
    }
  }
  check_environment(work, check);
  check.line("workload_spec.working_directory", work.working_directory(), path_bytes_max);
  if (!work.working_directory().empty() && !work.working_directory().starts_with('/'))
    check.complain("workload_spec.working_directory", "must be an absolute path");
}

void check_resources(const pb::Resources& resources, checker& check) {
  check.range("resources.nodes", resources.nodes(), 1, nodes_max);
  check.range("resources.cpu_cores_per_node", resources.cpu_cores_per_node(), 0, cpu_cores_max);
  check.range("resources.memory_gb_per_node", resources.memory_gb_per_node(), 0, memory_gb_max);
  check.range("resources.gpus_per_node", resources.gpus_per_node(), 0, gpus_max);
  check.range("resources.storage_gb", resources.storage_gb(), 0, storage_gb_max);
  check.line("resources.gpu_type", resources.gpu_type(), id_bytes_max);
  if (!consists_of(resources.gpu_type(), name_characters, "._- "))
    check.complain("resources.gpu_type", "must be of A-Z a-z 0-9 . _ - and spaces");
}

void check_data(const pb::JobSpec& spec, checker& check) {
  if (check.count("data_references", spec.data_references_size(), data_references_max)) {
    for (int i = 0; i < spec.data_references_size(); ++i) {
      const auto& data = spec.data_references(i);
      const auto at = "data_references[" + std::to_string(i) + "]";
      check.line(at + ".reference_id", data.reference_id());
      check.line(at + ".type", data.type());
      check.line(at + ".uri", data.uri(), path_bytes_max);
      check.line(at + ".checksum", data.checksum());
      if (data.size_bytes() < 0) check.complain(at + ".size_bytes", "must not be negative");
    }
  }
  check.line("encrypted_inputs_pointer", spec.encrypted_inputs_pointer(), path_bytes_max);
  check.line("encrypted_outputs_pointer", spec.encrypted_outputs_pointer(), path_bytes_max);
}

void check_price(const pb::JobSpec& spec, checker& check) {
  if (check.count("agreed_price", spec.agreed_price_size(), coins_max)) {
    for (int i = 0; i < spec.agreed_price_size(); ++i) {
      const auto at = "agreed_price[" + std::to_string(i) + "]";
      if (!is_denomination(spec.agreed_price(i).denom()))
        check.complain(at + ".denom", "must be 3 to 128 of A-Z a-z 0-9 / : . _ -");
      if (!is_amount(spec.agreed_price(i).amount()))
        check.complain(at + ".amount", "must be a decimal number that is not negative");
    }
  }
  check.line("escrow_id", spec.escrow_id());
  check.line("scheduling_decision_id", spec.scheduling_decision_id());
}

}  // namespace

bool is_id(std::string_view text) noexcept {
  return !text.empty() && text.size() <= id_bytes_max && text.front() != '.' &&
         text.front() != '-' && consists_of(text, name_characters, "._-") &&
         text.find("..") == std::string_view::npos;
}

bool is_address(std::string_view text) noexcept {
  for (const std::string_view prefix : {"ve1", "virtengine1"}) {
    if (!text.starts_with(prefix)) continue;
    const auto rest = text.substr(prefix.size());
    return !rest.empty() && rest.size() <= 90 && consists_of(rest, lower, digits);
  }
  return false;
}

std::vector<pb::Problem> validate(const pb::JobSpec& spec) {
  checker check;
  if (const auto size = spec.ByteSizeLong(); size > spec_bytes_max) {
    check.complain("", "the whole spec must be at most " + std::to_string(spec_bytes_max) +
                           " bytes, not " + std::to_string(size));
    return std::move(check).found();
  }
  check.id("job_id", spec.job_id());
  check.id("offering_id", spec.offering_id());
  check.id("cluster_id", spec.cluster_id());
  check.address("provider_address", spec.provider_address());
  check.address("customer_address", spec.customer_address());
  check.id("queue_name", spec.queue_name());
  check_workload(spec.workload_spec(), check);
  if (spec.has_resources()) check_resources(spec.resources(), check);
  if (spec.max_runtime_seconds() != 0)
    check.range("max_runtime_seconds", spec.max_runtime_seconds(), runtime_seconds_min,
                runtime_seconds_max);
  check_data(spec, check);
  check_price(spec, check);
  check.range("priority", spec.priority(), -priority_max, priority_max);
  return std::move(check).found();
}

pb::JobSpec canonical(pb::JobSpec spec) {
  auto& variables = *spec.mutable_workload_spec()->mutable_environment();
  std::stable_sort(variables.begin(), variables.end(),
                   [](const auto& a, const auto& b) { return a.name() < b.name(); });
  auto& resources = *spec.mutable_resources();
  resources.set_nodes(std::max(resources.nodes(), 1));
  resources.set_cpu_cores_per_node(std::max(resources.cpu_cores_per_node(), 1));
  return spec;
}

std::string spec_hash(const pb::JobSpec& spec) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    canonical(spec).SerializeToCodedStream(&out);
  }
  return hash256(bytes);
}

}  // namespace ved
