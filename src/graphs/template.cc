#include <algorithm>

#include "base/yaml.h"
#include "graphs/graph.h"

namespace penstock::graphs {
namespace {

bool is_of_name(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') || letter == '_' || letter == '-';
}

std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(' ') - begin + 1));
}

void write(std::string& out, const json::value& value);

// A passage of one field is that field's value; one of several is "field: value" line by line. How
// well it fitted is no part of what it says.
void write_fields(std::string& out, const json::object& object) {
  const bool single = object.size() - object.contains("score") == 1;
  bool first = true;
  for (const auto& [key, value] : object) {
    if (key == "score" && object.size() > 1) continue;
    if (!first) out += '\n';
    first = false;
    if (!single) out.append(key).append(": ");
    write(out, value);
  }
}

void write(std::string& out, const json::value& value) {
  if (const json::string* text = value.if_string()) {
    out += *text;
  } else if (const json::array* list = value.if_array()) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (i > 0) out += '\n';
      out += "[" + std::to_string(i + 1) + "] ";
      write(out, (*list)[i]);
    }
  } else if (const json::object* object = value.if_object()) {
    write_fields(out, *object);
  } else if (!value.is_null()) {
    out += json::serialize(value);
  }
}

}  // namespace

Result<GraphDeclaration> read_graph(std::string_view text) {
  const auto wrong = [](const Error& error) {
    return Error{error.code, std::string(graph_file) + ": " + error.message, error.violations};
  };
  const auto documents = yaml::parse(text);
  if (!documents) return wrong(documents.error());
  if (documents->size() != 1)
    return Error{Code::invalid_argument, std::string(graph_file) + ": must be one YAML document"};
  auto declared = decode<GraphDeclaration>(documents->front().value);
  if (!declared) return wrong(declared.error());
  return declared;
}

Result<Template> Template::parse(std::string_view text) {
  Template out;
  while (!text.empty()) {
    const std::size_t open = text.find("{{");
    if (open != 0) out.parts_.push_back({std::string(text.substr(0, open)), {}});
    if (open == std::string_view::npos) break;
    const std::size_t close = text.find("}}", open);
    if (close == std::string_view::npos)
      return Error{Code::invalid_argument, "{{ is not closed by }}"};
    const std::string inside = trimmed(text.substr(open + 2, close - open - 2));
    Part part;
    for (std::size_t at = 0; at <= inside.size();) {
      const std::size_t end = std::min(inside.find('.', at), inside.size());
      const std::string name = inside.substr(at, end - at);
      if (name.empty() || !std::all_of(name.begin(), name.end(), is_of_name))
        return Error{Code::invalid_argument,
                     "{{" + inside + "}} is no name; write {{question}} or {{node.field}}"};
      part.path.push_back(name);
      at = end + 1;
    }
    out.parts_.push_back(std::move(part));
    text.remove_prefix(close + 2);
  }
  return out;
}

std::vector<std::string> Template::names() const {
  std::vector<std::string> out;
  for (const Part& part : parts_)
    if (!part.path.empty() && std::find(out.begin(), out.end(), part.path[0]) == out.end())
      out.push_back(part.path[0]);
  return out;
}

std::string Template::fill(const json::object& values) const {
  std::string out;
  for (const Part& part : parts_) {
    out += part.text;
    if (part.path.empty()) continue;
    const json::value* value = values.if_contains(part.path[0]);
    for (std::size_t i = 1; value && i < part.path.size(); ++i) {
      const json::object* object = value->if_object();
      value = object ? object->if_contains(part.path[i]) : nullptr;
    }
    if (value) write(out, *value);
  }
  return out;
}

}  // namespace penstock::graphs
