#include "tracking/scorers.h"

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "tracking/store.h"

namespace penstock::tracking {
namespace {

constexpr std::size_t name_max = 256, body_max = 1'000'000;

Error faulty(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

Result<void> check(const std::string& name, const std::string& body) {
  if (name.empty() || name.size() > name_max)
    return faulty("name", "has " + std::to_string(name.size()) + " bytes, and has 1 to " +
                              std::to_string(name_max));
  if (body.size() > body_max)
    return faulty("serialized_scorer", "has " + std::to_string(body.size()) +
                                           " bytes, and may have " + std::to_string(body_max));
  boost::system::error_code fault;
  json::parse_options options;
  options.max_depth = 200;
  const json::value read = json::parse(body, fault, {}, options);
  if (fault || !read.is_object()) return faulty("serialized_scorer", "must be a JSON object");
  return {};
}

Result<void> check_experiment(sql::Tx& tx, const Call& call, std::int64_t experiment) {
  const auto found = TRY(store::experiment(tx, call.project, experiment));
  if (!found.empty() && found.front().lifecycle == Lifecycle::active) return {};
  return Error{Code::not_found,
               "No active Experiment with id=" + std::to_string(experiment) + " exists"};
}

Result<std::vector<Scorer>> rows_of(sql::Tx& tx, const Call& call, std::int64_t experiment,
                                    const std::string& name) {
  static const std::string text =
      "SELECT " + columns<Scorer>() +
      " FROM scorers WHERE project = $1 AND experiment = $2 AND name = $3 ORDER BY version";
  return sql::select<Scorer>(tx, text, {call.project, experiment, name});
}

Error no_scorer(std::int64_t experiment, const std::string& name,
                std::optional<std::int64_t> version) {
  return {Code::not_found, "Scorer with name '" + name + "'" +
                               (version ? " and version " + std::to_string(*version) : "") +
                               " not found for experiment " + std::to_string(experiment) + "."};
}

}  // namespace

Result<Scorer> Scorers::add(const Call& call, std::int64_t experiment, const std::string& name,
                            const std::string& body) {
  TRY(check(name, body));
  return db_.write(call, [&](sql::Tx& tx) -> Result<Scorer> {
    TRY(check_experiment(tx, call, experiment));
    const auto before = TRY(rows_of(tx, call, experiment, name));
    Scorer made{
        .project = call.project,
        .experiment = experiment,
        .name = name,
        .version = before.empty() ? 1 : before.back().version + 1,
        .id = before.empty() ? sha256_hex(new_ulid(clock_.now())).substr(0, 32) : before.back().id,
        .body = body,
        .created_at = clock_.now().time_since_epoch().count() / 1'000};
    TRY(sql::insert(tx, "scorers", made));
    TRY(audit::record(tx, call, clock_.now(),
                      {"tracking.scorer.registered",
                       "scorer:" + made.id,
                       {{"name", name}, {"version", made.version}}}));
    return made;
  });
}

Result<std::vector<Scorer>> Scorers::list(const Call& call,
                                          const std::vector<std::int64_t>& experiments) {
  if (experiments.size() > 1'000)
    return faulty("experiment_ids",
                  "has " + std::to_string(experiments.size()) + " entries, and may have 1000");
  sql::Row row{call.project};
  std::string marks;
  for (const std::int64_t id : experiments) {
    row.emplace_back(id);
    marks += (marks.empty() ? "$" : ", $") + std::to_string(row.size());
  }
  const std::string text =
      "SELECT s.project, s.experiment, s.name, s.version, s.id, s.body, s.created_at FROM scorers "
      "s WHERE s.project = $1" +
      (marks.empty() ? "" : " AND s.experiment IN (" + marks + ")") +
      " AND s.version = (SELECT max(o.version) FROM scorers o WHERE o.project = s.project AND "
      "o.experiment = s.experiment AND o.name = s.name) AND EXISTS (SELECT 1 FROM experiments e "
      "WHERE e.project = s.project AND e.id = s.experiment AND e.lifecycle = 'active') ORDER BY "
      "s.experiment, s.name";
  return db_.read(call, [&](sql::Tx& tx) { return sql::select<Scorer>(tx, text, row); });
}

Result<std::vector<Scorer>> Scorers::versions(const Call& call, std::int64_t experiment,
                                              const std::string& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<Scorer>> {
    auto found = TRY(rows_of(tx, call, experiment, name));
    if (found.empty()) return no_scorer(experiment, name, {});
    return found;
  });
}

Result<Scorer> Scorers::get(const Call& call, std::int64_t experiment, const std::string& name,
                            std::optional<std::int64_t> version) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<Scorer> {
    auto found = TRY(rows_of(tx, call, experiment, name));
    if (!version && !found.empty()) return std::move(found.back());
    for (Scorer& one : found)
      if (one.version == version) return std::move(one);
    return no_scorer(experiment, name, version);
  });
}

Result<void> Scorers::remove(const Call& call, std::int64_t experiment, const std::string& name,
                             std::optional<std::int64_t> version) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    std::size_t gone = 0;
    for (const Scorer& one : TRY(rows_of(tx, call, experiment, name)))
      if (!version || one.version == version) {
        ++gone;
        TRY(
            tx.run("DELETE FROM scorers WHERE project = $1 AND experiment = $2 AND name = $3 AND "
                   "version = $4",
                   {call.project, experiment, name, one.version}));
        TRY(audit::record(tx, call, clock_.now(),
                          {"tracking.scorer.deleted",
                           "scorer:" + one.id,
                           {{"name", name}, {"version", one.version}}}));
      }
    if (gone == 0) return no_scorer(experiment, name, version);
    return {};
  });
}

}  // namespace penstock::tracking
