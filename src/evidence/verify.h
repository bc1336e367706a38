// Whether a bundle is what a server made, and whether what it says of itself agrees, with nothing
// but the bundle and a public key.
#pragma once

#include "audit/note.h"
#include "base/described.h"

namespace penstock::evidence {

struct Report {
  bool holds = false;
  std::string subject, project, made_by, key;
  std::optional<Timestamp> made_at;
  std::int64_t files = 0, events = 0, log_size = 0;
  std::vector<std::string> proven;      // sentences
  std::vector<std::string> not_proven;  // what this bundle cannot show, and where to look
  std::vector<std::string> faults;      // it holds where there are none
};
BOOST_DESCRIBE_STRUCT(Report, (),
                      (holds, subject, project, made_by, key, made_at, files, events, log_size,
                       proven, not_proven, faults))

// A changed archive or manifest is one fault and ends it: nothing in it is looked at. What stands
// in an unchanged one and does not agree are as many as there are.
Report verify(std::string_view archive, const audit::PublicKey& key);

}  // namespace penstock::evidence
