#include "api/http/v2_routes.h"

#include "api/http/system_routes.h"
#include "api/http/v2_codec.h"

namespace penstock::api {
namespace {

using serving::Gateway;

std::string version_in(const Request& request) {
  const std::string* text = request.path_value("version");
  return text ? *text : "";
}

json::array tensor_list(const std::vector<infer::TensorInfo>& tensors) {
  json::array out;
  for (const infer::TensorInfo& tensor : tensors)
    out.push_back(json::object{{"name", tensor.name},
                               {"datatype", tensor.datatype},
                               {"shape", json::value_from(tensor.shape)}});
  return out;
}

Response metadata(const Gateway& gateway, const Call& call, const Request& request) {
  const auto model = v2::describe(gateway, call, *request.path_value("model"), version_in(request));
  if (!model) return v2::refusal(model.error());
  return json_response(json::object{{"name", model->name},
                                    {"versions", json::value_from(model->versions)},
                                    {"platform", model->platform},
                                    {"inputs", tensor_list(model->inputs)},
                                    {"outputs", tensor_list(model->outputs)}});
}

Response ready(const Gateway& gateway, const Call& call, const Request& request) {
  const std::string& model = *request.path_value("model");
  if (const auto is = v2::ready(gateway, call, model, version_in(request)); !is)
    return v2::refusal(is.error());
  return json_response(json::object{{"name", model}, {"ready", true}});
}

json::object duration(std::int64_t count, std::int64_t micros) {
  return {{"count", count}, {"ns", micros * 1'000}};
}

json::object statistics_of(const v2::Statistics& one) {
  // Rows of one call make one run of the model, so there is no telling how large each was.
  return {
      {"name", one.route},
      {"version", one.version},
      {"last_inference", one.last_ms},
      {"inference_count", one.rows},
      {"execution_count", one.calls},
      {"inference_stats", json::object{{"success", duration(one.calls, one.micros)},
                                       {"fail", duration(one.errors, one.error_micros)},
                                       {"queue", duration(0, 0)},
                                       {"compute_input", duration(one.calls, one.feature_micros)},
                                       {"compute_infer", duration(one.calls, one.model_micros)},
                                       {"compute_output", duration(0, 0)},
                                       {"cache_hit", duration(0, 0)},
                                       {"cache_miss", duration(0, 0)}}},
      {"batch_stats", json::array()},
      {"memory_usage", json::array()}};
}

Response statistics(const Gateway& gateway, const Call& call, const Request& request) {
  const std::string* model = request.path_value("model");
  const auto found = v2::statistics(gateway, call, model ? *model : "", version_in(request));
  if (!found) return v2::refusal(found.error());
  json::array list;
  for (const v2::Statistics& one : *found) list.push_back(statistics_of(one));
  return json_response(json::object{{"model_stats", std::move(list)}});
}

Result<Response> infer(Gateway& gateway, const Call& call, const Request& request) {
  v2::InferBody body =
      TRY(v2::read_body(request.body, request.header("inference-header-content-length")));
  body.header = lookup_of(request);
  v2::InferReply reply = TRY(v2::infer(gateway, call, *request.path_value("model"),
                                       version_in(request), body, request.body.size()));
  Response response = TRY(v2::write_answer(reply, body));
  v2::name_arm(reply, response);
  response.after = std::move(reply.after);
  if (!reply.cached.empty()) response.headers.emplace_back("x-penstock-cached", reply.cached);
  return response;
}

using Handle = std::function<Response(const Call&, const Request&)>;

Route get(std::string path, std::string summary, Permission permission, Handle handle) {
  return {.method = "GET",
          .path = std::move(path),
          .summary = std::move(summary),
          .permission = permission,
          .handle = std::move(handle),
          .on_loop = true};
}

}  // namespace

std::vector<Route> v2_routes(Gateway& gateway) {
  const Handle live = [](const Call&, const Request&) {
    return json_response(json::object{{"live", true}});
  };
  const Handle server_ready = [](const Call&, const Request&) {
    return json_response(json::object{{"live", true}, {"ready", true}});
  };
  const Handle server = [](const Call&, const Request&) {
    return json_response(json::object{{"name", "penstock"},
                                      {"version", version},
                                      {"extensions", json::value_from(v2::extensions)}});
  };
  const Handle describe = [&gateway](const Call& call, const Request& request) {
    return metadata(gateway, call, request);
  };
  const Handle is_ready = [&gateway](const Call& call, const Request& request) {
    return ready(gateway, call, request);
  };
  const Handle run = [&gateway](const Call& call, const Request& request) {
    auto response = infer(gateway, call, request);
    return response ? std::move(*response) : v2::refusal(response.error());
  };
  const Handle stats = [&gateway](const Call& call, const Request& request) {
    return statistics(gateway, call, request);
  };
  std::vector<Route> routes = {
      get("/v2", "The server and its extensions", Permission::open, server),
      get("/v2/health/live", "Whether the server runs", Permission::open, live),
      get("/v2/health/ready", "Whether the server can answer", Permission::open, server_ready),
      get("/v2/models/stats", "What all routes answered", Permission::read, stats)};
  for (const std::string path : {"/v2/models/{model}", "/v2/models/{model}/versions/{version}"}) {
    routes.push_back(get(path, "A route's inputs and outputs", Permission::read, describe));
    routes.push_back(get(path + "/ready", "Whether a route answers", Permission::read, is_ready));
    routes.push_back(
        get(path + "/stats", "What a route's versions answered", Permission::read, stats));
    routes.push_back({.method = "POST",
                      .path = path + "/infer",
                      .summary = "Predict by the Open Inference Protocol",
                      .permission = Permission::infer,
                      .handle = run,
                      .brief = true,
                      .brief_for = [&gateway](const Call& call, const Request& request) {
                        // Unread so far: whether there may be an id is enough to know.
                        const bool has_id = request.body.find("\"id\"") != std::string::npos;
                        return gateway.is_brief(call, *request.path_value("model"), has_id);
                      }});
  }
  return routes;
}

}  // namespace penstock::api
