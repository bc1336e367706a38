// MLflow's registered models: names, notes, tags, aliases and stages over the versions that
// registry keeps.
#pragma once

#include "registry/artifacts.h"
#include "registry/service.h"
#include "tracking/artifacts.h"
#include "tracking/service.h"

namespace penstock::tracking {

struct RegisteredModel {
  std::string project;
  std::string name;  // as MLflow's callers say it; may change
  std::string description;
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
  std::string model;                            // as registry and every URN name it; never changes
};
BOOST_DESCRIBE_STRUCT(RegisteredModel, (),
                      (project, name, description, created_at, updated_at, model))

struct Alias {
  std::string alias;
  std::int64_t version = 0;
};
BOOST_DESCRIBE_STRUCT(Alias, (), (alias, version))

// MLflow's words; their text has a capital letter first.
enum class Stage { None, Staging, Production, Archived };
BOOST_DESCRIBE_ENUM(Stage, None, Staging, Production, Archived)

struct VersionNote {
  std::string project, model;
  std::int64_t version = 0;
  std::string source, run, logged_model, user_id, description;
  bool hidden = false;  // deleted for MLflow; the record and its audit stay
  std::int64_t created_at = 0, updated_at = 0;
  std::string name;  // of its model, as it is now
};
BOOST_DESCRIBE_STRUCT(VersionNote, (),
                      (project, model, version, source, run, logged_model, user_id, description,
                       hidden, created_at, updated_at, name))
struct VersionView {
  VersionNote note;
  std::vector<Pair> tags;
  std::vector<std::string> aliases;
  Stage stage = Stage::None;
};
struct RegisteredModelView {
  RegisteredModel model;
  std::vector<Pair> tags;
  std::vector<Alias> aliases;
  std::vector<VersionView> latest;  // the newest version of each stage
};

struct CreateVersion {
  std::string model, source, run, logged_model, description;  // model: its name
  std::vector<Pair> tags;
};
struct StageMove {
  std::string model;  // its name
  std::int64_t version = 0;
  Stage to = Stage::None;
  bool archive_others = false;
};

// A route that sends calls to a model.
struct ServedRoute {
  std::string route;
  std::int64_t live = 0;  // the version that answers; 0: none yet
};
// What the components above know of routes; told at start. Without it nothing is served.
struct ServedBy {
  // The routes that serve `model` by `alias`; by any alias or none where it is empty.
  std::function<Result<std::vector<ServedRoute>>(
      sql::Tx& tx, const Call& call, const std::string& model, const std::string& alias)>
      routes;
  // Why a version (0: any of the model) must stay: it answers, is tried, or is what a release would
  // go back to. Empty: it may go.
  std::function<Result<std::string>(sql::Tx& tx, const Call& call, const std::string& model,
                                    std::int64_t version)>
      in_use;
  // Asks for a release of the version on the route, and says what it waits for.
  std::function<Result<std::string>(const Call& call, const std::string& route,
                                    const std::string& model, std::int64_t version)>
      release;
};

// A version that was registered in another way is here too: there is one record. What a route
// serves moves by a release alone: setting an alias or the stage Production that a route follows
// asks for one, and fails with failed_precondition naming it until it has promoted.
class RegisteredModels {
 public:
  RegisteredModels(sql::Database& db, registry::Service& registry, const Clock& clock)
      : db_(db), registry_(registry), clock_(clock) {}
  void served_by(ServedBy served) { served_ = std::move(served); }
  // A new version whose files this server keeps has an artifact of its own from then on: what a run
  // deletes or overwrites later does not change it, and a route can serve it.
  void keep_files(Artifacts& tracked, registry::Artifacts& kept) {
    tracked_ = &tracked;
    kept_ = &kept;
  }

