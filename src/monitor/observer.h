// Reads every inference event and label into statistics, and looks at monitors as days end.
#pragma once

#include <set>
#include <string>

#include "ports/olap.h"
#include "ports/sql.h"
#include "serving/event_reader.h"

namespace penstock::monitor {

struct ObserverOptions {
  std::int64_t samples = 1'000;  // calls that edges are cut from where training data gives none
  std::int64_t evaluate_every = 5'000;  // calls or labels of a route, between looks at an open day
  std::int64_t series_max = 64;         // of a route on a day: versions, arms and schemas
  std::int64_t keep_days = 400;
  std::string server = {};  // whose log it reads, by a name that it keeps when it starts again
};

class Observer {
 public:
  Observer(sql::Database& db, serving::EventReader& events, olap::Engine& olap, const Clock& clock,
           ObserverOptions options = {})
      : db_(db),
        events_(events),
        log_(events.log()),
        olap_(olap),
        clock_(clock),
        options_(options) {}

  // Before calls come: where a server begins that has not read before.
  Result<void> begin();
  // Counts what came since the last turn; of how many, 0 if nothing came. Statistics, verdicts,
  // incidents and the positions in the topics commit together, so a crash repeats nothing and loses
  // nothing. Batch runs are left out: they emit one event for each file. A label whose prediction
  // nobody knows is dropped.
  Result<std::size_t> run_once();
  // What it reads next in the log of its server.
  Result<std::int64_t> position(std::string_view topic) const;

 private:
  struct Input;
  Result<void> read(Input& input);
  Result<void> prepare(const Input& input);
  Result<void> profile(const Call& call, const std::string& route, const std::string& schema,
                       const std::string& model, std::int64_t version);
  Result<void> training(const Call& call, const std::string& route, const std::string& schema,
                        const std::string& model, std::int64_t version);

  sql::Database& db_;
  serving::EventReader& events_;
  events::Log& log_;
  olap::Engine& olap_;
  const Clock& clock_;
  ObserverOptions options_;
  std::set<std::string> prepared_;  // versions whose profile and training data are there already
};

}  // namespace penstock::monitor
