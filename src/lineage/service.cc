#include "lineage/service.h"

#include "lineage/names.h"
#include "lineage/store.h"

namespace penstock::lineage {
namespace {

using Described = std::map<std::string, json::object>;

bool is_deleted(const json::object& facet) {
  const json::value* mark = facet.if_contains("_deleted");
  return mark && mark->is_bool() && mark->get_bool();
}

std::string text_in(const json::object& in, std::string_view key) {
  const json::value* found = in.if_contains(key);
  return found && found->is_string() ? std::string(found->get_string()) : std::string();
}

const json::array* list_in(const json::object& in, std::string_view key) {
  const json::value* found = in.if_contains(key);
  return found && found->is_array() ? &found->get_array() : nullptr;
}

// {"name": "team:data", "type": "OWNER"}: the first one named.
std::string owner_in(const json::object& facet) {
  if (const json::array* owners = list_in(facet, "owners"))
    for (const json::value& owner : *owners)
      if (owner.is_object())
        if (std::string name = text_in(owner.get_object(), "name"); !name.empty()) return name;
  return {};
}

// "key:value", with the column before it where the tag is a column's.
json::array tags_in(const json::object& facet) {
  json::array tags;
  if (const json::array* list = list_in(facet, "tags"))
    for (const json::value& tag : *list) {
      if (!tag.is_object()) continue;
      const json::object& said = tag.get_object();
      std::string text = text_in(said, "key");
      if (const std::string value = text_in(said, "value"); !value.empty()) text += ":" + value;
      if (const std::string field = text_in(said, "field"); !field.empty())
        text = field + " " + text;
      tags.push_back(json::value(text));
    }
  return tags;
}

void describe(json::object& node, const store::Facet& facet) {
  if (!facet.body.is_object() || is_deleted(facet.body.get_object())) return;
  const json::object& body = facet.body.get_object();
  if (facet.name == "ownership") {
    if (const std::string owner = owner_in(body); !owner.empty()) node["owner"] = owner;
  } else if (facet.name == "documentation") {
    if (const std::string text = text_in(body, "description"); !text.empty())
      node["summary"] = text;
  } else if (facet.name == "tags") {
    if (json::array tags = tags_in(body); !tags.empty()) node["external_tags"] = std::move(tags);
  } else if (facet.name == "lifecycleStateChange") {
    node["state"] = text_in(body, "lifecycleStateChange");
  } else if (facet.name == "sourceCodeLocation") {
    if (const std::string url = text_in(body, "url"); !url.empty()) node["code"] = url;
    if (const std::string version = text_in(body, "version"); !version.empty())
      node["code_version"] = version;
  } else if (facet.name == "version") {
    node["version"] = text_in(body, "datasetVersion");
  }
}

Result<Described> describe_many(sql::Tx& tx, const Call& call,
                                const std::vector<std::string>& urns) {
  static const std::vector<std::string> told = {
      "ownership", "documentation",        "tags",
      "version",   "lifecycleStateChange", "sourceCodeLocation"};
  Described out;
  for (const store::StoredName& name : TRY(store::names_of(tx, call.project, urns))) {
    json::object& node = out[name.urn];
    const json::object said{{"namespace", name.namespace_}, {"name", name.name}};
    if (node.empty()) {
      node = said;
      node["summary"] = name.namespace_ + " " + name.name;
    } else {
      node.emplace("also", json::array()).first->value().as_array().push_back(said);
    }
  }
  for (const store::Facet& facet : TRY(store::facets(tx, call.project, urns, told)))
    describe(out[facet.subject], facet);
  return out;
}

// Runs of others are rows, not nodes: a job that runs each minute would bury the graph.
Result<std::vector<catalog::Edge>> edges_of_run(sql::Tx& tx, const Call& call, const Urn& urn) {
  std::vector<catalog::Edge> edges;
  const auto run = TRY(store::run(tx, call.project, urn.name));
  if (!run) return edges;
  const auto add = [&](const std::string& to, const std::string& relation) {
    edges.push_back({call.project, urn.text(), to, relation, run->started_at});
  };
  add(run->job, "run_of");
  for (const store::RunDataset& one : TRY(store::run_datasets(tx, call.project, run->id)))
    if (one.direction == "input") add(one.dataset, "reads");
  return edges;
}

}  // namespace

Result<json::object> describe_run(sql::Tx& tx, const Call& call, const Urn& urn) {
  const auto run = TRY(store::run(tx, call.project, urn.name));
  if (!run) return json::object{};
  json::object said{{"summary", run->state + ", began " + to_rfc3339(run->started_at)},
                    {"state", run->state}};
  if (!run->parent.empty()) said["parent"] = "run:" + run->parent;
  return said;
}

void Service::describe_nodes() {
  catalog_.describe_many_with(describe_many);
  catalog_.describe_with("run", describe_run);  // where no runs of our own are described, too
  catalog_.derive_edges_with("run", edges_of_run);
}

Result<void> Service::sources_declared(const Call& call, const std::vector<std::string>& names) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    Names known(tx, call, catalog_, clock_.now());
    for (const auto& source : TRY(catalog::sources_named(tx, call.project, names)))
      TRY(known.declared(source.urn(), source.source.path));
    return {};
  });
}

}  // namespace penstock::lineage
