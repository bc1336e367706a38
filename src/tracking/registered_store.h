// The tables of registered models: rows, and rows with all that belongs to them.
#pragma once

#include "tracking/registered_models.h"

namespace penstock::tracking::store {

// not_found in MLflow's words. `name` is what MLflow's callers say.
Result<RegisteredModel> registered_model(sql::Tx& tx, const Call& call, const std::string& name);
// `model` is registry's name here and below. Whether it is a prompt, by its tag.
Result<bool> is_prompt(sql::Tx& tx, const std::string& project, const std::string& model);
// Hidden versions are not found.
Result<VersionNote> note(sql::Tx& tx, const Call& call, const RegisteredModel& model,
                         std::int64_t version);
Result<std::vector<VersionView>> views(sql::Tx& tx, const Call& call,
                                       std::vector<VersionNote> notes);
Result<VersionView> view(sql::Tx& tx, const Call& call, VersionNote note);
Result<std::vector<RegisteredModelView>> views(sql::Tx& tx, const Call& call,
                                               std::vector<RegisteredModel> models);
Result<RegisteredModelView> view(sql::Tx& tx, const Call& call, RegisteredModel model);

Result<void> put_alias(sql::Tx& tx, const std::string& project, const std::string& model,
                       const Alias& alias);
// The version that it named, if it was there.
Result<std::optional<std::int64_t>> remove_alias(sql::Tx& tx, const std::string& project,
                                                 const std::string& model,
                                                 const std::string& alias);
Result<void> put_stage(sql::Tx& tx, const std::string& project, const std::string& model,
                       std::int64_t version, Stage stage, std::int64_t at);
// Every other version of that stage becomes Archived.
Result<void> archive_others(sql::Tx& tx, const std::string& project, const std::string& model,
                            std::int64_t version, Stage stage, std::int64_t at);

}  // namespace penstock::tracking::store
