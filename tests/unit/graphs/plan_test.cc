// Graphs: what they may not say, in which order they run, and what messages they make.
#include "graphs/plan.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock::graphs {
namespace {

using test::must;

// Vectors, passages and scores that follow from their inputs, so that a test can tell what was
// asked.
class Library final : public Tools {
 public:
  Result<std::vector<float>> embed(const Call&, const std::string& route,
                                   const std::string& text) override {
    asked.push_back("embed " + route + " " + text);
    return std::vector<float>{static_cast<float>(text.size()), 1};
  }
  Result<json::array> retrieve(const Call&, const Node& node,
                               const std::vector<float>& vector) override {
    asked.push_back("retrieve " + *node.view + " " + std::to_string(vector.size()));
    json::array out;
    for (const char* text : {"short", "a longer one", "the longest of all"})
      out.push_back(json::object{{"body", text}});
    return out;
  }
  Result<std::vector<double>> rerank(const Call&, const std::string& route,
                                     const std::string& query,
                                     const std::vector<std::string>& passages) override {
    asked.push_back("rerank " + route + " " + query + " " + passages.at(0));
    std::vector<double> out;
    for (const std::string& passage : passages) out.push_back(static_cast<double>(passage.size()));
    if (lose_score) out.pop_back();
    return out;
  }
  Result<json::object> features(const Call&, const std::string& schema,
                                const std::map<std::string, std::string>& keys) override {
    asked.push_back("features " + schema + " " + keys.begin()->second);
    return json::object{{"name", "Ana"}, {"flights", 12}};
  }
  std::vector<std::string> asked;
  bool lose_score = false;
};

// Declared out of order, so that only what they name can tell when they run.
GraphDeclaration assistant() {
  Node best{.name = "best", .kind = NodeKind::rerank};
  best.route = "reranker";
  best.query = "{{question}}";
  best.passages = "found";
  best.passage = "{{body}}";
  best.count = 2;
  Node found{.name = "found", .kind = NodeKind::retrieve};
  found.view = "passages";
  found.feature = "embedding";
  found.vector = "vector";
  found.with = {"body"};
  Node vector{.name = "vector", .kind = NodeKind::embed};
  vector.route = "embedder";
  vector.text = "query: {{question}}";
  Node customer{.name = "customer", .kind = NodeKind::features};
  customer.feature_schema = "customers_v1";
  customer.keys = {{"customer_id", "{{user}}"}};
  return {{best, found, vector, customer},
          {{Role::system, "Answer {{customer.name}} from these alone:\n{{best}}"}}};
}

TEST(PlanTest, RunsEachNodeAfterWhatItNames) {
  const auto plan = must(Plan::make(assistant()));
  Library library;
  const ManualClock clock;
  const Filled filled = must(plan->run(test::call("user:ana"), clock, "Where?", "c7", library));
  EXPECT_EQ(library.asked,
            (std::vector<std::string>{"embed embedder query: Where?", "retrieve passages 2",
                                      "rerank reranker Where? short", "features customers_v1 c7"}));
  ASSERT_EQ(filled.messages.size(), 1U);
  EXPECT_EQ(filled.messages[0].second,
            "Answer Ana from these alone:\n[1] the longest of all\n[2] a longer one");
  EXPECT_EQ(filled.retrieval_calls, 1);
  EXPECT_EQ(filled.reranker_calls, 1);
  EXPECT_EQ(filled.runs.size(), 4U);
}

TEST(PlanTest, SaysWhichNodeFailed) {
  const auto plan = must(Plan::make(assistant()));
  Library library;
  library.lose_score = true;
  const ManualClock clock;
  const auto lost = plan->run(test::call("user:ana"), clock, "Where?", "c7", library);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::data_loss);
  EXPECT_EQ(lost.error().message.rfind("node best: ", 0), 0U) << lost.error().message;
  Call late = test::call("user:ana");
  late.deadline = clock.now() - Micros(1);
  const auto refused = plan->run(late, clock, "Where?", "c7", library);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::deadline_exceeded);
}

