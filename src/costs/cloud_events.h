// Usage that other programs tell by CloudEvents 1.0.
#pragma once

#include "base/call.h"
#include "costs/ledger.h"

namespace penstock::costs {

inline constexpr std::size_t events_max = 1000;  // of one batch

// `data` of an event. Its `subject` is the tenant where this names none.
struct UsageData {
  json::value value;  // a number, or a decimal as text; may miss where calls are counted: 1
  std::string tenant, route, model;
  std::int64_t version = 0;
  std::string release;
  UsageMode mode = UsageMode::offline;
  std::string user_tag, experiment, upstream, upstream_model;
};
BOOST_DESCRIBE_STRUCT(UsageData, (),
                      (value, tenant, route, model, version, release, mode, user_tag, experiment,
                       upstream, upstream_model))
constexpr auto rules_of(const UsageData&) {
  const auto text = [](std::string_view field) {
    return Rule{.field = field, .max = 200, .may_miss = true};
  };
  return std::array{Rule{.field = "value", .may_miss = true},
                    text("tenant"),
                    text("route"),
                    text("model"),
                    Rule{.field = "version", .min = 0, .may_miss = true},
                    text("release"),
                    Rule{.field = "mode", .may_miss = true},
                    text("user_tag"),
                    text("experiment"),
                    text("upstream"),
                    text("upstream_model")};
}

// The usage that an event (in JSON, "structured") tells. The last part of its type names the meter,
// or hours, minutes or seconds of one: "gpu_hours", "com.example.human_review_minutes". Faults name
// the attribute.
Result<Usage> usage_of(const json::value& event, const Call& call, Timestamp now);
// Whoever posts from outside speaks for none of our own meters: a line of theirs would stand in the
// place of one of ours, which is then not counted.
Result<void> check_source(const std::string& source, const std::string& field);

}  // namespace penstock::costs
