// Reads what calls and labels said, looks at the guards, and moves releases on or back.
#pragma once

#include "release/service.h"
#include "serving/event_reader.h"

namespace penstock::release {

// Reads the log of `server`, by a name that it keeps when it starts again; what it makes of it is
// added to what those of other servers on this database make of theirs.
class Controller {
 public:
  Controller(Service& service, sql::Database& db, serving::EventReader& events,
             serving::Service& serving, const Clock& clock, std::string server = {})
      : service_(service),
        db_(db),
        events_(events),
        log_(events.log()),
        serving_(serving),
        clock_(clock),
        server_(std::move(server)) {}

  // Before calls come: where a server begins that has not read before.
  Result<void> begin();
  // One turn: positions in the log, guards, looks and moves change in one transaction, so a crash
  // repeats nothing and loses nothing. True if there is more to read.
  Result<bool> advance();
  // What it reads next.
  Result<std::int64_t> position(std::string_view topic) const;

 private:
  struct Turn;
  Result<void> read_calls(sql::Tx& tx, Turn& turn);
  Result<void> read_labels(sql::Tx& tx, Turn& turn);
  Result<void> count_call(sql::Tx& tx, Turn& turn, const serving::InferenceEvent& event);
  Result<void> look(sql::Tx& tx, Turn& turn, Release& release);
  Result<void> decide(sql::Tx& tx, Turn& turn, Release& release);

  Service& service_;
  sql::Database& db_;
  serving::EventReader& events_;
  events::Log& log_;
  serving::Service& serving_;
  const Clock& clock_;
  const std::string server_;
  bool unpublished_ = true;  // a move may have been committed before a crash
};

}  // namespace penstock::release
