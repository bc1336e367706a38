#include "graphs/plan.h"

#include <algorithm>
#include <functional>
#include <set>

namespace penstock::graphs {
namespace {

constexpr std::int64_t count_default = 10;

Error at_node(const Node& node, const std::string& field, const std::string& problem) {
  const std::string path = "nodes." + node.name + "." + field;
  return {Code::invalid_argument, path + " " + problem, {{path, problem}}};
}

struct Need {
  NodeKind kind;
  std::string_view field;
  bool required;
};
constexpr std::array needs = {
    Need{NodeKind::embed, "route", true},     Need{NodeKind::embed, "text", true},
    Need{NodeKind::retrieve, "view", true},   Need{NodeKind::retrieve, "feature", true},
    Need{NodeKind::retrieve, "vector", true}, Need{NodeKind::retrieve, "count", false},
    Need{NodeKind::rerank, "route", true},    Need{NodeKind::rerank, "query", true},
    Need{NodeKind::rerank, "passages", true}, Need{NodeKind::rerank, "passage", false},
    Need{NodeKind::rerank, "count", false},   Need{NodeKind::features, "feature_schema", true},
};

// Fields that a kind must have, and those that it does not know.
Result<void> check_fields(const Node& node) {
  std::optional<Error> fault;
  for_each_member(node, [&]<class M>(std::string_view name, const M& member, const Rule&) {
    if constexpr (is_optional<M>) {
      const auto need = std::find_if(needs.begin(), needs.end(), [&](const Need& one) {
        return one.kind == node.kind && one.field == name;
      });
      const std::string kind(name_of(node.kind));
      if (need == needs.end() && member && !fault)
        fault = at_node(node, std::string(name), "is no field of " + kind);
      if (need != needs.end() && need->required && !member && !fault)
        fault = at_node(node, std::string(name), "is missing: " + kind + " needs it");
    }
  });
  if (fault) return *fault;
  if (!node.with.empty() && node.kind != NodeKind::retrieve)
    return at_node(node, "with", "is a field of retrieve alone");
  if (node.keys.empty() == (node.kind == NodeKind::features))
    return at_node(
        node, "keys",
        node.keys.empty() ? "is empty: whose features?" : "is a field of features alone");
  return {};
}

Result<Template> parsed(const Node& node, const std::string& field, const std::string& text) {
  auto made = Template::parse(text);
  if (!made) return at_node(node, field, "is no template: " + made.error().message);
  return made;
}

std::vector<float> vector_of(const json::value& value) {
  std::vector<float> out;
  if (const json::array* list = value.if_array())
    for (const json::value& item : *list)
      if (item.is_number()) out.push_back(item.to_number<float>());
  return out;
}

// How a passage is shown to the reranker where no template says it: its texts, by line.
std::string passage_text(const json::value& passage) {
  std::string out;
  if (const json::object* object = passage.if_object())
    for (const auto& [key, value] : *object)
      if (const json::string* text = value.if_string())
        out.append(out.empty() ? "" : "\n").append(*text);
  return out;
}

}  // namespace

struct Plan::Step {
  Node node;
  std::map<std::string, Template> texts;  // by field; of keys by "keys.NAME"

