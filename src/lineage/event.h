// An OpenLineage event as it came (specification 2-0-2): what we use of it, and all of it as text.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "base/described.h"
#include "base/time.h"

namespace penstock::lineage {

// What OpenLineage knows a dataset or a job by. It is the identity; spelling counts.
struct Name {
  std::string space;  // "postgres://host:5432"
  std::string name;   // "db.schema.table"
  auto operator<=>(const Name&) const = default;
};

struct DatasetPart {
  Name name;
  json::object facets;  // of the dataset, with those of it as an input or output
};

enum class EventKind { run, job, dataset };
BOOST_DESCRIBE_ENUM(EventKind, run, job, dataset)

struct Event {
  EventKind kind = EventKind::run;
  Timestamp at;
  std::string type;  // "START", "COMPLETE", ...; "OTHER" where a run event says none
  std::string run;   // a UUID in lower case; empty if it is no run's
  Name job;
  json::object run_facets, job_facets;
  std::vector<DatasetPart> inputs, outputs;
  DatasetPart dataset;  // of a DatasetEvent
  std::string digest;   // SHA-256 of the event with sorted keys: the same event twice has the same
  std::string body;     // the event as JSON text
};

inline constexpr std::size_t datasets_max = 10'000;  // inputs and outputs of one event
inline constexpr std::int64_t name_max = 2'000;      // characters of a namespace or a name

// Every fault is named by its path. Facets are taken as they are, known or not.
Result<Event> parse_event(const json::value& said);

}  // namespace penstock::lineage
