// Quality gates: looked at in SQL over the rows that are about to be moved.
#pragma once

#include <functional>

#include "features/schema.h"
#include "features/view_work.h"
#include "ports/olap.h"

namespace penstock::features {

// What of the view's `checks` makes no sense.
std::vector<Violation> gate_faults(const FeatureView& view);

// Of one row: what it breaks of gates with reject_rows, "heat min" each; the SQL below says the
// same.
std::vector<std::string> broken_gates(const FeatureView& view, const std::vector<Scalar>& values);
// SQL that is true for rows that a gate keeps out; empty: there is no such gate.
std::string rejecting_condition(const FeatureView& view);

struct GateInput {
  const ViewHandle* view = nullptr;
  // SELECT: keys, event_time, created_time, features, penstock_fresh (it arrived since the last
  // time).
  std::string moving;
  std::string rejected;  // SELECT of rows that are kept out; empty: there are none
  // How many rows arrived, where `moving` are not these: it is the entities of a windowed view.
  std::optional<std::int64_t> arrived;
  bool keys_hidden = false;
  // How many entities of `moving` were compared with what is online, and how many have another
  // value of the feature.
  struct Changed {
    std::int64_t compared = 0, changed = 0;
  };
  std::function<Result<Changed>(std::size_t feature)> changed;
};
struct GateReport {
  std::vector<GateResult> checks;
  std::int64_t rejected = 0;

  const GateResult* failed() const;  // the first of severity error
};
Result<GateReport> look(olap::Session& session, const GateInput& input);

std::string text_of(const GateResult& result);  // "check heat min"

}  // namespace penstock::features