  Result<RegisteredModelView> create(const Call& call, const std::string& name,
                                     const std::string& description, const std::vector<Pair>& tags);
  Result<RegisteredModelView> get(const Call& call, const std::string& name);
  Result<RegisteredModelView> describe(const Call& call, const std::string& name,
                                       const std::string& description);
  // Its URN, and with it every record, approval and edge, stays.
  Result<RegisteredModelView> rename(const Call& call, const std::string& name,
                                     const std::string& to);
  Result<void> remove(const Call& call, const std::string& name);
  Result<void> set_tag(const Call& call, const std::string& name, const Pair& tag);
  Result<void> remove_tag(const Call& call, const std::string& name, const std::string& key);
  Result<Found<RegisteredModelView>> search(const Call& call, const Search& search);
  // The newest version of each of `stages`; of every stage where it is empty.
  Result<std::vector<VersionView>> latest(const Call& call, const std::string& name,
                                          const std::vector<Stage>& stages);

  Result<VersionView> create_version(const Call& call, const CreateVersion& input);
  Result<VersionView> version(const Call& call, const std::string& model, std::int64_t number);
  Result<VersionView> describe_version(const Call& call, const std::string& model,
                                       std::int64_t number, const std::string& description);
  Result<void> remove_version(const Call& call, const std::string& model, std::int64_t number);
  // Where its files are: a logged model's own place if the source names one.
  Result<std::string> download_uri(const Call& call, const std::string& model, std::int64_t number);
  // The digest of one of the version's own files, which outlive what it was registered from; none
  // where it has no files of its own, or not this one.
  Result<std::optional<std::string>> own_file(const Call& call, const std::string& model,
                                              std::int64_t number, const std::string& path);
  Result<void> set_version_tag(const Call& call, const std::string& model, std::int64_t number,
                               const Pair& tag);
  Result<void> remove_version_tag(const Call& call, const std::string& model, std::int64_t number,
                                  const std::string& key);
  Result<Found<VersionView>> search_versions(const Call& call, const Search& search);

  Result<void> set_alias(const Call& call, const std::string& model, const std::string& alias,
                         std::int64_t number);
  Result<void> remove_alias(const Call& call, const std::string& model, const std::string& alias);
  Result<VersionView> by_alias(const Call& call, const std::string& model,
                               const std::string& alias);
  Result<VersionView> move_stage(const Call& call, const StageMove& move);

 private:
  std::int64_t now() const { return clock_.now().time_since_epoch().count() / 1'000; }
  Result<void> check_unused(sql::Tx& tx, const Call& call, const std::string& model,
                            std::int64_t version) const;
  Result<std::vector<ServedRoute>> routes(sql::Tx& tx, const Call& call, const std::string& model,
                                          const std::string& alias) const;
  // Nothing where its files are elsewhere, or there are none.
  Result<std::optional<registry::Artifact>> keep(const Call& call, const CreateVersion& input);
  // Asks for a release on each route that does not serve the version yet. Fails where it asked for
  // one: `what` has not moved.
  Result<void> release(const Call& call, const std::vector<ServedRoute>& routes,
                       const std::string& model, std::int64_t version, const std::string& what);

  sql::Database& db_;
  registry::Service& registry_;
  const Clock& clock_;
  ServedBy served_;
  Artifacts* tracked_ = nullptr;
  registry::Artifacts* kept_ = nullptr;
};

// `model` is as registry names it. not_found where it has no such alias.
Result<std::int64_t> version_of_alias(sql::Tx& tx, const Call& call, const std::string& model,
                                      const std::string& alias);

// What a release made of a route, said in MLflow's words inside the transaction of its move.
struct Followed {
  std::string model, alias;   // as registry names it; empty: the route follows no alias
  std::int64_t version = 0;   // the one that moved
  Stage stage = Stage::None;  // what it is now
  bool moves_alias = false;   // to `answers`; away, where that is 0
  std::int64_t answers = 0;   // the version that answers now
  std::int64_t retired = 0;   // the one that answered until now; 0: none
};
Result<void> follow(sql::Tx& tx, const Call& call, Timestamp at, const Followed& followed);

}  // namespace penstock::tracking
