// Declared things: what people write in YAML and apply. One mechanism for every kind; what a kind
// means is said by the component that owns it.
#pragma once

#include <string>
#include <vector>

#include "base/described.h"

namespace penstock::resources {

// The version that is in force of one declared thing. Versions count from 1; each change of the
// declaration makes the next one, and old ones stay readable.
struct Resource {
  std::string project;
  std::string kind;  // "source", "feature_view", ...
  std::string name;
  std::int64_t version = 0;
  std::string digest;  // SHA-256 of the canonical declaration
  std::string owner;
  json::object declaration;  // as the kind's struct encodes it: defaults filled in
  Timestamp applied_at;
  std::string applied_by;
};
BOOST_DESCRIBE_STRUCT(Resource, (),
                      (project, kind, name, version, digest, owner, declaration, applied_at,
                       applied_by))

enum class Action { create, update, unchanged };
BOOST_DESCRIBE_ENUM(Action, create, update, unchanged)

struct Change {
  std::string kind, name;
  Action action = Action::unchanged;
  std::int64_t version = 0;         // after the change
  std::vector<std::string> fields;  // the top-level fields that differ
};
BOOST_DESCRIBE_STRUCT(Change, (), (kind, name, action, version, fields))

}  // namespace penstock::resources
