#include "serving/joins.h"

#include <algorithm>
#include <set>

#include "catalog/classes.h"
#include "features/join.h"
#include "features/values.h"
#include "registry/service.h"
#include "resources/service.h"
#include "serving/route.h"
#include "serving/runtimes.h"

namespace penstock::serving {
namespace {

char letter_of(features::Status status) {
  switch (status) {
    case features::Status::PRESENT: return 'P';
    case features::Status::NULL_VALUE: return 'N';
    case features::Status::NOT_FOUND: return 'M';
    case features::Status::OUTSIDE_MAX_AGE: return 'O';
  }
  return '?';
}

std::string letters_of(const std::vector<features::Status>& statuses) {
  std::string out;
  out.reserve(statuses.size());
  for (const features::Status status : statuses) out += letter_of(status);
  if (!out.empty() && out.find_first_not_of(out.front()) == std::string::npos) out.resize(1);
  return out;
}

// The sources upstream of `urn`, by name.
Result<std::set<std::string>> sources_of(catalog::Service& catalog, const Call& call,
                                         const std::string& urn) {
  const auto trace = TRY(catalog.trace(call, {.urn = urn, .depth = 100, .limit = 5'000}));
  if (trace.truncated) return Error{Code::resource_exhausted, urn + " has too much upstream"};
  std::set<std::string> out;
  for (const catalog::TraceNode& node : trace.nodes)
    if (node.kind == "source") {
      const std::string name = node.urn.substr(node.urn.find(':') + 1);
      out.insert(name.substr(0, name.find_first_of("@#")));
    }
  return out;
}

// Of the columns of each name, over these sources.
Result<std::map<std::string, catalog::Classification>> columns_of(
    sql::Database& db, const Call& call, const std::set<std::string>& sources) {
  return db.read(call, [&](sql::Tx& tx) -> Result<std::map<std::string, catalog::Classification>> {
    std::map<std::string, catalog::Classification> out;
    for (const std::string& name : sources) {
      const auto source =
          TRY(resources::declared<catalog::Source>(tx, call.project, "source", name));
      for (const catalog::ColumnClass& column :
           TRY(catalog::column_classes(tx, call.project, source))) {
        auto& is = out.emplace(column.column, column.classification).first->second;
        is = std::max(is, column.classification);
      }
    }
    return out;
  });
}

}  // namespace

ClassFinder classes_of(sql::Database& db, catalog::Service& catalog) {
  return [&db, &catalog](const Call& call, const RouteDeclaration& route,
                         const OpenSchema& features) -> Result<Classes> {
    const std::string urn = "feature_schema:" + features.reference;
    Classes out;
    for (const std::string& feature : features.names) {
      const auto trace =
          TRY(catalog.trace(call, {.urn = catalog::column_urn(urn, feature), .depth = 0}));
      const auto is = trace.nodes.empty() ? std::nullopt : trace.nodes.front().classification;
      out.features.push_back(is.value_or(catalog::Classification::restricted));
    }
    const auto columns = TRY(columns_of(db, call, TRY(sources_of(catalog, call, urn))));
    for (const std::string& key : route.entity_keys)
      if (const auto found = columns.find(key); found != columns.end())
        out.entities[key] = found->second;
    return out;
  };
}

SchemaOpener schemas_of(features::Service& features) {
  return [&features](const Call& call, const std::string& schema) -> Result<OpenSchema> {
    const auto handle = TRY(features.open_schema(call, schema));
    TRY(features::check_numbers(*handle));
    const auto read = [&features, handle](const Entities& entities,
                                          Timestamp as_of) -> Result<FeatureRow> {
      auto found = TRY(features.read(*handle, entities, as_of));
      FeatureRow row;
      row.statuses = letters_of(found.statuses);
      row.times = std::move(found.event_times);
      row.values.reserve(found.values.size());
      for (std::size_t i = 0; i < found.values.size(); ++i)
        row.values.push_back(features::as_number(handle->types[i], found.values[i]));
      if (found.oldest)
        row.oldest_seconds = static_cast<double>((as_of - *found.oldest).count()) * 1e-6;
      return row;
    };
    OpenSchema out{handle->reference(), handle->names, read};
    for (const features::FeatureInput& input : handle->inputs) {
      out.inputs.push_back(input.name);
      if (input.nullable) out.optional_inputs.push_back(input.name);
    }
    return out;
  };
}

HistoricalJoin historical_of(features::Service& features) {
  return [&features](const Call& call, olap::Session& session, const std::string& schema,
                     const std::string& rows) {
    return features.historical_statement(call, session, schema, rows);
  };
}

namespace {

constexpr const char* row_column = "graph_row";

// The rows as a SELECT: their number, their instant, and each key and input as its type.
Result<std::string> rows_statement(const features::SchemaHandle& schema,
                                   const std::vector<Entities>& rows,
                                   const std::vector<Timestamp>& as_of) {
  std::string casts, names;
  std::vector<std::string> columns;
  const auto add = [&](const std::string& name, std::string cast) {
    if (std::find(columns.begin(), columns.end(), name) != columns.end()) return;
    columns.push_back(name);
    const std::string quoted = olap::quoted_name(name);
    casts += ", " + std::move(cast) + " AS " + quoted;
    names += ", " + quoted;
  };
  for (const catalog::JoinKey& key : schema.keys)
    add(key.name, "CAST(" + olap::quoted_name(key.name) + " AS " +
                      std::string(features::key_type(key.type)) + ")");
  const std::size_t keys = columns.size();
  for (const features::FeatureInput& input : schema.inputs)
    add(input.name, features::cast_sql({.name = input.name, .type = input.type},
                                       olap::quoted_name(input.name)));
  std::string values;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    values += (row == 0 ? "(" : ", (") + std::to_string(row) + ", " +
              std::to_string(as_of.at(row).time_since_epoch().count());
    for (std::size_t at = 0; at < columns.size(); ++at) {
      const auto found = rows[row].find(columns[at]);
      if (found == rows[row].end() && at < keys)
        return Error{Code::invalid_argument, "entity " + columns[at] + " is missing"};
      values += found == rows[row].end() ? ", CAST(NULL AS VARCHAR)"
                                         : ", " + olap::quoted_text(found->second);
    }
    values += ")";
  }
  return "SELECT " + std::string(row_column) + ", make_timestamp(graph_micros) AS event_time" +
         casts + " FROM (VALUES " + values + ") t(" + row_column + ", graph_micros" + names + ")";
}

}  // namespace

HistoricalReader historical_reader_of(features::Service& features) {
  return [&features](const Call& call, olap::Session& session, const std::string& schema,
                     const std::vector<Entities>& rows, const std::vector<Timestamp>& as_of)
             -> Result<std::vector<std::vector<std::optional<double>>>> {
    std::vector<std::vector<std::optional<double>>> out;
    if (rows.empty()) return out;
    const auto handle = TRY(features.open_schema(call, schema));
    const std::string joined = TRY(features.historical_statement(
        call, session, schema, TRY(rows_statement(*handle, rows, as_of))));
    std::string names;
    for (const std::string& name : handle->names)
      names += (names.empty() ? "" : ", ") + olap::quoted_name(name);
    const auto found =
        TRY(session.query("SELECT " + names + " FROM (" + joined + ") ORDER BY " + row_column));
    if (found.rows.size() != rows.size())
      return Error{Code::internal, "the join gave " + std::to_string(found.rows.size()) +
                                       " rows for " + std::to_string(rows.size())};
    for (const auto& row : found.rows) {
      auto& numbers = out.emplace_back();
      for (const Scalar& value : row) {
        if (const auto* real = std::get_if<double>(&value))
          numbers.emplace_back(*real);
        else if (const auto* whole = std::get_if<std::int64_t>(&value))
          numbers.emplace_back(static_cast<double>(*whole));
        else if (const auto* truth = std::get_if<bool>(&value))
          numbers.emplace_back(*truth ? 1 : 0);
        else
          numbers.emplace_back(std::nullopt);
      }
    }
    return out;
  };
}

namespace {

Result<Artifact> artifact_of(registry::Artifacts& artifacts, registry::Signatures& signatures,
                             sql::Tx& tx, const Call& call, const std::string& model,
                             std::int64_t version);

// What the nodes of a graph ask: versions that are none.
Result<void> find_parts(registry::Artifacts& artifacts, registry::Signatures& signatures,
                        sql::Tx& tx, const Call& call, Artifact& out) {
  for (const graphs::TableNode& node : out.table->nodes) {
    if (node.kind != graphs::TableNodeKind::model) continue;
    const auto name = TRY(graphs::model_of(node));
    const auto unfit = [&](const std::string& why) {
      return Error{Code::failed_precondition,
                   "node " + node.name + " of its graph names " + *node.model + ", which " + why};
    };
    const auto found = artifact_of(artifacts, signatures, tx, call, name.model, name.version);
    if (!found) return unfit("cannot be served: " + found.error().message);
    if (found->table || found->runtime == "openai")
      return unfit("is of runtime " + found->runtime + "; a node asks onnx, python or kserve");
    out.parts.push_back({node.name, name.model, name.version, found->path, found->digest,
                         found->runtime, found->remote, found->upstream});
  }
  return {};
}

Result<Artifact> artifact_of(registry::Artifacts& artifacts, registry::Signatures& signatures,
                             sql::Tx& tx, const Call& call, const std::string& model,
                             std::int64_t version) {
  const auto record = TRY(registry::version(tx, call.project, model, version)).record;
  TRY(signatures.require(tx, call, model, record.artifact_uri));
  const auto unfit = [&](const std::string& why) {
    return Error{Code::failed_precondition, "the artifact of model:" + model + "@v" +
                                                std::to_string(version) +
                                                " cannot be served: " + why};
  };
  const auto execution = execution_of(tx, call, artifacts, record);
  if (!execution) return unfit(execution.error().message);
  Artifact out{.digest = record.artifact_uri,
               .runtime = execution->runtime,
               .remote = execution->remote,
               .upstream = execution->upstream,
               .graph = execution->graph,
               .table = execution->table};
  if (out.table)
    if (const auto found = find_parts(artifacts, signatures, tx, call, out); !found)
      return unfit(found.error().message);
  if (out.remote || out.table) return out;
  const auto path = artifacts.file(
      record.artifact_uri, execution->file.empty() ? std::string("model.onnx") : execution->file);
  if (!path) return unfit(path.error().message);
  out.path = out.runtime == "python" ? path->substr(0, path->rfind('/')) : *path;
  return out;
}

}  // namespace

ArtifactFinder artifacts_of(registry::Artifacts& artifacts, registry::Signatures& signatures) {
  return [&artifacts, &signatures](sql::Tx& tx, const Call& call, const std::string& model,
                                   std::int64_t version) {
    return artifact_of(artifacts, signatures, tx, call, model, version);
  };
}

registry::RecordCheck runtime_check_of(registry::Artifacts& artifacts) {
  return [&artifacts](sql::Tx& tx, const Call& call, registry::Record& record) -> Result<void> {
    const Execution execution = TRY(execution_of(tx, call, artifacts, record));
    if (execution.remote || execution.table) record.runtime = execution.runtime;
    return {};
  };
}

}  // namespace penstock::serving
