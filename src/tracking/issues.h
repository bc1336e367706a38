// Issues: what is wrong with an application, found in its traces (MLflow 3).
#pragma once

#include "tracking/service.h"

namespace penstock::tracking {

struct Issue {
  std::string project, id;  // "iss-" and 32 hex digits
  std::int64_t experiment = 0;
  std::string name, description;
  std::string status;    // pending, rejected, resolved
  std::string severity;  // not_an_issue, low, medium, high, or empty
  std::vector<std::string> root_causes, categories;
  std::string source_run, created_by;
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
};
BOOST_DESCRIBE_STRUCT(Issue, (),
                      (project, id, experiment, name, description, status, severity, root_causes,
                       categories, source_run, created_by, created_at, updated_at))

struct ChangeIssue {
  std::string id, name, description, status, severity;  // empty: as it is
};

struct SearchIssues {
  std::optional<std::int64_t> experiment;
  std::string filter;  // status and source_run_id, with = and !=
  std::int64_t limit = 100;
  std::string page_token;
};

class Issues {
 public:
  Issues(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  Result<Issue> add(const Call& call, const Issue& input);
  Result<Issue> get(const Call& call, const std::string& id);
  Result<Issue> change(const Call& call, const ChangeIssue& input);
  // The most severe first, then the newest.
  Result<Found<Issue>> search(const Call& call, const SearchIssues& search);
  // How many traces have each, in the order of `ids`.
  Result<std::vector<std::int64_t>> traces(const Call& call, const std::vector<std::string>& ids);

 private:
  std::int64_t now() const { return clock_.now().time_since_epoch().count() / 1'000; }
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
