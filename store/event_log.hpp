#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "messages/error.hpp"
#include "messages/event.pb.h"
#include "messages/event_marks.hpp"
#include "messages/time.hpp"
#include "store/kv.hpp"
#include "store/log_place.hpp"

/// The hash-chained, event-sourced log: the only truth of the daemon.
namespace ved::store {

/// How streams fold; given by the layer that knows the entities. Pure functions, any thread.
struct projection {
  /// The stored state after `event`, given the one before ("" for a new stream). An impossible
  /// event is an error.
  std::function<result<std::string>(std::string_view stream, std::string_view state,
                                    const pb::Envelope& event)>
      fold;
  /// Secondary index keys of a stored state; empty for streams without any.
  std::function<std::vector<std::string>(std::string_view stream, std::string_view state)> index;
  /// Index keys with this prefix are counted at every start, which reads them anyway (those of
  /// what is live). Empty: none are.
  std::string counted_prefix = {};
  /// Whether a stored state is `folded` but for what older releases did not store. None: no state
  /// is.
  std::function<bool(std::string_view stream, std::string_view state, std::string_view folded)>
      is_outdated = {};
};

/// Bounds of one append; beyond them it is errc::invalid.
inline constexpr std::size_t events_per_append_max = 1024;
inline constexpr std::size_t envelope_bytes_max = 4u << 20;
inline constexpr std::size_t state_bytes_max = 1u << 20;
inline constexpr std::size_t dedup_id_bytes_max = 256;
inline constexpr std::size_t index_key_bytes_max = 1024;

/// What mends a damaged table, as the end of a sentence that begins "stop ved and".
std::string remedy_of(table where, const std::string& state_directory = "DIR");

/// New events of one stream, all or none.
struct append_request {
  std::string stream;
  std::uint64_t expected_version = 0;  ///< head before this append; 0: the stream must be new
  std::vector<pb::Envelope> events;    ///< only the event and at_us, and optionally request_id,
                                       ///< principal, causation_id are set; the log fills in the
                                       ///< rest
  std::string state;                   ///< stored state after the events
  std::string dedup_id;                ///< request id to remember; empty: none
};

struct append_ack {
  std::uint64_t first_position = 0;
  std::uint64_t version = 0;  ///< new head of the stream
};

struct stream_state {
  std::uint64_t version = 0;
  std::string state;
};

struct log_verification {
  bool ok = false;
  std::uint64_t events = 0;
  std::uint64_t streams = 0;
  std::string first_problem;  ///< names position, stream, what is wrong, and mends it if a rebuild
  std::uint64_t outdated = 0;  ///< stored states, see projection::is_outdated
  std::string head_hash;      ///< 32 raw bytes
};

struct index_page {
  std::vector<std::string> keys;  ///< full index keys, in order
  bool more = false;
};

/// One writer thread calls `commit`; every reading call is safe from any thread meanwhile.
class event_log {
 public:
  struct options {
    projection fold;
    std::uint64_t epoch = 0;
    /// Events of a higher level are refused: other readers of this log may not know them yet.
    std::uint32_t level = event_level;
    /// Opens also when the tail, the head or the projections are wrong: for `verify` and `rebuild`
    /// of offline tools. Nothing may be committed to such a log.
    bool for_repair = false;
    /// Told of every read that met damage, and of a verification that found some. Any thread.
    std::function<void(table where, const std::string& what)> on_damage = {};
    /// Told once that a write or its sync has failed: nothing more can be stored, the process must
    /// end and start anew from what is on disk. The writer's thread or a follower's.
    std::function<void(const error& why)> on_write_failure = {};
  };

  event_log(const event_log&) = delete;
  event_log& operator=(const event_log&) = delete;
  ~event_log();

  /// Reads the head, checks that all tables agree at the tail, and that none has lost rows.
  /// errc::corrupt names what is wrong and what mends it.
  static result<std::unique_ptr<event_log>> open(std::unique_ptr<kv> storage, options how);

