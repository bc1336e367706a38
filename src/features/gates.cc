#include "features/gates.h"

#include <algorithm>
#include <cmath>

#include "features/windows/plan.h"

namespace penstock::features {
namespace {

using olap::quoted_name;

constexpr std::size_t values_max = 1'000, samples_max = 5;

bool is_of_rows(GateRule rule) { return rule == GateRule::min_rows || rule == GateRule::max_rows; }
bool is_of_values(GateRule rule) {
  return rule == GateRule::not_null || rule == GateRule::min || rule == GateRule::max ||
         rule == GateRule::one_of;
}
bool is_share(GateRule rule) {
  return rule == GateRule::max_null_share || rule == GateRule::max_share_changed;
}

const Feature* find(const FeatureView& view, const std::string& name) {
  const auto found = std::ranges::find(view.features, name, &Feature::name);
  return found == view.features.end() ? nullptr : &*found;
}

// Whether the value can be compared with values of the feature.
bool fits(const Feature& feature, const json::value& value) {
  switch (feature.type) {
    case FeatureType::real:
    case FeatureType::bigint: return value.is_number();
    case FeatureType::boolean: return value.is_bool();
    case FeatureType::text: return value.is_string();
    default: return false;
  }
}

bool can_be_compared(FeatureType type) {
  return type == FeatureType::real || type == FeatureType::bigint || type == FeatureType::boolean ||
         type == FeatureType::text;
}

std::string value_fault(const FeatureCheck& check, const Feature* feature) {
  const json::value& value = check.value;
  if (check.rule == GateRule::not_null) return value.is_null() ? "" : "must not be given";
  if (is_of_rows(check.rule))
    return value.is_int64() && value.get_int64() >= 0 ? "" : "must be a whole number from 0";
  if (is_share(check.rule)) {
    const bool share =
        value.is_number() && value.to_number<double>() >= 0 && value.to_number<double>() <= 1;
    return share ? "" : "must be a share from 0 to 1";
  }
  const std::string type(name_of(feature->type));
  if (!can_be_compared(feature->type))
    return "cannot be compared with a " + type + "; use not_null or max_null_share";
  if (check.rule == GateRule::one_of) {
    const bool list = value.is_array() && !value.get_array().empty() &&
                      value.get_array().size() <= values_max &&
                      std::all_of(value.get_array().begin(), value.get_array().end(),
                                  [&](const json::value& one) { return fits(*feature, one); });
    return list ? "" : "must be a list of 1 to 1000 values of type " + type;
  }
  if (feature->type == FeatureType::boolean) return "cannot bound a boolean; use one_of";
  return fits(*feature, value) ? "" : "must be of type " + type;
}

std::string literal(const json::value& value) {
  if (value.is_string()) return olap::quoted_text(std::string(value.get_string()));
  const std::string text = json::serialize(value);
  return value.is_double() ? "CAST('" + text + "' AS DOUBLE)" : text;
}

// True for rows that break the gate; null counts as holding.
std::string condition_of(const FeatureCheck& check, const Feature& feature) {
  const std::string name = quoted_name(feature.name);
  const std::string nan = feature.type == FeatureType::real ? " OR isnan(" + name + ")" : "";
  std::string text;
  if (check.rule == GateRule::not_null || check.rule == GateRule::max_null_share)
    text = name + " IS NULL";
  else if (check.rule == GateRule::min)
    text = name + " < " + literal(check.value) + nan;
  else if (check.rule == GateRule::max)
    text = name + " > " + literal(check.value) + nan;
  else if (check.rule == GateRule::one_of) {
    for (const json::value& one : check.value.as_array())
      text += (text.empty() ? "" : ", ") + literal(one);
    text = name + " NOT IN (" + text + ")";
  }
  return "coalesce(" + text + ", false)";
}

std::optional<double> number_of(const Scalar& value) {
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? 1.0 : 0.0;
  return {};
}

// 0 where the two are no values of one kind.
int compare(const Scalar& value, const json::value& bound) {
  const auto* text = std::get_if<std::string>(&value);
  if ((text != nullptr) != bound.is_string()) return 0;
  if (text) {
    const auto& other = bound.get_string();
    return text->compare(std::string_view(other.data(), other.size()));
  }
  const auto* whole = std::get_if<std::int64_t>(&value);
  if (whole && bound.is_int64())
    return *whole < bound.get_int64() ? -1 : *whole > bound.get_int64() ? 1 : 0;
  const auto number = number_of(value);
  const double other = bound.is_bool() ? (bound.get_bool() ? 1 : 0) : bound.to_number<double>();
  return !number ? 0 : *number < other ? -1 : *number > other ? 1 : 0;
}

bool breaks(const FeatureCheck& check, const Scalar& value) {
  if (value.index() == 0) return check.rule == GateRule::not_null;
  const auto* real = std::get_if<double>(&value);
  const bool bounds = check.rule == GateRule::min || check.rule == GateRule::max;
  if (bounds && real && std::isnan(*real)) return true;
  if (check.rule == GateRule::min) return compare(value, check.value) < 0;
  if (check.rule == GateRule::max) return compare(value, check.value) > 0;
  if (check.rule != GateRule::one_of) return false;
  const json::array& all = check.value.as_array();
  return std::none_of(all.begin(), all.end(),
                      [&](const json::value& one) { return compare(value, one) == 0; });
}

std::string percent_of(std::int64_t part, std::int64_t whole) {
  const double share =
      whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole) * 100;
  char text[32];
  std::snprintf(text, sizeof text, "%.4g%%", share);
  return text;
}

// What is wrong, once `violations` and `rows` are known; empty: it holds.
std::string judged(const FeatureCheck& check, const GateResult& result, bool windowed) {
  const std::string rows = std::to_string(result.violations) + " of " + std::to_string(result.rows);
  const std::string bound = json::serialize(check.value);
  if (is_share(check.rule)) {
    const double allowed = check.value.to_number<double>();
    if (result.rows == 0 ||
        static_cast<double>(result.violations) <= allowed * static_cast<double>(result.rows))
      return "";
    const bool nulls = check.rule == GateRule::max_null_share;
    return check.feature + (nulls ? " is null in " : " changed for ") +
           percent_of(result.violations, result.rows) + " (" + rows +
           (nulls && !windowed ? " rows" : " entities") + "), and may for " +
           percent_of(static_cast<std::int64_t>(allowed * 1e6), 1'000'000);
  }
  if (check.rule == GateRule::min_rows)
    return result.rows >= check.value.get_int64()
               ? ""
               : std::to_string(result.rows) + " rows arrived, and at least " + bound + " must";
  if (check.rule == GateRule::max_rows)
    return result.rows <= check.value.get_int64()
               ? ""
               : std::to_string(result.rows) + " rows arrived, and at most " + bound + " may";
  if (result.violations == 0) return "";
  std::string what = check.feature;
  if (check.rule == GateRule::not_null) what += " is null";
  if (check.rule == GateRule::min) what += " is below " + bound;
  if (check.rule == GateRule::max) what += " is above " + bound;
  if (check.rule == GateRule::one_of) what += " is none of " + bound.substr(0, 200);
  return what + " in " + rows + (windowed ? " entities" : " rows");
}

std::int64_t whole(const Scalar& value) { return std::get<std::int64_t>(value); }

Result<std::vector<std::string>> samples(olap::Session& session, const ViewHandle& view,
                                         const std::string& rows, const std::string& condition) {
  std::string keys, order;
  for (const catalog::JoinKey& key : view.keys) {
    keys +=
        (keys.empty() ? "" : " || ', ' || ") + ("CAST(" + quoted_name(key.name)) + " AS VARCHAR)";
    order += (order.empty() ? "" : ", ") + quoted_name(key.name);
  }
  std::vector<std::string> out;
  for (const auto& row :
       TRY(session.query("SELECT DISTINCT " + keys + " AS key FROM (" + rows + ") WHERE " +
                         condition + " ORDER BY key LIMIT " + std::to_string(samples_max)))
           .rows)
    if (const auto* text = std::get_if<std::string>(&row.at(0)))
      out.push_back(text->substr(0, 200));
  return out;
}

}  // namespace

