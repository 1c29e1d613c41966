#include "adapters/slurm/watcher.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "adapters/slurm/errors.hpp"
#include "adapters/slurm/hint_lines.hpp"

namespace ved::adapters::slurm {
namespace {

constexpr seconds life{3'600};
/// Of the call beyond the loop's own time.
constexpr seconds end_slack{30};
constexpr milliseconds silence_max{30'000};
/// Of stderr, and of a piece of stdout.
constexpr std::size_t output_bytes_max = 256 * 1024;
/// As timeout(1) ends it.
constexpr int time_over = 124;

class slurm_watcher final : public job_watcher {
 public:
  slurm_watcher(const shell_environment& around, std::shared_ptr<transport> way)
      : way_(std::move(way)) {
    // Nothing of Slurm: it needs no token for that, nor should one lie there for an hour.
    around_.job_directory = around.job_directory;
  }

  watch_end watch(const listener& tell, std::stop_token stop) override {
    auto made = make_program(around_, draw_nonce());
    made.add(watch_text(made.nonce()));
    hint_reader reader(made.nonce());
    kept_command kept;
    kept.what = command_of(made, static_cast<int>(life.count()));
    kept.what.output_bytes_max = output_bytes_max;
    kept.silence_max = silence_max;
    bool wanted = true;
    kept.read = [&](std::string_view piece) {
      auto seen = reader.read(piece, hint_reader::clock::now());
      if (seen.alive) wanted = tell(std::move(seen.hints));
      return wanted && reader.problem().empty();
    };
    const auto until = std::chrono::steady_clock::now() + life + end_slack;
    const auto outcome = way_->keep(kept, until, stop);
    watch_end end;
    end.watched = reader.watched();
    if (!wanted || stop.stop_requested()) return end;
    end.problem = reader.problem();
    if (!end.problem.empty()) return end;
    if (const auto* none = std::get_if<command_not_started>(&outcome)) {
      end.problem = none->reason;
      end.waits = none->away;
    } else if (const auto* cut = std::get_if<command_interrupted>(&outcome)) {
      end.problem = cut->reason;
    } else {
      const auto& done = std::get<command_finished>(outcome);
      if (!end.watched || done.exit_code != time_over)
        end.problem = words_for(done, made.nonce(), end.watched);
    }
    return end;
  }

 private:
  std::string words_for(const command_finished& done, const std::string& nonce,
                        bool watched) const {
    const auto came = arrival_of(nonce, {}, done.err);
    const auto words = came.ran ? words_of(came.err) : words_of(came.login_words);
    return way_->place() + ": " +
           (watched ? "what watches the job directory ended"
                    : "its shell ran nothing that watches the job directory: it ended") +
           (done.signal != 0 ? " by signal " + std::to_string(done.signal)
                             : " with code " + std::to_string(done.exit_code)) +
           (words.empty() ? "" : ": " + words);
  }

  shell_environment around_;
  const std::shared_ptr<transport> way_;
};

}  // namespace

std::shared_ptr<job_watcher> make_slurm_watcher(const shell_environment& around,
                                                std::shared_ptr<transport> way) {
  return std::make_shared<slurm_watcher>(around, std::move(way));
}

}  // namespace ved::adapters::slurm