  std::set<std::string> names() const {
    std::set<std::string> out;
    for (const auto& [field, text] : texts) {
      if (field == "passage") continue;  // names the fields of one passage
      for (const std::string& name : text.names()) out.insert(name);
    }
    if (node.vector) out.insert(*node.vector);
    if (node.passages) out.insert(*node.passages);
    return out;
  }
};

Plan::Plan(GraphDeclaration declared) : declared_(std::move(declared)) {}
Plan::~Plan() = default;

Result<std::shared_ptr<const Plan>> Plan::make(const GraphDeclaration& declared) {
  std::shared_ptr<Plan> plan(new Plan(declared));
  std::map<std::string, std::unique_ptr<Step>> steps;
  for (const Node& node : declared.nodes) {
    TRY(check_fields(node));
    auto step = std::make_unique<Step>();
    step->node = node;
    if (node.text) step->texts.emplace("text", TRY(parsed(node, "text", *node.text)));
    if (node.query) step->texts.emplace("query", TRY(parsed(node, "query", *node.query)));
    if (node.passage) step->texts.emplace("passage", TRY(parsed(node, "passage", *node.passage)));
    for (const auto& [key, text] : node.keys)
      step->texts.emplace("keys." + key, TRY(parsed(node, "keys." + key, text)));
    if (node.name == "question" || node.name == "user" || steps.contains(node.name))
      return at_node(node, "name", "is taken; question, user and each node have one of their own");
    steps[node.name] = std::move(step);
  }
  const auto known = [&](const std::string& name) {
    return name == "question" || name == "user" || steps.contains(name);
  };
  // Depth first: a node after all that it names; one that comes to itself is in a circle.
  std::map<std::string, int> state;  // 1: begun, 2: placed
  std::function<Result<void>(const std::string&)> place =
      [&](const std::string& name) -> Result<void> {
    if (name == "question" || name == "user" || state[name] == 2) return {};
    Step& step = *steps.at(name);
    if (state[name] == 1)
      return at_node(step.node, "name", "is in a circle: it needs what is made of it");
    state[name] = 1;
    for (const std::string& needed : step.names()) {
      if (!known(needed))
        return at_node(step.node, "name", "needs " + needed + ", which is no node of the graph");
      TRY(place(needed));
    }
    state[name] = 2;
    plan->steps_.push_back(std::make_unique<const Step>(step));
    return {};
  };
  for (const Node& node : declared.nodes) TRY(place(node.name));
  for (std::size_t i = 0; i < declared.messages.size(); ++i) {
    const std::string field = "messages[" + std::to_string(i) + "].content";
    auto made = Template::parse(declared.messages[i].content);
    std::string problem = made ? "" : "is no template: " + made.error().message;
    if (made)
      for (const std::string& name : made->names())
        if (!known(name)) problem = "names " + name + ", which is no node of the graph";
    if (!problem.empty())
      return Error{Code::invalid_argument, field + " " + problem, {{field, problem}}};
    plan->messages_.push_back(std::move(made).take());
  }
  return std::shared_ptr<const Plan>(std::move(plan));
}

Result<json::value> Plan::run_step(const Call& call, const Step& step, const json::object& values,
                                   Tools& tools) const {
  const Node& node = step.node;
  const auto text = [&](const std::string& field) { return step.texts.at(field).fill(values); };
  const std::int64_t count = node.count.value_or(count_default);
  if (node.kind == NodeKind::embed)
    return json::value_from(TRY(tools.embed(call, *node.route, text("text"))));
  if (node.kind == NodeKind::features) {
    std::map<std::string, std::string> keys;
    for (const auto& [key, ignored] : node.keys) keys[key] = text("keys." + key);
    return json::value(TRY(tools.features(call, *node.feature_schema, keys)));
  }
  if (node.kind == NodeKind::retrieve) {
    const std::vector<float> vector = vector_of(values.at(*node.vector));
    if (vector.empty())
      return Error{Code::failed_precondition, *node.vector + " gave no vector to look for"};
    json::array found = TRY(tools.retrieve(call, node, vector));
    if (static_cast<std::int64_t>(found.size()) > count)
      found.resize(static_cast<std::size_t>(count));
    return json::value(std::move(found));
  }
  const json::array* passages = values.at(*node.passages).if_array();
  if (!passages) return Error{Code::failed_precondition, *node.passages + " gave no passages"};
  if (passages->empty()) return json::value(json::array{});
  std::vector<std::string> texts;
  for (const json::value& passage : *passages)
    texts.push_back(node.passage && passage.is_object()
                        ? step.texts.at("passage").fill(passage.as_object())
                        : passage_text(passage));
  const auto scores = TRY(tools.rerank(call, *node.route, text("query"), texts));
  if (scores.size() != texts.size())
    return Error{Code::data_loss, "the reranker gave " + std::to_string(scores.size()) +
                                      " scores for " + std::to_string(texts.size()) + " passages"};
  std::vector<std::size_t> order(scores.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  json::array best;
  for (const std::size_t index : order) {
    if (static_cast<std::int64_t>(best.size()) == count) break;
    best.push_back((*passages)[index]);
    if (json::object* object = best.back().if_object()) (*object)["score"] = scores[index];
  }
  return json::value(std::move(best));
}

Result<Filled> Plan::run(const Call& call, const Clock& clock, const std::string& question,
                         const std::string& user, Tools& tools) const {
  Filled out;
  out.values = {{"question", question}, {"user", user}};
  for (const auto& step : steps_) {
    const Timestamp start = clock.now();
    if (start > call.deadline)
      return Error{Code::deadline_exceeded, "the deadline passed before node " + step->node.name};
    auto value = run_step(call, *step, out.values, tools);
    if (!value)
      return Error{value.error().code, "node " + step->node.name + ": " + value.error().message};
    const json::array* list = value->if_array();
    out.runs.push_back({step->node.name, step->node.kind, (clock.now() - start).count(),
                        list ? static_cast<std::int64_t>(list->size()) : 1});
    out.retrieval_calls += step->node.kind == NodeKind::retrieve;
    out.reranker_calls += step->node.kind == NodeKind::rerank;
    out.values[step->node.name] = std::move(*value);
  }
  std::size_t size = 0;
  for (std::size_t i = 0; i < messages_.size(); ++i) {
    out.messages.emplace_back(declared_.messages[i].role, messages_[i].fill(out.values));
    size += out.messages.back().second.size();
  }
  if (size > text_max)
    return Error{Code::resource_exhausted, "the graph's messages have " + std::to_string(size) +
                                               " bytes; at most " + std::to_string(text_max) +
                                               " go to a model; lower a count"};
  return out;
}

}  // namespace penstock::graphs
