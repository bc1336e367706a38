// Runs a graph of features, models and expressions as one model of tensors.
#pragma once

#include "graphs/table_graph.h"
#include "serving/seams.h"
#include "serving/table.h"

namespace penstock::serving {

// The tree of an expression; invalid_argument where it is none.
using ExpressionParser = std::function<Result<json::value>(const std::string& expression)>;

struct GraphParts {
  graphs::TableGraph graph;
  std::map<std::string, std::shared_ptr<const Deployment>> models;  // by node
  std::map<std::string, OpenSchema> schemas;                        // by node
  ExpressionParser parse;
  const Clock& clock;
};

// failed_precondition names the node that cannot be: a model that takes other inputs, a value that
// nobody gives, an expression that does not compile.
Result<std::shared_ptr<infer::Model>> make_graph_model(GraphParts parts);

}  // namespace penstock::serving
