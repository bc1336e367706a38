// What a tile keeps of its events, for each kind of aggregate. Every state is the same whatever the
// order in which events and parts were put together.
#pragma once

#include <variant>

#include "base/money.h"
#include "features/windows/distinct.h"
#include "features/windows/exact_sum.h"
#include "features/windows/plan.h"
#include "features/windows/sketch.h"

namespace penstock::features::windows {

struct Event {
  Timestamp event_time, created_time, arrived_at;
  std::vector<Scalar> values;  // of Plan::inputs
};

struct Count {
  std::uint64_t events = 0;
};
struct Sum {
  ExactSum sum;
  std::uint64_t values = 0;
};
struct WholeSum {
  Wide sum = 0;  // of 64-bit numbers: 2^63 events cannot overflow it
};
struct Extreme {  // the least or the greatest
  Scalar value;
};
struct Last {
  std::int64_t event_time = 0, created_time = 0;
  Scalar value;
};

// monostate: no event was counted.
using State = std::variant<std::monostate, Count, Sum, WholeSum, Extreme, Last, Distinct, Sketch>;

// Events whose `where` is not true, and those whose input is null, are passed over.
void add(State& state, const StateSpec& spec, const Event& event);
void merge(State& into, const State& from, Fold fold);
// What a feature is where its window holds `state`: null where there is nothing to say, 0 for count
// and distinct. A sum beyond 64 bits of a bigint is null.
Scalar finish(const WindowedFeature& feature, const State& state);

void encode(std::string& out, const State& state);
// False where the bytes are no state of this fold.
bool decode(Reader& bytes, Fold fold, State& state);

// Below, at or above 0. NaN is the greatest, -0 is before +0: a total order.
int order_of(const Scalar& a, const Scalar& b);

}  // namespace penstock::features::windows
