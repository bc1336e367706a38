// The rules by which columns are judged. A rule that is changed gets the next version, so that what
// was suggested by the old one is judged again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/source.h"
#include "classification/value.h"

namespace penstock::classification {

using catalog::Classification;

// The types of columns that a rule looks at, as bits.
enum Shape : unsigned { text = 1, whole = 2, real = 4, time = 8, boolean = 16 };

struct Rule {
  std::string_view id;  // "pii.email"; "pii.national_id.de" where several give one tag
  std::int64_t version = 1;
  std::string_view tag;
  Classification suggested = Classification::confidential;
  std::string_view looks_at;  // in words, for people
  unsigned shapes = Shape::text;
  Verdict (*check)(const Value&) = nullptr;
  // How far a column whose values all are strong is what the tag says.
  double specificity = 0.95;
  // The least shares of values that must pass. Without a telling name only strong ones count (half
  // as many where there is a hint, and 0.9 where there is a veto); a share above 1 means never.
  double alone = 2, named = 0.5, hinted = 0.8;
  // Words of the column's name, in a row: `names` say it, `hints` may say it, and one of `vetoes`
  // says something else ("count", "order").
  std::vector<std::string_view> names, hints, vetoes;
  // Words of the table's name: what makes a hint a name, and what is about no person.
  std::vector<std::string_view> table_names, table_vetoes;
  // Words of which another column of the table must hold some: a latitude alone places nobody.
  std::vector<std::string_view> beside;
  // Tags which, found in the same column, say it better.
  std::vector<std::string_view> yields_to;
};

const std::vector<Rule>& rules();
// SHA-256 of every rule's id and version, hex: equal as long as all would be judged the same.
const std::string& rules_digest();

}  // namespace penstock::classification
