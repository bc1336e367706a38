// What is wrong with the aggregates of a view.
#include <algorithm>

#include "features/windows/plan.h"

namespace penstock::features::windows {
namespace {

std::string text_of(Micros span) { return std::get<std::string>(Kind<Micros>::say(span)); }

class Checks {
 public:
  Checks(const Feature& feature, std::string path, std::vector<Violation>& faults)
      : feature_(feature), path_(std::move(path)), faults_(faults) {}

  void plain() const {
    const auto refuse = [&](const char* field, bool said) {
      if (said) fault(field, "needs an aggregate beside it");
    };
    refuse("column", feature_.column.has_value());
    refuse("window", feature_.window.has_value());
    refuse("hop", feature_.hop.has_value());
    refuse("kind", feature_.kind.has_value());
    refuse("quantile", feature_.quantile.has_value());
    refuse("where", feature_.where.has_value());
  }

  void aggregated() const {
    const Aggregate aggregate = *feature_.aggregate;
    if (!feature_.column && aggregate != Aggregate::count)
      fault("column", "is missing: " + std::string(name_of(aggregate)) + " reads one");
    if (aggregate == Aggregate::quantile) {
      if (!feature_.quantile)
        fault("quantile", "is missing: say which, as 0.5 for the median");
      else if (!(*feature_.quantile > 0 && *feature_.quantile < 1))
        fault("quantile", "must lie between 0 and 1, without both");
    } else if (feature_.quantile) {
      fault("quantile", "belongs to aggregate quantile alone");
    }
    type();
    window();
  }

 private:
  void fault(const std::string& field, std::string problem) const {
    faults_.push_back({path_ + "." + field, std::move(problem)});
  }

  void type() const {
    const auto one_of = [&](std::initializer_list<FeatureType> types, const char* said) {
      if (std::find(types.begin(), types.end(), feature_.type) == types.end())
        fault("type",
              std::string("must be ") + said + " for " + std::string(name_of(*feature_.aggregate)));
    };
    switch (*feature_.aggregate) {
      case Aggregate::count:
      case Aggregate::distinct:
      case Aggregate::sum:
        return one_of({FeatureType::bigint, FeatureType::real}, "bigint or double");
      case Aggregate::mean:
      case Aggregate::quantile: return one_of({FeatureType::real}, "double");
      default:
        return one_of(
            {FeatureType::bigint, FeatureType::real, FeatureType::boolean, FeatureType::text},
            "bigint, double, boolean or text");
    }
  }

  void window() const {
    if (!feature_.window) return fault("window", "is missing: say how long, as 24h");
    const Micros window = *feature_.window;
    if (window < window_min || window > window_max)
      return fault("window", "must be between 1m and 366d");
    if (feature_.kind == WindowKind::tumbling) {
      if (feature_.hop) fault("hop", "is for sliding windows: a tumbling one steps by its length");
      return;
    }
    const Micros hop = hop_of(feature_);
    if (hop < hop_min || hop > window)
      return fault("hop", "must be between 1s and the window, " + text_of(window));
    if (window.count() % hop.count() != 0)
      return fault("hop", (feature_.hop ? "is " + text_of(hop) : "none said is " + text_of(hop)) +
                              ", which does not divide the window, " + text_of(window) +
                              ": say one that does");
    if (window.count() / hop.count() > hops_max)
      fault("hop", "must be at least a 10,000th of the window, " + text_of(window));
  }

  const Feature& feature_;
  const std::string path_;
  std::vector<Violation>& faults_;
};

std::string path_of(std::size_t place) { return "features[" + std::to_string(place) + "]"; }

bool fits(const Feature& feature, olap::Type found) {
  using olap::Type;
  const bool whole = found == Type::bigint || found == Type::boolean;
  const bool number = whole || found == Type::real || found == Type::decimal;
  switch (*feature.aggregate) {
    case Aggregate::count: return true;
    case Aggregate::distinct: return whole || found == Type::real || found == Type::text;
    case Aggregate::sum: return feature.type == FeatureType::bigint ? whole : number;
    case Aggregate::mean:
    case Aggregate::quantile: return number;
    default: break;
  }
  switch (feature.type) {
    case FeatureType::real: return number && found != Type::boolean;
    case FeatureType::bigint: return found == Type::bigint;
    case FeatureType::boolean: return found == Type::boolean;
    default: return feature.type == FeatureType::text && found == Type::text;
  }
}

}  // namespace

std::vector<Violation> check_declared(const FeatureView& view) {
  std::vector<Violation> faults;
  const bool any = windowed(view);
  for (std::size_t i = 0; i < view.features.size(); ++i) {
    const Feature& feature = view.features[i];
    const Checks checks(feature, path_of(i), faults);
    if (feature.aggregate)
      checks.aggregated();
    else if (any)
      faults.push_back(
          {path_of(i) + ".aggregate",
           "is missing, and other features have one: give it to all, or make two views"});
    else
      checks.plain();
  }
  return faults;
}

std::vector<Violation> check_columns(const FeatureView& view,
                                     const std::vector<olap::Column>& columns) {
  std::vector<Violation> faults;
  const auto find = [&](const std::string& name) {
    return std::find_if(columns.begin(), columns.end(),
                        [&](const olap::Column& column) { return column.name == name; });
  };
  for (std::size_t i = 0; i < view.features.size(); ++i) {
    const Feature& feature = view.features[i];
    if (feature.column) {
      const auto column = find(*feature.column);
      if (column == columns.end())
        faults.push_back({path_of(i) + ".column", *feature.column + " is not a column of the SQL"});
      else if (!fits(feature, column->type))
        faults.push_back({path_of(i) + ".column",
                          *feature.column + " is " + column->declared + ", of which there is no " +
                              std::string(name_of(*feature.aggregate)) + " of type " +
                              std::string(name_of(feature.type)) + ": cast it in the SQL"});
    }
    if (feature.where) {
      const auto column = find(*feature.where);
      if (column == columns.end())
        faults.push_back({path_of(i) + ".where", *feature.where + " is not a column of the SQL"});
      else if (column->type != olap::Type::boolean)
        faults.push_back({path_of(i) + ".where",
                          *feature.where + " is " + column->declared + ", not a boolean"});
    }
  }
  return faults;
}

}  // namespace penstock::features::windows
