// The data that a version was trained on, in bins.
#pragma once

#include "monitor/store.h"
#include "ports/olap.h"

namespace penstock::monitor {

// The dataset of a version's record; nothing where the version, its dataset or its file is not
// known.
struct TrainingData {
  std::string urn, uri;
};
Result<std::optional<TrainingData>> training_data_of(sql::Tx& tx, const std::string& project,
                                                     const std::string& model,
                                                     std::int64_t version);

// Edges of each named column at its quantiles; none for a column that the dataset has not, or in
// which there are no numbers.
Result<std::vector<std::optional<std::vector<double>>>> edges_of(
    olap::Session& session, const TrainingData& data, const std::vector<std::string>& names);

// Whether every named column that the dataset has numbers for has edges.
Result<bool> can_count(olap::Session& session, const TrainingData& data,
                       const std::vector<std::string>& names,
                       const std::vector<std::optional<std::vector<double>>>& edges);

// How many rows fall in each bin of each named column; empty where the column or its edges are
// missing.
Result<std::vector<Counts>> counts_of(olap::Session& session, const TrainingData& data,
                                      const std::vector<std::string>& names,
                                      const std::vector<std::optional<std::vector<double>>>& edges);

}  // namespace penstock::monitor
