#include <charconv>

#include "audit/audit.h"
#include "catalog/store.h"

namespace penstock::catalog {
namespace {

Result<std::int64_t> version_from(const std::string& text) {
  if (text.empty()) return 0;
  std::int64_t number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault == std::errc{} && end == text.data() + text.size() && number > 0) return number;
  return Error{Code::invalid_argument,
               "\"" + text + "\" is no version of a dataset",
               {{"version", "must be a whole number from 1"}}};
}

Result<void> check(const NewDataset& dataset) {
  std::vector<Violation> faults;
  const auto urn = Urn::parse("dataset:" + dataset.name);
  if (!urn || urn->name != dataset.name || dataset.name.find('/') != std::string::npos ||
      dataset.name.size() > 200)
    faults.push_back({"dataset", "must be a name of 1 to 200 letters, digits or . _ -"});
  if (dataset.digest.size() != 64 ||
      dataset.digest.find_first_not_of("0123456789abcdef") != std::string::npos)
    faults.push_back({"digest", "must be a SHA-256 of 64 hex digits"});
  if (dataset.uri.empty()) faults.push_back({"uri", "must say where the rows are"});
  if (faults.empty()) return {};
  std::string message = faults.front().field + " " + faults.front().problem;
  return Error{Code::invalid_argument, std::move(message), std::move(faults)};
}

// A column that has a feature's name is that feature.
Result<void> add_columns(sql::Tx& tx, const Call& call, const Dataset& dataset) {
  if (dataset.feature_schema.empty()) return {};
  const std::string schema = "feature_schema:" + dataset.feature_schema;
  std::vector<Edge> edges;
  for (const DatasetColumn& column : dataset.columns) {
    const std::string feature = column_urn(schema, column.name);
    if (TRY(edges_from(tx, call.project, feature)).empty()) continue;
    edges.push_back({.from_urn = column_urn(dataset.urn(), column.name),
                     .to_urn = feature,
                     .relation = "derived_from",
                     .created_at = dataset.created_at});
  }
  return add_edges(tx, call, std::move(edges));
}

// The schema's version goes on where the columns are others than before.
std::int64_t next_schema(const Dataset& newest, const NewDataset& made) {
  const bool same = encode(newest.columns) == encode(made.columns);
  return newest.schema_version + (same ? 0 : 1);
}

}  // namespace

Result<Dataset> Service::add_dataset(sql::Tx& tx, const Call& call, const NewDataset& made) {
  TRY(check(made));
  const auto same = TRY(store::dataset_of_digest(tx, call.project, made.name, made.digest));
  if (!same.empty()) return same.front();
  const auto newest = TRY(store::dataset(tx, call.project, made.name, 0));
  const Dataset dataset{.project = call.project,
                        .name = made.name,
                        .version = newest.empty() ? 1 : newest.front().version + 1,
                        .digest = made.digest,
                        .uri = made.uri,
                        .row_count = made.row_count,
                        .columns = made.columns,
                        .created_at = clock_.now(),
                        .created_by = call.actor,
                        .query = made.query,
                        .feature_schema = made.feature_schema,
                        .sources = made.sources,
                        .known_as_of = made.known_as_of,
                        .schema_version = newest.empty() ? 1 : next_schema(newest.front(), made),
                        .snapshots = made.snapshots,
                        .inputs_digest = made.inputs_digest,
                        .profile = made.profile};
  TRY(sql::insert(tx, "datasets", dataset));
  for (const std::string& source : dataset.sources)
    TRY(add_edge(tx, call, dataset.created_at, dataset.urn(), source, "made_from"));
  if (!dataset.feature_schema.empty())
    TRY(add_edge(tx, call, dataset.created_at, dataset.urn(),
                 "feature_schema:" + dataset.feature_schema, "reads"));
  TRY(add_columns(tx, call, dataset));
  TRY(audit::record(tx, call, dataset.created_at,
                    {"catalog.dataset.added",
                     dataset.urn(),
                     {{"digest", dataset.digest}, {"row_count", dataset.row_count}}}));
  return dataset;
}

Result<Dataset> Service::add_dataset(const Call& call, const NewDataset& dataset) {
  return db_.write(call, [&](sql::Tx& tx) { return add_dataset(tx, call, dataset); });
}

Result<Dataset> Service::show_dataset(const Call& call, const DatasetName& name) {
  const std::int64_t version = TRY(version_from(name.version));
  return db_.read(call, [&](sql::Tx& tx) -> Result<Dataset> {
    auto found = TRY(store::dataset(tx, call.project, name.name, version));
    if (!found.empty()) return std::move(found.front());
    return Error{Code::not_found, "there is no dataset " + name.name +
                                      (version ? "@" + name.version : "") + " in project " +
                                      call.project};
  });
}

Result<DatasetList> Service::list_datasets(const Call& call, const DatasetQuery& query) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<DatasetList> {
    DatasetList list{TRY(store::datasets(tx, call.project, query.name, query.limit))};
    for (Dataset& dataset : list.datasets) dataset.profile.clear();
    return list;
  });
}

Result<std::optional<Dataset>> find_dataset(sql::Tx& tx, const std::string& project,
                                            const std::string& reference) {
  const auto urn =
      Urn::parse(reference.starts_with("dataset:") ? reference : "dataset:" + reference);
  if (!urn) return std::optional<Dataset>();
  const auto version = version_from(urn->version);
  if (!version) return std::optional<Dataset>();
  auto found = TRY(store::dataset(tx, project, urn->name, *version));
  if (found.empty()) return std::optional<Dataset>();
  return std::optional<Dataset>(std::move(found.front()));
}

Result<std::vector<Dataset>> datasets_named(sql::Tx& tx, const std::string& project,
                                            const std::string& name) {
  return store::datasets(tx, project, name, 100);
}

Result<std::optional<std::string>> dataset_at(sql::Tx& tx, const std::string& project,
                                              const std::string& uri) {
  const auto found = TRY(store::dataset_at(tx, project, uri));
  if (found.empty()) return std::optional<std::string>();
  return std::optional(found.front().urn());
}

}  // namespace penstock::catalog
