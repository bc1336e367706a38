// Everything that differs between two versions.
#pragma once

#include "record/facts.h"

namespace penstock::record {

struct Difference {
  std::string name;
  std::optional<std::string> before, after;  // nothing: it is not there
  std::optional<double> delta;               // after - before, of numbers
  std::string note;
  std::vector<std::string> lines;  // of a text: "-old", "+new", " same"
};
BOOST_DESCRIBE_STRUCT(Difference, (), (name, before, after, delta, note, lines))

// record, training data, sources, features, code, environment, parameters, metrics, slices,
// signature, files, approvals, classification, cost.
struct Part {
  std::string name;
  std::vector<Difference> differences;
};
BOOST_DESCRIBE_STRUCT(Part, (), (name, differences))

struct Diff {
  std::string before, after;  // URNs
  bool same = false;          // nothing differs but their names and times
  std::vector<Part> parts;    // only those in which something differs
};
BOOST_DESCRIBE_STRUCT(Diff, (), (before, after, same, parts))

Diff diff_of(const Facts& before, const Facts& after);

// The lines of two texts by their longest common subsequence, with three lines around each change;
// of very long texts the whole of both.
std::vector<std::string> line_diff(const std::string& before, const std::string& after);

}  // namespace penstock::record
