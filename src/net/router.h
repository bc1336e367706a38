// Finds the route of a method and path.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "api/route.h"

namespace penstock::net {

struct Match {
  const api::Route* route = nullptr;  // none: nothing of this path and method
  api::Fields path_values;
  std::string allowed;  // methods of the path, where only the method did not fit
};

// Segments are literals, "{name}", "{name}:verb" or, last, "{name*}" for all that is left. A
// literal comes before a name, a name with a verb before one without. Two routes of one method and
// path are a programming error and throw std::logic_error.
class Router {
 public:
  explicit Router(std::vector<api::Route> routes);
  ~Router();

  // `path` is as it was sent, without the query; values are percent-decoded.
  Match find(std::string_view method, std::string_view path) const;
  const std::vector<api::Route>& routes() const { return routes_; }

 private:
  struct Node;
  void add(const api::Route& route);
  static bool walk(const Node& node, std::string_view method, std::string_view rest, Match& match);

  std::vector<api::Route> routes_;
  std::unique_ptr<Node> root_;
};

// Nothing where a "%" is not followed by two hex digits.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space = false);

}  // namespace penstock::net
