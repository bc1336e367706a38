#include "features/changes.h"

#include <algorithm>
#include <set>

namespace penstock::features {
namespace {

constexpr std::int64_t versions_max = 100;
constexpr std::size_t users_shown = 20;

// The two types say the same names for the same things.
std::optional<catalog::ColumnType> column_type(FeatureType type) {
  catalog::ColumnType out{};
  return Kind<catalog::ColumnType>::hear(std::string(name_of(type)), out) ? std::optional(out)
                                                                          : std::nullopt;
}

bool reads_as(FeatureType writer, FeatureType reader) {
  if (writer == reader) return true;
  const auto from = column_type(writer), to = column_type(reader);
  return from && to && catalog::reads_as(*from, *to);
}

struct Fault {
  std::string field, what;
};

std::string text(FeatureType type) { return std::string(name_of(type)); }

// Faults are in terms of the newer declaration. Forward: who reads by `before` reads rows of
// `after`; backward: the other way round.
std::vector<Fault> faults_between(const FeatureView& before, const FeatureView& after,
                                  catalog::Compatibility mode) {
  std::vector<Fault> out;
  if (before.entity != after.entity)
    out.push_back({"entity", "was " + before.entity + " and is " + after.entity +
                                 ": rows of one are found by keys of the other"});
  for (const Feature& old : before.features) {
    const auto now = std::ranges::find(after.features, old.name, &Feature::name);
    if (now == after.features.end()) {
      if (catalog::asks_forward(mode))
        out.push_back({"features", "lack " + old.name + ", which was there"});
      continue;
    }
    const bool forward = catalog::asks_forward(mode) && !reads_as(now->type, old.type);
    const bool backward = catalog::asks_backward(mode) && !reads_as(old.type, now->type);
    if (forward || backward)
      out.push_back({"features[" + std::to_string(now - after.features.begin()) + "].type",
                     old.name + " was " + text(old.type) + " and is " + text(now->type)});
  }
  return out;
}

}  // namespace

Result<std::vector<std::string>> users_of_view(sql::Tx& tx, const Call& call,
                                               const std::string& view, std::int64_t newest) {
  std::set<std::string> users, schemas;
  for (std::int64_t version = newest; version > 0 && newest - version < versions_max; --version)
    for (const catalog::Edge& edge : TRY(catalog::edges_to(
             tx, call.project, "feature_view:" + view + "@" + std::to_string(version))))
      if (edge.from_urn.starts_with("feature_schema:") &&
          edge.from_urn.find('#') == std::string::npos)
        schemas.insert(edge.from_urn);
  for (const std::string& schema : schemas) {
    users.insert(schema);
    for (const catalog::Edge& edge : TRY(catalog::edges_to(tx, call.project, schema)))
      if (edge.from_urn.find('#') == std::string::npos) users.insert(edge.from_urn);
  }
  // A route reads the newest version of its schema, or the one that it names.
  for (const auto& route : TRY(resources::list(tx, call.project, "route"))) {
    const json::value* said = route.declaration.if_contains("feature_schema");
    if (!said || !said->is_string() || said->get_string().empty()) continue;
    const std::string name = "feature_schema:" + std::string(said->get_string());
    if (std::ranges::any_of(schemas, [&](const std::string& schema) {
          return schema == name || schema.starts_with(name + "@");
        }))
      users.insert("route:" + route.name);
  }
  std::vector<std::string> out(users.begin(), users.end());
  if (out.size() > users_shown) {
    const std::size_t more = out.size() - users_shown;
    out.resize(users_shown);
    out.push_back("and " + std::to_string(more) + " more");
  }
  return out;
}

Result<std::vector<Violation>> forbidden_changes(sql::Tx& tx, const Call& call,
                                                 const FeatureView& after) {
  std::vector<Violation> out;
  if (after.compatibility == catalog::Compatibility::none) return out;
  const auto newest = resources::get(tx, call.project, "feature_view", after.name);
  if (!newest) {
    if (newest.error().code == Code::not_found) return out;
    return newest.error();
  }
  std::string users;
  for (std::int64_t version = newest->version;
       version > 0 && newest->version - version < versions_max; --version) {
    if (version != newest->version && !catalog::is_transitive(after.compatibility)) break;
    const auto before = TRY(
        resources::declared<FeatureView>(tx, call.project, "feature_view", after.name, version));
    for (const Fault& fault : faults_between(before, after, after.compatibility)) {
      if (users.empty()) {
        for (const std::string& user : TRY(users_of_view(tx, call, after.name, newest->version)))
          users += (users.empty() ? "" : ", ") + user;
        if (users.empty()) users = "no schema";
      }
      out.push_back({fault.field,
                     fault.what + " in version " + std::to_string(version) + " (compatibility: " +
                         std::string(name_of(after.compatibility)) + "; used by " + users +
                         "): give the changed view another name, or say compatibility: none, and "
                         "those who pinned a version keep it"});
    }
  }
  return out;
}

}  // namespace penstock::features
