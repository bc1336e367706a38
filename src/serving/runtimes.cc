#include "serving/runtimes.h"

#include <algorithm>

#include "base/yaml.h"
#include "graphs/plan.h"
#include "resources/service.h"

namespace penstock::serving {
namespace {

constexpr std::string_view model_file = "model.onnx", mlflow_file = "MLmodel";
constexpr std::int64_t text_max = 1 << 20;
constexpr const char* needs_remote =
    "graph.yaml goes before calls to a language model: it needs a remote.yaml whose upstream has "
    "protocol: openai";

Error wrong_runtime(const std::string& problem) {
  return {Code::invalid_argument, "runtime " + problem, {{"runtime", problem}}};
}

const registry::ArtifactFile* find(const std::vector<registry::ArtifactFile>& files,
                                   std::string_view path) {
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

Result<std::string> small_text(registry::Artifacts& artifacts, const std::string& uri,
                               const registry::ArtifactFile& file) {
  if (file.size <= text_max) return artifacts.bytes(uri, file.path);
  return Error{Code::invalid_argument, file.path + " of " + uri + " is larger than 1 MB"};
}

// The file of MLmodel's flavor onnx; empty where it has none.
Result<std::string> onnx_file(registry::Artifacts& artifacts, const std::string& uri,
                              const registry::ArtifactFile& mlmodel) {
  const auto documents = yaml::parse(TRY(small_text(artifacts, uri, mlmodel)));
  if (!documents || documents->empty() || !documents->front().value.is_object())
    return Error{Code::invalid_argument, "MLmodel of " + uri + " is no YAML that can be read" +
                                             (documents ? "" : ": " + documents.error().message)};
  json::error_code absent;
  const json::value* data = documents->front().value.find_pointer("/flavors/onnx/data", absent);
  return data && data->is_string() ? std::string(data->get_string()) : std::string();
}

Result<void> find_remote(sql::Tx& tx, const Call& call, registry::Artifacts& artifacts,
                         const std::string& uri, const registry::ArtifactFile& file,
                         Execution& out) {
  out.remote = TRY(read_remote(TRY(small_text(artifacts, uri, file))));
  auto upstream =
      resources::declared<UpstreamDeclaration>(tx, call.project, "upstream", out.remote->upstream);
  if (!upstream && upstream.error().code == Code::not_found)
    return Error{Code::failed_precondition, "remote.yaml names upstream " + out.remote->upstream +
                                                ", which is not declared in project " +
                                                call.project +
                                                "; apply a document of kind: upstream first"};
  if (!upstream) return upstream.error();
  out.upstream = std::move(upstream).take();
  out.runtime = runtime_of(out.upstream->protocol);
  out.file = remote_file;
  return {};
}

Result<void> find_graph(registry::Artifacts& artifacts, const std::string& uri,
                        const registry::ArtifactFile& file, Execution& out) {
  if (out.runtime != "openai") return Error{Code::invalid_argument, needs_remote};
  out.graph = TRY(graphs::read_graph(TRY(small_text(artifacts, uri, file))));
  const auto plan = graphs::Plan::make(*out.graph);
  if (plan) return {};
  return Error{plan.error().code, "graph.yaml: " + plan.error().message, plan.error().violations};
}

// Whether its versions are there and take what it gives is seen when it is loaded.
Result<void> find_table(registry::Artifacts& artifacts, const std::string& uri,
                        const registry::ArtifactFile& file, Execution& out) {
  const std::string text = TRY(small_text(artifacts, uri, file));
  if (graphs::read_graph(text)) return Error{Code::invalid_argument, needs_remote};
  out.table = TRY(graphs::read_table_graph(text));
  const auto order = graphs::order_of(*out.table);
  if (!order)
    return Error{order.error().code, "graph.yaml: " + order.error().message,
                 order.error().violations};
  out.runtime = "graph";
  out.file = graphs::graph_file;
  return {};
}

}  // namespace

Result<Execution> execution_of(sql::Tx& tx, const Call& call, registry::Artifacts& artifacts,
                               const registry::Record& record) {
  const std::string said = record.runtime.value_or("");
  const bool known = said.empty() || said == "onnx" || said == "python" || said == "kserve" ||
                     said == "openai" || said == "graph";
  if (!known) return wrong_runtime("must be " + std::string(runtime_names) + ", not " + said);
  const std::string& uri = record.artifact_uri;
  Execution out;
  if (!TRY(artifacts.exists(uri))) return out;
  const auto files = TRY(artifacts.contents(uri));
  const auto* const remote = find(files, remote_file);
  const auto* const mlmodel = find(files, mlflow_file);
  std::string onnx = find(files, model_file) ? std::string(model_file) : "";
  if (onnx.empty() && !remote && mlmodel && said != "python")
    onnx = TRY(onnx_file(artifacts, uri, *mlmodel));
  std::string choices;
  if (remote) {
    TRY(find_remote(tx, call, artifacts, uri, *remote, out));
    choices = out.runtime;
  } else {
    if (!onnx.empty()) choices = "onnx";
    if (mlmodel) choices += choices.empty() ? "python" : " or python";
    out.runtime = said == "python" && mlmodel ? said
                  : !onnx.empty()             ? "onnx"
                  : mlmodel                   ? "python"
                                              : "";
    out.file = out.runtime == "python" ? std::string(mlflow_file) : onnx;
  }
  // Another runtime's model may have a file of that name for itself.
  if (const auto* const graph = find(files, graphs::graph_file);
      graph && (remote || out.runtime.empty())) {
    TRY(remote ? find_graph(artifacts, uri, *graph, out) : find_table(artifacts, uri, *graph, out));
    if (!remote) choices = out.runtime;
  }
  if (said.empty() || said == out.runtime) return out;
  if (choices.empty())
    return wrong_runtime("is " + said +
                         ", and the artifact has none of model.onnx, MLmodel, remote.yaml and "
                         "graph.yaml");
  return wrong_runtime("is " + said + ", and the artifact is for " + choices);
}

}  // namespace penstock::serving
