#include "adapters/shell/program.hpp"

#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "messages/secret.hpp"

namespace ved::adapters {
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

// What the receiving shell says behind the nonce.
constexpr const char* run_mark = " run";
constexpr const char* cut_mark = " cut ";
/// Behind what a guarded command printed; its exit code follows.
constexpr const char* guarded_mark = " x ";
/// EX_CONFIG of sysexits.h: something stands in the program's way.
constexpr int cut_exit = 78;
/// So many questions of start-up files are answered with an empty line.
constexpr std::size_t empty_lines = 16;

std::string to_base64(const std::string& text) {
  constexpr int form = sodium_base64_VARIANT_ORIGINAL;
  std::string out(sodium_base64_encoded_len(text.size(), form), '\0');
  ::sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(text.data()),
                      text.size(), form);
  out.pop_back();  // its NUL
  return out;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string draw_nonce() {
  static constexpr char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
  std::string out = "ved";
  for (int i = 0; i < 20; ++i) out += digits[randombytes_uniform(32)];
  return out;
}

std::string quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += "'\\''";
    else out += c;
  }
  return out += '\'';
}

program::program(surroundings around, std::string nonce)
    : nonce_(std::move(nonce)), around_(std::move(around)), text_(around_.prelude) {}

std::string program::separator() const {
  constexpr std::size_t drawn_from = 3;
  constexpr std::size_t drawn = 8;
  return column_end + nonce_.substr(drawn_from, drawn);
}

void program::add(std::string_view text) {
  text_ += text;
}

std::string program::text() const {
  return "#" + nonce_ + "\n" + text_ + "exit 0 #" + nonce_;
}

void program::add_section(std::string_view name, std::string_view command) {
  text_ += "echo '" + nonce_ + " b " + std::string(name) + "'\n";
  text_ += "echo '" + nonce_ + " b " + std::string(name) + "' >&2\n";
  text_ += std::string(command) + "\n";
  text_ += "ved_rc=$?; printf '\\n%s\\n' \"" + nonce_ + " e $ved_rc\" >&2\n";
  text_ += "printf '\\n%s\\n' \"" + nonce_ + " e $ved_rc\"\n";
}

std::string guarded(std::string_view nonce, std::string_view command, int limit_seconds) {
  const auto mark = std::string(nonce) + guarded_mark;
  const auto script = std::string(nonce) + "_guarded";
  // timeout(1) kills its whole process group, itself included. A here-document, because one word
  // of a command line has 128 KiB (execve(2)).
  return "{ ved_jobs=\"$ved_jobs\" timeout -s KILL " + std::to_string(limit_seconds) +
         " /bin/sh <<'" + script + "'\n" + std::string(command) + "\n" + script +
         "\nprintf '\\n%s\\n' \"" + mark + "$?\"; } 2>/dev/null | sed '/^" + mark + "/q'";
}

void program::add_guarded_section(std::string_view name, std::string_view command,
                                  int limit_seconds) {
  add_section(name, guarded(nonce_, command, limit_seconds));
}

remote_command command_of(const program& made, int limit_seconds) {
  auto text = made.text();
  const auto& nonce = made.nonce();
  // The account's login shell may be any: text without quotes, backslashes and '!' between single
  // quotes is left alone by sh, csh and fish alike. Two shells: `env -i` clears what the login
  // shell brought, and `timeout` ends all that came of it.
  std::string clean =
      "exec env -i HOME=\"${HOME:-$(getent passwd \"$(id -u)\" | cut -d: -f6)}\" "
      "USER=\"${USER:-$(id -un)}\" LOGNAME=\"${LOGNAME:-$(id -un)}\" "
      "SHELL=\"${SHELL:-/bin/sh}\" PATH=\"${PATH:-/usr/bin:/bin}\" LC_ALL=C ";
  for (const auto& word : made.around().set) clean += word + " ";
  for (const auto& name : made.around().kept)
    clean += "${" + name + ":+" + name + "=\"$" + name + "\"} ";
  clean += "timeout -k 2 " + std::to_string(limit_seconds) + " /bin/sh -c \"$1\"";
  const std::string receive =
      "ved_program=$(base64 -d 2>/dev/null); case ${#ved_program}.$ved_program in " +
      std::to_string(text.size()) + ".\"#" + nonce + "\"*\"#" + nonce + "\") ;; *) echo \"" +
      nonce + cut_mark + "${#ved_program}\" >&2; exit " + std::to_string(cut_exit) +
      " ;; esac; exec </dev/null; echo \"" + nonce + run_mark + "\"; echo \"" + nonce + run_mark +
      "\" >&2; eval \"$ved_program\"";
  remote_command out;
  out.line = "exec /bin/sh -c '" + clean + "' sh '" + receive + "'";
  out.input = std::string(empty_lines, '\n') + to_base64(text) + "\n";
  wipe(text);
  return out;
}

std::string run_line(std::string_view nonce) { return std::string(nonce) + run_mark; }

arrival arrival_of(std::string_view nonce, std::string_view out, std::string_view err) {
  arrival to;
  const auto began = run_line(nonce) + "\n";
  const auto cut = std::string(nonce) + cut_mark;
  for (auto [from, own] : {std::pair{out, &to.out}, std::pair{err, &to.err}}) {
    const auto at = from.find(began);
    const auto refused = from.find(cut);
    to.login_words += from.substr(0, std::min(at, refused));
    if (!to.login_words.empty() && !to.login_words.ends_with('\n')) to.login_words += '\n';
    if (at != std::string_view::npos) {
      to.ran = true;
      *own = from.substr(at + began.size());
    } else if (refused != std::string_view::npos) {
      to.cut = true;
      const auto count = from.substr(refused + cut.size());
      std::from_chars(count.data(), count.data() + count.size(), to.bytes);
    }
  }
  return to;
}

std::map<std::string, section> split_sections(std::string_view nonce, std::string_view out,
                                              std::string_view err) {
  std::map<std::string, section> all;
  const std::string begin = std::string(nonce) + " b ";
  const std::string end = std::string(nonce) + " e ";
  const std::string guard = std::string(nonce) + guarded_mark;
  const auto collect = [&](std::string_view text, std::string section::*stream, bool decides) {
    section* now = nullptr;
    std::optional<int> guarded_exit;
    for_each_line(text, [&](std::string_view line, bool whole) {
      if (whole && take_prefix(line, begin)) {
        now = &all[std::string(line)];
        return;
      }
      if (now == nullptr) return;
      auto& to = now->*stream;
      if (std::string_view code = line; whole && take_prefix(code, guard)) {
        if (to.ends_with('\n')) to.pop_back();
        int exit_code = -1;
        std::from_chars(code.data(), code.data() + code.size(), exit_code);
        guarded_exit = exit_code;
        return;
      }
      if (std::string_view code = line; whole && take_prefix(code, end)) {
        // The line end in front of the mark is ours.
        if (to.ends_with('\n')) to.pop_back();
        if (decides &&
            std::from_chars(code.data(), code.data() + code.size(), now->exit_code).ec ==
                std::errc{})
          now->complete = true;
        if (decides && guarded_exit) now->exit_code = *guarded_exit;
        guarded_exit.reset();
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

}  // namespace ved::adapters
