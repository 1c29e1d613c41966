#include <catch2/catch.hpp>

#include "adapters/faulty/faulty_scheduler.hpp"
#include "tests/adapters/local/fixture.hpp"

using namespace ved;
using namespace ved::tests;

namespace {

/// The decorator without any fault in its plan must not be noticed.
class faultless_fixture final : public local_fixture {
 public:
  std::unique_ptr<adapters::scheduler> connect() override {
    return std::make_unique<adapters::faulty::faulty_scheduler>(local_fixture::connect(), faults_);
  }

 private:
  std::shared_ptr<adapters::faulty::fault_source> faults_ =
      std::make_shared<adapters::faulty::fault_source>(adapters::faulty::fault_plan{},
                                                       [] { return from_us(1); });
};

}  // namespace

TEST_CASE("faulty scheduler: without faults it conforms to the port",
          "[adapters][faulty][conformance]") {
  for (const conformance_case& one : conformance_cases()) {
    DYNAMIC_SECTION(one.name) {
      faultless_fixture fixture;
      one.run(fixture);
    }
  }
}
