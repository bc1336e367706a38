// What serving needs of its neighbours: features as of an instant, and a version's artifact.
#pragma once

#include <functional>

#include "base/call.h"
#include "graphs/graph.h"
#include "graphs/table_graph.h"
#include "ports/olap.h"
#include "ports/sql.h"
#include "serving/upstream.h"

namespace penstock::serving {

using Entities = std::map<std::string, std::string>;  // join keys, as the caller gave them

struct FeatureRow {
  std::vector<std::optional<double>> values;  // in the schema's order; none is missing
  std::optional<double> oldest_seconds;       // instant asked minus the oldest event time read
  std::string statuses;                       // as InferenceEvent::feature_statuses
  std::vector<std::optional<Timestamp>> times;
};

// A feature schema that was opened for reading; safe from several threads.
struct OpenSchema {
  std::string reference;           // "features_v1@1"
  std::vector<std::string> names;  // of the features, in order
  std::function<Result<FeatureRow>(const Entities& entities, Timestamp as_of)> read;
  // Values of the request that its transforms read: they come beside the join keys.
  std::vector<std::string> inputs = {};
  std::vector<std::string> optional_inputs = {};  // of them, those that may be left out
};

// not_found where the schema is not declared in the call's project.
using SchemaOpener = std::function<Result<OpenSchema>(const Call& call, const std::string& schema)>;

// A statement that gives every column of `rows` (a statement with `event_time` and the schema's
// join keys) and one DOUBLE column for each feature, each as of its row's event_time, and
// `oldest_event_time`.
using HistoricalJoin = std::function<Result<std::string>(
    const Call& call, olap::Session& session, const std::string& schema, const std::string& rows)>;

// The numbers of a schema for each of `rows` (join keys and inputs), as of its own instant and as
// the join above has them. invalid_argument where a row lacks a key.
using HistoricalReader = std::function<Result<std::vector<std::vector<std::optional<double>>>>(
    const Call& call, olap::Session& session, const std::string& schema,
    const std::vector<Entities>& rows, const std::vector<Timestamp>& as_of)>;

// The artifact of a version that a node of a graph asks; no graph itself.
struct PartArtifact {
  std::string node, model;
  std::int64_t version = 0;
  std::string path, digest, runtime;
  std::optional<RemoteModel> remote = {};
  std::optional<UpstreamDeclaration> upstream = {};
};
BOOST_DESCRIBE_STRUCT(PartArtifact, (),
                      (node, model, version, path, digest, runtime, remote, upstream))

struct Artifact {
  std::string path;  // on the local disk: the ONNX file, the folder of MLmodel; none of remote ones
  std::string digest;            // of its bytes or its directory: one digest, one loaded model
  std::string runtime = "onnx";  // onnx, python, kserve, openai, graph
  std::optional<RemoteModel> remote = {};
  std::optional<UpstreamDeclaration> upstream = {};    // that `remote` names, as it is declared now
  std::optional<graphs::GraphDeclaration> graph = {};  // before a call to a language model
  std::optional<graphs::TableGraph> table = {};        // of runtime graph, and what its nodes ask
  std::vector<PartArtifact> parts = {};
};
BOOST_DESCRIBE_STRUCT(Artifact, (), (path, digest, runtime, remote, upstream, graph, table, parts))

// not_found where the version does not exist, failed_precondition where its artifact is not there.
using ArtifactFinder = std::function<Result<Artifact>(
    sql::Tx& tx, const Call& call, const std::string& model, std::int64_t version)>;

}  // namespace penstock::serving
