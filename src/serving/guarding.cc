#include "serving/guarding.h"

#include <algorithm>

#include "guardrails/chain.h"
#include "guardrails/text_rules.h"
#include "serving/cache.h"
#include "serving/classifiers.h"

namespace penstock::serving {
namespace {

using guardrails::Hit;

// Of an answer that nobody has seen yet, no more texts than these are expected of a row, and of
// all.
constexpr std::int64_t width_max = 1'000;
constexpr std::size_t judged_max = 100'000;

// `field` names what was judged.
Error withheld(guardrails::Side side, const std::string& field, const std::vector<Hit>& hits) {
  const bool is_input = side == guardrails::Side::input;
  const std::string what = is_input ? "the call" : "the answer";
  for (const Hit& hit : hits) {
    if (hit.action != guardrails::Action::block) continue;
    if (hit.what == guardrails::failed_what)
      return {Code::unavailable, what + " was withheld: guardrail " + hit.guardrail +
                                     " could not judge it, and lets nothing pass unjudged"};
    if (hit.what == guardrails::unpaid_what)
      return {Code::resource_exhausted, what + " was withheld: guardrail " + hit.guardrail +
                                            " could not judge it: no hard budget covers one more "
                                            "judgement"};
    const std::string problem = "guardrail " + hit.guardrail + " blocks " + hit.what;
    Error out{Code::invalid_argument, what + " was withheld: " + problem};
    if (is_input) out.violations.push_back({field, problem});
    return out;
  }
  return {Code::invalid_argument, what + " was withheld by a guardrail of the route"};
}

void note(const std::vector<Hit>& hits, InferenceEvent& event) {
  for (const Hit& hit : hits) {
    std::string text = guardrails::text_of(hit);
    if (std::find(event.guardrails.begin(), event.guardrails.end(), text) == event.guardrails.end())
      event.guardrails.push_back(std::move(text));
  }
}

// The deployment's files are the same for aliases of it; its name is in the answer's events.
std::string identity_of(const Deployment& by) {
  return by.model + "@" + std::to_string(by.version) + "#" + by.digest;
}

void put_part(std::string_view part, std::string& out) {
  out += std::to_string(part.size());
  out += ':';
  out += part;
}

// Of an element of a tensor that has so many; nothing where it is not the tensor of its shape.
std::optional<std::vector<std::string_view>> texts_in(const infer::Tensor& tensor) {
  if (tensor.datatype != "BYTES") return {};
  return infer::texts_of(tensor.bytes, infer::elements_of(tensor.shape).value_or(0));
}

}  // namespace

Result<void> guard_texts(const LiveRoute& route, const Judging& judging,
                         std::vector<infer::Tensor>& tensors,
                         const std::vector<InferenceEvent*>& rows) {
  for (infer::Tensor& tensor : tensors) {
    const auto texts = texts_in(tensor);
    if (!texts || rows.empty()) continue;  // what is no such tensor is for the model to refuse
    const std::size_t width = std::max<std::size_t>(texts->size() / rows.size(), 1);
    bool changed = false;
    std::string bytes;
    for (std::size_t at = 0; at < texts->size(); ++at) {
      InferenceEvent& event = *rows[std::min(at / width, rows.size() - 1)];
      const auto verdict =
          route.guards->check(judging.side, (*texts)[at], judging.deadline, judging.may_judge);
      note(verdict.hits, event);
      add_nodes(rows.front()->nodes, route, verdict.judged);
      if (verdict.blocked) return withheld(judging.side, "inputs." + tensor.name, verdict.hits);
      infer::append_text(verdict.text, bytes);
      changed = changed || verdict.changed;
    }
    if (changed) tensor.bytes = std::move(bytes);
  }
  return {};
}

Result<void> guard_entities(const LiveRoute& route, const Judging& judging,
                            std::vector<InferenceEvent>& rows) {
  for (InferenceEvent& event : rows)
    for (const auto& [key, value] : event.entities) {
      const auto verdict =
          route.guards->check(judging.side, value, judging.deadline, judging.may_judge);
      note(verdict.hits, event);
      add_nodes(rows.front().nodes, route, verdict.judged);
      if (!verdict.blocked) continue;
      const Error out = withheld(judging.side, "entities." + key, verdict.hits);
      for (InferenceEvent& one : rows) {
        one.entities.clear();
        one.unit = one.id;
      }
      return out;
    }
  return {};
}

Result<void> check_on_entities(const guardrails::GuardrailDeclaration& declared,
                               const std::string& schema) {
  const auto unfit = [&](const std::string& why) {
    return Error{Code::invalid_argument, "guardrail " + declared.name + " " + why +
                                             ", and the route reads " + schema + " by entity keys"};
  };
  if (declared.side == guardrails::Side::output)
    return unfit("looks at the texts of answers (side: output, where a score has none)");
  if (declared.action == guardrails::Action::mask)
    return unfit("masks (action: flag or block; a masked key would be another entity's)");
  return {};
}

std::vector<guardrails::Judged> judgements_of(const LiveRoute& route, const InferRequest& request) {
  std::vector<guardrails::Judged> most;
  if (route.classifiers.empty()) return most;
  using guardrails::Side;
  const auto count = [&](Side side, std::string_view text) {
    route.guards->add_most(side, std::max<std::int64_t>(guardrails::characters_of(text), 1), most);
  };
  for (const Entities& row : request.rows)
    for (const auto& [key, value] : row) count(Side::input, value);
  std::size_t rows = 0;
  for (const infer::Tensor& tensor : request.tensors) {
    if (!tensor.shape.empty())
      rows = static_cast<std::size_t>(std::max<std::int64_t>(tensor.shape.front(), 0));
    for (const std::string_view text : texts_in(tensor).value_or(std::vector<std::string_view>()))
      count(Side::input, text);
  }
  const auto& runtime = route.targets.front().deployment->runtime;
  if (!runtime || rows == 0) return most;
  for (const infer::TensorInfo& output : runtime->outputs()) {
    if (output.datatype != "BYTES") continue;
    std::size_t each = 1;
    for (std::size_t at = 1; at < output.shape.size(); ++at)
      each *= static_cast<std::size_t>(std::clamp<std::int64_t>(output.shape[at], 1, width_max));
    for (std::size_t i = 0; i < std::min(rows * each, judged_max); ++i) count(Side::output, "");
  }
  return most;
}

std::string cache_key(const Call& call, const Deployment& by, const InferRequest& request) {
  std::vector<const infer::Tensor*> sorted;
  for (const infer::Tensor& tensor : request.tensors) sorted.push_back(&tensor);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->name < b->name; });
  std::string body = request.event_time ? to_rfc3339(*request.event_time) : "";
  body += '\n';
  for (const infer::Tensor* tensor : sorted) {
    put_part(tensor->name, body);
    put_part(tensor->datatype, body);
    for (const std::int64_t size : tensor->shape) body += std::to_string(size) + ",";
    put_part(tensor->bytes, body);
  }
  return AnswerCache::key_of(call.tenant, identity_of(by), "/infer", body);
}

