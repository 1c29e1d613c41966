#pragma once

#include <algorithm>
#include <string>

#include "adapters/slurm/tables.hpp"

namespace ved::tests {

/// Writes a table with '|' where the commands are told to put their separator.
inline std::string columns(std::string text) {
  std::replace(text.begin(), text.end(), '|', adapters::column_end);
  return text;
}

/// Shell functions for a stand-in of squeue, sacct or sinfo: `show FILE "$@"` prints a table
/// written with `columns`, below the names of its columns, with the separator that the command was
/// asked for.
inline const std::string show_function =
    "sep() { for a; do case $a in --delimiter=*) printf %s \"${a#*=}\"; return ;; "
    "JobID:*|NodeList:*) a=${a#*:}; printf %s \"${a%%,*}\"; return ;; esac; done; }\n"
    "show() { f=$1; shift; s=$(sep \"$@\")\n"
    "case \" $* \" in *\" --noheader \"*) ;; *\" -O \"*) echo \"JOBID${s}STATE$s\" ;; "
    "*) echo \"JobIDRaw${s}State\" ;; esac\n"
    "sed \"s/\\x1f/$s/g\" \"$f\"; }\n";

/// However a text is cut, the rows that are still read are the first of the whole one's, the same
/// in every field (`same`), and nothing is lost without being counted.
template <class Parse, class Same>
bool survives_every_cut(const std::string& text, const Parse& parse, const Same& same) {
  const auto whole = parse(text);
  for (std::size_t length = 0; length < text.size(); ++length) {
    const auto cut = parse(text.substr(0, length));
    if (cut.rows.size() > whole.rows.size()) return false;
    for (std::size_t i = 0; i < cut.rows.size(); ++i) {
      if (!same(cut.rows[i], whole.rows[i])) return false;
    }
    const bool at_a_line = length == 0 || text[length - 1] == '\n' || text[length] == '\n';
    if (!at_a_line && cut.damaged == 0 && cut.rows.size() < whole.rows.size()) return false;
  }
  return true;
}

}  // namespace ved::tests
