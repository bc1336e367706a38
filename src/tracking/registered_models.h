// MLflow's registered models: names, notes, tags and aliases over the versions that registry keeps.
#pragma once

#include "registry/service.h"
#include "tracking/service.h"

namespace penstock::tracking {

struct RegisteredModel {
  std::string project, name, description;
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
};
BOOST_DESCRIBE_STRUCT(RegisteredModel, (), (project, name, description, created_at, updated_at))

struct Alias {
  std::string alias;
  std::int64_t version = 0;
};
BOOST_DESCRIBE_STRUCT(Alias, (), (alias, version))

struct VersionNote {
  std::string project, model;
  std::int64_t version = 0;
  std::string source, run, logged_model, user_id, description;
  bool hidden = false;  // deleted for MLflow; the record and its audit stay
  std::int64_t created_at = 0, updated_at = 0;
};
BOOST_DESCRIBE_STRUCT(VersionNote, (),
                      (project, model, version, source, run, logged_model, user_id, description,
                       hidden, created_at, updated_at))
struct VersionView {
  VersionNote note;
  std::vector<Pair> tags;
  std::vector<std::string> aliases;
};
struct RegisteredModelView {
  RegisteredModel model;
  std::vector<Pair> tags;
  std::vector<Alias> aliases;
  std::vector<VersionView> latest;  // the newest version, if there is one
};

struct CreateVersion {
  std::string model, source, run, logged_model, description;
  std::vector<Pair> tags;
};

// A version that was registered in another way is here too: there is one record. A version that a
// route serves cannot be deleted.
class RegisteredModels {
 public:
  RegisteredModels(sql::Database& db, registry::Service& registry, const Clock& clock)
      : db_(db), registry_(registry), clock_(clock) {}

  Result<RegisteredModelView> create(const Call& call, const std::string& name,
                                     const std::string& description, const std::vector<Pair>& tags);
  Result<RegisteredModelView> get(const Call& call, const std::string& name);
  Result<RegisteredModelView> describe(const Call& call, const std::string& name,
                                       const std::string& description);
  // Only while it has no version: a version's name is part of its record.
  Result<RegisteredModelView> rename(const Call& call, const std::string& name,
                                     const std::string& to);
  Result<void> remove(const Call& call, const std::string& name);
  Result<void> set_tag(const Call& call, const std::string& name, const Pair& tag);
  Result<void> remove_tag(const Call& call, const std::string& name, const std::string& key);
  Result<Found<RegisteredModelView>> search(const Call& call, const Search& search);

  Result<VersionView> create_version(const Call& call, const CreateVersion& input);
  Result<VersionView> version(const Call& call, const std::string& model, std::int64_t number);
  Result<VersionView> describe_version(const Call& call, const std::string& model,
                                       std::int64_t number, const std::string& description);
  Result<void> remove_version(const Call& call, const std::string& model, std::int64_t number);
  // Where its files are: a logged model's own place if the source names one.
  Result<std::string> download_uri(const Call& call, const std::string& model, std::int64_t number);
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

 private:
  std::int64_t now() const { return clock_.now().time_since_epoch().count() / 1'000; }
  Result<void> touch(sql::Tx& tx, const Call& call, const std::string& name);
  sql::Database& db_;
  registry::Service& registry_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
