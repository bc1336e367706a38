// Erased entities as the online store knows them, for those who write rows there.
#pragma once

#include <mutex>
#include <set>

#include "features/erasure.h"
#include "ports/kv.h"

namespace penstock::features {

// Beside the rows, for all views of a project and their versions to come: what was erased by which
// join keys, and for each such entity a mark, under the hash of its values, of the instant up to
// which its events stay away. A row needs no mark of its own, and may be one that nobody has seen.
// The database has the truth; a store that lacks some of it is told when a process first looks.
class ErasedMarks {
 public:
  ErasedMarks(kv::Store& kv, sql::Database& db) : kv_(kv), db_(db) {}

  // Once it returns, whoever writes rows knows of them. Of one project.
  Result<void> put(const std::string& project, const std::vector<Erasure>& erasures);

  // Another text whenever any entity of the project was erased.
  Result<std::string> state(const Call& call);
  // Of each of these rows: the instant up to which its events stay away, if there is one.
  Result<std::vector<std::optional<Timestamp>>> of(const Call& call, const ViewHandle& view,
                                                   const std::vector<std::string>& row_keys);

 private:
  Result<void> learn(const Call& call);

  kv::Store& kv_;
  sql::Database& db_;
  std::mutex turn_;
  std::set<std::string> learnt_;  // projects
};

}  // namespace penstock::features
