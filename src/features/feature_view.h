// Features: what they are made of, and the lists of them that models read.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/described.h"
#include "base/named.h"
#include "catalog/source.h"
#include "features/gate.h"

namespace penstock::features {

// In text "double" for real and "list<double>" for list_double. How each is kept: values.h.
enum class FeatureType {
  real,
  bigint,
  boolean,
  text,
  timestamp,  // UTC
  decimal,    // exact, up to 38 digits
  list_double,
  list_bigint,
  list_text,
  list_boolean,
  embedding,  // float32, `dimension` of them
};
inline constexpr std::array feature_type_names = {
    "double",       "bigint",       "boolean",    "text",          "timestamp", "decimal",
    "list<double>", "list<bigint>", "list<text>", "list<boolean>", "embedding"};
template <FeatureType... types>
using NamedFeatureTypes = boost::mp11::mp_list<NamedEnumerator<types, feature_type_names>...>;
NamedFeatureTypes<FeatureType::real, FeatureType::bigint, FeatureType::boolean, FeatureType::text,
                  FeatureType::timestamp, FeatureType::decimal, FeatureType::list_double,
                  FeatureType::list_bigint, FeatureType::list_text, FeatureType::list_boolean,
                  FeatureType::embedding>
boost_enum_descriptor_fn(FeatureType**);

enum class Aggregate { count, sum, mean, min, max, last, distinct, quantile };
BOOST_DESCRIBE_ENUM(Aggregate, count, sum, mean, min, max, last, distinct, quantile)

// As of t, with floor() counting from the Unix epoch in UTC. sliding: events from floor(t, hop) +
// hop - window to t, both inclusive. tumbling: those of the last whole window, from
// floor(t, window) - window inclusive to floor(t, window) exclusive.
enum class WindowKind { sliding, tumbling };
BOOST_DESCRIBE_ENUM(WindowKind, sliding, tumbling)

struct Feature {
  std::string name;
  FeatureType type = FeatureType::real;
  std::optional<std::string> unit, description;
  std::optional<std::int64_t> dimension;  // of an embedding
  std::optional<Aggregate> aggregate;     // over events; on all features of a view, or on none
  std::optional<std::string> column;      // of the SQL, that it reads; none: count counts rows
  std::optional<Micros> window, hop;      // no hop: see windows::hop_of
  std::optional<WindowKind> kind;         // none: sliding
  std::optional<double> quantile;         // in (0, 1), of aggregate quantile
  std::optional<std::string> where;       // a boolean column of the SQL: only rows where it is true
};
BOOST_DESCRIBE_STRUCT(Feature, (),
                      (name, type, unit, description, dimension, aggregate, column, window, hop,
                       kind, quantile, where))
constexpr auto rules_of(const Feature&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200}, Rule{.field = "type", .may_miss = true},
      Rule{.field = "dimension",
           .doc = "Of an embedding: how many elements it has.",
           .min = 1,
           .max = 4096},
      Rule{.field = "column", .min = 1, .max = 200}, Rule{.field = "where", .min = 1, .max = 200}};
}

// `kind: feature_view`. Its SQL gives one row each time that the features of an entity changed.
//
// A row counts from its event_time on; where created_time is given, it is not known before that
// either. Of two rows of an entity at one event time the one created later counts; without
// created_time, or at equal ones, the rows are ordered by their values in the order of `features`,
// and the last one counts. Rows without an event time or a join key are left out.
//
// Where its features say an aggregate (a windowed view), each row is an event: it counts in every
// window that it lies in, from max(event_time, created_time) on.
struct FeatureView {
  std::string name, owner, description;
  std::string entity;
  std::vector<std::string> sources;
  std::string sql;
  std::string event_time;                   // a column of the SQL
  std::optional<std::string> created_time;  // a column of the SQL
  std::optional<Micros> ttl;  // how old a row may be, its edge included; none: for ever
  std::vector<Feature> features;
  bool online = true;
  // These three hold for every version in use, as the newest says.
  std::optional<Micros> schedule;   // materialize so often; none: when somebody asks
  std::optional<Micros> freshness;  // older than this, somebody must know
  std::optional<Micros> verify_every;
  std::vector<FeatureCheck> checks;
  // What the next version may change of this one. Whoever pinned a version keeps it in any case.
  catalog::Compatibility compatibility = catalog::Compatibility::forward;
  // Of a windowed view: so long after an event arrived its sources may not hold it yet. Online rows
  // are moved so far behind now, and until then a pushed event counts as it was pushed.
  std::optional<Micros> source_delay;
};
BOOST_DESCRIBE_STRUCT(FeatureView, (),
                      (name, owner, description, entity, sources, sql, event_time, created_time,
                       ttl, features, online, schedule, freshness, verify_every, checks,
                       compatibility, source_delay))
