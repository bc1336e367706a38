// What one event changes: facets, runs and edges, inside one transaction.
#pragma once

#include "lineage/names.h"

namespace penstock::lineage {

class Ingest {
 public:
  Ingest(sql::Tx& tx, const Call& call, catalog::Service& catalog, Timestamp now)
      : tx_(tx), call_(call), now_(now), names_(tx, call, catalog, now) {}

  // Nothing for an event that stands there already.
  Result<void> take(const Event& event);
  // What was added to the graph and what ended, over all events that were taken.
  std::int64_t names_made() const { return names_.made(); }
  std::int64_t edges_added() const { return edges_added_; }
  std::int64_t edges_ended() const { return edges_ended_; }

 private:
  // Whether a facet is new or says something new; gives what it said before.
  struct Kept {
    bool changed = false;
    json::value before;
  };
  Result<Kept> keep_facet(const std::string& subject, std::string_view name,
                          const json::value& body, Timestamp at);
  Result<void> keep_facets(const std::string& subject, const json::object& facets, Timestamp at);
  Result<std::string> keep_dataset(const DatasetPart& part, Timestamp at);
  Result<void> keep_run(const Event& event, const std::string& job);
  Result<void> refresh_job(const std::string& job);
  Result<void> refresh_side(const std::string& job, bool input);

  // column_lineage.cc
  Result<void> keep_columns(const std::string& output, const Kept& kept, const json::value& body,
                            Timestamp at);
  Result<std::vector<catalog::Edge>> column_edges(const std::string& output,
                                                  const json::value& body, Timestamp at);

  sql::Tx& tx_;
  const Call& call_;
  Timestamp now_;
  Names names_;
  std::int64_t edges_added_ = 0, edges_ended_ = 0;
};

}  // namespace penstock::lineage
