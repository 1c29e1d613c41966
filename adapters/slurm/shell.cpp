#include "adapters/slurm/shell.hpp"

#include <charconv>

namespace ved::adapters::slurm {
namespace {

/// The lines of `text` with their ends; calls `each(line without its end, had an end)`.
template <class Each>
void for_each_line(std::string_view text, Each each) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    const bool whole = end != std::string_view::npos;
    each(text.substr(0, whole ? end : text.size()), whole);
    text.remove_prefix(whole ? end + 1 : text.size());
  }
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += "'\\''";
    else out += c;
  }
  return out += '\'';
}

std::string shell_line(int limit_seconds) {
  // The account's login shell may be any: the text between the single quotes is left alone by
  // sh, csh and fish alike. Two shells: `env -i` clears what the login shell brought, and
  // `timeout` ends all that came of it.
  return "exec /bin/sh -c 'exec env -i HOME=\"$HOME\" USER=\"${USER:-$(id -un)}\" "
         "LOGNAME=\"${LOGNAME:-$(id -un)}\" SHELL=\"${SHELL:-/bin/sh}\" "
         "PATH=\"${PATH:-/usr/bin:/bin}\" LC_ALL=C SLURM_TIME_FORMAT=%s "
         "${SLURM_CONF:+SLURM_CONF=\"$SLURM_CONF\"} timeout -k 2 " +
         std::to_string(limit_seconds) + " /bin/sh -s'";
}

program::program(const shell_environment& around, std::string nonce) : nonce_(std::move(nonce)) {
  if (!around.bin_directory.empty())
    text_ += "PATH=" + quote(around.bin_directory) + ":$PATH; export PATH\n";
  if (!around.conf_file.empty())
    text_ += "SLURM_CONF=" + quote(around.conf_file) + "; export SLURM_CONF\n";
  if (!around.token.empty())
    text_ += "SLURM_JWT=" + quote(around.token.reveal()) + "; export SLURM_JWT\n";
  text_ += "ved_jobs=" + quote(around.job_directory) + "\n";
  text_ += "case $ved_jobs in /*) ;; *) ved_jobs=$HOME/$ved_jobs ;; esac\n";
}

void program::add(std::string_view text) {
  text_ += text;
}

void program::add_section(std::string_view name, std::string_view command) {
  // Braces: a program that is cut off in the middle is a syntax error, not half a command.
  text_ += "{ echo '" + nonce_ + " b " + std::string(name) + "'\n";
  text_ += "echo '" + nonce_ + " b " + std::string(name) + "' >&2\n";
  text_ += std::string(command) + "\n";
  text_ += "ved_rc=$?; printf '\\n%s\\n' \"" + nonce_ + " e $ved_rc\" >&2\n";
  text_ += "printf '\\n%s\\n' \"" + nonce_ + " e $ved_rc\"; }\n";
}

std::map<std::string, section> split_sections(std::string_view nonce, std::string_view out,
                                              std::string_view err) {
  std::map<std::string, section> all;
  const std::string begin = std::string(nonce) + " b ";
  const std::string end = std::string(nonce) + " e ";
  const auto collect = [&](std::string_view text, std::string section::*stream, bool decides) {
    section* now = nullptr;
    for_each_line(text, [&](std::string_view line, bool whole) {
      if (whole && take_prefix(line, begin)) {
        now = &all[std::string(line)];
        return;
      }
      if (now == nullptr) return;
      auto& to = now->*stream;
      if (std::string_view code = line; whole && take_prefix(code, end)) {
        // The line end in front of the mark is ours.
        if (to.ends_with('\n')) to.pop_back();
        if (decides &&
            std::from_chars(code.data(), code.data() + code.size(), now->exit_code).ec ==
                std::errc{})
          now->complete = true;
        now = nullptr;
        return;
      }
      to += line;
      if (whole) to += '\n';
    });
  };
  collect(err, &section::err, false);
  collect(out, &section::out, true);
  return all;
}

}  // namespace ved::adapters::slurm