TEST(PlanTest, RefusesGraphsThatCannotRun) {
  struct Case {
    const char* what;
    std::function<void(GraphDeclaration&)> spoil;
    const char* says;
  };
  const Case cases[] = {
      {"two of a name", [](auto& g) { g.nodes[1].name = "best"; }, "nodes.best.name"},
      {"a reserved name", [](auto& g) { g.nodes[3].name = "question"; }, "nodes.question.name"},
      {"an unknown node", [](auto& g) { g.nodes[1].vector = "nothing"; }, "nothing"},
      {"a circle", [](auto& g) { g.nodes[2].text = "{{best}}"; }, "circle"},
      {"itself", [](auto& g) { g.nodes[2].text = "{{vector}}"; }, "circle"},
      {"a missing field", [](auto& g) { g.nodes[2].route.reset(); }, "nodes.vector.route"},
      {"a field of another kind", [](auto& g) { g.nodes[2].count = 3; }, "nodes.vector.count"},
      {"keys of another kind", [](auto& g) { g.nodes[2].keys["a"] = "b"; }, "nodes.vector.keys"},
      {"no keys", [](auto& g) { g.nodes[3].keys.clear(); }, "nodes.customer.keys"},
      {"an open brace", [](auto& g) { g.nodes[2].text = "{{question"; }, "nodes.vector.text"},
      {"no name", [](auto& g) { g.nodes[2].text = "{{a b}}"; }, "nodes.vector.text"},
      {"a message's name", [](auto& g) { g.messages[0].content = "{{x.y}}"; }, "messages[0]"},
      {"a message's brace", [](auto& g) { g.messages[0].content = "{{"; }, "messages[0]"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    GraphDeclaration graph = assistant();
    c.spoil(graph);
    const auto made = Plan::make(graph);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::invalid_argument);
    EXPECT_NE(made.error().message.find(c.says), std::string::npos) << made.error().message;
  }
}

TEST(PlanTest, ReadsItsFileAndSaysWhatIsWrong) {
  const auto graph =
      must(read_graph("nodes:\n- {name: a, kind: embed, route: r, text: '{{question}}'}\n"
                      "messages:\n- {role: system, content: '{{a}}'}\n"));
  EXPECT_EQ(graph.nodes.at(0).kind, NodeKind::embed);
  EXPECT_TRUE(Plan::make(graph));
  const std::pair<const char*, const char*> cases[] = {
      {"nodes: [{name: a, kind: dance}]\nmessages: [{role: user, content: x}]", "kind"},
      {"nodes: []\nmessages: []", "messages"},
      {"nodes: []", "messages"},
      {"nodes: []\nmessages: [{role: user, content: x}]\nmore: 1", "more"},
      {"a: [", "graph.yaml"},
      {"a: 1\n---\nb: 1", "one YAML document"},
  };
  for (const auto& [text, says] : cases) {
    const auto refused = read_graph(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().message.rfind("graph.yaml: ", 0), 0U);
    EXPECT_NE(refused.error().message.find(says), std::string::npos) << refused.error().message;
  }
}

TEST(TemplateTest, WritesValuesAndNothingForWhatIsNotThere) {
  const json::object values{{"text", "T"},
                            {"number", 3},
                            {"none", nullptr},
                            {"list", json::array{"a", json::object{{"x", "b"}}}},
                            {"row", json::object{{"a", 1}, {"score", 0.5}, {"b", 2}}},
                            {"deep", json::object{{"er", json::object{{"est", true}}}}}};
  const auto fill = [&](const char* text) { return must(Template::parse(text)).fill(values); };
  EXPECT_EQ(fill("{{text}}-{{ number }}-{{none}}-{{gone}}-{{text.x}}"), "T-3---");
  EXPECT_EQ(fill("{{list}}"), "[1] a\n[2] b");
  EXPECT_EQ(fill("{{row}}"), "a: 1\nb: 2");
  EXPECT_EQ(fill("{{deep.er.est}}"), "true");
  EXPECT_EQ(fill("} {a} }}"), "} {a} }}");
  EXPECT_EQ(fill(""), "");
}

}  // namespace
}  // namespace penstock::graphs
