// Which tags a column's name and values suggest, and why.
#pragma once

#include <string>
#include <vector>

#include "base/described.h"
#include "classification/rules.h"

namespace penstock::classification {

struct ColumnSample {
  std::string name;
  Shape shape = Shape::text;
  std::vector<std::string> values;  // as text, without nulls
  std::int64_t rows = 0;            // that were looked at, nulls included
};

// Why a tag was suggested. Values are shown by their shape alone: "xxx.xxx@xxxxxxx.xxx".
struct Evidence {
  std::vector<std::string> name_words;  // of the column's name that the rule knows
  std::int64_t rows = 0;                // sampled, nulls included
  std::int64_t values = 0;              // of them not null and not empty
  std::int64_t matches = 0;             // that pass the rule's check
  std::int64_t strong_matches = 0;      // of them by a check digit, a prefix or a form of its own
  std::int64_t distinct_matches = 0;    // counted up to 64
  double share = 0;                     // matches / values
  std::vector<std::string> examples;    // at most 3, masked
};
BOOST_DESCRIBE_STRUCT(Evidence, (),
                      (name_words, rows, values, matches, strong_matches, distinct_matches, share,
                       examples))

struct Finding {
  std::string tag;
  Classification classification = Classification::internal;
  double confidence = 0;  // from 0.5 to 1
  std::string rule;
  std::int64_t rule_version = 0;
  Evidence evidence;
};
BOOST_DESCRIBE_STRUCT(Finding, (), (tag, classification, confidence, rule, rule_version, evidence))

// At most one finding a tag, the surest first. `table` is the name of the column's table, and
// `columns` the names of all of its columns: what stands beside a column says what it is about.
//
// With m the share of values that pass, d the distinct ones among them, and q the mean of the
// rule's specificity over strong passes and 0.4 over weak ones, the values say
//   v = q * d / (d + 1) * (1 + m) / 2,
// the name says n = 0.6 (telling), 0.3 (a hint) or 0, and the confidence is 1 - (1 - v)(1 - n).
// Shares below the rule's least, and confidences below 0.5, suggest nothing.
std::vector<Finding> judge(const std::string& table, const std::vector<std::string>& columns,
                           const ColumnSample& sample);

// Every letter as x or X and every digit as 9, at most 40 characters.
std::string masked(std::string_view value);

}  // namespace penstock::classification
