#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "adapters/slurm/errors.hpp"
#include "messages/utf8.hpp"

/// One byte of exit code, then what sbatch wrote: a job is only accepted with success and a number,
/// refused or unsent only without success.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ved::adapters;
  if (size == 0) return 0;
  const int exit_code = data[0];
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const submit_outcome outcome = slurm::judge_sbatch(exit_code, text);
  if (const auto* job = std::get_if<accepted>(&outcome)) {
    if (exit_code != 0 || job->id.empty()) std::abort();
    if (job->id.str().find_first_not_of("0123456789") != std::string::npos) std::abort();
  } else if (exit_code == 0 && !std::holds_alternative<unknown_outcome>(outcome)) {
    std::abort();
  }
  const slurm::failure why = slurm::judge_failure(exit_code, text);
  if (why == slurm::failure::none && exit_code != 0) std::abort();
  const std::string words = slurm::words_of(text);
  if (words.size() > 400 || !ved::is_utf8(words)) std::abort();
  return 0;
}
