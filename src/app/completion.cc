#include "app/completion.h"

#include <iostream>
#include <vector>

#include <CLI/CLI.hpp>

namespace penstock::app {
namespace {

struct Node {
  std::string path;  // " models show": what was typed before
  std::string description;
  std::vector<std::pair<std::string, std::string>> commands, options;  // with their descriptions
};

void walk(const CLI::App& app, const std::string& path, std::vector<Node>& out) {
  Node node{.path = path};
  for (const CLI::App* command : app.get_subcommands({}))
    node.commands.emplace_back(command->get_name(), command->get_description());
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames())
      node.options.emplace_back("--" + name, option->get_description());
  out.push_back(node);
  for (const CLI::App* command : app.get_subcommands({}))
    walk(*command, path + " " + command->get_name(), out);
}

// One function for bash and, by bashcompinit, zsh: words that are commands lead to the node whose
// words are offered; where none fits, files.
std::string bash_script(const std::vector<Node>& nodes) {
  std::string words;
  for (const Node& node : nodes) {
    words += "    \"" + node.path + "\") words=\"";
    for (const auto& [name, about] : node.commands) words += name + " ";
    for (const auto& [name, about] : node.options) words += name + " ";
    words += "\" ;;\n";
  }
  return "_penstock_words() {\n  words=\"\"\n  case \"$1\" in\n" + words +
         R"(  esac
}
_penstock() {
  local words path="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    _penstock_words "$path $word"
    [ -n "$words" ] && path="$path $word"
  done
  _penstock_words "$path"
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
  [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
  return 0
}
complete -F _penstock penstock
)";
}

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish_script(const std::vector<Node>& nodes) {
  std::string out =
      "function __penstock_at\n  set -l words (commandline -opc | string match -v -- '-*')\n"
      "  test \"$words[2..]\" = \"$argv\"\nend\n";
  for (const Node& node : nodes) {
    const std::string at = "__penstock_at" + node.path;
    for (const auto& [name, about] : node.commands)
      out += "complete -c penstock -n " + quoted(at) + " -f -a " + name + " -d " + quoted(about) +
             "\n";
    for (const auto& [name, about] : node.options)
      out += "complete -c penstock -n " + quoted(at) + " -l " + name.substr(2) + " -d " +
             quoted(about) + "\n";
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  std::vector<Node> nodes;
  walk(app, "", nodes);
  if (shell == "fish") return fish_script(nodes);
  const std::string script = bash_script(nodes);
  return shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" + script : script;
}

void add_completion_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "completion", "Print a completion script: source <(penstock completion bash)");
  auto shell = std::make_shared<std::string>("bash");
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->capture_default_str()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, shell] { std::cout << completion_script(app, *shell); });
}

}  // namespace penstock::app
