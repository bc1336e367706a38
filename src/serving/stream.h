// Decisions on streams: outputs, state and position in one write, so each event is decided once.
#pragma once

#include <set>

#include "serving/gateway.h"
#include "serving/service.h"

namespace penstock::serving {

// A record of an input topic: JSON of this shape; the record's key orders it.
struct StreamEvent {
  std::string id;
  Entities entities;
  Timestamp event_time;
};
BOOST_DESCRIBE_STRUCT(StreamEvent, (), (id, entities, event_time))

// A record of an output topic.
struct StreamDecision {
  std::string id, route, model;
  std::int64_t version = 0;
  Timestamp event_time;
  std::optional<double> score;
  std::optional<bool> decision;
  std::string error;  // empty, or why there is no decision
};
BOOST_DESCRIBE_STRUCT(StreamDecision, (),
                      (id, route, model, version, event_time, score, decision, error))

struct StreamView {
  std::string name, route, input, output;
  std::int64_t position = 0, end = 0, lag = 0;
  std::int64_t decided = 0, duplicates = 0, errors = 0;  // since the stream began
};
BOOST_DESCRIBE_STRUCT(StreamView, (),
                      (name, route, input, output, position, end, lag, decided, duplicates, errors))

struct StreamTotals {
  std::int64_t decided = 0, duplicates = 0, errors = 0;
};
BOOST_DESCRIBE_STRUCT(StreamTotals, (), (decided, duplicates, errors))

class StreamScorer {
 public:
  StreamScorer(Gateway& gateway, events::Log& log, std::string project, StreamDeclaration stream);

  // Decides the next stretch of at most `count` records. The number of records that it moved past;
  // 0 at the end. Safe to call from anywhere: whoever is slower commits nothing.
  Result<std::size_t> run_once(std::size_t count = 256);
  Result<StreamView> view() const;
  const StreamDeclaration& declaration() const { return stream_; }

 private:
  // What one stretch of input has made so far. Its own decisions count as seen: a duplicate may
  // stand in the same stretch as the first.
  struct Progress {
    events::Step step;
    StreamTotals totals;
    std::set<std::string> seen;
  };
  Result<void> decide(const LiveRoute& route, const events::Record& record, Progress& progress);
  Result<StreamTotals> totals() const;

  Gateway& gateway_;
  events::Log& log_;
  std::string project_;
  StreamDeclaration stream_;
  std::string group_, input_, output_;
};

// The name that a project's topic has in the log.
std::string topic_name(std::string_view project, std::string_view topic);

// The consumer group of a stream; its state finds each event that it decided, by prediction_key.
std::string stream_group(std::string_view project, std::string_view stream);

// Runs every declared stream of every project that has a route in service. `step` decides one
// stretch of each and says whether there was any work; the app calls it in a loop on a thread of
// its own. What is declared is read again whenever another routing table was published.
class Streams {
 public:
  Streams(sql::Database& db, Gateway& gateway, events::Log& log);
  Result<bool> step();
  Result<void> reload();
  Result<StreamView> view(const Call& call, const std::string& name);

 private:
  Result<std::map<std::string, std::shared_ptr<StreamScorer>>> current();

  sql::Database& db_;
  Gateway& gateway_;
  events::Log& log_;
  std::mutex turn_;
  std::int64_t table_read_ = -1;  // the number of the table at the last reload
  std::map<std::string, std::shared_ptr<StreamScorer>> scorers_;  // by project/name
};

}  // namespace penstock::serving