std::string cache_key(const Call& call, const Deployment& by, const InferRequest& request,
                      const std::vector<InferenceEvent*>& rows) {
  std::string body = request.event_time ? to_rfc3339(*request.event_time) : "";
  for (const InferenceEvent* row : rows) {
    body += '\n';
    for (const std::optional<double>& value : row->features) {
      body += value ? '=' : '-';
      const double number = value.value_or(0);
      body.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
  }
  return AnswerCache::key_of(call.tenant, identity_of(by), "/features", body);
}

bool answer_again(const LiveRoute& route, const std::string& key, Timestamp now,
                  const std::vector<InferenceEvent*>& rows, Decided& out) {
  const auto known = route.cache->find(key, now);
  if (!known || known->scores.size() != rows.size()) return false;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    rows[row]->score = known->scores[row];
    rows[row]->decision = known->scores[row] >= route.declaration.threshold;
    rows[row]->from_cache = true;
  }
  out.outputs = known->outputs;
  out.cached = known->prediction;
  return true;
}

void keep_answer(const LiveRoute& route, const std::string& key, Timestamp now,
                 const std::vector<InferenceEvent*>& rows, const Decided& decided) {
  CachedAnswer answer{.prediction = rows.front()->id, .outputs = decided.outputs};
  for (const InferenceEvent* row : rows) answer.scores.push_back(row->score.value_or(0));
  route.cache->put(key, std::move(answer), now + route.declaration.cache->keep);
}

}  // namespace penstock::serving
