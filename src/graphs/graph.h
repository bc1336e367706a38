// What is done before a language model is asked: vectors, passages, their order, features of an
// entity, and the messages that are made of them. Part of a model version: graph.yaml in its
// artifact.
#pragma once

#include "base/described.h"

namespace penstock::graphs {

enum class NodeKind { embed, retrieve, rerank, features };
BOOST_DESCRIBE_ENUM(NodeKind, embed, retrieve, rerank, features)

// Texts are templates: {{question}} is the text of the caller's last message, {{user}} its tag of
// its user, {{NODE}} what a node gave and {{NODE.FIELD}} a part of that.
struct Node {
  std::string name;
  NodeKind kind = NodeKind::embed;
  std::optional<std::string> route;  // of embed and rerank: who answers
  std::optional<std::string> text;   // of embed: what becomes a vector
  // Of retrieve: the feature of a view that holds vectors, the node that gives one to look for,
  // and the features of the view that come with what is found.
  std::optional<std::string> view, feature, vector;
  std::vector<std::string> with;
  std::optional<std::int64_t> count;    // of retrieve and rerank: how many stay
  std::optional<std::string> query;     // of rerank
  std::optional<std::string> passages;  // of rerank: the node that gives them
  std::optional<std::string> passage;   // of rerank: a template of one, e.g. "{{title}}: {{body}}"
  std::optional<std::string> feature_schema;  // of features
  std::map<std::string, std::string> keys;    // of features: join keys, as templates
};
BOOST_DESCRIBE_STRUCT(Node, (),
                      (name, kind, route, text, view, feature, vector, with, count, query, passages,
                       passage, feature_schema, keys))
constexpr auto rules_of(const Node&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 100},
                    Rule{.field = "route", .min = 1, .max = 100},
                    Rule{.field = "text", .min = 1, .max = 65'536},
                    Rule{.field = "view", .min = 1, .max = 100},
                    Rule{.field = "feature", .min = 1, .max = 100},
                    Rule{.field = "vector", .min = 1, .max = 100},
                    Rule{.field = "with", .max = 100},
                    Rule{.field = "count", .min = 1, .max = 200},
                    Rule{.field = "query", .min = 1, .max = 65'536},
                    Rule{.field = "passages", .min = 1, .max = 100},
                    Rule{.field = "passage", .min = 1, .max = 65'536},
                    Rule{.field = "feature_schema", .min = 1, .max = 100}};
}

enum class Role { system, developer, user };
BOOST_DESCRIBE_ENUM(Role, system, developer, user)
// Put before the caller's own.
struct Message {
  Role role = Role::system;
  std::string content;  // a template; a node's list is written as "[1] ...\n[2] ..."
};
BOOST_DESCRIBE_STRUCT(Message, (), (role, content))
constexpr auto rules_of(const Message&) {
  return std::array{Rule{.field = "content", .min = 1, .max = 65'536}};
}

struct GraphDeclaration {
  std::vector<Node> nodes;
  std::vector<Message> messages;
};
BOOST_DESCRIBE_STRUCT(GraphDeclaration, (), (nodes, messages))
constexpr auto rules_of(const GraphDeclaration&) {
  return std::array{Rule{.field = "nodes", .max = 32},
                    Rule{.field = "messages", .min = 1, .max = 16}};
}

inline constexpr std::string_view graph_file = "graph.yaml";
// invalid_argument names the field. Whether it makes a graph is for Plan::make.
Result<GraphDeclaration> read_graph(std::string_view yaml);

// What a text may stand for.
class Template {
 public:
  // invalid_argument where braces do not close or a name is none.
  static Result<Template> parse(std::string_view text);
  // Nodes and inputs that it names, without their fields.
  std::vector<std::string> names() const;
  // `values` by name; a name or field that is not there is written as nothing. Lists are numbered.
  std::string fill(const json::object& values) const;

 private:
  struct Part {
    std::string text;               // as it stands
    std::vector<std::string> path;  // or a value: name, fields
  };
  std::vector<Part> parts_;
};

}  // namespace penstock::graphs
