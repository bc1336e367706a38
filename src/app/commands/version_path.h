// Where a version that a person names is found.
#pragma once

#include "app/command.h"
#include "registry/version.h"

namespace penstock::app {

// "/api/v1/models/NAME/versions/v4" of "NAME@v4".
inline Result<std::string> version_path(const std::string& name) {
  const auto version = TRY(registry::version_name(name));
  if (version.version == 0)
    return Error{Code::invalid_argument,
                 "\"" + name + "\" names no version; write " + name + "@v1"};
  return "/api/v1/models/" + net::percent_encoded(version.model) + "/versions/v" +
         std::to_string(version.version);
}

inline std::optional<json::value> ask_version(Globals& globals, const std::string& name) {
  const auto path = version_path(name);
  if (path) return globals.ask("GET", *path);
  globals.fail(path.error());
  return {};
}

}  // namespace penstock::app
