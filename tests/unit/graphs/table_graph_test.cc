// Graphs of tabular models: what may be declared, and in which order nodes run.
#include "graphs/table_graph.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock::graphs {
namespace {

using test::must;

constexpr const char* declared = R"(
inputs:
  - {name: account, datatype: BYTES}
  - {name: amount, datatype: FP64}
nodes:
  - {name: action, kind: expression, expression: "CASE WHEN odds > high THEN 1 ELSE 0 END", values: {odds: risk.score}}
  - {name: risk, kind: model, model: risk@3, inputs: {x: [ratio, amount, history.mean]}}
  - {name: ratio, kind: expression, expression: "amount / mean", values: {mean: history.mean}}
  - {name: history, kind: features, feature_schema: means, keys: {account: account}}
  - {name: high, kind: expression, expression: "ratio * 2"}
outputs:
  - {name: score, from: risk.score.1}
  - {name: action, from: action}
)";

std::string changed(const std::string& from, const std::string& to) {
  std::string text = declared;
  const std::size_t at = text.find(from);
  if (at == text.npos) throw std::logic_error("there is no " + from);
  return text.replace(at, from.size(), to);
}

TEST(TableGraphTest, EachNodeComesAfterWhatItReads) {
  const TableGraph graph = must(read_table_graph(declared));
  std::map<std::string, std::size_t> place;
  for (const TableNode* node : must(order_of(graph))) place.emplace(node->name, place.size());
  EXPECT_EQ(place.size(), 5U);
  EXPECT_LT(place["history"], place["ratio"]);
  EXPECT_LT(place["ratio"], place["risk"]);
  EXPECT_LT(place["risk"], place["action"]);
  EXPECT_LT(place["high"], place["action"]) << "expressions name each other as they are";
}

TEST(TableGraphTest, RefusesWhatCannotBe) {
  struct Case {
    std::string from, to, says;
  };
  const Case cases[] = {
      {"history.mean]", "nobody.mean]", "there is no input or node nobody"},
      {"history.mean]", "history]", "say which of its values: history.NAME"},
      {"[ratio, amount", "[ratio.x, amount", "ratio is one value"},
      {"keys: {account: account}", "keys: {account: action}", "is in a circle"},
      {"risk@3", "risk@champion", "must be a registered version such as risk@3"},
      {"risk@3", "risk", "must be a registered version such as risk@3"},
      {"name: high,", "name: amount,", "is taken"},
      {"name: high,", "name: \"2high\",", "must be a name of letters"},
      {"datatype: FP64", "datatype: FP63", "is FP63; known are"},
      {"{name: amount, datatype: FP64}", "{name: account, datatype: FP64}", "stands twice"},
      {"{name: action, from: action}", "{name: score, from: action}", "stands twice"},
      {"kind: features, feature_schema: means,", "kind: features,", "feature_schema is missing"},
      {"kind: features,", "kind: features, model: a@1,", "model is no field of features"},
      {", inputs: {x: [ratio, amount, history.mean]}", "", "inputs is missing"},
      {"risk.score.1", "risk.score.-1", "must be NAME, NODE.NAME"},
      {"risk.score.1", "risk..1", "must be NAME, NODE.NAME"},
  };
  for (const Case& c : cases) {
    const auto graph = read_table_graph(changed(c.from, c.to));
    const auto order =
        graph ? order_of(*graph) : Result<std::vector<const TableNode*>>(graph.error());
    ASSERT_FALSE(order) << c.to;
    EXPECT_EQ(order.error().code, Code::invalid_argument);
    EXPECT_NE(order.error().message.find(c.says), std::string::npos)
        << c.to << ": " << order.error().message;
  }
}

TEST(TableGraphTest, ReadsReferences) {
  const Reference whole = must(reference_of("risk.probabilities.1"));
  EXPECT_EQ(whole.name, "risk");
  EXPECT_EQ(whole.part, "probabilities");
  EXPECT_EQ(whole.column, 1);
  EXPECT_EQ(must(reference_of("x.3")).column, 3);
  EXPECT_EQ(must(reference_of("x.3")).part, "");
  EXPECT_EQ(must(reference_of("risk.output-0")).part, "output-0");
  for (const char* wrong : {"", ".", "a.", "a.b.c", "a.b.1.2", "1a"})
    EXPECT_FALSE(reference_of(wrong)) << wrong;
}

}  // namespace
}  // namespace penstock::graphs
