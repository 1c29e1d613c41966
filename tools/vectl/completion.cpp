#include <functional>

#include "tools/vectl/cli_tree.hpp"

namespace vectl {
namespace {

std::string joined_options(const CLI::App& app) {
  std::string text;
  for (const auto* option : app.get_options())
    for (const auto& name : option->get_lnames()) text += " --" + name;
  return text;
}

bool takes_job(const CLI::App& app) {
  return app.get_option_no_throw("JOB") != nullptr;
}

/// Visits every node of the tree with its path of names ("job submit").
void walk(const CLI::App& app, const std::string& path,
          const std::function<void(const std::string&, const CLI::App&)>& visit) {
  visit(path, app);
  for (const auto* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    walk(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), visit);
}

std::string names_of_subcommands(const CLI::App& app) {
  std::string text;
  for (const auto* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    text += " " + sub->get_name();
  return text;
}

// Finds the path among the words before the cursor by asking the table itself which words are
// subcommands, so that values of options do not count.
std::string bash_script(const CLI::App& app) {
  std::string cases;
  const auto globals = joined_options(app);
  walk(app, "", [&](const std::string& path, const CLI::App& node) {
    std::string words = names_of_subcommands(node) + joined_options(node);
    if (!path.empty()) words += globals;
    if (takes_job(node)) words += " $(vectl job list --ids --limit 200 --timeout 2s 2>/dev/null)";
    if (path == "completion") words += " bash zsh fish";
    cases +=
        "    \"" + path + "\") echo \"" + words.substr(words.find_first_not_of(' ')) + "\" ;;\n";
  });
  return "# bash completion for vectl\n"
         "_vectl_words() {\n"
         "  case \"$1\" in\n" +
         cases +
         "    *) return 1 ;;\n"
         "  esac\n"
         "}\n"
         "_vectl() {\n"
         "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" path=\"\" "
         "i next\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    case \"${COMP_WORDS[i]}\" in -*|*'$'*|*'`'*) continue ;; esac\n"
         "    next=\"${path:+$path }${COMP_WORDS[i]}\"\n"
         "    _vectl_words \"$next\" >/dev/null 2>&1 && path=\"$next\"\n"
         "  done\n"
         "  case \"$prev\" in\n"
         "    -o|--output) COMPREPLY=($(compgen -W 'text json' -- \"$cur\")); return ;;\n"
         "    --state) if [[ $path == 'job list' ]]; then\n"
         "        COMPREPLY=($(compgen -W 'pending queued starting running suspended completed "
         "failed cancelled timeout' -- \"$cur\"))\n"
         "      else COMPREPLY=($(compgen -d -- \"$cur\")); fi; return ;;\n"
         "    --config-dir|--directory) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n"
         "    --config) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$(_vectl_words \"$path\")\" -- \"$cur\"))\n"
         "}\n"
         "complete -o default -F _vectl vectl\n";
}

std::string quoted(std::string text) {
  for (std::size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 2)
    text.insert(at, "\\");
  return "'" + text + "'";
}

std::string fish_script(const CLI::App& app) {
  std::string text = "# fish completion for vectl\ncomplete -c vectl -f\n";
  walk(app, "", [&](const std::string& path, const CLI::App& node) {
    // The condition: every word of the path was given, and none of the next ones.
    std::string condition;
    if (path.empty()) {
      condition = "__fish_use_subcommand";
    } else {
      std::size_t from = 0;
      while (from <= path.size()) {
        const auto end = std::min(path.find(' ', from), path.size());
        condition += (condition.empty() ? "" : "; and ") +
                     ("__fish_seen_subcommand_from " + path.substr(from, end - from));
        from = end + 1;
      }
      if (const auto next = names_of_subcommands(node); !next.empty())
        condition += "; and not __fish_seen_subcommand_from" + next;
    }
    for (const auto* sub : node.get_subcommands([](const CLI::App*) { return true; }))
      text += "complete -c vectl -n " + quoted(condition) + " -a " + sub->get_name() + " -d " +
              quoted(sub->get_description()) + "\n";
    for (const auto* option : node.get_options())
      for (const auto& name : option->get_lnames())
        text += "complete -c vectl" + (path.empty() ? "" : " -n " + quoted(condition)) + " -l " +
                name + (option->get_type_size() > 0 ? " -r" : "") + " -d " +
                quoted(option->get_description()) + "\n";
    if (takes_job(node))
      text += "complete -c vectl -n " + quoted(condition) +
              " -a '(vectl job list --ids --limit 200 --timeout 2s 2>/dev/null)'\n";
    if (path == "completion")
      text += "complete -c vectl -n " + quoted(condition) + " -a 'bash zsh fish'\n";
    if (path == "job submit") text += "complete -c vectl -F -n " + quoted(condition) + "\n";
  });
  return text;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  if (shell == "fish") return fish_script(app);
  if (shell == "zsh")
    return "#compdef vectl\n"
           "autoload -U +X bashcompinit && bashcompinit\n" +
           bash_script(app);
  return bash_script(app);
}

}  // namespace vectl
