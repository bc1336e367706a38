// The labelled columns of tests/data/classification, and how well judge() finds their tags.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "classification/judge.h"

namespace penstock::test {

struct LabelledColumn {
  std::string table;
  std::vector<std::string> columns;
  std::string type, trap;
  std::set<std::string> tags;  // that a data steward would give
  classification::ColumnSample sample;
};

// Reads "tuning" or "held_out"; throws where the file is broken.
std::vector<LabelledColumn> labelled_columns(const std::string& part);

std::set<std::string> suggested_tags(const LabelledColumn& column);

struct Tally {
  int right = 0, wrong = 0, missed = 0;

  // 1 where nothing was suggested, or nothing was there.
  double precision() const { return right + wrong ? 1.0 * right / (right + wrong) : 1; }
  double recall() const { return right + missed ? 1.0 * right / (right + missed) : 1; }
};

// By tag, and over all of them as "all".
std::map<std::string, Tally> tally(const std::vector<LabelledColumn>& columns);

}  // namespace penstock::test