constexpr auto rules_of(const FeatureView&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200},
      Rule{.field = "owner", .min = 1, .max = 200},
      Rule{.field = "description", .max = 10'000, .may_miss = true},
      Rule{.field = "entity", .min = 1, .max = 200},
      Rule{.field = "sources",
           .doc = "The sources that its SQL reads, by name.",
           .min = 1,
           .max = 100},
      Rule{.field = "sql", .min = 1, .max = 100'000},
      Rule{.field = "event_time", .min = 1, .max = 200},
      Rule{.field = "created_time", .min = 1, .max = 200},
      Rule{.field = "features", .min = 1, .max = 500},
      Rule{.field = "online", .may_miss = true},
      Rule{.field = "schedule", .doc = "\"5m\": materialize so often; 1s to 366d."},
      Rule{.field = "freshness",
           .doc = "The age of its watermark, or of its newest event, that is too old."},
      Rule{.field = "verify_every", .doc = "Compare online with offline so often; 1m to 366d."},
      Rule{.field = "checks",
           .doc = "Quality gates: what must hold of rows before they are served.",
           .max = 500},
      Rule{.field = "compatibility",
           .doc = "What a version may change of the one before; checked at apply.",
           .may_miss = true},
      Rule{.field = "source_delay",
           .doc = "Of a view with windows: how long after its arrival an event may be missing from "
                  "the sources; pushed events count in the meantime."}};
}

// A feature of a view; or a transform: an expression over the schema's inputs, its features of
// views, and the transforms that stand before it.
struct FeatureReference {
  std::string view, feature;
  std::optional<std::string> name;        // in the schema's rows; none: the feature's own
  std::optional<std::string> expression;  // SQL, as src/features/transform/README.md says
  std::optional<FeatureType> type;        // of the expression; none: what it gives
};
BOOST_DESCRIBE_STRUCT(FeatureReference, (), (view, feature, name, expression, type))
constexpr auto rules_of(const FeatureReference&) {
  return std::array{Rule{.field = "view", .may_miss = true},
                    Rule{.field = "feature", .may_miss = true},
                    Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "expression",
                         .doc = "SQL over inputs, features of this schema and event_time.",
                         .min = 1,
                         .max = 4'000}};
}

// A value that comes with each request, under its name beside the join keys; offline it is a column
// of the entity rows.
struct FeatureInput {
  std::string name;
  FeatureType type = FeatureType::real;
  bool nullable = false;  // a request may leave it out: it is null then
};
BOOST_DESCRIBE_STRUCT(FeatureInput, (), (name, type, nullable))
constexpr auto rules_of(const FeatureInput&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "type", .may_miss = true},
                    Rule{.field = "nullable", .may_miss = true}};
}

// `kind: feature_schema`: the features that a model reads, in the order in which it reads them.
struct FeatureSchema {
  std::string name, owner, description;
  std::vector<FeatureReference> features;
  // The version of each view that is meant; what is not said is the newest at the time of apply,
  // and is kept.
  std::map<std::string, std::int64_t> views;
  std::vector<FeatureInput> inputs;  // that its expressions may read
};
BOOST_DESCRIBE_STRUCT(FeatureSchema, (), (name, owner, description, features, views, inputs))
constexpr auto rules_of(const FeatureSchema&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200}, Rule{.field = "owner", .min = 1, .max = 200},
      Rule{.field = "description", .max = 10'000, .may_miss = true},
      Rule{.field = "features", .min = 1, .max = 2000}, Rule{.field = "inputs", .max = 200}};
}

}  // namespace penstock::features
