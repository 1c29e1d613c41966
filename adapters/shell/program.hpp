#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/text.hpp"
#include "adapters/transport.hpp"

/// Little programs that run on a login node, whatever its scheduler. Each goes to standard input,
/// so that no value ever stands on a command line that a login shell reads; what they print is
/// framed, so that one exec can carry many commands. Pure.
namespace ved::adapters {

/// The text as one word for a POSIX shell, whatever it holds but NUL.
std::string quote(std::string_view text);

/// What the commands of a program find around them.
struct surroundings {
  std::string prelude;            ///< shell text before all else
  std::vector<std::string> kept;  ///< variables of the account's that stay as they are
  std::vector<std::string> set;   ///< "NAME=value", of characters that mean nothing to a shell
};

/// Of a guarded command whose time was over: 128 + SIGKILL.
inline constexpr int killed_exit = 137;
/// Runs `command` so guarded, its output followed by a line "<nonce> x <exit code>". A process that
/// nothing can kill (it waits for a mount that is gone) may keep its output open for ever: nobody
/// waits for the end of that, but for the line.
std::string guarded(std::string_view nonce, std::string_view command, int limit_seconds);

/// Random characters of [a-z0-9] that frame a program's output.
std::string draw_nonce();

/// What one framed command printed, and its exit code.
struct section {
  bool complete = false;  ///< it ran to its end
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// Builds one program.
class program {
 public:
  /// `nonce`: 16 or more random characters of [a-z0-9]; frames the output.
  program(surroundings around, std::string nonce);

  const std::string& nonce() const { return nonce_; }
  const surroundings& around() const { return around_; }
  /// Between the columns of the tables that this program asks for: nothing that a job can name
  /// itself looks like it.
  std::string separator() const;
  /// Runs `command` (shell text; values quoted by the caller) as the section `name`, a name of
  /// [A-Za-z0-9_.-].
  void add_section(std::string_view name, std::string_view command);
  /// The same of what touches directories of jobs: any of them may hang (a mount of the job's, a
  /// file server that is away). After `limit_seconds` it is killed with all that came of it, and
  /// its exit code is `killed_exit`. It has a shell of its own, which knows `$ved_jobs`; what it
  /// writes to standard error is lost.
  void add_guarded_section(std::string_view name, std::string_view command, int limit_seconds);
  /// Shell text as it is.
  void add(std::string_view text);
  /// What runs: all that was added, between the words that prove it whole.
  std::string text() const;

 private:
  std::string nonce_;
  surroundings around_;
  std::string text_;
};

/// The exec of a program: a clean environment (nothing of the account's but the usual and what its
/// surroundings keep), LC_ALL=C; everything is killed after `limit_seconds`, so that nothing is
/// submitted long after its caller gave up.
///
/// The program arrives whole or does nothing: it is read to its end and compared with its size and
/// its first and last words before its first command runs, and its commands read /dev/null. On the
/// way it is base64, which no other shell that a start-up file puts in its place takes for more
/// than an unknown command; empty lines in front are for start-up files that ask a question.
remote_command command_of(const program& made, int limit_seconds);

/// The line after which a program's own output begins.
std::string run_line(std::string_view nonce);

/// How a program came to its place, from what its exec printed.
struct arrival {
  bool ran = false;         ///< it came whole and began: all that it does may have been done
  bool cut = false;         ///< it did not come whole, and did nothing
  std::size_t bytes = 0;    ///< `cut`: so many of them came
  std::string login_words;  ///< what the login and its shell wrote before it, or instead of it
  std::string_view out;     ///< `ran`: what it printed itself
  std::string_view err;
};
arrival arrival_of(std::string_view nonce, std::string_view out, std::string_view err);

/// Cuts what a program printed into its sections by name; what never began is not in it.
std::map<std::string, section> split_sections(std::string_view nonce, std::string_view out,
                                              std::string_view err);

}  // namespace ved::adapters
