#include "app/graph_tools.h"

#include <cstring>

#include "features/nearest/neighbours.h"

namespace penstock::app {
namespace {

using api::openai::Task;

Error no_answer(const std::string& route, const std::string& problem) {
  return {Code::data_loss, "route " + route + " " + problem};
}

infer::Tensor texts_tensor(const std::string& name, const std::vector<std::string>& texts) {
  infer::Tensor out{
      .name = name, .datatype = "BYTES", .shape = {static_cast<std::int64_t>(texts.size())}};
  for (const std::string& text : texts) infer::append_text(text, out.bytes);
  return out;
}

template <class T>
void append_numbers(const infer::Tensor& tensor, std::vector<float>& out) {
  for (std::size_t at = 0; at + sizeof(T) <= tensor.bytes.size(); at += sizeof(T)) {
    T number{};
    std::memcpy(&number, tensor.bytes.data() + at, sizeof number);
    out.push_back(static_cast<float>(number));
  }
}

// What its versions take; all versions of a route are called alike.
Result<const std::vector<infer::TensorInfo>*> inputs_of(const serving::LiveRoute& route) {
  if (route.targets.empty())
    return Error{Code::unavailable,
                 "route " + route.declaration.name + " has no version that answers"};
  return &route.targets.front().deployment->runtime->inputs();
}

bool has_text(const std::vector<infer::TensorInfo>& inputs, std::string_view name) {
  for (const infer::TensorInfo& input : inputs)
    if (input.name == name && input.datatype == "BYTES") return true;
  return false;
}

Result<json::value> parsed(const std::string& route, const std::string& body) {
  json::error_code fault;
  json::value out = json::parse(body, fault);
  if (fault) return no_answer(route, "answered with no JSON");
  return out;
}

}  // namespace

Result<std::shared_ptr<const serving::LiveRoute>> GraphTools::tabular(
    const Call& call, const std::string& route) const {
  const auto table = plane_.table.get();
  const auto found = table->routes.find(serving::route_key(call.project, route));
  if (found == table->routes.end())
    return Error{Code::not_found,
                 "there is no route " + route + " in service; see GET /api/v1/routes"};
  return serving::takes_tensors(*found->second) ? found->second : nullptr;
}

Result<std::vector<float>> GraphTools::embed(const Call& call, const std::string& route,
                                             const std::string& text) {
  std::vector<float> out;
  if (const auto live = TRY(tabular(call, route))) {
    const auto& inputs = *TRY(inputs_of(*live));
    if (inputs.size() != 1 || inputs[0].datatype != "BYTES")
      return Error{Code::failed_precondition,
                   "route " + route + " must have one input of datatype BYTES to embed a text"};
    const auto answer = TRY(
        gateway_.infer(call, {.route = route, .tensors = {texts_tensor(inputs[0].name, {text})}}));
    for (const infer::Tensor& tensor : answer.outputs) {
      if (tensor.name != live->declaration.output) continue;
      if (tensor.datatype == "FP32") append_numbers<float>(tensor, out);
      if (tensor.datatype == "FP64") append_numbers<double>(tensor, out);
    }
    if (out.empty()) return no_answer(route, "gave no vector of FP32 or FP64");
    return out;
  }
  const json::object asked{{"model", route}, {"input", text}};
  const auto body = TRY(parsed(route, TRY(api::openai::ask_route(plane_, caller_, Task::embeddings,
                                                                 call, json::serialize(asked)))));
  json::error_code absent;
  const json::value* vector = body.find_pointer("/data/0/embedding", absent);
  if (vector && vector->is_array())
    for (const json::value& number : vector->get_array())
      if (number.is_number()) out.push_back(number.to_number<float>());
  if (out.empty()) return no_answer(route, "gave no embedding");
  return out;
}

Result<json::array> GraphTools::retrieve(const Call& call, const graphs::Node& node,
                                         const std::vector<float>& vector) {
  features::NearestInput asked{.view = *node.view, .feature = *node.feature};
  asked.vector.assign(vector.begin(), vector.end());
  asked.k = node.count.value_or(asked.k);
  const auto near = TRY(features_.nearest(call, asked));
  json::array out;
  features::OnlineInput wanted;
  for (const features::Neighbour& found : near.neighbours) {
    json::object row;
    for (const auto& [key, value] : found.entity) row[key] = value;
    row["score"] = 1 - found.distance;
    out.push_back(std::move(row));
    wanted.entities.push_back(found.entity);
  }
  if (out.empty() || node.with.empty()) return out;
  const std::string view = near.view.substr(0, near.view.find('@'));
  for (const std::string& feature : node.with) wanted.features.push_back(view + ":" + feature);
  auto values = TRY(features_.online(call, wanted));
  for (std::size_t row = 0; row < out.size(); ++row)
    for (std::size_t i = 0; i < node.with.size(); ++i)
      out[row].as_object()[node.with[i]] = std::move(values.rows.at(row).values.at(i));
  return out;
}

Result<std::vector<double>> GraphTools::rerank(const Call& call, const std::string& route,
                                               const std::string& query,
                                               const std::vector<std::string>& passages) {
  std::vector<double> out;
  if (const auto live = TRY(tabular(call, route))) {
    const auto& inputs = *TRY(inputs_of(*live));
    if (inputs.size() != 2 || !has_text(inputs, "query") || !has_text(inputs, "passage"))
      return Error{Code::failed_precondition,
                   "route " + route +
                       " must have two inputs of datatype BYTES, query and passage, to rerank"};
    const std::vector<std::string> queries(passages.size(), query);
    const auto answer = TRY(gateway_.infer(
        call, {.route = route,
               .tensors = {texts_tensor("query", queries), texts_tensor("passage", passages)}}));
    for (const serving::Prediction& one : answer.predictions) out.push_back(one.score);
    return out;
  }
  const json::object asked{{"model", route},
                           {"query", query},
                           {"documents", json::value_from(passages)},
                           {"top_n", passages.size()}};
  const auto body = TRY(parsed(route, TRY(api::openai::ask_route(plane_, caller_, Task::rerank,
                                                                 call, json::serialize(asked)))));
  std::vector<std::optional<double>> scores(passages.size());
  json::error_code absent;
  const json::value* results = body.find_pointer("/results", absent);
  if (results && results->is_array())
    for (const json::value& result : results->get_array()) {
      const json::value* index = result.find_pointer("/index", absent);
      const json::value* score = result.find_pointer("/relevance_score", absent);
      if (index && index->is_int64() && index->get_int64() >= 0 &&
          static_cast<std::size_t>(index->get_int64()) < scores.size() && score &&
          score->is_number())
        scores[static_cast<std::size_t>(index->get_int64())] = score->to_number<double>();
    }
  for (const auto& score : scores) {
    if (!score) return no_answer(route, "gave no relevance_score for some passages");
    out.push_back(*score);
  }
  return out;
}

Result<json::object> GraphTools::features(const Call& call, const std::string& schema,
                                          const std::map<std::string, std::string>& keys) {
  auto found = TRY(features_.online(call, {.feature_schema = schema, .entities = {keys}}));
  json::object out;
  for (std::size_t i = 0; i < found.names.size(); ++i)
    out[found.names[i]] = std::move(found.rows.at(0).values.at(i));
  return out;
}

}  // namespace penstock::app
