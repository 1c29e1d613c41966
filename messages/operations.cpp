#include "messages/operations.hpp"

#include <algorithm>
#include <stdexcept>

namespace ved {
namespace {

std::vector<operation_row> read_rows() {
  std::vector<operation_row> out;
  const auto* all = pb::ApiRequest::descriptor()->FindOneofByName("operation");
  for (int i = 0; i < all->field_count(); ++i) {
    const auto* field = all->field(i);
    out.push_back({field, field->options().GetExtension(pb::operation_marks)});
    if (out.back().marks.scope() == pb::SCOPE_UNSPECIFIED)
      throw std::logic_error("the operation " + field->name() + " has no scope");
  }
  return out;
}

}  // namespace

const std::vector<operation_row>& operations() {
  static const auto all = read_rows();
  return all;
}

const operation_row* operation_of(const pb::ApiRequest& request) {
  const auto& all = operations();
  const auto found = std::find_if(all.begin(), all.end(), [&](const operation_row& one) {
    return one.field->number() == static_cast<int>(request.operation_case());
  });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace ved
