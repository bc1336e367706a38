#include "serving/guarding.h"

#include <algorithm>

#include "guardrails/chain.h"
#include "serving/cache.h"
#include "serving/classifiers.h"

namespace penstock::serving {
namespace {

using guardrails::Hit;

Error withheld(guardrails::Side side, const std::string& tensor, const std::vector<Hit>& hits) {
  const bool is_input = side == guardrails::Side::input;
  const std::string what = is_input ? "the call" : "the answer";
  for (const Hit& hit : hits) {
    if (hit.action != guardrails::Action::block) continue;
    if (hit.what == guardrails::failed_what)
      return {Code::unavailable, what + " was withheld: guardrail " + hit.guardrail +
                                     " could not judge it, and lets nothing pass unjudged"};
    const std::string problem = "guardrail " + hit.guardrail + " blocks " + hit.what;
    Error out{Code::invalid_argument, what + " was withheld: " + problem};
    if (is_input) out.violations.push_back({"inputs." + tensor, problem});
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

}  // namespace

Result<void> guard_texts(const LiveRoute& route, guardrails::Side side, Timestamp deadline,
                         std::vector<infer::Tensor>& tensors,
                         const std::vector<InferenceEvent*>& rows) {
  for (infer::Tensor& tensor : tensors) {
    if (tensor.datatype != "BYTES" || rows.empty()) continue;
    // What is no such tensor is for the model to refuse.
    const auto count = infer::elements_of(tensor.shape);
    const auto texts = infer::texts_of(tensor.bytes, count.value_or(0));
    if (!texts) continue;
    const std::size_t width = std::max<std::size_t>(texts->size() / rows.size(), 1);
    bool changed = false;
    std::string bytes;
    for (std::size_t at = 0; at < texts->size(); ++at) {
      InferenceEvent& event = *rows[std::min(at / width, rows.size() - 1)];
      const auto verdict = route.guards->check(side, (*texts)[at], deadline);
      note(verdict.hits, event);
      add_nodes(rows.front()->nodes, route, verdict.judged);
      if (verdict.blocked) return withheld(side, tensor.name, verdict.hits);
      infer::append_text(verdict.text, bytes);
      changed = changed || verdict.changed;
    }
    if (changed) tensor.bytes = std::move(bytes);
  }
  return {};
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
