// Routing rules: expressions over what a call carries, compiled once for each table.
//
//   tenant == "acme" && header("x-beta") == "1" || user in ("ana", "bo")
//   !(cookie("group").startsWith("eu-")) && entity("carrier").matches("^U[AX]$")
//
// Texts: tenant, user, actor, header("name"), cookie("name"), entity("key") and "literals" (\"
// \\ \n \t are escapes). What a call does not carry is the empty text. Tests: == != in, and
// .startsWith(), .endsWith(), .contains(), .matches() (RE2, anywhere in the text). `!` binds
// tighter than `&&`, and that tighter than `||`. No loops and no numbers: the time of one rule is
// bounded by its length and that of the texts.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serving/route_options.h"
#include "serving/seams.h"

namespace penstock::serving {

// The value of the caller's header of this name in lower case; empty where there is none.
using HeaderLookup = std::function<std::string_view(std::string_view name)>;

// Who calls, as rules and sticky units see it. Views, valid while the call runs.
struct Caller {
  std::string_view tenant, actor;  // as the edge authenticated them
  std::string_view user;           // the caller's own tag of its user: a claim, no identity
  const HeaderLookup* header = nullptr;
  const Entities* entities = nullptr;
};

std::string_view header_of(const Caller& caller, std::string_view name);
std::string_view cookie_of(const Caller& caller, std::string_view name);
std::string_view entity_of(const Caller& caller, std::string_view key);

inline constexpr std::size_t rule_text_max = 1'000;    // characters of one rule
inline constexpr std::size_t rule_depth_max = 32;      // of parentheses and negations
inline constexpr std::size_t matched_text_max = 8192;  // what .matches() looks at of a text

class Expression {
 public:
  // invalid_argument that says where in `text`, what stands there and what is known.
  static Result<Expression> compile(std::string_view text,
                                    const std::vector<std::string>& entity_keys);
  bool holds(const Caller& caller) const;

  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;
  ~Expression();

 private:
  friend class ExpressionParser;
  struct Node;
  Expression();
  bool holds(const Node& node, const Caller& caller) const;
  std::vector<Node> nodes_;  // the last one is the root
};

// A route's rules in their order.
class Rules {
 public:
  struct Rule {
    Expression when;
    std::int64_t version = 0;
  };
  // The violation names the rule: rules[2].when.
  static Result<std::shared_ptr<const Rules>> compile(const std::vector<RoutingRule>& rules,
                                                      const std::vector<std::string>& entity_keys);
  const std::vector<Rule>& all() const { return rules_; }

 private:
  std::vector<Rule> rules_;
};

}  // namespace penstock::serving
