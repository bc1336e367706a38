// The graphs in memory, each made at its project's first question and kept as new as the database.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "catalog/graph.h"

namespace penstock::catalog {

class Graphs {
 public:
  // Calls `ask` with the graph of the project, at least as new as what `tx` reads. `tx` must be one
  // that reads: what another may still roll back must not come in. Other servers of the same
  // database write as well, so each question looks at the number of the last change first.
  Result<void> ask(sql::Tx& tx, const std::string& project,
                   const std::function<Result<void>(const Graph&)>& ask);
  // Brings the graphs of the projects that changed most up to date, so that nobody's question waits
  // for one to be loaded.
  Result<void> keep_up(sql::Tx& tx);

 private:
  static constexpr std::size_t projects_max = 64, projects_kept = 16;
  struct One {
    std::shared_mutex turn;
    Graph graph;
    std::int64_t change = -1;  // none was loaded
    std::int64_t used = 0;
  };

  std::shared_ptr<One> of(const std::string& project);
  static Result<void> catch_up(sql::Tx& tx, const std::string& project, One& one,
                               std::int64_t change);

  std::mutex turn_;
  std::map<std::string, std::shared_ptr<One>> graphs_;
  std::int64_t uses_ = 0;
};

}  // namespace penstock::catalog
