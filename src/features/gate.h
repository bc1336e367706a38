// Quality gates as they are declared: what must hold of the rows that go to the online store.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/described.h"
#include "catalog/checks.h"

namespace penstock::features {

enum class GateRule {
  not_null,           // no value is null
  min,                // no value is below `value`; null passes, NaN does not
  max,                // none above it; the same
  one_of,             // each is one of the list `value`; null passes
  max_null_share,     // of the rows that are moved, 0 to 1
  max_share_changed,  // of the entities that are moved: those whose value online is another one
  min_rows,           // that arrived since the last materialize
  max_rows,
};
BOOST_DESCRIBE_ENUM(GateRule, not_null, min, max, one_of, max_null_share, max_share_changed,
                    min_rows, max_rows)

struct FeatureCheck {
  std::string feature;  // empty for min_rows and max_rows
  GateRule rule = GateRule::not_null;
  json::value value;
  catalog::CheckSeverity severity = catalog::CheckSeverity::error;
  bool reject_rows = false;
};
BOOST_DESCRIBE_STRUCT(FeatureCheck, (), (feature, rule, value, severity, reject_rows))
constexpr auto rules_of(const FeatureCheck&) {
  return std::array{
      Rule{.field = "feature", .max = 200, .may_miss = true},
      Rule{.field = "value",
           .doc = "The bound, the list or the share that the rule speaks of; none for not_null.",
           .may_miss = true},
      Rule{.field = "severity",
           .doc = "error stops the materialize of the view; warning is only told.",
           .may_miss = true},
      Rule{.field = "reject_rows",
           .doc =
               "Rows that break the rule are no rows of the view, offline and online; the others "
               "are moved. For not_null, min, max and one_of.",
           .may_miss = true}};
}

}  // namespace penstock::features