  /// Group commit: one synced write for all requests. A request whose expected_version does not
  /// match fails alone with errc::conflict; so does one whose dedup_id is known already
  /// (see `deduplicated`). An outer error means that the disk failed: nothing was acknowledged,
  /// and the log must not be used again.
  result<std::vector<result<append_ack>>> commit(std::span<const append_request> requests,
                                                 time_point now);

  /// How long the write that is under way has taken so far; zero: there is none. A disk that hangs
  /// returns no error.
  std::chrono::steady_clock::duration writing_for() const noexcept;

  std::uint64_t last_position() const noexcept;
  std::uint64_t stream_count() const noexcept;
  /// When the last event was recorded; none for an empty log. Ahead of a clock that was set back.
  std::optional<time_point> last_recorded_at() const noexcept;
  /// BLAKE2b-256 of the last stored envelope, 32 raw bytes; zeros for an empty log.
  std::string head_hash() const;

  /// Events in order of position, from `after` + 1, at most `limit`.
  result<std::vector<pb::Envelope>> read(std::uint64_t after, std::size_t limit) const;
  /// Events of one stream in order of version.
  result<std::vector<pb::Envelope>> read_stream(std::string_view stream,
                                                std::uint64_t after_version,
                                                std::size_t limit) const;
  result<std::optional<stream_state>> state(std::string_view stream) const;
  /// Index keys with `prefix`, strictly after `after` ("" for the first page).
  result<index_page> scan_index(std::string_view prefix, std::string_view after,
                                std::size_t limit) const;
  /// Position of the first event that was appended under this request id.
  result<std::optional<std::uint64_t>> deduplicated(std::string_view request_id) const;

  /// Durable cursor of a follower: the last position that it has dealt with.
  result<std::uint64_t> cursor(std::string_view follower) const;
  /// May be called from the follower's thread.
  result<void> set_cursor(std::string_view follower, std::uint64_t position);

  /// Notes in this log that another one has, or will have, the stream. On disk with the next
  /// commit; any thread.
  result<void> note_place(std::string_view stream, std::string_view log_name);
  /// The name of that log; none: nothing is noted.
  result<std::optional<std::string>> noted_place(std::string_view stream) const;

  /// Positions, versions, hash chain, and that folding the log gives the stored states and
  /// indexes. Reads everything; runs beside the writer on what was there when it began.
  /// errc::unavailable once `stop` is asked to.
  result<log_verification> verify(const std::stop_token& stop = {}) const;
  /// For readers that found what the log itself does not look into: a stored state that makes no
  /// sense, an index key of nothing. Tells options::on_damage.
  tl::unexpected<error> damaged(table where, std::string what) const;
  /// Recreates head, streams, states and indexes from the log alone, after checking its chain.
  /// Offline only; may be interrupted and run again.
  result<void> rebuild();
  /// Copies the log into the new `directory` while writing goes on, then opens the copy to check
  /// it, and notes there what it holds. errc::conflict when anything is at `directory`.
  result<void> backup(const std::string& directory);
  /// errc::invalid when `directory` is inside of the log's own.
  result<void> is_apart_from(const std::string& directory) const;
  std::uint64_t bytes_on_disk() const;

  struct impl;  ///< opaque

 private:
  explicit event_log(std::unique_ptr<impl> parts);

  std::unique_ptr<impl> impl_;
};

/// Opens (and with `create` makes) the log's RocksDB. A directory that another process holds is
/// errc::conflict and says so; one that lost what the notes of it say it held
/// (store/head_check.hpp) is errc::corrupt, and no file of it is touched.
result<std::unique_ptr<kv>> open_rocks(const log_place& at, bool create);
result<std::unique_ptr<kv>> open_rocks_read_only(const log_place& at);
/// The same for a backup, which has no note beside it and need not have one inside.
result<std::unique_ptr<kv>> open_rocks_copy(const std::string& directory);

}  // namespace ved::store
