#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/records.hpp"
#include "messages/time.hpp"

/// What jobs leave in their directories. All of it can be written and replaced by the job itself,
/// at any moment and by anything: a FIFO, a device, a link, a directory, a file without end. It is
/// read without waiting and without following links, so much and no more, and what a file holds
/// never looks like anything but that file. Pure.
namespace ved::adapters::slurm {

/// An end record that is longer is read no further.
inline constexpr int end_record_bytes_max = 16'384;
/// Files of one submission, of output or ends, that a lookup names.
inline constexpr int output_files_max = 16;

/// "<token>:<Slurm job id>:<restart>:<start>[:<hash of the spec>]", or "cancelled:<token>"; a
/// claim of any other form
/// is none of ours.
struct claim_text {
  std::string token;
  std::string id;         ///< empty: cancelled
  std::int64_t restart = 0;  ///< how often Slurm had requeued it
  std::string spec_hash;  ///< empty: not told
  bool cancelled = false;
};
std::optional<claim_text> parse_claim(std::string_view text);

/// What a job left in its directory.
struct traces {
  std::string claim;           ///< as its link says; empty: none, or nothing that a claim can be
  time_point claimed_at;       ///< told only beside an end record
  bool untouched = false;      ///< its directory is there: no claim, and no output of this job
  bool there = false;          ///< its directory is, and could be looked into
  bool shut = false;           ///< its directory is there, and the account may not look into it
  bool strange = false;        ///< something else stands where its end record should
  bool ended = false;          ///< it wrote how it ended
  std::optional<int> exit_code;
  std::string step;            ///< the step that failed; printable
  /// Why its command could not be started there: "site: the home directory /home/x does not exist
  /// on n1", or "request: ...".
  std::string fault;
  std::string lost_to;         ///< the claim that it says it lost to
  bool no_claim = false;       ///< it says that it could not make one
  bool again = false;          ///< it says: a second start, the first left no end
  bool told = false;           ///< it says: the shell had been told to end, or the like
  bool kept = false;           ///< it says: requeued after that end, and not run again
  std::optional<microseconds> cpu_time;
  time_point ended_at;         ///< when it wrote
};
/// Reads what `look` printed of one job: its claim, then its end record.
traces parse_end(std::string_view text);

/// Shell text of the function `look NUMBER SLURM_ID JOB_DIRECTORY/ TOKEN`; the job directory of the
/// site is the working directory. `nonce` marks what it prints.
std::string look_function(const std::string& nonce);
/// Cuts the answers of `look` apart; `[i]` is number i's, nullopt: it did not answer. Not `whole`:
/// the shell was stopped in the middle of the last one.
std::vector<std::optional<traces>> split_traces(const std::string& nonce, std::string_view text,
                                                std::size_t count, bool whole);
/// The number of the last one that began; nullopt: none did.
std::optional<std::size_t> last_begun(const std::string& nonce, std::string_view text,
                                      std::size_t count);

/// The same of a submission whose number in Slurm is not known: `seek NUMBER JOB_DIRECTORY/ TOKEN`.
std::string seek_function(const std::string& nonce);
struct sought {
  bool answered = false;
  bool there = false;  ///< its directory was asked for
  bool gone = false;   ///< it is not there, or cannot be looked into
  std::string claim;
  std::vector<std::string> ids;  ///< of Slurm, that its files name
};
std::vector<sought> split_sought(const std::string& nonce, std::string_view text,
                                 std::size_t count, bool whole);

}  // namespace ved::adapters::slurm
