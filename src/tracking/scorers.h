// Scorers: judges of an application's answers, kept in versions by name. They run where clients
// are; here they are texts.
#pragma once

#include "tracking/service.h"

namespace penstock::tracking {

struct Scorer {
  std::string project;
  std::int64_t experiment = 0;
  std::string name;
  std::int64_t version = 0;     // counts from 1 within its name
  std::string id;               // of all versions of a name
  std::string body;             // JSON, as its client serialized it
  std::int64_t created_at = 0;  // milliseconds since 1970
};
BOOST_DESCRIBE_STRUCT(Scorer, (), (project, experiment, name, version, id, body, created_at))

class Scorers {
 public:
  Scorers(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // The next version of its name.
  Result<Scorer> add(const Call& call, std::int64_t experiment, const std::string& name,
                     const std::string& body);
  // The latest of each name, in the experiments named, or in all where none is.
  Result<std::vector<Scorer>> list(const Call& call, const std::vector<std::int64_t>& experiments);
  // not_found where the name has no version.
  Result<std::vector<Scorer>> versions(const Call& call, std::int64_t experiment,
                                       const std::string& name);
  // The latest where no version is named.
  Result<Scorer> get(const Call& call, std::int64_t experiment, const std::string& name,
                     std::optional<std::int64_t> version);
  // All of a name where no version is named.
  Result<void> remove(const Call& call, std::int64_t experiment, const std::string& name,
                      std::optional<std::int64_t> version);

 private:
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
