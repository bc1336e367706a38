// What executes a version: found from its artifact's files, and what its record says of it.
#pragma once

#include "registry/artifacts.h"
#include "registry/version.h"
#include "serving/seams.h"

namespace penstock::serving {

inline constexpr std::string_view runtime_names = "onnx, python, kserve, openai or graph";

struct Execution {
  std::string runtime;  // empty: nothing here executes such an artifact
  std::string file;     // that is loaded; of python MLmodel, whose folder is
  std::optional<RemoteModel> remote;
  std::optional<UpstreamDeclaration> upstream;
  std::optional<graphs::GraphDeclaration> graph;
  std::optional<graphs::TableGraph> table;  // of runtime graph
};

// By default remote.yaml means its upstream's protocol, model.onnx (or what MLmodel's flavor onnx
// names) onnx, any other MLmodel python, graph.yaml alone graph. invalid_argument where the
// record's runtime is not one that the artifact is for, or graph.yaml makes no graph or stands
// where no language model is called; failed_precondition where remote.yaml names no declared
// upstream.
Result<Execution> execution_of(sql::Tx& tx, const Call& call, registry::Artifacts& artifacts,
                               const registry::Record& record);

}  // namespace penstock::serving
