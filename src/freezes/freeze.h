// Times in which nothing is released or approved.
#pragma once

#include <array>

#include "base/described.h"

namespace penstock::freezes {

enum class What { release, approve };
BOOST_DESCRIBE_ENUM(What, release, approve)

// Every week from one local time to another, also over the end of the week.
struct Weekly {
  std::string from, until;  // "fri 16:00", "mon 08:00"
};
BOOST_DESCRIBE_STRUCT(Weekly, (), (from, until))
constexpr auto rules_of(const Weekly&) {
  return std::array{Rule{.field = "from", .doc = "\"fri 16:00\"", .min = 9, .max = 9},
                    Rule{.field = "until", .doc = "\"mon 08:00\"", .min = 9, .max = 9}};
}

// `kind: freeze`. In `routes` and `models` a * at the end stands for anything.
struct Freeze {
  std::string name, owner, reason;
  std::vector<What> applies_to;     // empty: release
  std::vector<std::string> routes;  // empty: all
  std::vector<std::string> models;  // empty: all
  std::optional<Timestamp> from, until;
  std::vector<Weekly> weekly;  // within from and until, where these are said
  std::string time_zone = "UTC";
};
BOOST_DESCRIBE_STRUCT(Freeze, (),
                      (name, owner, reason, applies_to, routes, models, from, until, weekly,
                       time_zone))
constexpr auto rules_of(const Freeze&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "reason", .doc = "What people are told.", .min = 1, .max = 2'000},
                    Rule{.field = "applies_to",
                         .doc = "release, approve; release where nothing is said.",
                         .max = 2},
                    Rule{.field = "routes", .doc = "\"flight-*\"", .max = 100},
                    Rule{.field = "models", .max = 100},
                    Rule{.field = "weekly", .max = 50},
                    Rule{.field = "time_zone",
                         .doc = "Of the weekly times: America/New_York.",
                         .min = 1,
                         .max = 100,
                         .may_miss = true}};
}

// From the first instant to before the second.
struct Span {
  Timestamp from, until;
};

}  // namespace penstock::freezes