std::vector<Violation> gate_faults(const FeatureView& view) {
  std::vector<Violation> faults;
  for (std::size_t i = 0; i < view.checks.size(); ++i) {
    const FeatureCheck& check = view.checks[i];
    const std::string field = "checks[" + std::to_string(i) + "]";
    const Feature* feature = find(view, check.feature);
    if (is_of_rows(check.rule) && !check.feature.empty())
      faults.push_back(
          {field + ".feature",
           "must not be given: " + std::string(name_of(check.rule)) + " is of all rows"});
    else if (!is_of_rows(check.rule) && !feature)
      faults.push_back({field + ".feature", check.feature.empty()
                                                ? "must name a feature of the view"
                                                : check.feature + " is no feature of the view"});
    else if (const std::string fault = value_fault(check, feature); !fault.empty())
      faults.push_back({field + ".value", fault});
    if (check.reject_rows && !is_of_values(check.rule))
      faults.push_back({field + ".reject_rows", "is for not_null, min, max and one_of: " +
                                                    std::string(name_of(check.rule)) +
                                                    " says nothing of one row"});
    else if (check.reject_rows && windows::windowed(view))
      faults.push_back({field + ".reject_rows",
                        "is for views without windows: a window is no row; leave the events out in "
                        "the sql"});
    else if (check.reject_rows && check.severity == catalog::CheckSeverity::warning)
      faults.push_back({field + ".severity", "must be error where rows are rejected"});
  }
  return faults;
}

