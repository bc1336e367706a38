// The statements of the tables of OpenLineage; what they mean is the service's business.
#pragma once

#include <optional>

#include "lineage/event.h"
#include "ports/sql.h"

namespace penstock::lineage::store {

// A row of openlineage_names.
struct StoredName {
  std::string project, kind;  // "dataset" or "job"
  std::string namespace_, name, urn;
  Timestamp seen_at;
};

Result<std::optional<std::string>> urn_of(sql::Tx& tx, const std::string& project,
                                          const std::string& kind, const Name& name);
Result<void> put_name(sql::Tx& tx, const std::string& project, const std::string& kind,
                      const Name& name, const std::string& urn, Timestamp at);
// The names of each URN, the one seen first before the others.
Result<std::vector<StoredName>> names_of(sql::Tx& tx, const std::string& project,
                                         const std::vector<std::string>& urns);
// Of a kind and, where `space` is not empty, of a namespace; in order.
Result<std::vector<StoredName>> names(sql::Tx& tx, const std::string& project,
                                      const std::string& kind, const std::string& space,
                                      std::int64_t limit, std::int64_t offset);

Result<std::vector<std::string>> namespaces(sql::Tx& tx, const std::string& project);

struct Facet {
  std::string project, subject, name;
  Timestamp at;
  json::value body;
};
BOOST_DESCRIBE_STRUCT(Facet, (), (project, subject, name, at, body))
Result<std::optional<Facet>> facet(sql::Tx& tx, const std::string& project,
                                   const std::string& subject, const std::string& name);
Result<void> put_facet(sql::Tx& tx, const Facet& facet);
// Of each subject; only those named, or all where `names` is empty.
Result<std::vector<Facet>> facets(sql::Tx& tx, const std::string& project,
                                  const std::vector<std::string>& subjects,
                                  const std::vector<std::string>& names);

struct Run {
  std::string project, id, job, state;
  Timestamp started_at, at;  // of its first and its newest event
  std::optional<Timestamp> ended_at;
  std::string parent;  // a run's id; empty if it has none
};
BOOST_DESCRIBE_STRUCT(Run, (), (project, id, job, state, started_at, at, ended_at, parent))
Result<std::optional<Run>> run(sql::Tx& tx, const std::string& project, const std::string& id);
Result<void> put_run(sql::Tx& tx, const Run& run);
Result<void> put_run_dataset(sql::Tx& tx, const std::string& project, const std::string& run,
                             const std::string& direction, const std::string& dataset);
struct RunDataset {
  std::string run, direction, dataset;
};
BOOST_DESCRIBE_STRUCT(RunDataset, (), (run, direction, dataset))
Result<std::vector<RunDataset>> run_datasets(sql::Tx& tx, const std::string& project,
                                             const std::string& run);
// The newest run that wrote `dataset` and had begun by `until`.
Result<std::optional<Run>> writer_of(sql::Tx& tx, const std::string& project,
                                     const std::string& dataset, Timestamp until);

// What a job reads or writes: by its newest complete run that says so and those that began after
// it, or by all its runs where none is complete.
struct Used {
  std::string dataset;
  Timestamp since;
};
BOOST_DESCRIBE_STRUCT(Used, (), (dataset, since))
Result<std::optional<Timestamp>> newest_complete(sql::Tx& tx, const std::string& project,
                                                 const std::string& job,
                                                 const std::string& direction);
Result<std::vector<Used>> used(sql::Tx& tx, const std::string& project, const std::string& job,
                               const std::string& direction, std::optional<Timestamp> from);
Result<std::vector<Used>> declared(sql::Tx& tx, const std::string& project, const std::string& job,
                                   const std::string& direction);
Result<void> declare(sql::Tx& tx, const std::string& project, const std::string& job,
                     const std::string& direction, const std::vector<std::string>& datasets,
                     Timestamp at);

// False where the same event stands there already.
Result<bool> put_event(sql::Tx& tx, const std::string& project, const Event& event, Timestamp now);
struct EventQuery {
  std::optional<Timestamp> after, before;
  std::int64_t limit = 100, offset = 0;
  bool newest_first = true;
};
Result<std::vector<std::string>> events(sql::Tx& tx, const std::string& project,
                                        const EventQuery& query);
Result<std::int64_t> count_events(sql::Tx& tx, const std::string& project, const EventQuery& query);

// Whatever is known of `old` is known of `kept`.
Result<void> merge(sql::Tx& tx, const std::string& project, const std::string& old,
                   const std::string& kept);

}  // namespace penstock::lineage::store
