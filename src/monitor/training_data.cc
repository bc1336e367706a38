#include "monitor/training_data.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "catalog/service.h"
#include "registry/service.h"

namespace penstock::monitor {
namespace {

std::string rows_of(const TrainingData& data) {
  return "read_parquet(" + olap::quoted_text(data.uri) + ")";
}

// Numbers and booleans alone: a text that looks like a number is none.
Result<std::set<std::string>> numeric_columns(olap::Session& session, const TrainingData& data) {
  std::set<std::string> out;
  for (const olap::Column& column : TRY(session.describe("SELECT * FROM " + rows_of(data))))
    if (column.type == olap::Type::real || column.type == olap::Type::bigint ||
        column.type == olap::Type::boolean || column.type == olap::Type::decimal)
      out.insert(column.name);
  return out;
}

std::string number_of(const std::string& name) {
  return "CAST(" + olap::quoted_name(name) + " AS DOUBLE)";
}

}  // namespace

Result<std::optional<TrainingData>> training_data_of(sql::Tx& tx, const std::string& project,
                                                     const std::string& model,
                                                     std::int64_t version) {
  const auto found = registry::version(tx, project, model, version);
  if (!found) {
    if (found.error().code == Code::not_found) return std::optional<TrainingData>();
    return found.error();
  }
  for (const registry::Reference& reference : found->record_references) {
    if (reference.field != "training_data" || reference.urn.empty()) continue;
    const auto dataset = TRY(catalog::find_dataset(tx, project, reference.urn));
    if (dataset) return std::optional(TrainingData{dataset->urn(), dataset->uri});
  }
  return std::optional<TrainingData>();
}

Result<std::vector<std::optional<std::vector<double>>>> edges_of(
    olap::Session& session, const TrainingData& data, const std::vector<std::string>& names) {
  std::vector<std::optional<std::vector<double>>> out(names.size());
  const auto numeric = TRY(numeric_columns(session, data));
  for (std::size_t at = 0; at < names.size(); ++at) {
    if (!numeric.contains(names[at])) continue;
    const std::string column = number_of(names[at]);
    std::string columns;
    for (std::size_t k = 1; k < bins_max; ++k)
      columns +=
          "quantile_disc(v, " + std::to_string(k) + ".0 / " + std::to_string(bins_max) + "), ";
    const auto row = TRY(session.query("SELECT " + columns + "max(v) FROM (SELECT " + column +
                                       " AS v FROM " + rows_of(data) + ") WHERE isfinite(v)"));
    const auto* greatest = std::get_if<double>(&row.rows.at(0).back());
    if (!greatest) continue;
    std::vector<double> edges;
    for (std::size_t k = 0; k + 1 < row.rows[0].size(); ++k) {
      const double edge = std::get<double>(row.rows[0][k]);
      if (edge < *greatest && (edges.empty() || edges.back() < edge)) edges.push_back(edge);
    }
    out[at] = std::move(edges);
  }
  return out;
}

Result<bool> can_count(olap::Session& session, const TrainingData& data,
                       const std::vector<std::string>& names,
                       const std::vector<std::optional<std::vector<double>>>& edges) {
  const auto numeric = TRY(numeric_columns(session, data));
  for (std::size_t at = 0; at < std::min(names.size(), edges.size()); ++at)
    if (!edges[at] && numeric.contains(names[at])) return false;
  return true;
}

Result<std::vector<Counts>> counts_of(
    olap::Session& session, const TrainingData& data, const std::vector<std::string>& names,
    const std::vector<std::optional<std::vector<double>>>& edges) {
  std::vector<Counts> out(names.size());
  const auto numeric = TRY(numeric_columns(session, data));
  std::string columns;
  std::vector<std::size_t> counted;  // by column of the query
  for (std::size_t at = 0; at < std::min(names.size(), edges.size()); ++at) {
    if (!edges[at] || !numeric.contains(names[at])) continue;
    counted.push_back(at);
    out[at].resize(edges[at]->size() + 1);
    columns += (columns.empty() ? "" : ", ") + number_of(names[at]);
  }
  if (counted.empty()) return out;
  const auto streamed =
      session.stream("SELECT " + columns + " FROM " + rows_of(data), {},
                     [&](const olap::Chunk& chunk) -> Result<void> {
                       for (std::size_t column = 0; column < counted.size(); ++column) {
                         const auto& values = chunk.columns[column];
                         const std::size_t at = counted[column];
                         for (std::size_t row = 0; row < chunk.rows; ++row)
                           if (values.valid[row] && std::isfinite(values.real[row]))
                             ++out[at][bin_of(*edges[at], values.real[row])];
                       }
                       return {};
                     });
  if (!streamed) return streamed.error();
  return out;
}

}  // namespace penstock::monitor
