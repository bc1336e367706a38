// A model of tensors as a declared graph of others: features of entities, expressions, registered
// versions, and what of them is the answer. graph.yaml, alone in the artifact of a version.
#pragma once

#include "base/described.h"

namespace penstock::graphs {

// Values are named by who gives them: INPUT and NODE (of expression), NODE.FEATURE, NODE.OUTPUT;
// with .COLUMN behind it one column of a matrix, counted from 0.
struct Reference {
  std::string name, part;
  std::optional<std::int64_t> column;
};

struct TableInput {
  std::string name;
  std::string datatype;               // of the Open Inference Protocol
  std::optional<std::int64_t> width;  // columns of a matrix; none: one value a row
};
BOOST_DESCRIBE_STRUCT(TableInput, (), (name, datatype, width))
constexpr auto rules_of(const TableInput&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 100},
                    Rule{.field = "datatype", .min = 1, .max = 10},
                    Rule{.field = "width", .min = 1, .max = 100'000}};
}

enum class TableNodeKind { features, model, expression };
BOOST_DESCRIBE_ENUM(TableNodeKind, features, model, expression)
struct TableNode {
  std::string name;
  TableNodeKind kind = TableNodeKind::expression;
  std::optional<std::string> feature_schema;
  std::map<std::string, std::string> keys;  // of features: join keys and inputs of the schema
  std::optional<std::string> model;         // MODEL@NUMBER, a registered version
  std::map<std::string, std::vector<std::string>> inputs;  // of model: the columns of each
  std::optional<std::string> expression;  // as feature schemas have them, over inputs, expressions
  std::map<std::string, std::string> values;  // and these names for other values
};
BOOST_DESCRIBE_STRUCT(TableNode, (),
                      (name, kind, feature_schema, keys, model, inputs, expression, values))
constexpr auto rules_of(const TableNode&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 100},
                    Rule{.field = "feature_schema", .min = 1, .max = 100},
                    Rule{.field = "model", .min = 3, .max = 200},
                    Rule{.field = "expression", .min = 1, .max = 4'000}};
}

struct TableOutput {
  std::string name, from;
};
BOOST_DESCRIBE_STRUCT(TableOutput, (), (name, from))
constexpr auto rules_of(const TableOutput&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 100},
                    Rule{.field = "from", .min = 1, .max = 300}};
}

struct TableGraph {
  std::vector<TableInput> inputs;
  std::vector<TableNode> nodes;
  std::vector<TableOutput> outputs;
};
BOOST_DESCRIBE_STRUCT(TableGraph, (), (inputs, nodes, outputs))
constexpr auto rules_of(const TableGraph&) {
  return std::array{Rule{.field = "inputs", .min = 1, .max = 256},
                    Rule{.field = "nodes", .min = 1, .max = 32},
                    Rule{.field = "outputs", .min = 1, .max = 256}};
}

// invalid_argument names the field.
Result<TableGraph> read_table_graph(std::string_view yaml);
// not a reference: invalid_argument.
Result<Reference> reference_of(std::string_view text);

// A version that a node of kind model names.
struct NodeModel {
  std::string model;
  std::int64_t version = 0;
};
Result<NodeModel> model_of(const TableNode& node);

// The nodes in an order in which each comes after what it reads. invalid_argument names the node
// and the field: a name twice, a field that its kind needs or cannot have, a value that nobody
// gives, a circle. What a model and an expression take is seen when they are loaded.
Result<std::vector<const TableNode*>> order_of(const TableGraph& graph);

}  // namespace penstock::graphs
