// The registry's tables. One function is one statement; what the statements mean is the service's.
#pragma once

#include "ports/sql.h"
#include "registry/version.h"

namespace penstock::registry::store {

Result<std::vector<ModelVersion>> find(sql::Tx& tx, const std::string& project,
                                       const std::string& model, std::int64_t version);
Result<std::vector<ModelVersion>> list(sql::Tx& tx, const std::string& project,
                                       const std::string& model, std::int64_t limit);
// What people say of a model and its versions beside the record (tracking/registered_models.h): a
// new version has its row there at once, however it was registered.
Result<void> put_names(sql::Tx& tx, const ModelVersion& version);
Result<std::int64_t> newest(sql::Tx& tx, const std::string& project, const std::string& model);
Result<void> set_status(sql::Tx& tx, const ModelVersion& version, Status status, Timestamp at);

}  // namespace penstock::registry::store
