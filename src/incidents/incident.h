// Something that a person must know about.
#pragma once

#include "base/described.h"

namespace penstock::incidents {

enum class Severity { info, warning, critical };
BOOST_DESCRIBE_ENUM(Severity, info, warning, critical)
enum class Status { open, acknowledged, resolved };
BOOST_DESCRIBE_ENUM(Status, open, acknowledged, resolved)

struct Incident {
  std::string project;
  std::string id;  // ULID; its URN is incident:<id>
  std::string
      dedup_key;  // one open incident for each key; a repeat counts and adds to its timeline
  std::string title;
  Severity severity = Severity::warning;
  Status status = Status::open;
  std::string subject;  // the URN it is about
  std::string owner;    // from the catalog
  std::int64_t occurrences = 1;
  std::vector<std::string>
      suspects;  // URNs with what changed: "source:flights@2 applied 2013-09-01T..."
  Timestamp opened_at, updated_at;
  std::optional<Timestamp> resolved_at;
};
BOOST_DESCRIBE_STRUCT(Incident, (),
                      (project, id, dedup_key, title, severity, status, subject, owner, occurrences,
                       suspects, opened_at, updated_at, resolved_at))

struct TimelineEntry {
  std::string project, incident;
  Timestamp at;
  std::string actor, event;
  json::object detail;
};
BOOST_DESCRIBE_STRUCT(TimelineEntry, (), (project, incident, at, actor, event, detail))

}  // namespace penstock::incidents
