#include "api/otlp/routes.h"

#include <charconv>

#include "api/mlflow/protocol.h"
#include "api/otlp/reader.h"

namespace penstock::api::otlp {
namespace {

constexpr std::string_view protobuf = "application/x-protobuf", plain_json = "application/json";

std::string media_type(const Request& request) {
  const std::string* header = request.header("content-type");
  std::string type = header ? header->substr(0, header->find(';')) : "";
  while (!type.empty() && type.back() == ' ') type.pop_back();
  return type;
}

Result<std::int64_t> experiment_of(const Request& request) {
  const std::string* header = request.header("x-mlflow-experiment-id");
  if (!header)
    return Error{Code::invalid_argument,
                 "the header x-mlflow-experiment-id is missing: it names the experiment that the "
                 "spans belong to"};
  std::int64_t id = 0;
  const auto read = std::from_chars(header->data(), header->data() + header->size(), id);
  if (header->empty() || read.ec != std::errc() || read.ptr != header->data() + header->size())
    return Error{Code::invalid_argument,
                 "the header x-mlflow-experiment-id must be the number of "
                 "an experiment, not '" +
                     header->substr(0, 50) + "'"};
  return id;
}

Result<void> take(tracking::Traces& traces, const Call& call, const Request& request,
                  bool is_json) {
  const std::int64_t experiment = TRY(experiment_of(request));
  const auto spans = TRY(is_json ? read_json(request.body) : read_protobuf(request.body));
  if (spans.empty())
    return Error{Code::invalid_argument, "Invalid OpenTelemetry format: no spans found"};
  const std::string* run = request.header("x-mlflow-run-id");
  return traces.add_spans(call, experiment, spans, run ? *run : "");
}

}  // namespace

std::vector<Route> routes(tracking::Traces& traces) {
  const auto handle = [&traces](const Call& call, const Request& request) {
    const std::string type = media_type(request);
    const bool is_json = type == plain_json;
    if (!is_json && type != protobuf)
      return mlflow::error_response(
          {Code::invalid_argument, "Invalid Content-Type: '" + type.substr(0, 100) +
                                       "'; it must be application/x-protobuf or "
                                       "application/json"});
    if (const auto taken = take(traces, call, request, is_json); !taken)
      return mlflow::error_response(taken.error());
    // ExportTraceServiceResponse without a field: all was taken.
    return Response{.body = is_json ? "{}" : "", .content_type = type};
  };
  return {{.method = "POST",
           .path = "/v1/traces",
           .summary = "Take spans of the OpenTelemetry protocol, protobuf or JSON",
           .permission = Permission::write,
           .handle = handle}};
}

}  // namespace penstock::api::otlp
