#include "base/money.h"
#include "base/time.h"
#include "base/urn.h"
#include "base/yaml.h"
#include "graphs/graph.h"
#include "graphs/plan.h"
#include "serving/rule.h"
#include "serving/upstream.h"
#include "tests/fuzz/fuzz.h"
#include "tracking/search.h"

namespace penstock::fuzz {
namespace {

bool eat_rule(std::string_view input) {
  const auto rule = serving::Expression::compile(input, {"carrier"});
  if (!rule) return false;
  const serving::HeaderLookup header = [](std::string_view) { return std::string_view("a=b; c"); };
  const serving::Entities entities{{"carrier", "UA"}};
  const serving::Caller caller{
      .tenant = "acme", .user = "ana", .header = &header, .entities = &entities};
  hold(rule->holds(caller) == rule->holds(caller), "it says now this, now that");
  return true;
}

bool eat_filter(std::string_view input) {
  return bool(tracking::compile(tracking::Subject::run, std::string(input), {}));
}

bool eat_order(std::string_view input) {
  return bool(tracking::compile(tracking::Subject::run, "", {std::string(input)}));
}

bool eat_yaml(std::string_view input) { return bool(yaml::parse(input)); }

bool eat_money(std::string_view input) {
  const auto money = money_from(input);
  if (!money) return false;
  const auto again = money_from(to_text(*money));
  hold(again && *again == *money, "it cannot read what it wrote");
  return true;
}

bool eat_time(std::string_view input) {
  const auto time = from_rfc3339(input);
  if (!time) return false;
  const auto again = from_rfc3339(to_rfc3339(*time));
  hold(again && *again == *time, "it cannot read what it wrote");
  return true;
}

bool eat_duration(std::string_view input) { return duration_from(input).has_value(); }

}  // namespace

std::vector<Target> text_targets() {
  return {
      {"rule",
       {R"(tenant == "acme" && header("x-beta") == "1" || user in ("ana", "bo"))",
        R"(!(cookie("a").startsWith("eu-")) && entity("carrier").matches("^U[AX]$"))"},
       eat_rule},
      {"filter",
       {"metrics.auc > 0.9 and params.`a b` = 'x' AND tags.\"k\" LIKE '%y%'",
        "attributes.run_id IN ('a', 'b') and status != 'FAILED'"},
       eat_filter},
      {"order", {"metrics.auc DESC", "attributes.start_time", "params.`a` ASC"}, eat_order},
      {"yaml",
       {"kind: route\nname: a\nlist: [1, 2, {x: y}]\n---\nkind: model\ntext: |\n  a\n  b\n",
        "a: &x [1]\nb: \"\\u00e9\"\n"},
       eat_yaml},
      {"graph",
       {"nodes:\n- {name: a, kind: embed, route: r, text: '{{question}}'}\nmessages:\n- {role: "
        "system, "
        "content: '{{a}}'}\n"},
       [](std::string_view input) {
         const auto graph = graphs::read_graph(input);
         return graph && graphs::Plan::make(*graph);
       }},
      {"template",
       {"Answer {{question}} by {{found.text}}"},
       [](std::string_view input) { return bool(graphs::Template::parse(input)); }},
      {"remote",
       {"upstream: a\nmodel: b\ncontext_tokens: 100\ngpus: 0.5\n"},
       [](std::string_view input) { return bool(serving::read_remote(input)); }},
      {"money", {"12.5", "-0.000000000001", "99999999999999999999999999.999999999999"}, eat_money},
      {"time", {"2026-11-26T13:00:00Z", "2026-11-26T13:00:00.123456+05:30"}, eat_time},
      {"duration", {"5s", "100ms", "30d"}, eat_duration},
  };
}

}  // namespace penstock::fuzz
