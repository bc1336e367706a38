// Runs, logged models and what they read, as nodes and edges of the one graph.
#pragma once

#include "base/urn.h"
#include "tracking/logged_models.h"
#include "tracking/service.h"

namespace penstock::tracking {

// The catalog's dataset that a run read: the version whose digest the client gave (MLflow's digests
// are shorter than ours: a beginning of it will do), else the newest of that name. Nothing where
// the catalog has none of that name.
Result<std::optional<std::string>> catalog_dataset(sql::Tx& tx, const Call& call,
                                                   const DatasetInput& input);
// That, or a dataset that only its reader has named: "dataset:NAME@DIGEST".
Result<std::string> dataset_urn(sql::Tx& tx, const Call& call, const DatasetInput& input);

// For records that name a run: its URN, or nothing where no run has this id.
Result<std::optional<std::string>> run_urn(sql::Tx& tx, const Call& call, const std::string& id);
// The same for "run:ID" as an evaluation: the run must have a metric that is not of its training.
Result<std::optional<std::string>> evaluated_run(sql::Tx& tx, const Call& call,
                                                 const std::string& text);

// What a trace shows of a run or a logged model; empty where it is not known here.
Result<json::object> describe_run(sql::Tx& tx, const Call& call, const Urn& urn);
Result<json::object> describe_logged_model(sql::Tx& tx, const Call& call, const Urn& urn);

}  // namespace penstock::tracking