std::vector<std::string> broken_gates(const FeatureView& view, const std::vector<Scalar>& values) {
  std::vector<std::string> out;
  for (const FeatureCheck& check : view.checks) {
    if (!check.reject_rows) continue;
    const auto place = std::ranges::find(view.features, check.feature, &Feature::name);
    const auto at = static_cast<std::size_t>(place - view.features.begin());
    if (at < values.size() && breaks(check, values[at]))
      out.push_back(check.feature + " " + std::string(name_of(check.rule)));
  }
  return out;
}

std::string rejecting_condition(const FeatureView& view) {
  std::string out;
  for (const FeatureCheck& check : view.checks)
    if (const Feature* feature = find(view, check.feature); feature && check.reject_rows)
      out += (out.empty() ? "" : " OR ") + condition_of(check, *feature);
  return out;
}

const GateResult* GateReport::failed() const {
  for (const GateResult& result : checks)
    if (!result.passed && result.severity == catalog::CheckSeverity::error) return &result;
  return nullptr;
}

std::string text_of(const GateResult& result) {
  return "check " + (result.feature.empty() ? "" : result.feature + " ") +
         std::string(name_of(result.rule));
}

Result<GateReport> look(olap::Session& session, const GateInput& input) {
  const FeatureView& view = input.view->view;
  std::string moving = "count(*), count(*) FILTER (WHERE penstock_fresh)", rejected = "count(*)";
  for (const FeatureCheck& check : view.checks) {
    const Feature* feature = find(view, check.feature);
    const bool counted = feature && check.rule != GateRule::max_share_changed;
    (check.reject_rows ? rejected : moving) +=
        counted ? ", count(*) FILTER (WHERE " + condition_of(check, *feature) + ")"
                : ", CAST(0 AS BIGINT)";
  }
  const auto moved = TRY(session.query("SELECT " + moving + " FROM (" + input.moving + ")"));
  olap::Table out_of_view;
  if (!input.rejected.empty())
    out_of_view = TRY(session.query("SELECT " + rejected + " FROM (" + input.rejected + ")"));
  GateReport report;
  if (!out_of_view.rows.empty()) report.rejected = whole(out_of_view.rows[0].at(0));
  const std::int64_t total = whole(moved.rows.at(0).at(0)),
                     fresh = input.arrived.value_or(whole(moved.rows[0].at(1)));
  std::size_t next_moved = 2, next_rejected = 1;
  for (const FeatureCheck& check : view.checks) {
    GateResult result{.feature = check.feature,
                      .rule = check.rule,
                      .severity = check.severity,
                      .reject_rows = check.reject_rows,
                      .rows = is_of_rows(check.rule) ? fresh : total};
    if (check.reject_rows) {
      result.rows = fresh + report.rejected;
      const std::size_t at = next_rejected++;
      if (!out_of_view.rows.empty()) result.violations = whole(out_of_view.rows[0].at(at));
    } else {
      result.violations = whole(moved.rows[0].at(next_moved++));
    }
    const Feature* feature = find(view, check.feature);
    if (check.rule == GateRule::max_share_changed && total > 0) {
      const auto changed =
          TRY(input.changed(static_cast<std::size_t>(feature - view.features.data())));
      result.rows = changed.compared;
      result.violations = changed.changed;
    }
    result.what = judged(check, result, input.view->windows != nullptr);
    result.passed = result.what.empty() || check.reject_rows;
    if (!result.what.empty() && result.violations > 0 && !input.keys_hidden &&
        check.rule != GateRule::max_share_changed)
      result.sample_keys =
          TRY(samples(session, *input.view, check.reject_rows ? input.rejected : input.moving,
                      condition_of(check, *feature)));
    report.checks.push_back(std::move(result));
  }
  return report;
}

}  // namespace penstock::features
