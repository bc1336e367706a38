#include "features/windows/aggregate.h"

#include <cmath>
#include <limits>

namespace penstock::features::windows {
namespace {

template <class T>
T& as(State& state) {
  if (state.index() == 0) return state.emplace<T>();
  return std::get<T>(state);
}

// Wraps where damaged bytes claim more than events can add up to.
void add_to(Wide& sum, Wide value) {
  __extension__ using Bits = unsigned __int128;
  sum = static_cast<Wide>(static_cast<Bits>(sum) + static_cast<Bits>(value));
}

int sign(auto a, auto b) { return a < b ? -1 : a > b ? 1 : 0; }

bool is_later(const Last& a, const Last& b) {
  if (a.event_time != b.event_time) return a.event_time > b.event_time;
  if (a.created_time != b.created_time) return a.created_time > b.created_time;
  return order_of(a.value, b.value) > 0;
}

Scalar counted(FeatureType type, std::uint64_t count) {
  if (type == FeatureType::real) return static_cast<double>(count);
  return static_cast<std::int64_t>(count);
}

double real_of(const Scalar& value) {
  const auto* real = std::get_if<double>(&value);
  return real ? *real : 0;
}

// Of two extremes, the one that stands.
bool wins(const Scalar& candidate, const Scalar& now, Fold fold) {
  const int order = order_of(candidate, now);
  return fold == Fold::least ? order < 0 : order > 0;
}

}  // namespace

int order_of(const Scalar& a, const Scalar& b) {
  if (a.index() != b.index()) return sign(a.index(), b.index());
  if (const auto* x = std::get_if<double>(&a)) {
    const double y = std::get<double>(b);
    if (std::isnan(*x) || std::isnan(y)) return sign(std::isnan(*x), std::isnan(y));
    if (*x == 0 && y == 0) return sign(!std::signbit(*x), !std::signbit(y));
    return sign(*x, y);
  }
  if (const auto* x = std::get_if<std::string>(&a))
    return sign(x->compare(std::get<std::string>(b)), 0);
  if (const auto* x = std::get_if<std::int64_t>(&a)) return sign(*x, std::get<std::int64_t>(b));
  if (const auto* x = std::get_if<bool>(&a)) return sign(*x, std::get<bool>(b));
  return 0;
}

void add(State& state, const StateSpec& spec, const Event& event) {
  if (spec.where) {
    const auto* holds = std::get_if<bool>(&event.values[*spec.where]);
    if (!holds || !*holds) return;
  }
  static const Scalar none;
  const Scalar& value = spec.input ? event.values[*spec.input] : none;
  if (spec.input && value.index() == 0) return;
  switch (spec.fold) {
    case Fold::count: ++as<Count>(state).events; return;
    case Fold::sum: {
      Sum& sum = as<Sum>(state);
      sum.sum.add(real_of(value));
      ++sum.values;
      return;
    }
    case Fold::whole_sum:
      if (const auto* whole = std::get_if<std::int64_t>(&value))
        add_to(as<WholeSum>(state).sum, *whole);
      return;
    case Fold::least:
    case Fold::greatest: {
      Extreme& extreme = as<Extreme>(state);
      if (extreme.value.index() == 0 || wins(value, extreme.value, spec.fold))
        extreme.value = value;
      return;
    }
    case Fold::last: {
      const Last found{event.event_time.time_since_epoch().count(),
                       event.created_time.time_since_epoch().count(), value};
      Last& last = as<Last>(state);
      if (last.value.index() == 0 || is_later(found, last)) last = found;
      return;
    }
    case Fold::distinct: as<Distinct>(state).add(value); return;
    case Fold::sketch:
      if (!std::isnan(real_of(value))) as<Sketch>(state).add(real_of(value));
      return;
  }
}

void merge(State& into, const State& from, Fold fold) {
  if (from.index() == 0) return;
  if (into.index() == 0) {
    into = from;
    return;
  }
  switch (fold) {
    case Fold::count: as<Count>(into).events += std::get<Count>(from).events; return;
    case Fold::sum: {
      const Sum& other = std::get<Sum>(from);
      Sum& sum = as<Sum>(into);
      sum.sum.merge(other.sum);
      sum.values += other.values;
      return;
    }
    case Fold::whole_sum: return add_to(as<WholeSum>(into).sum, std::get<WholeSum>(from).sum);
    case Fold::least:
    case Fold::greatest: {
      const Scalar& other = std::get<Extreme>(from).value;
      Scalar& value = as<Extreme>(into).value;
      if (wins(other, value, fold)) value = other;
      return;
    }
    case Fold::last:
      if (is_later(std::get<Last>(from), as<Last>(into))) into = from;
      return;
    case Fold::distinct: as<Distinct>(into).merge(std::get<Distinct>(from)); return;
    case Fold::sketch: as<Sketch>(into).merge(std::get<Sketch>(from)); return;
  }
}

Scalar finish(const WindowedFeature& feature, const State& state) {
  const bool counts =
      feature.aggregate == Aggregate::count || feature.aggregate == Aggregate::distinct;
  if (state.index() == 0) return counts ? counted(feature.type, 0) : Scalar{};
  if (const auto* count = std::get_if<Count>(&state)) return counted(feature.type, count->events);
  if (const auto* distinct = std::get_if<Distinct>(&state))
    return counted(feature.type, static_cast<std::uint64_t>(distinct->value()));
  if (const auto* sum = std::get_if<Sum>(&state)) {
    const double whole = sum->sum.value();
    return feature.aggregate == Aggregate::mean ? whole / static_cast<double>(sum->values) : whole;
  }
  if (const auto* sum = std::get_if<WholeSum>(&state)) {
    const auto fits = static_cast<std::int64_t>(sum->sum);
    return fits == sum->sum ? Scalar(fits) : Scalar{};
  }
  if (const auto* extreme = std::get_if<Extreme>(&state)) return extreme->value;
  if (const auto* last = std::get_if<Last>(&state)) return last->value;
  return std::get<Sketch>(state).value(feature.quantile);
}

void encode(std::string& out, const State& state) {
  if (const auto* count = std::get_if<Count>(&state)) {
    put_number(out, count->events);
  } else if (const auto* sum = std::get_if<Sum>(&state)) {
    put_number(out, sum->values);
    sum->sum.encode(out);
  } else if (const auto* whole = std::get_if<WholeSum>(&state)) {
    put_fixed(out, whole->sum);
  } else if (const auto* extreme = std::get_if<Extreme>(&state)) {
    put_scalar(out, extreme->value);
  } else if (const auto* last = std::get_if<Last>(&state)) {
    put_fixed(out, last->event_time);
    put_fixed(out, last->created_time);
    put_scalar(out, last->value);
  } else if (const auto* distinct = std::get_if<Distinct>(&state)) {
    distinct->encode(out);
  } else if (const auto* sketch = std::get_if<Sketch>(&state)) {
    sketch->encode(out);
  }
}

bool decode(Reader& bytes, Fold fold, State& state) {
  switch (fold) {
    case Fold::count: {
      Count& count = state.emplace<Count>();
      return bytes.number(count.events) && count.events > 0;
    }
    case Fold::sum: {
      Sum& sum = state.emplace<Sum>();
      return bytes.number(sum.values) && sum.values > 0 && sum.sum.decode(bytes);
    }
    case Fold::whole_sum: return bytes.fixed(state.emplace<WholeSum>().sum);
    case Fold::least:
    case Fold::greatest: {
      Extreme& extreme = state.emplace<Extreme>();
      return bytes.scalar(extreme.value) && extreme.value.index() != 0;
    }
    case Fold::last: {
      Last& last = state.emplace<Last>();
      return bytes.fixed(last.event_time) && bytes.fixed(last.created_time) &&
             bytes.scalar(last.value) && last.value.index() != 0;
    }
    case Fold::distinct: return state.emplace<Distinct>().decode(bytes);
    case Fold::sketch: {
      Sketch& sketch = state.emplace<Sketch>();
      return sketch.decode(bytes) && !sketch.empty();
    }
  }
  return false;
}

}  // namespace penstock::features::windows
