#include "lineage/own_datasets.h"

#include <algorithm>
#include <array>

namespace penstock::lineage {
namespace {

std::string space_of(const Call& call) { return "penstock:" + call.project; }

// Names and types, as declarations and datasets have them.
struct Field {
  std::string name, type, description;
};

std::string text_in(const json::value& in, std::string_view field) {
  const json::value* found = in.is_object() ? in.get_object().if_contains(field) : nullptr;
  return found && found->is_string() ? std::string(found->get_string()) : std::string();
}

const json::array* list_in(const json::object& in, std::string_view field) {
  const json::value* found = in.if_contains(field);
  return found && found->is_array() ? &found->get_array() : nullptr;
}

std::vector<Field> declared_fields(const json::object& declaration, std::string_view list) {
  std::vector<Field> fields;
  if (const json::array* columns = list_in(declaration, list))
    for (const json::value& column : *columns)
      fields.push_back(
          {text_in(column, "name"), text_in(column, "type"), text_in(column, "description")});
  return fields;
}

// A schema names features of views; their types stand there.
Result<std::vector<Field>> features_of(sql::Tx& tx, const Call& call,
                                       const json::object& declaration) {
  std::vector<Field> fields;
  const json::array* features = list_in(declaration, "features");
  const json::value* pins = declaration.if_contains("views");
  if (!features) return fields;
  for (const json::value& feature : *features) {
    const std::string view = text_in(feature, "view"), name = text_in(feature, "feature"),
                      renamed = text_in(feature, "name");
    const json::value* pin =
        pins && pins->is_object() ? pins->get_object().if_contains(view) : nullptr;
    Field field{.name = renamed.empty() ? name : renamed};
    const auto declared = resources::get(tx, call.project, "feature_view", view,
                                         pin && pin->is_int64() ? pin->get_int64() : 0);
    if (!declared && declared.error().code != Code::not_found) return declared.error();
    if (declared)
      for (const Field& of_view : declared_fields(declared->declaration, "features"))
        if (of_view.name == name) field.type = of_view.type;
    fields.push_back(std::move(field));
  }
  return fields;
}

void put_schema(const std::vector<Field>& fields, json::object& facets) {
  json::array list;
  for (const Field& field : fields) {
    json::object said{{"name", field.name}};
    if (!field.type.empty()) said["type"] = field.type;
    if (!field.description.empty()) said["description"] = field.description;
    list.push_back(std::move(said));
  }
  if (!list.empty())
    facets["schema"] = standard_facet("1-2-0/SchemaDatasetFacet.json", "SchemaDatasetFacet",
                                      {{"fields", std::move(list)}});
}

json::object version_facet(const std::string& digest) {
  return standard_facet("1-0-1/DatasetVersionDatasetFacet.json", "DatasetVersionDatasetFacet",
                        {{"datasetVersion", digest}});
}

// An edge that ends at a column, as the input that it names.
std::optional<json::value> input_field(const Call& call, const catalog::Edge& edge) {
  const catalog::ColumnUrn column = catalog::column_urn(edge.to_urn);
  if (column.column.empty()) return {};
  const std::string type = text_in(edge.detail, "type"), subtype = text_in(edge.detail, "subtype");
  json::object transformation{
      {"type", type.empty() ? edge.relation == "derived_from" ? "DIRECT" : "INDIRECT" : type},
      {"masking", edge.masking}};
  if (!subtype.empty()) transformation["subtype"] = subtype;
  return json::object{{"namespace", space_of(call)},
                      {"name", column.object},
                      {"field", column.column},
                      {"transformations", json::array{std::move(transformation)}}};
}

Result<json::array> inputs_of(sql::Tx& tx, const Call& call, const std::string& urn) {
  json::array inputs;
  for (const catalog::Edge& edge : TRY(catalog::edges_from(tx, call.project, urn)))
    if (auto input = input_field(call, edge)) inputs.push_back(std::move(*input));
  return inputs;
}

Result<void> put_column_lineage(sql::Tx& tx, const Call& call, const std::string& urn,
                                const std::vector<Field>& fields, json::object& facets) {
  json::object by_field;
  for (const Field& field : fields) {
    json::array inputs = TRY(inputs_of(tx, call, catalog::column_urn(urn, field.name)));
    if (!inputs.empty()) by_field[field.name] = {{"inputFields", std::move(inputs)}};
  }
  json::array beside = TRY(inputs_of(tx, call, urn));
  if (by_field.empty() && beside.empty()) return {};
  json::object facet{{"fields", std::move(by_field)}};
  if (!beside.empty()) facet["dataset"] = std::move(beside);
  facets["columnLineage"] = standard_facet("1-2-0/ColumnLineageDatasetFacet.json",
                                           "ColumnLineageDatasetFacet", std::move(facet));
  return {};
}

// What is known of a declared thing's columns; its owner and its place go into `facets`.
Result<std::vector<Field>> describe_declared(sql::Tx& tx, const Call& call,
                                             catalog::Service& catalog, const Urn& urn,
                                             json::object& facets) {
  const auto resource =
      resources::get(tx, call.project, urn.kind, urn.name, std::atoll(urn.version.c_str()));
  if (!resource) {
    if (resource.error().code == Code::not_found) return std::vector<Field>();
    return resource.error();
  }
  if (!resource->owner.empty())
    facets["ownership"] = standard_facet(
        "1-0-1/OwnershipDatasetFacet.json", "OwnershipDatasetFacet",
        {{"owners", json::array{json::object{{"name", resource->owner}, {"type", "OWNER"}}}}});
  const json::object& declaration = resource->declaration;
  if (urn.kind == "feature_schema") return features_of(tx, call, declaration);
  if (urn.kind == "feature_view") return declared_fields(declaration, "features");
  if (urn.kind != "source") return std::vector<Field>();
  if (const std::string path = text_in(declaration, "path"); !path.empty())
    if (const auto local = catalog.local_path(path))
      facets["symlinks"] = standard_facet(
          "1-0-1/SymlinksDatasetFacet.json", "SymlinksDatasetFacet",
          {{"identifiers", json::array{json::object{
                               {"namespace", "file"}, {"name", *local}, {"type", "LOCATION"}}}}});
  return declared_fields(declaration, "columns");
}

}  // namespace

json::object standard_facet(std::string_view file, std::string_view name, json::object fields) {
  fields["_producer"] = producer;
  fields["_schemaURL"] =
      "https://openlineage.io/spec/facets/" + std::string(file) + "#/$defs/" + std::string(name);
  return fields;
}

json::object own_facet(std::string_view name, json::object fields) {
  fields["_producer"] = producer;
  fields["_schemaURL"] = "urn:penstock:openlineage:facet:1-0-0:" + std::string(name);
  return fields;
}

bool is_data(std::string_view kind) {
  constexpr std::array kinds{"source", "dataset", "feature_view", "feature_schema",
                             "model",  "batch",   "evaluation",   "route"};
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

Result<json::object> own_dataset(sql::Tx& tx, const Call& call, catalog::Service& catalog,
                                 const std::string& urn, Side side) {
  json::object facets;
  std::vector<Field> fields;
  const auto parsed = Urn::parse(urn);
  if (parsed && parsed->kind == "dataset") {
    if (const auto dataset = TRY(catalog::find_dataset(tx, call.project, urn))) {
      for (const auto& column : dataset->columns) fields.push_back({column.name, column.type, ""});
      facets["version"] = version_facet(dataset->digest);
    }
  } else if (parsed) {
    fields = TRY(describe_declared(tx, call, catalog, *parsed, facets));
  }
  put_schema(fields, facets);
  if (side == Side::output) TRY(put_column_lineage(tx, call, urn, fields, facets));
  return json::object{{"namespace", space_of(call)}, {"name", urn}, {"facets", std::move(facets)}};
}

json::object step_output(const Call& call, const std::string& pipeline, const std::string& name,
                         const std::string& digest) {
  return json::object{{"namespace", space_of(call)},
                      {"name", "artifact:" + pipeline + "/" + name},
                      {"facets", {{"version", version_facet(digest)}}}};
}

}  // namespace penstock::lineage
