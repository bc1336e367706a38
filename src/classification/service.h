// Suggests classes and tags of a source's columns from a sample of its values, and takes what
// people decide.
#pragma once

#include "catalog/classes.h"
#include "catalog/service.h"
#include "classification/suggestion.h"

namespace penstock::classification {

class Service {
 public:
  Service(sql::Database& db, olap::Engine& olap, catalog::Service& catalog, const Clock& clock)
      : db_(db), olap_(olap), catalog_(catalog), clock_(clock) {}

  // Judges every column anew. Suggestions that nobody decided are replaced; decided ones stay, and
  // say so where the evidence is not what it was.
  Result<ClassifyReport> classify(const Call& call, const ClassifyInput& input);
  // A background turn: judges one source again whose declaration or rules changed since it was
  // judged. True where more wait.
  Result<bool> run_once();

  Result<SuggestionList> list(const Call& call, const SuggestionQuery& query);
  // Refused: a suggestion that is not there, a service in a person's place, and to take back what
  // keeps a class up (that is a lowering).
  Result<Suggestion> decide(const Call& call, const DecideInput& input);
  Result<SourceClasses> classes(const Call& call, const catalog::SourceName& name);
  RuleList rules() const;

 private:
  struct Sampled {
    std::vector<ColumnSample> columns;
    std::int64_t rows = 0, sampled = 0;
    bool partial = false;
  };
  static Result<std::vector<ClassificationRun>> stale_runs(sql::Tx& tx);
  Result<Sampled> sample(const catalog::Source& source, std::int64_t rows);
  Result<ClassifyReport> keep(sql::Tx& tx, const Call& call, const catalog::VersionedSource& source,
                              const Sampled& sampled, std::vector<Suggestion> found);

  sql::Database& db_;
  olap::Engine& olap_;
  catalog::Service& catalog_;
  const Clock& clock_;
};

}  // namespace penstock::classification
