// Windowed values for the rows of an offline join.
#pragma once

#include <functional>

#include "features/join.h"
#include "features/windows/events.h"

namespace penstock::features::windows {

// The rows of a query, once and for all: a query may give its rows in another order each time.
// Makes a temporary table of `session` with all its columns and penstock_row, from 1 on in their
// order; gives its name.
Result<std::string> number_rows(olap::Session& session, const std::string& rows);

struct JoinInput {
  const ViewHandle* view = nullptr;
  std::string events;   // what to select the view's events from
  std::string rows;     // of number_rows
  std::string scratch;  // a file that is made, and removed again
  std::optional<Timestamp> known_as_of;
};

// Makes a temporary table of `session` with penstock_row, event_time (of the newest event that is
// known as of the row's event_time) and the view's features, for each row whose entity is known;
// gives its name. Rows and events are sorted together by DuckDB, which spills; what is in memory is
// one entity's tiles and some thousand values.
Result<std::string> join_windows(olap::Engine& olap, olap::Session& session,
                                 const JoinInput& input);

// Makes both tables for the windowed ones of `views`, and points these to them; gives what stands
// for `rows` then, which is `rows` where no view is windowed.
Result<std::string> join_all(olap::Engine& olap, olap::Session& session,
                             std::vector<JoinedView>& views, const std::string& rows,
                             std::optional<Timestamp> known_as_of,
                             const std::function<std::string()>& scratch);

}  // namespace penstock::features::windows
