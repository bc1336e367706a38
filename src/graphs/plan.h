// A graph that was checked, and how it is run.
#pragma once

#include <memory>

#include "base/call.h"
#include "graphs/graph.h"

namespace penstock::graphs {

// What nodes ask for; each blocks until it has an answer or the call's deadline has passed.
class Tools {
 public:
  virtual ~Tools() = default;
  virtual Result<std::vector<float>> embed(const Call& call, const std::string& route,
                                           const std::string& text) = 0;
  // The nearest rows: their keys and the features that the node names, and "score", the nearest
  // first.
  virtual Result<json::array> retrieve(const Call& call, const Node& node,
                                       const std::vector<float>& vector) = 0;
  // One score a passage; the greater, the better it fits.
  virtual Result<std::vector<double>> rerank(const Call& call, const std::string& route,
                                             const std::string& query,
                                             const std::vector<std::string>& passages) = 0;
  virtual Result<json::object> features(const Call& call, const std::string& schema,
                                        const std::map<std::string, std::string>& keys) = 0;
};

struct NodeRun {
  std::string name;
  NodeKind kind = NodeKind::embed;
  std::int64_t micros = 0;
  std::int64_t items = 0;  // that it gave
};

struct Filled {
  std::vector<std::pair<Role, std::string>> messages;  // to go before the caller's own
  std::vector<NodeRun> runs;                           // in the order in which they ran
  std::int64_t retrieval_calls = 0, reranker_calls = 0;
  json::object values;  // what each node gave
};

// Immutable; safe from several threads.
class Plan {
 public:
  // invalid_argument names the node and the field: a name twice, a node that names itself or one
  // that is not there, a field that its kind needs or cannot have.
  static Result<std::shared_ptr<const Plan>> make(const GraphDeclaration& declared);
  ~Plan();

  // The error is that of the node that failed, and names it.
  Result<Filled> run(const Call& call, const Clock& clock, const std::string& question,
                     const std::string& user, Tools& tools) const;
  const GraphDeclaration& declared() const { return declared_; }

 private:
  struct Step;
  explicit Plan(GraphDeclaration declared);
  Result<json::value> run_step(const Call& call, const Step& step, const json::object& values,
                               Tools& tools) const;

  GraphDeclaration declared_;
  std::vector<std::unique_ptr<const Step>> steps_;  // each after what it names
  std::vector<Template> messages_;
};

// Of all texts that one run may make, so that no graph makes a message that no model takes.
inline constexpr std::size_t text_max = 4 << 20;

}  // namespace penstock::graphs
