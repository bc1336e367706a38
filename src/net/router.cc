#include "net/router.h"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace penstock::net {

struct Router::Node {
  struct Named {
    std::string name, suffix;  // suffix is ":verb" or empty
    std::unique_ptr<Node> node;
  };
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::vector<Named> named;  // those with a suffix first
  std::string rest_name;     // of "{name*}", which ends here
  std::map<std::string, const api::Route*, std::less<>> methods, rest_methods;
};

namespace {

int hex(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

// Cuts the first segment off a path that begins with "/".
std::string_view take_segment(std::string_view& path) {
  path.remove_prefix(1);
  const std::string_view segment = path.substr(0, std::min(path.find('/'), path.size()));
  path.remove_prefix(segment.size());
  return segment;
}

// Adds what is not yet there to "GET, POST". Who takes GET takes HEAD.
void add_methods(const std::map<std::string, const api::Route*, std::less<>>& methods,
                 std::string& allowed) {
  const auto add = [&](const std::string& method) {
    if ((", " + allowed + ",").find(", " + method + ",") == std::string::npos)
      allowed += (allowed.empty() ? "" : ", ") + method;
  };
  for (const auto& [method, route] : methods) {
    add(method);
    if (method == "GET") add("HEAD");
  }
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex(text[i + 2]) : -1;
      if (high < 0 || low < 0) return {};
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

Router::Router(std::vector<api::Route> routes)
    : routes_(std::move(routes)), root_(std::make_unique<Node>()) {
  for (const api::Route& route : routes_) add(route);
}
Router::~Router() = default;

void Router::add(const api::Route& route) {
  Node* node = root_.get();
  std::string_view path = route.path;
  auto* methods = &node->methods;
  while (!path.empty()) {
    const std::string_view segment = take_segment(path);
    if (!segment.starts_with('{')) {
      auto& child = node->literals[std::string(segment)];
      if (!child) child = std::make_unique<Node>();
      node = child.get();
    } else if (segment.ends_with("*}")) {
      node->rest_name = segment.substr(1, segment.size() - 3);
      methods = &node->rest_methods;
      break;
    } else {
      const std::size_t close = segment.find('}');
      const std::string name(segment.substr(1, close - 1)), suffix(segment.substr(close + 1));
      auto found = std::find_if(node->named.begin(), node->named.end(), [&](const auto& named) {
        return named.suffix == suffix && named.name == name;
      });
      if (found == node->named.end()) {
        const auto place = suffix.empty() ? node->named.end() : node->named.begin();
        found = node->named.insert(place, {name, suffix, std::make_unique<Node>()});
      }
      node = found->node.get();
    }
    methods = &node->methods;
  }
  if (!methods->emplace(route.method, &route).second)
    throw std::logic_error("two routes for " + route.method + " " + route.path);
}

// Bounded by the depth of the routes, which the program itself wrote.
bool Router::walk(const Node& node, std::string_view method,  // NOLINT(misc-no-recursion)
                  std::string_view rest, Match& match) {
  const auto take = [&](const auto& methods) {
    auto found = methods.find(method);
    if (found == methods.end() && method == "HEAD") found = methods.find("GET");
    if (found != methods.end())
      match.route = found->second;
    else
      add_methods(methods, match.allowed);
    return found != methods.end();
  };
  if (rest.empty() || rest == "/") {
    if (take(node.methods)) return true;
    if (rest.empty()) return false;
  }
  std::string_view after = rest;
  const std::string_view segment = take_segment(after);
  const auto literal = node.literals.find(segment);
  // "/" is a route; "//" is not that route with a slash behind it.
  const bool may_be_literal = !segment.empty() || after.empty();
  if (may_be_literal && literal != node.literals.end() &&
      walk(*literal->second, method, after, match))
    return true;
  for (const Node::Named& named : node.named) {
    if (segment.size() <= named.suffix.size() || !segment.ends_with(named.suffix)) continue;
    auto value = percent_decoded(segment.substr(0, segment.size() - named.suffix.size()));
    if (!value) continue;
    match.path_values.emplace_back(named.name, std::move(*value));
    if (walk(*named.node, method, after, match)) return true;
    match.path_values.pop_back();
  }
  if (node.rest_name.empty()) return false;
  auto value = percent_decoded(rest.substr(1));
  if (!value || !take(node.rest_methods)) return false;
  match.path_values.emplace_back(node.rest_name, std::move(*value));
  return true;
}

Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  if (path.starts_with('/')) walk(*root_, method, path, match);
  return match;
}

}  // namespace penstock::net
